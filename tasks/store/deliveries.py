"""The outbox: an alert is on record before it is sent, and stays there until it is delivered."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Engine, Row, or_, select, update

from tasks.model.alerts import Alert, Delivery, DeliveryOutcome, DeliveryState
from tasks.model.objects import digest
from tasks.store.engine import chunks, transaction, upsert
from tasks.store.tables import deliveries

ALERT = TypeAdapter(Alert)
UNDELIVERED = (DeliveryState.PENDING, DeliveryState.FAILED)
FIRST_WAIT = timedelta(hours=1)
"""After two attempts that people may have seen; doubled for each further one."""
LONGEST_WAIT = timedelta(hours=24)
INTERRUPTED = DeliveryOutcome(
    DeliveryState.FAILED,
    error="The run ended before it was on record whether this was sent.",
    is_ambiguous=True,
)


class Outbox:
    """The deliveries of one namespace on one channel."""

    def __init__(self, engine: Engine, namespace: str, channel: str) -> None:
        """Rows of other namespaces and channels are never seen."""
        self._engine = engine
        self._namespace = namespace
        self._channel = channel

    def add(
        self, alerts: Sequence[Alert], *, state: DeliveryState, run_id: str, now: datetime
    ) -> None:
        """Each alert is on record once; one that was added before stays as it is."""
        rows = [
            {
                "id": digest(alert.conclusion.incident.id, self._channel, alert.kind),
                "namespace": self._namespace,
                "incident_id": alert.conclusion.incident.id,
                "channel": self._channel,
                "kind": alert.kind,
                "state": state.value,
                "attempts": 0,
                "alert": ALERT.dump_python(alert, mode="json"),
                "run_id": run_id,
                "created_at": now,
                "updated_at": now,
            }
            for alert in alerts
        ]
        with transaction(self._engine) as connection:
            upsert(connection, deliveries, rows, keep=set(deliveries.c.keys()))

    def begin_attempt(self, now: datetime) -> list[Delivery]:
        """
        All alerts that are due and that nobody is known to have received, oldest first.

        The attempt is on record before anything is sent. One whose outcome is not on record was
        cut short: people may have seen it.
        """
        oldest_first = (deliveries.c.created_at, deliveries.c.id)
        due = or_(deliveries.c.not_before.is_(None), deliveries.c.not_before <= now)
        with transaction(self._engine) as connection:
            self._settle_interrupted(connection, now)
            rows = connection.execute(
                select(deliveries)
                .where(*self._undelivered(), due)
                .order_by(*oldest_first)
                .with_for_update()
            ).all()
            attempted = {
                "attempts": deliveries.c.attempts + 1,
                "state": DeliveryState.PENDING.value,
                "updated_at": now,
            }
            for chunk in chunks([row.id for row in rows]):
                these = deliveries.c.id.in_(chunk)
                connection.execute(update(deliveries).where(these).values(attempted))
        return [_delivery(row) for row in rows]

    def held_back(self, now: datetime) -> list[datetime]:
        """When those are due whose last attempts people may have seen, soonest first."""
        later = deliveries.c.not_before > now
        with transaction(self._engine) as connection:
            due = connection.scalars(
                select(deliveries.c.not_before).where(*self._undelivered(), later)
            )
            return sorted(due)

    def record(self, delivery_ids: Sequence[str], outcome: DeliveryOutcome, now: datetime) -> None:
        """
        The outcome is on record; a message that was sent stays sent.

        An attempt that may have reached people is repeated by the next run, once; then it is held
        back for longer and longer: a channel that takes messages and confirms none is not flooded.
        """
        with transaction(self._engine) as connection:
            _record(connection, delivery_ids, outcome, now)

    def _settle_interrupted(self, connection: Connection, now: datetime) -> None:
        interrupted = select(deliveries.c.id).where(
            *self._undelivered(),
            deliveries.c.state == DeliveryState.PENDING.value,
            deliveries.c.attempts > 0,
        )
        _record(connection, connection.scalars(interrupted).all(), INTERRUPTED, now)

    def _undelivered(self) -> tuple[ColumnElement[bool], ...]:
        return (
            deliveries.c.namespace == self._namespace,
            deliveries.c.channel == self._channel,
            deliveries.c.state.in_([state.value for state in UNDELIVERED]),
        )


def _record(
    connection: Connection, delivery_ids: Sequence[str], outcome: DeliveryOutcome, now: datetime
) -> None:
    for chunk in chunks(delivery_ids):
        rows = connection.execute(
            select(deliveries.c.id, deliveries.c.unconfirmed)
            .where(deliveries.c.id.in_(chunk), deliveries.c.state != DeliveryState.SENT)
            .with_for_update()
        ).all()
        by_count = groupby(sorted(rows, key=_count), key=_count)
        for count, same in by_count:
            these = deliveries.c.id.in_([row.id for row in same])
            values = _columns(outcome, count, now)
            connection.execute(update(deliveries).where(these).values(values))


def _delivery(row: Row[Any]) -> Delivery:
    state, is_repeat = DeliveryState(row.state), row.unconfirmed > 0
    return Delivery(row.id, ALERT.validate_python(row.alert), state, row.attempts, is_repeat)


def _count(row: Row[Any]) -> int:
    return int(row.unconfirmed)


def _columns(outcome: DeliveryOutcome, unconfirmed: int, now: datetime) -> dict[str, Any]:
    unconfirmed += outcome.is_ambiguous
    is_held_back = outcome.is_ambiguous and unconfirmed > 1
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(unconfirmed - 2, 8)) if is_held_back else None
    return {
        "state": outcome.state.value,
        "message_id": outcome.message_id,
        "error": outcome.error,
        "sent_at": now if outcome.state is DeliveryState.SENT else None,
        "unconfirmed": unconfirmed,
        "not_before": now + wait if wait is not None else None,
        "updated_at": now,
    }
