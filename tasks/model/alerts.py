"""Alerts: an incident state change worth telling, as the outbox keeps it."""

from dataclasses import dataclass
from enum import StrEnum

from tasks.model.incidents import EvidenceKind
from tasks.model.verdicts import Conclusion


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    """The last attempt did not succeed; the next run tries again."""
    SKIPPED = "skipped"
    """The channel was off when the alert arose."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A state change of one incident, with everything that any later run needs to tell it."""

    kind: str
    """
    `confirmed-`, `needs_review-` or `changed-`, and a digest of what the evidence is now.

    The same status on other evidence is another alert: the incident was cleared in between, or
    the run that told of the lesser one died before it was on record.
    """
    conclusion: Conclusion
    before: EvidenceKind | None = None
    """For an incident that was judged before: what its evidence was then."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert on a channel."""

    id: str
    alert: Alert
    state: DeliveryState
    attempts: int
    """Before this run."""
    is_repeat: bool = False
    """An earlier attempt may have reached people: its outcome is not known."""


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What one attempt came to."""

    state: DeliveryState
    message_id: str | None = None
    error: str | None = None
    """One sentence, ours."""
    is_ambiguous: bool = False
    """People may have been told although the attempt failed."""
