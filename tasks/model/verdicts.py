"""Verdicts: what an analyst concluded on one suspect, and how it came about."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tasks.model.incidents import Incident, Severity, Status, Suspect


class Confidence(StrEnum):
    """How sure the analyst is."""

    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"


class AnalystName(StrEnum):
    """Who judges."""

    BEDROCK = "bedrock"
    RULES = "rules"


class VerdictKind(StrEnum):
    """OCSF `verdict`."""

    TRUE_POSITIVE = "true_positive"  # the evidence shows an attack
    SUSPICIOUS = "suspicious"  # hostile intent is likely, the evidence does not settle it
    FALSE_POSITIVE = "false_positive"  # the rule matched something that is not an attack
    BENIGN = "benign"  # ordinary or authorised activity
    INSUFFICIENT_DATA = "insufficient_data"  # the lines do not allow a conclusion

    @property
    def is_benign(self) -> bool:
        """Whether the analyst saw nothing to act on."""
        return self in (VerdictKind.BENIGN, VerdictKind.FALSE_POSITIVE)


class Citation(BaseModel):
    """A quoted piece of one numbered line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line: str
    """Id of the line as it was shown to the analyst."""
    quote: str


class Verdict(BaseModel):
    """The report on one suspect. Every citation in it was checked against the lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ip_address: str
    verdict: VerdictKind
    severity: Severity
    """Never below the severity of the findings."""
    probable_attack_type: Annotated[str, Field(max_length=200)]
    confidence_level: Confidence
    summary: Annotated[str, Field(max_length=2000)]
    recommended_action: Annotated[str, Field(max_length=1000)]
    evidence: tuple[Citation, ...] = ()
    techniques: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What the calls behind one verdict took."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        """Both together."""
        return Usage(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_usd + other.cost_usd,
        )

    def __sub__(self, other: "Usage") -> "Usage":
        """What is left without *other*."""
        return Usage(
            self.calls - other.calls,
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
            self.cost_usd - other.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its provenance."""

    verdict: Verdict
    analyst: AnalystName
    analyst_reason: str | None = None
    """
    Why the rules analyst answered although Bedrock was asked for, why the model's verdict on
    another suspect is shared, or why the model saw a smaller sample; one sentence, ours.
    """
    model_id: str | None = None
    prompt_sha256: str | None = None
    usage: Usage = Usage()
    citations_rejected: int = 0
    """Citations of the model that no line shown to it supports; they were dropped."""
    texts_replaced: int = 0
    """
    Texts of the model that named others, led elsewhere, gave something away or talked the rules
    down; the rules analyst's are in their place.
    """
    redacted: int = 0
    """Secrets in log lines that were blacked out before the model saw them."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A web page about the suspect or its payload. Title and content are untrusted text."""

    title: str
    url: str
    content: str
    """At most 500 characters."""


@dataclass(frozen=True, slots=True)
class Research:
    """What the web says."""

    queries: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    searches: int = 0
    """Queries that were really sent; the others came from the cache."""
    error: str | None = None
    """Why there is less than there could be; one sentence, ours."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A suspect with all that its path brought, by reference to its lines."""

    suspect: Suspect
    judgement: Judgement
    research: Research = Research()


@dataclass(frozen=True, slots=True)
class Conclusion:
    """One suspect at the end of its path: what is recorded and what is told."""

    incident: Incident
    """With the status that the verdict gives it."""
    judgement: Judgement
    research: Research = Research()


def conclude(incident: Incident, judgement: Judgement, research: Research) -> Conclusion:
    """
    The incident with the status and severity that follow from the verdict.

    A verdict never lowers a severity. "Benign" never closes an incident that stands on the content
    of a line, and a model's accusation that cites no line confirms none that stands on a count
    alone: both need review, and are still alerted.
    """
    verdict = judgement.verdict
    if verdict.verdict.is_benign:
        status = Status.NEEDS_REVIEW if incident.has_signature_evidence else Status.BENIGN
    elif verdict.verdict is VerdictKind.INSUFFICIENT_DATA or not (
        verdict.evidence or incident.has_signature_evidence or judgement.model_id is None
    ):
        status = Status.NEEDS_REVIEW
    else:
        status = Status.CONFIRMED
    severity = max(incident.severity, verdict.severity, key=lambda s: s.rank)
    return Conclusion(replace(incident, status=status, severity=severity), judgement, research)
