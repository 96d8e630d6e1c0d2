"""Suspect hours: the evaluated evidence of one IP and hour, replaced as a whole."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, select

from tasks.store.engine import upsert
from tasks.store.tables import suspect_hours

Span = tuple[int, int]
"""Hours since the epoch, half-open."""


def known_suspects(connection: Connection, namespace: str, hours: Span) -> set[str]:
    """Source IPs with anything suspicious on record in these hours."""
    there = (
        select(suspect_hours.c.source_ip)
        .where(
            suspect_hours.c.namespace == namespace,
            suspect_hours.c.hour >= hours[0],
            suspect_hours.c.hour < hours[1],
        )
        .distinct()
    )
    return set(connection.scalars(there))


def replace_hours(
    connection: Connection,
    namespace: str,
    affected: Mapping[str, Sequence[Span]],
    found: Sequence[tuple[str, int, Any]],
) -> None:
    """
    Of the *affected* hours of each source IP exactly those in *found* remain.

    Args:
        found: (source_ip, hour, payload as JSON).
    """
    for source_ip, spans in sorted(affected.items()):
        for span in spans:
            connection.execute(delete(suspect_hours).where(*_within(namespace, source_ip, span)))
    rows = [
        {"namespace": namespace, "source_ip": source_ip, "hour": hour, "payload": payload}
        for source_ip, hour, payload in found
    ]
    upsert(connection, suspect_hours, rows, keep=set())


def load_hours(connection: Connection, namespace: str, source_ip: str, hours: Span) -> list[Any]:
    """The payloads of one IP in these hours, earliest first."""
    mine = (
        select(suspect_hours.c.payload)
        .where(*_within(namespace, source_ip, hours))
        .order_by(suspect_hours.c.hour)
    )
    return list(connection.scalars(mine))


def _within(namespace: str, source_ip: str, hours: Span) -> tuple[Any, ...]:
    return (
        suspect_hours.c.namespace == namespace,
        suspect_hours.c.source_ip == source_ip,
        suspect_hours.c.hour >= hours[0],
        suspect_hours.c.hour < hours[1],
    )
