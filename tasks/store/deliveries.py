"""The outbox: an alert is on record before it is sent, and stays there until it is delivered."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, Connection, Engine, Row, or_, select, update

from tasks.model.alerts import Alert, Delivery, DeliveryOutcome, DeliveryState, Due, Told
from tasks.model.incidents import Status
from tasks.model.objects import digest
from tasks.store.engine import chunks, transaction, upsert
from tasks.store.tables import deliveries, incidents

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
_OLDEST_FIRST = (deliveries.c.created_at, deliveries.c.id)
SUPERSEDED = "A later alert of the same incident says more."
CLEARED = "The analyst cleared the incident before people could be told of it."


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
        """
        Each alert is on record once; one that was added before stays as it is.

        One that was withdrawn is as new: what made it pointless has passed.
        """
        rows = {
            id_: {
                "id": id_,
                "namespace": self._namespace,
                "incident_id": alert.conclusion.incident.id,
                "channel": self._channel,
                "kind": alert.kind,
                "state": state.value,
                "attempts": 0,
                "error": None,
                "alert": ALERT.dump_python(alert, mode="json"),
                "run_id": run_id,
                "created_at": now,
                "updated_at": now,
            }
            for alert in alerts
            for id_ in [digest(alert.conclusion.incident.id, self._channel, alert.kind)]
        }
        with transaction(self._engine) as connection:
            withdrawn = _find_withdrawn(connection, list(rows))
            again = [row for id_, row in rows.items() if id_ in withdrawn]
            upsert(connection, deliveries, again, keep=set())
            upsert(connection, deliveries, list(rows.values()), keep=set(deliveries.c.keys()))

    def withdraw(
        self, told: Collection[str], untold: Collection[str], now: datetime
    ) -> Mapping[str, int]:
        """
        What nobody needs to be told any more is skipped, with the reason.

        Args:
            told: Incidents that this run has put an alert on record of.
            untold: Incidents that this run has judged without one.
            now: Of the run.

        Returns:
            How many, by reason.
        """
        with transaction(self._engine) as connection:
            rows = self._lock_undelivered(connection)
            closed = _why_untold(connection, sorted({row.incident_id for row in rows} - set(told)))
            why = dict.fromkeys(untold, CLEARED) | closed
            newest = {row.incident_id: row.id for row in rows}
            pointless = {
                row.id: why.get(row.incident_id, SUPERSEDED)
                for row in rows
                if row.incident_id in why or row.id != newest[row.incident_id]
            }
            for id_, reason in pointless.items():
                values = {"state": DeliveryState.SKIPPED.value, "error": reason, "updated_at": now}
                connection.execute(update(deliveries).where(deliveries.c.id == id_).values(values))
        return Counter(pointless.values())

    def begin_attempt(self, now: datetime) -> Due:
        """
        All alerts that are due and that nobody is known to have received, oldest first.

        The attempt is on record before anything is sent. One whose outcome is not on record was
        cut short: people may have seen it.

        Args:
            now: When the run began. An attempt that is on record as begun then is this one, and
                the connection broke before the database could say so: nothing was sent.
        """
        due = or_(deliveries.c.not_before.is_(None), deliveries.c.not_before <= now)
        found, unreadable = [], []
        with transaction(self._engine) as connection:
            self._settle_interrupted(connection, now)
            rows = connection.execute(
                select(deliveries)
                .where(*self._undelivered(), due)
                .order_by(*_OLDEST_FIRST)
                .with_for_update()
            ).all()
            told = dict(self._told(connection, sorted({row.incident_id for row in rows})))
            for row in rows:
                try:
                    found.append(_delivery(row, told.get(row.incident_id)))
                except ValidationError:
                    unreadable.append(_name_unreadable(row))
            attempted = {
                "attempts": deliveries.c.attempts + 1,
                "state": DeliveryState.PENDING.value,
                "updated_at": now,
            }
            begun = {row.id for row in rows if _is_begun(row)}
            for chunk in chunks([d.id for d in found if d.id not in begun]):
                these = deliveries.c.id.in_(chunk)
                connection.execute(update(deliveries).where(these).values(attempted))
        return Due(tuple(found), unreadable=tuple(unreadable))

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

    def _lock_undelivered(self, connection: Connection) -> Sequence[Row[Any]]:
        columns = (deliveries.c.id, deliveries.c.incident_id)
        mine = select(*columns).where(*self._undelivered()).order_by(*_OLDEST_FIRST)
        return connection.execute(mine.with_for_update()).all()

    def _told(
        self, connection: Connection, incident_ids: Sequence[str]
    ) -> Iterator[tuple[str, Told]]:
        """By incident, the later the later: what people were told of it."""
        for chunk in chunks(incident_ids):
            sent = (
                select(deliveries)
                .where(
                    deliveries.c.namespace == self._namespace,
                    deliveries.c.channel == self._channel,
                    deliveries.c.incident_id.in_(chunk),
                    deliveries.c.state == DeliveryState.SENT.value,
                    deliveries.c.message_id.is_not(None),
                )
                .order_by(deliveries.c.sent_at, deliveries.c.id)
            )
            for row in connection.execute(sent):
                try:
                    alert = ALERT.validate_python(row.alert)
                except ValidationError:
                    continue  # then the incident is told in full, as if for the first time
                yield row.incident_id, Told(row.message_id, row.chat_id, alert.conclusion)

    def _settle_interrupted(self, connection: Connection, now: datetime) -> None:
        interrupted = select(deliveries.c.id).where(
            *self._undelivered(),
            deliveries.c.state == DeliveryState.PENDING.value,
            deliveries.c.attempts > 0,
            deliveries.c.updated_at != now,
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


def _delivery(row: Row[Any], follows: Told | None) -> Delivery:
    return Delivery(
        id=row.id,
        alert=ALERT.validate_python(row.alert),
        state=DeliveryState(row.state),
        attempts=row.attempts - _is_begun(row),
        is_repeat=row.unconfirmed > 0,
        since=row.created_at,
        follows=follows,
    )


def _is_begun(row: Row[Any]) -> bool:
    """Whether an attempt is on record; those that were cut short have failed by now."""
    return bool(row.state == DeliveryState.PENDING.value and row.attempts)


def _name_unreadable(row: Row[Any]) -> str:
    return (
        f"The alert {row.id} of incident {row.incident_id[:12]} is on record in a form that this"
        " version cannot read: go back to the version that wrote it, or delete this row of table"
        " deliveries."
    )


def _find_withdrawn(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Of these, those that were skipped for a reason, and not because the channel was off."""
    found: set[str] = set()
    for chunk in chunks(ids):
        found |= set(
            connection.scalars(
                select(deliveries.c.id).where(
                    deliveries.c.id.in_(chunk),
                    deliveries.c.state == DeliveryState.SKIPPED.value,
                    deliveries.c.error.is_not(None),
                )
            )
        )
    return found


def _why_untold(connection: Connection, incident_ids: Sequence[str]) -> dict[str, str]:
    """Why nobody needs to be told of these incidents any more; the others are absent."""
    why: dict[str, str] = {}
    columns = (incidents.c.id, incidents.c.status, incidents.c.closed_reason)
    pointless = incidents.c.status.in_([Status.CLOSED.value, Status.BENIGN.value])
    for chunk in chunks(incident_ids):
        for row in connection.execute(select(*columns).where(incidents.c.id.in_(chunk), pointless)):
            is_closed = row.status == Status.CLOSED.value
            why[row.id] = f"The incident was closed: {row.closed_reason}." if is_closed else CLEARED
    return why


def _count(row: Row[Any]) -> int:
    return int(row.unconfirmed)


def _columns(outcome: DeliveryOutcome, unconfirmed: int, now: datetime) -> dict[str, Any]:
    unconfirmed += outcome.is_ambiguous
    is_held_back = outcome.is_ambiguous and unconfirmed > 1
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(unconfirmed - 2, 8)) if is_held_back else None
    return {
        "state": outcome.state.value,
        "message_id": outcome.message_id,
        "chat_id": outcome.chat_id,
        "error": outcome.error,
        "sent_at": now if outcome.state is DeliveryState.SENT else None,
        "unconfirmed": unconfirmed,
        "not_before": now + wait if wait is not None else None,
        "updated_at": now,
    }
