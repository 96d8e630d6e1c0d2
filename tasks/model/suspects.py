"""Suspects: what the rules say of one source IP in one hour, and how that becomes incidents."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from tasks.model.incidents import EvidenceLine, Family, Incident, Severity, Status


@dataclass(frozen=True, slots=True)
class HourFinding:
    """One rule's part in a suspicious hour; enough to report it when the rule is no more."""

    rule_id: str
    rule_version: int
    rule_title: str
    family: Family
    severity: Severity
    techniques: tuple[str, ...]
    is_signature: bool
    timespan_seconds: int
    threshold: int
    first_minute: int
    """Minutes since the epoch of the first suspicious minute of this rule in the hour."""
    last_minute: int
    event_count: int
    """Matching events in the suspicious minutes of this rule in the hour."""
    peak_count: int
    """Most events (or distinct values) in a hot window that has matching events in the hour."""
    peak_minute: int
    """Start of the earliest such window; it may lie in the hour before."""

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Return what asdict() made JSON of."""
        return cls(
            **{
                **found,
                "family": Family(found["family"]),
                "severity": Severity(found["severity"]),
                "techniques": tuple(found["techniques"]),
            }
        )


@dataclass(frozen=True, slots=True)
class SuspectHour:
    """
    One source IP in one hour of event time with at least one suspicious minute.

    Made from counts alone, so it is recomputed and replaced as a whole, never added to.
    """

    source_ip: str
    hour: int
    """Hours since the epoch, UTC."""
    first_minute: int
    """Minutes since the epoch of the first suspicious minute of any rule in the hour."""
    last_minute: int
    findings: tuple[HourFinding, ...]
    """By rule id."""
    request_count: int
    """All events of the IP in the suspicious minutes of the hour."""
    responses: dict[str, int]
    """As in Activity."""
    samples: tuple[EvidenceLine, ...]
    """In order of time."""

    def to_json(self) -> dict[str, Any]:
        """Return what json.dumps() takes and from_json() reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Return the value that to_json() was called on."""
        return cls(
            **{
                **found,
                "findings": tuple(HourFinding.from_json(f) for f in found["findings"]),
                "samples": tuple(
                    EvidenceLine(**{**s, "rule_ids": tuple(s["rule_ids"])})
                    for s in found["samples"]
                ),
            }
        )


@dataclass(frozen=True, slots=True)
class StoredIncident:
    """What reconciling has to know of an incident on record."""

    id: str
    status: Status
    first_seen: datetime
    """UTC."""
    last_seen: datetime
    """UTC."""

    @property
    def is_open(self) -> bool:
        """Whether it still stands for something; closed ones only keep their id taken."""
        return self.status is not Status.CLOSED


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What has to happen to the incidents on record so that they say what the chains say."""

    upserts: tuple[Incident, ...]
    """With the id they have or get; status, verdict and research on record are not theirs."""
    merged: tuple[tuple[str, str], ...]
    """(id to close, id it was merged into)."""
    withdrawn: tuple[str, ...]
    """Ids to close because nothing suspicious is left of them."""


@dataclass(frozen=True, slots=True)
class EvidenceKind:
    """What an analyst's verdict was based on, coarsely."""

    families: tuple[Family, ...]
    severity: Severity
    volume: int
    """Events in the suspicious minutes."""

    def to_json(self) -> dict[str, Any]:
        """Return what json.dumps() takes and from_json() reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Return the value that to_json() was called on."""
        return cls(
            tuple(Family(f) for f in found["families"]),
            Severity(found["severity"]),
            found["volume"],
        )
