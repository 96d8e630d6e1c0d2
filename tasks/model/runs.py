"""Runs: what one flow run did, as it is stored, reported and printed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tasks.model.objects import Coverage, SkippedObject, UnparsedSample
from tasks.model.verdicts import Conclusion, Usage


class RunKind(StrEnum):
    """What a run is for."""

    SCAN = "scan"
    BACKFILL = "backfill"


@dataclass(frozen=True, slots=True)
class Run:
    """The run that a task works for."""

    id: str
    name: str
    """For people."""
    kind: RunKind
    namespace: str
    source: str
    """As the user named it."""
    started_at: datetime
    """UTC; the `now` of everything in this run that depends on one."""
    url: str | None = None
    """Its page in the UI; None when nothing serves one."""


class RunState(StrEnum):
    """How a run ended."""

    DONE = "done"
    """Everything that was listed is accounted for and everybody is told."""
    INCOMPLETE = "incomplete"
    """Something failed that a later run tries again."""
    FAILED = "failed"
    """Nothing of this run can be relied on."""


LONGEST_SERVICE = 64
"""Characters of a service's name."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Something that a run relies on and that has not worked for some time."""

    service: str
    """`Bedrock`, `Tavily`, `Telegram`, `Budget`, or the source as the user named it."""
    since: datetime
    """UTC. Beginning of the first run that it failed in; it has not worked in any since."""

    def __str__(self) -> str:
        """Return it for people: `Telegram since 2026-02-22 10:05 UTC`."""
        return f"{self.service} since {self.since:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run at its end; the numbers in the report, in table `runs` and on the terminal."""

    name: str
    """The flow run's name; for people."""
    kind: str
    """`scan` or `backfill`."""
    namespace: str
    source: str
    started_at: datetime
    """UTC."""
    finished_at: datetime
    """UTC."""
    state: RunState
    coverage: Coverage
    lines: int = 0
    lines_unparsed: int = 0
    size_bytes: int = 0
    """Decompressed bytes read."""
    unparsed: tuple[tuple[str, UnparsedSample], ...] = ()
    """(object_key, sample): some of the lines that no format understood."""
    skipped: tuple[SkippedObject, ...] = ()
    quarantined: tuple[SkippedObject, ...] = ()
    suspects: int = 0
    """Incidents that went to the analyst in this run."""
    conclusions: tuple[Conclusion, ...] = ()
    """What became of them, benign ones included."""
    deliveries: Mapping[str, int] = field(default_factory=dict)
    """Delivery state (`sent`, `failed`, `pending`, `skipped`) to count."""
    usage: Usage = field(default_factory=Usage)
    """All calls of the model, with those that failed."""
    searches: int = 0
    degradations: tuple[str, ...] = ()
    """What was done in a lesser way than asked for, one sentence each."""
    notes: tuple[str, ...] = ()
    """What is turned off or was hidden, one sentence each."""
    failures: tuple[str, ...] = ()
    """What did not succeed and the next run tries again, one sentence each."""
    outages: tuple["Outage", ...] = ()
    """What did not work in this run, the longest first."""

    @property
    def duration_seconds(self) -> float:
        """From start to end."""
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to do."""
        return self.coverage.done == 0 and self.suspects == 0 and not self.deliveries

    @property
    def incidents(self) -> tuple[Conclusion, ...]:
        """The conclusions that people are told of, worst first."""
        told = [c for c in self.conclusions if c.incident.status.is_alerted]
        return tuple(sorted(told, key=order_of_urgency))

    @property
    def benign(self) -> int:
        """Suspects that the analyst cleared."""
        return len(self.conclusions) - len(self.incidents)


def order_of_urgency(conclusion: Conclusion) -> tuple[int, int, str, str]:
    """Sort key: worst first, then most requests, then by address; the same in every listing."""
    incident = conclusion.incident
    return (
        -incident.severity.rank,
        -incident.activity.request_count,
        incident.source_ip,
        incident.id,
    )
