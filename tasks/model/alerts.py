"""Alerts: an incident state change worth telling, as the outbox keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tasks.model.verdicts import Conclusion


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    """The last attempt did not succeed; the next run tries again."""
    SKIPPED = "skipped"
    """Never sent: the channel was off when it arose, or it has become pointless since."""


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


@dataclass(frozen=True, slots=True)
class Told:
    """What people were told of an incident last, and where that stands."""

    message_id: str
    chat_id: str | None
    """None: it is not on record in which chat."""
    conclusion: Conclusion


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
    since: datetime | None = None
    """UTC. When it was put on record."""
    follows: Told | None = None
    """What the same incident was told as before; None: this is the first of it."""


@dataclass(frozen=True, slots=True)
class Due:
    """What an outbox has for a run."""

    deliveries: tuple[Delivery, ...] = ()
    withdrawn: Mapping[str, int] = field(default_factory=dict)
    """How many are not sent any more, by the sentence that says why."""
    unreadable: tuple[str, ...] = ()
    """One sentence on each row that cannot be read; it stays as it is."""


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What one attempt came to."""

    state: DeliveryState
    message_id: str | None = None
    chat_id: str | None = None
    """Where the message stands."""
    error: str | None = None
    """One sentence, ours."""
    is_ambiguous: bool = False
    """People may have been told although the attempt failed."""
