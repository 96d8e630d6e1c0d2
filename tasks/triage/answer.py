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


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that cannot be used."""

    problem: str
    """One sentence, ours, that the model can act on; quotes neither the answer nor a line."""


def check_answer(
    answer: Answer, incident: Incident, shown: Sequence[ShownLine]
) -> Accepted | Refused:
    """
    The verdict in *answer*, if it is about this incident.

    Severity and techniques of the findings are kept: the model can only add to them. Citations
    that no shown line supports are dropped. An accusation that has none left was made up; one that
    never had any is of low confidence.
    """
    if not _is_same_address(answer.ip_address, incident.source_ip):
        return Refused(
            "ip_address is not source_ip: judge only source_ip, and repeat it unchanged."
        )
    summary = cut(make_visible(answer.summary), 2000)
    attack_type = cut(make_visible(answer.probable_attack_type), 200)
    action = cut(make_visible(answer.recommended_action), 1000)
    if not (summary and attack_type and action):
        return Refused("summary, probable_attack_type and recommended_action must all have text.")
    citations = check_citations(((q.line, q.quote) for q in answer.evidence), shown)
    is_unsupported = not answer.verdict.is_benign and not citations.valid
    if is_unsupported and citations.rejected:
        return Refused(
            "No citation in evidence is valid: each needs the id of a line of this document and"
            " a piece of that same line, copied character for character."
        )
    verdict = Verdict(
        ip_address=incident.source_ip,
        verdict=answer.verdict,
        severity=max(answer.severity, incident.severity, key=lambda s: s.rank),
        probable_attack_type=attack_type,
        confidence_level=Confidence.LOW if is_unsupported else answer.confidence_level,
        summary=summary,
        recommended_action=action,
        evidence=citations.valid,
        techniques=_merge_techniques(answer.techniques, incident),
    )
    return Accepted(verdict, citations.rejected)


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
