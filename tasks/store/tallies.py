"""Tally segments and what evaluation still owes them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import ColumnElement, Connection, func, select, update

from tasks.store.engine import MAX_IN, chunks
from tasks.store.tables import log_objects, tally_segments

LOAD_BYTES = 4 * 1024**2
"""Compressed, of segments that are loaded together; a single one may be larger."""


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
    states: Mapping[tuple[str, str], Sequence[int]]
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
    states: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        segments.setdefault(row.segment_id, {})[row.extent] = row.object_key
        states[row.segment_id, row.state].append(row.extent)
    return Pending(segments, states)


def load_pending(
    connection: Connection, namespace: str, wanted: Pending
) -> Iterator[StoredSegment]:
    """The pending extents' own counts, also of those that were withdrawn."""
    sizes: dict[str, int] = {}
    for chunk in chunks(list(wanted.segments)):
        mine = tally_segments.c.segment_id.in_(chunk)
        sizes |= _sizes(connection, namespace, mine)
    yield from _load(connection, namespace, sizes, wanted.segments)


def load_overlapping(
    connection: Connection,
    namespace: str,
    spans: Iterable[tuple[int, int]],
    known: Collection[str] = (),
) -> Iterator[StoredSegment]:
    """
    Segments with anything in these minutes, each once.

    Only extents that count now are wanted of them.

    Args:
        spans: Minutes since the epoch, half-open.
        known: Ids of segments that come without their payloads.
    """
    sizes: dict[str, int] = {}
    for start, end in spans:
        overlapping = (tally_segments.c.last_minute >= start, tally_segments.c.first_minute < end)
        sizes |= _sizes(connection, namespace, *overlapping)
    counting = _counting(connection, list(sizes))
    there = [segment_id for segment_id in known if segment_id in counting]
    yield from (StoredSegment(segment_id, (), counting[segment_id]) for segment_id in there)
    asked = {segment_id: sizes[segment_id] for segment_id in sizes.keys() - set(there)}
    yield from _load(connection, namespace, asked, counting)


def mark_evaluated(connection: Connection, wanted: Pending) -> None:
    """The next evaluation leaves these alone, except what has changed again in the meantime."""
    for (segment_id, state), extents in sorted(wanted.states.items()):
        for chunk in chunks(extents):
            connection.execute(
                update(log_objects)
                .where(
                    log_objects.c.segment_id == segment_id,
                    log_objects.c.state == state,
                    log_objects.c.extent.in_(chunk),
                )
                .values(needs_evaluation=False)
            )


def _sizes(connection: Connection, namespace: str, *wanted: ColumnElement[bool]) -> dict[str, int]:
    """Bytes by segment id."""
    columns = (tally_segments.c.segment_id, func.length(tally_segments.c.payload))
    parts = select(*columns).where(tally_segments.c.namespace == namespace, *wanted)
    sizes: dict[str, int] = defaultdict(int)
    # not summed up in SQL: SQLite would read all payloads, and not just how long they are
    for segment_id, size in connection.execute(parts):
        sizes[segment_id] += size
    return sizes


def _counting(connection: Connection, segment_ids: Sequence[str]) -> dict[str, dict[int, str]]:
    """Extents that count now, with their object keys, by segment id."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    columns = (log_objects.c.segment_id, log_objects.c.extent, log_objects.c.object_key)
    for chunk in chunks(segment_ids):
        counting = select(*columns).where(
            log_objects.c.segment_id.in_(chunk), log_objects.c.state == "done"
        )
        for segment_id, extent, object_key in connection.execute(counting):
            found[segment_id][extent] = object_key
    return found


def _load(
    connection: Connection,
    namespace: str,
    sizes: Mapping[str, int],
    wanted: Mapping[str, Mapping[int, str]],
) -> Iterator[StoredSegment]:
    """Small segments many at a time, large ones one by one: neither time nor memory is wasted."""
    for group in _groups({s: size for s, size in sorted(sizes.items()) if s in wanted}):
        parts = connection.execute(
            select(tally_segments.c.segment_id, tally_segments.c.payload)
            .where(tally_segments.c.namespace == namespace, tally_segments.c.segment_id.in_(group))
            .order_by(tally_segments.c.segment_id, tally_segments.c.part)
        )
        for segment_id, rows in groupby(parts.all(), key=lambda row: row.segment_id):
            payloads = tuple(row.payload for row in rows)
            yield StoredSegment(segment_id, payloads, wanted[segment_id])


def _groups(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    group: list[str] = []
    total = 0
    for segment_id, size in sizes.items():
        if group and (total + size > LOAD_BYTES or len(group) == MAX_IN):
            yield group
            group, total = [], 0
        group.append(segment_id)
        total += size
    if group:
        yield group
