"""Tally segments and what evaluation still owes them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update

from tasks.model.parts import PartKey
from tasks.store.engine import chunks
from tasks.store.tables import log_objects, tally_segments

LOAD_BYTES = 4 * 1024**2
"""Of parts that are loaded together."""


MAX_TOGETHER = 300
"""Parts; SQLite takes up to a thousand conditions."""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part of a segment, and which extents are wanted of it."""

    key: PartKey
    minutes: tuple[int, int]
    """The first and the last, since the epoch."""
    payload: bytes
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


def load_pending(connection: Connection, namespace: str, wanted: Pending) -> Iterator[StoredPart]:
    """The pending extents' own counts, also of those that were withdrawn."""
    sizes: dict[PartKey, int] = {}
    for chunk in chunks(list(wanted.segments)):
        mine = tally_segments.c.segment_id.in_(chunk)
        sizes |= _sizes(connection, namespace, mine)
    yield from _load(connection, namespace, sizes, wanted.segments)


def load_overlapping(
    connection: Connection,
    namespace: str,
    spans: Iterable[tuple[int, int]],
    known: Collection[PartKey] = (),
) -> Iterator[StoredPart]:
    """
    Parts with anything in these minutes, each once.

    Only extents that count now are wanted of them.

    Args:
        spans: Minutes since the epoch, half-open.
        known: Parts that come without their minutes and payloads.
    """
    sizes: dict[PartKey, int] = {}
    for start, end in spans:
        overlapping = (tally_segments.c.last_minute >= start, tally_segments.c.first_minute < end)
        sizes |= _sizes(connection, namespace, *overlapping)
    counting = _counting(connection, sorted({segment_id for segment_id, _ in sizes}))
    there = [key for key in known if key in sizes and key[0] in counting]
    yield from (StoredPart(key, (0, 0), b"", counting[key[0]]) for key in there)
    asked = {key: sizes[key] for key in sizes.keys() - set(there)}
    yield from _load(connection, namespace, asked, counting)


def load_part(connection: Connection, namespace: str, key: PartKey) -> bytes:
    """The payload of one part."""
    there = _load(connection, namespace, {key: 0}, {key[0]: {}})
    return next(part.payload for part in there)


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


def _sizes(
    connection: Connection, namespace: str, *wanted: ColumnElement[bool]
) -> dict[PartKey, int]:
    """Bytes by part."""
    size = func.length(tally_segments.c.payload)
    columns = (tally_segments.c.segment_id, tally_segments.c.part, size)
    parts = select(*columns).where(tally_segments.c.namespace == namespace, *wanted)
    return {(segment_id, part): size for segment_id, part, size in connection.execute(parts)}


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
    sizes: Mapping[PartKey, int],
    wanted: Mapping[str, Mapping[int, str]],
) -> Iterator[StoredPart]:
    """Small parts many at a time, large ones one by one: neither time nor memory is wasted."""
    mine, part = tally_segments.c.segment_id, tally_segments.c.part
    columns = (mine, part, *tally_segments.c["first_minute", "last_minute", "payload"])
    for group in _groups({key: size for key, size in sorted(sizes.items()) if key[0] in wanted}):
        # not pairs in a list, for which MariaDB would go through all there is
        numbers = {s: [n for _, n in keys] for s, keys in groupby(group, key=itemgetter(0))}
        there = or_(*(and_(mine == s, part.in_(some)) for s, some in numbers.items()))
        parts = connection.execute(
            select(*columns)
            .where(tally_segments.c.namespace == namespace, there)
            .order_by(mine, part)
        )
        for segment_id, number, first, last, payload in parts.all():
            yield StoredPart((segment_id, number), (first, last), payload, wanted[segment_id])


def _groups(sizes: Mapping[PartKey, int]) -> Iterator[list[PartKey]]:
    group: list[PartKey] = []
    total = 0
    for key, size in sizes.items():
        if group and (total + size > LOAD_BYTES or len(group) == MAX_TOGETHER):
            yield group
            group, total = [], 0
        group.append(key)
        total += size
    if group:
        yield group
