"""Suspect hours: the evaluated evidence of one IP and hour, replaced as a whole."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, select, union_all

from tasks.store.engine import upsert
from tasks.store.tables import slow_suspect_hours, suspect_hours

Span = tuple[int, int]
"""Hours since the epoch, half-open."""


def known_suspects(
    connection: Connection, namespace: str, hours: Span, *, is_slow: bool = False
) -> set[str]:
    """
    Source IPs with anything suspicious on record in these hours.

    Args:
        is_slow: By rules with long windows instead of those with short ones.
    """
    table = _table(is_slow)
    there = (
        select(table.c.source_ip)
        .where(table.c.namespace == namespace, table.c.hour >= hours[0], table.c.hour < hours[1])
        .distinct()
    )
    return set(connection.scalars(there))


def suspected_hours(connection: Connection, namespace: str, hours: Span) -> list[tuple[str, int]]:
    """Each source IP with each of these hours for which rules with short windows suspect it."""
    table = suspect_hours
    there = select(table.c.source_ip, table.c.hour).where(
        table.c.namespace == namespace, table.c.hour >= hours[0], table.c.hour < hours[1]
    )
    return [(row.source_ip, row.hour) for row in connection.execute(there)]


def replace_hours(
    connection: Connection,
    namespace: str,
    affected: Mapping[str, Sequence[Span]],
    found: Sequence[tuple[str, int, Any]],
    *,
    is_slow: bool = False,
) -> None:
    """
    Of the *affected* hours of each source IP exactly those in *found* remain.

    Args:
        found: (source_ip, hour, payload that becomes JSON).
        is_slow: As the rules with long windows say, and not those with short ones.
    """
    table = _table(is_slow)
    gone = [
        {"of": namespace, "by": source_ip, "start": start, "end": end}
        for source_ip, spans in sorted(affected.items())
        for start, end in spans
    ]
    if gone:
        connection.execute(delete(table).where(*_WITHIN[table.name]), gone)
    rows = [
        {"namespace": namespace, "source_ip": source_ip, "hour": hour, "payload": payload}
        for source_ip, hour, payload in found
    ]
    upsert(connection, table, rows, keep=set())


def load_hours(
    connection: Connection, namespace: str, asked: Mapping[str, Span]
) -> dict[str, list[Any]]:
    """
    The payloads of each of these IPs in its hours, of rules of both kinds, in any order.

    Those with the same hours, as many have, are asked for at once.
    """
    found: dict[str, list[Any]] = {source_ip: [] for source_ip in asked}
    together: dict[Span, list[str]] = defaultdict(list)
    for source_ip, span in asked.items():
        together[span].append(source_ip)
    for (start, end), some in together.items():
        wanted = {"of": namespace, "some": some, "start": start, "end": end}
        for source_ip, payload in connection.execute(_PAYLOADS, wanted):
            found[source_ip].append(payload)
    return found


# built once: there are many suspects, and building takes as long as asking
_WITHIN = {
    table.name: (
        table.c.namespace == bindparam("of"),
        table.c.source_ip == bindparam("by"),
        table.c.hour >= bindparam("start"),
        table.c.hour < bindparam("end"),
    )
    for table in (suspect_hours, slow_suspect_hours)
}
_PAYLOADS = union_all(
    *(
        select(table.c.source_ip, table.c.payload).where(
            table.c.namespace == bindparam("of"),
            table.c.source_ip.in_(bindparam("some", expanding=True)),
            table.c.hour >= bindparam("start"),
            table.c.hour < bindparam("end"),
        )
        for table in (suspect_hours, slow_suspect_hours)
    )
)


def _table(is_slow: bool) -> Table:
    return slow_suspect_hours if is_slow else suspect_hours
