"""The outbox: an alert is on record before it is sent, and stays there until it is delivered."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import Engine, select, update

from tasks.model.alerts import Alert, Delivery, DeliveryOutcome, DeliveryState
from tasks.model.objects import digest
from tasks.store.engine import chunks, transaction, upsert
from tasks.store.tables import deliveries

ALERT = TypeAdapter(Alert)
UNDELIVERED = (DeliveryState.PENDING, DeliveryState.FAILED)


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
        All alerts that nobody has received yet, also of earlier runs, oldest first.

        The attempt is on record before anything is sent.
        """
        mine = (
            deliveries.c.namespace == self._namespace,
            deliveries.c.channel == self._channel,
            deliveries.c.state.in_([state.value for state in UNDELIVERED]),
        )
        oldest_first = (deliveries.c.created_at, deliveries.c.id)
        with transaction(self._engine) as connection:
            rows = connection.execute(
                select(deliveries).where(*mine).order_by(*oldest_first).with_for_update()
            ).all()
            attempted = {"attempts": deliveries.c.attempts + 1, "updated_at": now}
            for chunk in chunks([row.id for row in rows]):
                these = deliveries.c.id.in_(chunk)
                connection.execute(update(deliveries).where(these).values(attempted))
        return [
            Delivery(
                row.id, ALERT.validate_python(row.alert), DeliveryState(row.state), row.attempts
            )
            for row in rows
        ]

    def record(self, delivery_ids: Sequence[str], outcome: DeliveryOutcome, now: datetime) -> None:
        """The outcome is on record; a message that was sent stays sent."""
        sent_at = now if outcome.state is DeliveryState.SENT else None
        with transaction(self._engine) as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id.in_(delivery_ids), deliveries.c.state != DeliveryState.SENT)
                .values(
                    state=outcome.state.value,
                    message_id=outcome.message_id,
                    error=outcome.error,
                    sent_at=sent_at,
                    updated_at=now,
                )
            )
