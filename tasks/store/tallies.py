"""Tally segments and what evaluation still owes them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from tasks.store.tables import log_objects, tally_segments


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment, and which of its extents are wanted."""

    segment_id: str
    payloads: tuple[bytes, ...]
    objects: Mapping[int, str]
    """Extent ordinal to object key."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Extents that were counted or withdrawn since the last evaluation."""

    segments: Mapping[str, Mapping[int, str]]
    """Segment id to extents (ordinal to object key)."""
    states: Mapping[tuple[str, str], tuple[int, ...]]
    """(Segment id, ledger state) to the extents that were found in that state."""


def pending(connection: Connection, namespace: str) -> Pending:
    """Return everything in *namespace* that was not evaluated yet."""
    rows = connection.execute(
        select(
            log_objects.c.segment_id,
            log_objects.c.extent,
            log_objects.c.state,
            log_objects.c.object_key,
        )
        .where(log_objects.c.namespace == namespace, log_objects.c.needs_evaluation)
        .order_by(log_objects.c.segment_id, log_objects.c.extent)
    ).all()
    segments: dict[str, dict[int, str]] = {}
    states: dict[tuple[str, str], tuple[int, ...]] = {}
    for row in rows:
        segments.setdefault(row.segment_id, {})[row.extent] = row.object_key
        key = (row.segment_id, row.state)
        states[key] = (*states.get(key, ()), row.extent)
    return Pending(segments, states)


def load_pending(
    connection: Connection, namespace: str, wanted: Pending
) -> Iterator[StoredSegment]:
    """The pending extents' own counts, also of those that were withdrawn."""
    for segment_id, objects in wanted.segments.items():
        yield StoredSegment(segment_id, _payloads(connection, namespace, segment_id), objects)


def load_overlapping(
    connection: Connection, namespace: str, spans: Iterable[tuple[int, int]]
) -> Iterator[StoredSegment]:
    """
    Segments with anything in these minutes, each once, one at a time.

    Only extents that count now are wanted of them.

    Args:
        spans: Minutes since the epoch, half-open.
    """
    ids: set[str] = set()
    for start, end in spans:
        overlapping = select(tally_segments.c.segment_id).where(
            tally_segments.c.namespace == namespace,
            tally_segments.c.part == 0,
            tally_segments.c.last_minute >= start,
            tally_segments.c.first_minute < end,
        )
        ids.update(connection.scalars(overlapping))
    for segment_id in sorted(ids):
        objects = _counting(connection, segment_id)
        if objects:
            payloads = _payloads(connection, namespace, segment_id)
            yield StoredSegment(segment_id, payloads, objects)


def mark_evaluated(connection: Connection, wanted: Pending) -> None:
    """The next evaluation leaves these alone, except what has changed again in the meantime."""
    for (segment_id, state), extents in wanted.states.items():
        connection.execute(
            update(log_objects)
            .where(
                log_objects.c.segment_id == segment_id,
                log_objects.c.state == state,
                log_objects.c.extent.in_(extents),
            )
            .values(needs_evaluation=False)
        )


def _counting(connection: Connection, segment_id: str) -> dict[int, str]:
    rows = connection.execute(
        select(log_objects.c.extent, log_objects.c.object_key).where(
            log_objects.c.segment_id == segment_id, log_objects.c.state == "done"
        )
    )
    return {row.extent: row.object_key for row in rows}


def _payloads(connection: Connection, namespace: str, segment_id: str) -> tuple[bytes, ...]:
    parts = (
        select(tally_segments.c.payload)
        .where(tally_segments.c.namespace == namespace, tally_segments.c.segment_id == segment_id)
        .order_by(tally_segments.c.part)
    )
    return tuple(connection.scalars(parts))
