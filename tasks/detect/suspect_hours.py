"""Suspect hours: what the rules say of one source IP in one hour of event time."""

from dataclasses import dataclass, field
from typing import Any, Self

from tasks.model.incidents import EvidenceLine, Family, Severity


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
        """Return what was written as JSON, which is changed."""
        found["family"] = Family(found["family"])
        found["severity"] = Severity(found["severity"])
        found["techniques"] = tuple(found["techniques"])
        return cls(**found)


@dataclass(frozen=True, slots=True)
class SuspectHour:
    """
    One source IP in one hour of event time with at least one suspicious minute.

    Made from counts alone, so it is recomputed and replaced as a whole, never added to. Slow rules
    make such hours of their own, which speak of all that the IP did in the hour.
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
    addresses: dict[str, int] = field(default_factory=dict)
    """Of an IPv6 network: the addresses that did most of it in this hour."""

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Return what was written as JSON, which is changed."""
        found["findings"] = tuple(map(HourFinding.from_json, found["findings"]))
        for line in found["samples"]:
            line["rule_ids"] = tuple(line["rule_ids"])
        found["samples"] = tuple(EvidenceLine(**line) for line in found["samples"])
        return cls(**found)
