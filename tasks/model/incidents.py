"""Findings, evidence and incidents: what the rules say of one source IP."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final


class Family(StrEnum):
    """What kind of attack."""

    SQL_INJECTION = "sql_injection"
    CROSS_SITE_SCRIPTING = "cross_site_scripting"
    PATH_TRAVERSAL = "path_traversal"
    REMOTE_CODE_EXECUTION = "remote_code_execution"
    BRUTE_FORCE = "brute_force"
    RECONNAISSANCE = "reconnaissance"
    SCANNER = "scanner"
    WEB_SCRAPING = "web_scraping"
    DENIAL_OF_SERVICE = "denial_of_service"
    OTHER = "other"

    @property
    def label(self) -> str:
        """For people: `SQL injection`."""
        words = self.value.replace("_", " ").replace("cross site", "cross-site")
        return words.capitalize().replace("Sql", "SQL")


class Severity(StrEnum):
    """How bad if true (OCSF); ordered by *rank*."""

    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for informational to 4 for critical."""
        return _RANKS[self]

    @property
    def next_worse(self) -> "Severity":
        """One step up; there is none above critical."""
        return list(Severity)[min(self.rank + 1, len(Severity) - 1)]


_RANKS: Final = {severity: rank for rank, severity in enumerate(Severity)}


def is_system(source_ip: str) -> bool:
    """Whether a subject is an autonomous system, such as `AS64500`: all others are addresses."""
    return source_ip.startswith("AS")


class Status(StrEnum):
    """Where an incident is in its life."""

    SUSPECTED = "suspected"
    """Rules matched; nobody has judged it."""
    BENIGN = "benign"
    CONFIRMED = "confirmed"
    NEEDS_REVIEW = "needs_review"
    """The analyst could not tell, or called signature evidence benign. Alerted."""
    CLOSED = "closed"
    """Merged into an earlier incident, or its evidence was withdrawn."""

    @property
    def is_alerted(self) -> bool:
        """Whether people are told of an incident that comes into this status."""
        return self in (Status.CONFIRMED, Status.NEEDS_REVIEW)


INJECTION_RULE = "prompt-injection"
"""The rule that finds text which talks to the analyst, or to whoever reads the log."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule matched one source IP. Deterministic: same lines and rules, same finding."""

    rule_id: str
    rule_version: int
    rule_title: str
    family: Family
    severity: Severity
    techniques: tuple[str, ...]
    """ATT&CK ids."""
    is_signature: bool
    """The rule counts signature hits, so a single line is evidence."""
    timespan_seconds: int
    threshold: int
    count: int
    """Most events (or distinct values) in any one window, >= threshold."""
    event_count: int
    """Matching events in all suspicious minutes of the incident."""
    window_start: datetime
    """UTC. Start of the earliest window with *count*."""
    first_seen: datetime
    """UTC, minute of the first matching event."""
    last_seen: datetime
    """UTC, minute of the last matching event."""


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """A log line behind a finding. The text is an attacker's."""

    object_key: str
    line_number: int
    """1-based, in the object's decompressed content."""
    line: str
    rule_ids: tuple[str, ...]
    """Rules that this line counts for; empty for ordinary traffic of the same IP."""


@dataclass(frozen=True, slots=True)
class Activity:
    """All events of the source IP in the suspicious minutes of an incident."""

    request_count: int
    """Events of any kind, web and ssh."""
    responses: dict[str, int] = field(default_factory=dict)
    """`2xx`, `3xx`, `4xx`, `5xx` to counts; ssh logins are `ssh_success`, `ssh_failure`."""
    most_active_address: str | None = None
    """Of a network, which is one subject: the address in it that did most."""


@dataclass(frozen=True, slots=True)
class Incident:
    """
    A maximal chain of suspicious minutes of one IP, with everything that is known of it.

    Two suspicious minutes belong to one incident when the event time between them is shorter
    than the incident gap of the rules.
    """

    id: str
    namespace: str
    source_ip: str
    family: Family
    severity: Severity
    status: Status
    first_seen: datetime
    """UTC, start of the first suspicious minute."""
    last_seen: datetime
    """UTC, start of the last suspicious minute."""
    activity: Activity
    findings: tuple[Finding, ...]
    """Strongest first."""
    evidence: tuple[EvidenceLine, ...]
    """Strongest first, at most 20."""

    @property
    def subject(self) -> str:
        """Whom it is about, for people: of a network also the address that did most."""
        address = self.activity.most_active_address
        return self.source_ip if address is None else f"{self.source_ip} (mostly {address})"

    @property
    def has_signature_evidence(self) -> bool:
        """Whether at least one finding stands on the content of a line, not on a count."""
        return any(f.is_signature for f in self.findings)

    @property
    def is_injection_suspected(self) -> bool:
        """Whether a line tries to tell the analyst what to say."""
        return any(f.rule_id == INJECTION_RULE for f in self.findings)

    @property
    def kind(self) -> "EvidenceKind":
        """What the analyst judges it as."""
        return EvidenceKind(self.families, self.severity, self.activity.request_count)

    @property
    def techniques(self) -> tuple[str, ...]:
        """ATT&CK ids of all findings, sorted."""
        return tuple(sorted({t for f in self.findings for t in f.techniques}))

    @property
    def families(self) -> tuple[Family, ...]:
        """All families of the findings, the incident's own first."""
        return tuple(dict.fromkeys((self.family, *(f.family for f in self.findings))))


def rate(findings: Sequence[Finding]) -> Severity:
    """
    How bad an incident with these *findings* is: as the worst of them.

    One step above where a line tries to talk the others down: who does that means harm.
    """
    others = [f.severity for f in findings if f.rule_id != INJECTION_RULE]
    worst = max((f.severity for f in findings), key=lambda s: s.rank)
    if not 0 < len(others) < len(findings):
        return worst
    return max(worst, max(others, key=lambda s: s.rank).next_worse, key=lambda s: s.rank)


VOLUME_CHANGE = 10
"""An incident that is this many times as large is another matter than the one that was judged."""


@dataclass(frozen=True, slots=True)
class EvidenceKind:
    """What an incident amounted to when it was judged."""

    families: tuple[Family, ...]
    severity: Severity
    request_count: int

    def is_exceeded_by(self, now: "EvidenceKind") -> bool:
        """Whether *now* differs in kind: a new family, a higher severity, ten times the volume."""
        return (
            not set(now.families) <= set(self.families)
            or now.severity.rank > self.severity.rank
            or now.request_count >= VOLUME_CHANGE * self.request_count
        )


@dataclass(frozen=True, slots=True)
class StoredIncident:
    """What is on record of an incident, as far as new evidence is matched with it."""

    id: str
    source_ip: str
    status: Status
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Suspect:
    """An incident that waits for the analyst, by reference: its lines stay in the database."""

    incident_id: str
    source_ip: str
    family: Family
    severity: Severity
