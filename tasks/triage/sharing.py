"""One verdict for suspects that behave alike, each on its own lines."""

from dataclasses import replace

from tasks.model.incidents import Incident
from tasks.model.redaction import redact
from tasks.model.verdicts import AnalystName, Citation, Judgement, Usage
from tasks.triage.confidential import NOTHING
from tasks.triage.prose import Reader
from tasks.triage.rules_analyst import judge_by_rules


def share_judgement(shared: Judgement | None, incident: Incident, reason: str | None) -> Judgement:
    """
    What *shared*, said of another suspect, means for *incident*.

    The facts (summary, action, severity) are this incident's own, by the rules analyst; of the
    model it has the kind, the confidence and the name of the attack, and those citations that its
    own lines support. "Benign" is not shared: nobody is cleared without having been looked at.

    Args:
        shared: None where the model has said nothing of evidence like that.
        incident: The one that is judged.
        reason: Why it has no call of its own.
    """
    own = judge_by_rules(incident, reason)
    if shared is None or shared.analyst is AnalystName.RULES:
        return own if shared is None else replace(own, analyst_reason=shared.analyst_reason)
    if shared.verdict.verdict.is_benign:
        return own
    said = shared.verdict
    # of another suspect, it may name that one
    attack_type = Reader(incident, (), NOTHING).read_description(said.probable_attack_type, 200)
    verdict = own.verdict.model_copy(
        update={
            "verdict": said.verdict,
            "confidence_level": said.confidence_level,
            "probable_attack_type": attack_type or own.verdict.probable_attack_type,
            "evidence": _find_own(said.evidence, incident) or own.verdict.evidence,
        }
    )
    return replace(
        shared,
        verdict=verdict,
        analyst_reason=reason,
        usage=Usage(),
        citations_rejected=0,
        texts_replaced=0,
        redacted=0,
    )


def _find_own(cited: tuple[Citation, ...], incident: Incident) -> tuple[Citation, ...]:
    """Each quote at the first of the incident's own lines that it is in."""
    found = (
        next(
            (
                Citation(line=str(position), quote=citation.quote)
                for position, line in enumerate(incident.evidence, start=1)
                if citation.quote in redact(line.line).text
            ),
            None,
        )
        for citation in cited
    )
    return tuple(citation for citation in found if citation is not None)
