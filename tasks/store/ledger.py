"""The ledger: which version of which log object is counted, in one transaction with its tally."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Row,
    Select,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from tasks.model.objects import (
    Extent,
    FileStream,
    KnownObject,
    LogObject,
    ObjectResult,
    SkippedObject,
    digest,
)
from tasks.model.parts import Part
from tasks.store.engine import chunks, transaction, upsert
from tasks.store.runs import add_done
from tasks.store.tables import file_sources, file_streams, log_objects, tally_segments

MAX_ATTEMPTS = 5
"""Runs that may fail on one object version before it is set aside."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The tally of a batch as it is stored."""

    parts: Iterable[Part]
    """Each well below MySQL's largest packet (16 MB); to be gone through again and again."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What a batch came to in the ledger."""

    done: int
    taken: tuple[LogObject, ...]
    """Objects that another run committed first; nothing of theirs was committed now."""
    skipped: tuple[SkippedObject, ...]
    quarantined: tuple[SkippedObject, ...]


class Ledger:
    """The ledger of one namespace."""

    def __init__(self, engine: Engine, namespace: str) -> None:
        """Rows of other namespaces are never seen."""
        self._engine = engine
        self._namespace = namespace

    # what the sources ask

    def known_objects(
        self, source: str, keys_and_versions: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], KnownObject]:
        """Return what is on record of these versions; unknown ones are absent."""
        ids = {self._id(source, *pair): pair for pair in keys_and_versions}
        columns = (
            log_objects.c.id,
            log_objects.c.state,
            log_objects.c.attempts,
            log_objects.c.size,
        )
        known: dict[tuple[str, str], KnownObject] = {}
        with transaction(self._engine) as connection:
            for chunk in chunks(list(ids)):
                rows = connection.execute(select(*columns).where(log_objects.c.id.in_(chunk)))
                known |= {ids[i]: KnownObject(state, tried, size) for i, state, tried, size in rows}
        return known

    def file_streams(self, source: str) -> Sequence[FileStream]:
        """Return all streams that were ever read from a directory."""
        mine = (file_streams.c.namespace == self._namespace) & (
            file_streams.c.source_sha256 == digest(source)
        )
        with transaction(self._engine) as connection:
            return [_stream(row) for row in connection.execute(select(file_streams).where(mine))]

    def file_sources(self) -> Sequence[str]:
        """Return all directories that anything was ever read from."""
        mine = select(file_sources.c.source).where(file_sources.c.namespace == self._namespace)
        with transaction(self._engine) as connection:
            return connection.scalars(mine.order_by(file_sources.c.source)).all()

    def record_seen(self, streams: Sequence[FileStream]) -> None:
        """Streams without news are found at their new place by the next listing."""
        with transaction(self._engine) as connection:
            for stream in streams:
                unmoved = file_streams.c.offset == stream.offset
                connection.execute(
                    update(file_streams)
                    .where(file_streams.c.id == self._stream_row_id(stream), unmoved)
                    .values(
                        object_key=stream.object_key,
                        inode=stream.inode,
                        size_bytes=stream.size_bytes,
                        modified_ns=stream.modified_ns,
                    )
                )

    # what a batch commits

    def commit(
        self,
        results: Sequence[ObjectResult],
        segment_without: Callable[[Collection[LogObject]], Segment | None],
        *,
        run_id: str,
        now: datetime,
    ) -> Commit:
        """
        Ledger rows, stream positions and the tally are committed together, or nothing is.

        Args:
            results: The extents' order over all results is the extent ordinal in the segment.
            segment_without: Gives the tally without the extents of these objects, which another
                run was faster with; the others keep their ordinals. None when nothing is left.
        """
        with transaction(self._engine) as connection:
            self._claim(connection, results, run_id, now)
            taken = self._find_taken(connection, results)
            mine = [r for r in results if r.log_object not in taken]
            segment = segment_without(taken)
            rows = self._extent_rows(results, taken, segment is not None, run_id, now)
            failed = [self._failure_row(r, run_id, now) for r in mine if r.error is not None]
            upsert(connection, log_objects, rows, keep=set())
            upsert(connection, log_objects, failed, keep={"recorded_at"})
            since = _recorded_at(connection, [row["id"] for row in failed])
            self._supersede(connection, mine, {row["id"] for row in rows})
            self._forget_failures(connection, mine)
            self._advance(connection, mine)
            if segment is not None:
                self._store_segment(connection, segment, [row["id"] for row in rows], now)
            done = len(mine) - len(failed)
            add_done(connection, run_id, done, (e for r in mine for e in r.extents))
        lost = [
            (
                row["state"],
                SkippedObject(
                    row["object_key"], row["version"], row["reason"], since=since[row["id"]]
                ),
            )
            for row in failed
        ]
        return Commit(
            done=done,
            taken=tuple(taken),
            skipped=tuple(o for state, o in lost if state == "skipped"),
            quarantined=tuple(o for state, o in lost if state == "quarantined"),
        )

    def _id(self, source: str, object_key: str, version: str) -> str:
        return digest(self._namespace, source, object_key, version)

    def _object_id(self, log_object: LogObject) -> str:
        return self._id(log_object.source, log_object.object_key, log_object.version)

    def _key_digest(self, log_object: LogObject) -> str:
        return digest(self._namespace, log_object.source, log_object.object_key)

    def _stream_row_id(self, stream: FileStream) -> str:
        return digest(self._namespace, stream.stream_id)

    def _claim(
        self, connection: Connection, results: Sequence[ObjectResult], run_id: str, now: datetime
    ) -> None:
        """
        Nobody else commits any of these until this transaction ends.

        A row that is not there cannot be locked, so it is there from now on.
        """
        objects = [self._claim_row(r, run_id, now) for r in results if r.log_object.stream is None]
        upsert(connection, log_objects, objects, keep=set(log_objects.c.keys()))
        streams = [
            self._stream_row(r.log_object.source, r.log_object.stream)
            for r in results
            if r.error is None
            and r.log_object.stream is not None
            and not r.log_object.stream.offset
        ]
        upsert(connection, file_streams, streams, keep=set(file_streams.c.keys()))

    def _find_taken(
        self, connection: Connection, results: Sequence[ObjectResult]
    ) -> frozenset[LogObject]:
        """Return objects that another run committed since they were planned, also failed ones."""
        ids = [self._object_id(r.log_object) for r in results if r.log_object.stream is None]
        states = select(log_objects.c.id, log_objects.c.state)
        done = {
            row.id
            for row in _locked(connection, states, log_objects.c.id, ids)
            if row.state == "done"
        }
        planned = [s for r in results if (s := r.log_object.stream) is not None]
        places = select(file_streams.c.id, file_streams.c.offset, file_streams.c.unfinished_id)
        stored = {
            row.id: (row.offset, row.unfinished_id)
            for row in _locked(
                connection, places, file_streams.c.id, [self._stream_row_id(s) for s in planned]
            )
        }

        def is_taken(log_object: LogObject) -> bool:
            stream = log_object.stream
            if stream is None:
                return self._object_id(log_object) in done
            place = stored.get(self._stream_row_id(stream), (0, None))
            return place != (stream.offset, stream.unfinished_id)

        return frozenset(r.log_object for r in results if is_taken(r.log_object))

    def _extent_rows(
        self,
        results: Sequence[ObjectResult],
        without: Collection[LogObject],
        has_segment: bool,
        run_id: str,
        now: datetime,
    ) -> list[dict[str, Any]]:
        read = [(r.log_object, e) for r in results for e in r.extents]
        numbered = [
            (
                ordinal,
                log_object,
                extent,
                self._id(log_object.source, extent.object_key, extent.version),
            )
            for ordinal, (log_object, extent) in enumerate(read)
            if log_object not in without
        ]
        segment_id = digest(*(row_id for *_, row_id in numbered)) if has_segment else None
        return [
            {
                **self._object_columns(log_object, row_id, run_id, now),
                **_extent_columns(extent),
                "state": "done",
                "reason": None,
                "attempts": log_object.attempts + 1,
                "segment_id": segment_id,
                "extent": ordinal,
                "superseded_by": None,
                "needs_evaluation": has_segment,
            }
            for ordinal, log_object, extent, row_id in numbered
        ]

    def _claim_row(self, result: ObjectResult, run_id: str, now: datetime) -> dict[str, Any]:
        """Never seen by others: the same transaction makes another row of it."""
        return {**self._failure_row(result, run_id, now), "state": "claimed"}

    def _failure_row(self, result: ObjectResult, run_id: str, now: datetime) -> dict[str, Any]:
        log_object = result.log_object
        row_id = self._object_id(log_object)
        attempts = log_object.attempts + 1
        return {
            **self._object_columns(log_object, row_id, run_id, now),
            "object_key": log_object.object_key,
            "version": log_object.version,
            "size": log_object.size_bytes,
            "state": "quarantined" if result.is_final or attempts >= MAX_ATTEMPTS else "skipped",
            "reason": result.error,
            "attempts": attempts,
        }

    def _object_columns(
        self, log_object: LogObject, row_id: str, run_id: str, now: datetime
    ) -> dict[str, Any]:
        return {
            "id": row_id,
            "namespace": self._namespace,
            "source": log_object.source,
            "key_sha256": self._key_digest(log_object),
            "run_id": run_id,
            "recorded_at": now,
        }

    def _supersede(
        self, connection: Connection, results: Sequence[ObjectResult], new_ids: Collection[str]
    ) -> None:
        """What was counted of an earlier version of the same content is withdrawn."""
        replaced = {**self._earlier_versions(connection, results), **self._unfinished(results)}
        changes = [
            {"old": old, "new": new} for old, new in sorted(replaced.items()) if old not in new_ids
        ]
        if changes:
            connection.execute(
                update(log_objects)
                .where(log_objects.c.id == bindparam("old"), log_objects.c.state == "done")
                .values(
                    state="skipped",
                    reason="replaced by a later version",
                    superseded_by=bindparam("new"),
                    needs_evaluation=log_objects.c.segment_id.is_not(None),
                ),
                changes,
            )

    def _earlier_versions(
        self, connection: Connection, results: Sequence[ObjectResult]
    ) -> dict[str, str]:
        """Ledger ids of other versions of the same keys, and what comes in their place."""
        read = [r.log_object for r in results if r.extents and r.log_object.stream is None]
        new = {self._key_digest(log_object): self._object_id(log_object) for log_object in read}
        versions = select(log_objects.c.id, log_objects.c.key_sha256, log_objects.c.state)
        rows = _locked(connection, versions, log_objects.c.key_sha256, list(new))
        return {row.id: new[row.key_sha256] for row in rows if row.state == "done"}

    def _unfinished(self, results: Sequence[ObjectResult]) -> dict[str, str]:
        """Ledger ids of unfinished lines, and of the extents that now begin with those."""
        return {
            stream.unfinished_id: self._id(
                r.log_object.source, r.extents[0].object_key, r.extents[0].version
            )
            for r in results
            if (stream := r.log_object.stream) is not None and stream.unfinished_id and r.extents
        }

    def _forget_failures(self, connection: Connection, results: Sequence[ObjectResult]) -> None:
        """A file's rows are its extents; that reading it failed before is no row of its own."""
        ids = [
            self._object_id(r.log_object)
            for r in results
            if r.error is None and r.log_object.stream is not None
        ]
        for chunk in chunks(ids):
            failed = select(log_objects.c.id).where(
                log_objects.c.id.in_(chunk), log_objects.c.state != "done"
            )
            for row_id in connection.scalars(failed).all():
                connection.execute(delete(log_objects).where(log_objects.c.id == row_id))

    def _advance(self, connection: Connection, results: Sequence[ObjectResult]) -> None:
        rows = []
        for result in results:
            if result.stream is None:
                continue
            source = result.log_object.source
            unfinished = [e for e in result.extents if e.is_unfinished]
            last = (
                self._id(source, unfinished[0].object_key, unfinished[0].version)
                if unfinished
                else None
            )
            rows.append(self._stream_row(source, replace(result.stream, unfinished_id=last)))
        upsert(connection, file_streams, rows, keep=set())
        sources = sorted({r.log_object.source for r in results if r.stream is not None})
        places = [
            {"namespace": self._namespace, "source_sha256": digest(source), "source": source}
            for source in sources
        ]
        upsert(connection, file_sources, places, keep=set(file_sources.c.keys()))

    def _stream_row(self, source: str, stream: FileStream) -> dict[str, Any]:
        return {
            "id": self._stream_row_id(stream),
            "namespace": self._namespace,
            "source_sha256": digest(source),
            **{c: getattr(stream, c) for c in STREAM_COLUMNS},
        }

    def _store_segment(
        self, connection: Connection, segment: Segment, ids: Sequence[str], now: datetime
    ) -> None:
        common = {
            "namespace": self._namespace,
            "segment_id": digest(*ids),
            "recorded_at": now,
        }
        mine = (tally_segments.c.namespace, tally_segments.c.segment_id)
        connection.execute(delete(tally_segments).where(*(c == common[c.name] for c in mine)))
        for number, part in enumerate(segment.parts):
            row = {
                **common,
                "part": number,
                "first_minute": part.first_minute,
                "last_minute": part.last_minute,
                "payload": part.payload,
            }
            connection.execute(insert(tally_segments), row)


STREAM_COLUMNS = tuple(FileStream.__dataclass_fields__)


def _stream(row: Any) -> FileStream:  # noqa: ANN401 -- an SQLAlchemy row
    values = {c: getattr(row, c) for c in STREAM_COLUMNS}
    return FileStream(**{**values, "inode": int(values["inode"])})


def _recorded_at(connection: Connection, ids: Sequence[str]) -> dict[str, datetime]:
    """Of objects that cannot be read: when the first run found that out."""
    found: dict[str, datetime] = {}
    for chunk in chunks(ids):
        rows = select(log_objects.c.id, log_objects.c.recorded_at).where(
            log_objects.c.id.in_(chunk)
        )
        found |= {row.id: row.recorded_at for row in connection.execute(rows)}
    return found


def _extent_columns(extent: Extent) -> dict[str, Any]:
    return {
        "object_key": extent.object_key,
        "version": extent.version,
        "size": extent.size_bytes,
        "lines": extent.lines,
        "lines_unparsed": extent.lines_unparsed,
        "unparsed": [
            {"line_number": s.line_number, "reason": s.reason, "line": s.line}
            for s in extent.unparsed
        ],
        "first_event_at": extent.first_event_at,
        "last_event_at": extent.last_event_at,
    }


def _locked(
    connection: Connection, query: Select[Any], column: Column[Any], values: Sequence[str]
) -> Iterator[Row[Any]]:
    """
    Rows by an indexed column, kept from others until the transaction ends.

    In a small table MySQL would rather read, and so lock, all rows: concurrent commits would
    wait for each other in a circle.
    """
    index = "PRIMARY" if column.primary_key else f"ix_{column.table.name}_{column.name}"
    for dialect in ("mysql", "mariadb"):
        query = query.with_hint(column.table, f"FORCE INDEX ({index})", dialect)
    for chunk in chunks(values):
        yield from connection.execute(query.where(column.in_(chunk)).with_for_update())
