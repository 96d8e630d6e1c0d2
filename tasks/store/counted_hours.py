"""Counted hours: what rules with long windows need to know of each hour, as opaque parts."""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select

from tasks.store.tables import counted_hours

Span = tuple[int, int]
"""Hours since the epoch, half-open."""


def load_counted(
    connection: Connection, namespace: str, hours: Span
) -> Iterator[tuple[int, bytes]]:
    """Each part on record of these hours with its hour, one after the other."""
    mine = counted_hours.c.namespace == namespace
    columns = (counted_hours.c.hour, counted_hours.c.part)
    there = connection.execute(
        select(*columns)
        .where(mine, counted_hours.c.hour >= hours[0], counted_hours.c.hour < hours[1])
        .order_by(*columns)
    ).all()
    for hour, part in there:
        one = (mine, counted_hours.c.hour == hour, counted_hours.c.part == part)
        yield hour, connection.execute(select(counted_hours.c.payload).where(*one)).scalar_one()


def replace_counted(
    connection: Connection, namespace: str, payloads: Mapping[int, Sequence[bytes]]
) -> None:
    """Of each of these hours exactly these parts remain."""
    for hour, parts in sorted(payloads.items()):
        mine = (counted_hours.c.namespace == namespace, counted_hours.c.hour == hour)
        connection.execute(delete(counted_hours).where(*mine))
        for number, payload in enumerate(parts):
            row = {"namespace": namespace, "hour": hour, "part": number, "payload": payload}
            connection.execute(insert(counted_hours).values(row))
