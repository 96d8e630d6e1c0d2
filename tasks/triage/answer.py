"""
The model's answer: the form that it is asked for, and what has to hold before it is a verdict.

The form is plain (enums, strings, lists, all required): the service ignores or refuses bounds in
a schema, so they are applied here, afterwards.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from tasks.model.incidents import Incident, Severity
from tasks.model.text import cut, make_visible
from tasks.model.verdicts import Confidence, Verdict, VerdictKind
from tasks.triage.citations import ShownLine, check_citations
from tasks.triage.clearance import why_not_cleared
from tasks.triage.confidential import NOTHING, Confidential
from tasks.triage.prose import Reader, sources_of
from tasks.triage.rules_analyst import judge_by_rules
from tasks.triage.speech import speaks

_TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")
_MAX_TECHNIQUES = 20


class Quote(BaseModel):
    """A line that the verdict stands on."""

    line: str = Field(description="The id of the line, exactly as given.")
    quote: str = Field(description="A short piece of that line, copied character for character.")


class Answer(BaseModel):
    """Report the verdict on the source IP address."""

    ip_address: str = Field(description="source_ip, unchanged.")
    verdict: VerdictKind
    severity: Severity
    probable_attack_type: str
    confidence_level: Confidence
    summary: str
    recommended_action: str
    evidence: list[Quote]
    techniques: list[str] = Field(description="MITRE ATT&CK ids; may be empty.")


@dataclass(frozen=True, slots=True)
class Accepted:
    """An answer that became a verdict."""

    verdict: Verdict
    citations_rejected: int
    texts_replaced: int = 0
    """Texts that people may not read; the rules analyst's are in their place."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that cannot be used."""

    problem: str
    """One sentence, ours, that the model can act on; quotes neither the answer nor a line."""


def check_answer(
    answer: Answer,
    incident: Incident,
    shown: Sequence[ShownLine],
    pages: Sequence[str] = (),
    confidential: Confidential = NOTHING,
) -> Accepted | Refused:
    """
    The verdict in *answer*, if it is about this incident.

    Severity and techniques of the findings are kept: the model can only add to them. Citations
    that no shown line supports are dropped. An accusation that has none left was made up; one that
    never had any is of low confidence. Texts that people may not read (*prose*) are replaced by
    those of the rules analyst, and so are all where a line has words in it (*speech*): they may be
    what the model repeats.

    Args:
        answer: In the right form, and otherwise whatever it may be.
        incident: What was asked about.
        shown: The lines that were shown.
        pages: Addresses of the web pages that were shown.
        confidential: What no text may repeat.
    """
    if not _is_same_address(answer.ip_address, incident.source_ip):
        return Refused(
            "ip_address is not source_ip: judge only source_ip, and repeat it unchanged."
        )
    if not all(
        map(make_visible, (answer.summary, answer.probable_attack_type, answer.recommended_action))
    ):
        return Refused("summary, probable_attack_type and recommended_action must all have text.")
    citations = check_citations(((q.line, q.quote) for q in answer.evidence), shown)
    is_unsupported = not answer.verdict.is_benign and not citations.valid
    if is_unsupported and citations.rejected:
        return Refused(
            "No citation in evidence is valid: each needs the id of a line of this document and"
            " a piece of that same line, copied character for character."
        )
    sources = sources_of((*(line.text for line in shown), *pages))
    reader = Reader(incident, sources, confidential)
    texts = _read_texts(_name_lines(answer, shown), incident, shown, reader)
    verdict = Verdict(
        ip_address=incident.source_ip,
        verdict=texts.kind,
        severity=max(answer.severity, incident.severity, key=lambda s: s.rank),
        probable_attack_type=texts.attack_type,
        confidence_level=Confidence.LOW if is_unsupported else texts.confidence,
        summary=texts.summary,
        recommended_action=texts.action,
        evidence=citations.valid,
        techniques=_merge_techniques(answer.techniques, incident),
    )
    return Accepted(verdict, citations.rejected, texts.replaced)


@dataclass(frozen=True, slots=True)
class _Texts:
    """What an answer says, as far as it may be said."""

    kind: VerdictKind
    confidence: Confidence
    attack_type: str
    summary: str
    action: str
    replaced: int = 0


def _read_texts(
    answer: Answer, incident: Incident, shown: Sequence[ShownLine], reader: Reader
) -> _Texts:
    own = judge_by_rules(incident).verdict
    is_talking = incident.is_injection_suspected or any(
        speaks(line.text, has_payload=incident.has_signature_evidence) for line in shown
    )
    if answer.verdict.is_benign and (reason := why_not_cleared(incident, shown)):
        return _doubt(answer, incident, None if is_talking else reader, own, reason)
    if is_talking:
        return _Texts(
            answer.verdict,
            max(answer.confidence_level, own.confidence_level, key=list(Confidence).index),
            own.probable_attack_type,
            own.summary,
            own.recommended_action,
            replaced=3,
        )
    is_cleared = answer.verdict.is_benign
    attack_type = reader.read_description(answer.probable_attack_type, 200, may_clear=is_cleared)
    summary = reader.read_description(answer.summary, 2000, may_clear=is_cleared)
    action = reader.read_advice(answer.recommended_action, 1000)
    return _Texts(
        answer.verdict,
        answer.confidence_level,
        attack_type or own.probable_attack_type,
        summary or own.summary,
        action or own.recommended_action,
        replaced=(attack_type, summary, action).count(None),
    )


def _doubt(
    answer: Answer, incident: Incident, reader: Reader | None, own: Verdict, reason: str
) -> _Texts:
    """
    What people are told of a suspect that a model would let go and that it cannot.

    Without *reader*, they read none of the model's words.
    """
    summary = (
        f"The model calls this {answer.verdict.replace('_', ' ')}, but {reason}: please check."
    )
    words = None
    if reader is not None and not reader.advises_nothing(answer.summary):
        words = reader.read_description(answer.summary, 300, may_clear=True)
    said = f' In its words: "{words}"' if words else ""
    is_left_to_people = incident.has_signature_evidence
    return _Texts(
        answer.verdict if is_left_to_people else VerdictKind.INSUFFICIENT_DATA,
        Confidence.LOW,
        own.probable_attack_type,
        cut(f"{summary} {own.summary}{said}", 2000),
        own.recommended_action,
        replaced=2 if words else 3,
    )


def _name_lines(answer: Answer, shown: Sequence[ShownLine]) -> Answer:
    """*answer* with lines named as the record does: their ids are of this call only."""
    texts = {}
    for name in ("summary", "probable_attack_type", "recommended_action"):
        text = getattr(answer, name)
        for line in shown:
            nonce = line.id.rpartition("-")[0]
            text = text.replace(line.id, f"line {line.position}").replace(nonce, "line")
        texts[name] = text
    return answer.model_copy(update=texts)


def _is_same_address(given: str, expected: str) -> bool:
    if given.strip() == expected:
        return True
    try:
        return ipaddress.ip_network(given.strip()) == ipaddress.ip_network(expected)
    except ValueError:
        return False


def _merge_techniques(named: Sequence[str], incident: Incident) -> tuple[str, ...]:
    added = sorted({t for t in named if _TECHNIQUE.fullmatch(t)} - set(incident.techniques))
    return (*incident.techniques, *added)[:_MAX_TECHNIQUES]
