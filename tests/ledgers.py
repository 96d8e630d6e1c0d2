"""A ledger in memory, with the promises of the one in the database."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC

from tasks.collect.reader import read_extents
from tasks.collect.source import Source
from tasks.model.events import Event
from tasks.model.objects import (
    Extent,
    FileStream,
    KnownObject,
    LogObject,
    ObjectResult,
    Plan,
)


@dataclass
class CountedExtent:
    """An extent and the events that were counted for it."""

    extent: Extent
    events: list[tuple[Event, int, bytes]]


@dataclass
class MemoryLedger:
    """Commits what was read, once, and withdraws what a continuation replaces."""

    streams: dict[str, FileStream] = field(default_factory=dict)
    counted: dict[tuple[str, str], CountedExtent] = field(default_factory=dict)
    failed: dict[tuple[str, str], KnownObject] = field(default_factory=dict)
    look_ups: list[int] = field(default_factory=list)

    def known_objects(self, source, keys_and_versions):
        self.look_ups.append(len(keys_and_versions))
        known = {pair: KnownObject("done", 1) for pair in keys_and_versions if pair in self.counted}
        return known | {p: self.failed[p] for p in keys_and_versions if p in self.failed}

    def file_streams(self, source: str) -> Sequence[FileStream]:
        return list(self.streams.values())

    def file_sources(self) -> Sequence[str]:
        return []

    def record_seen(self, streams: Sequence[FileStream]) -> None:
        for stream in streams:
            if self.streams[stream.stream_id].offset == stream.offset:
                self.streams[stream.stream_id] = stream

    def commit(self, result: ObjectResult, counted: Sequence[CountedExtent]) -> bool:
        """False when another run was faster, or the object could not be read."""
        log_object = result.log_object
        if result.error is not None:
            pair = (log_object.object_key, log_object.version)
            self.failed[pair] = KnownObject("skipped", log_object.attempts + 1)
            return False
        planned = log_object.stream
        if planned is None:
            self._add(counted)
            return True
        stored = self.streams.get(planned.stream_id)
        place = (stored.offset, stored.unfinished_id) if stored else (0, None)
        if place != (planned.offset, planned.unfinished_id):
            return False
        if result.extents and planned.unfinished_id is not None:
            key, _, version = planned.unfinished_id.partition("\n")
            del self.counted[key, version]
        self._add(counted)
        assert result.stream is not None
        last = [f"{e.object_key}\n{e.version}" for e in result.extents if e.is_unfinished]
        unfinished_id = last[0] if last else None
        self.streams[planned.stream_id] = replace(result.stream, unfinished_id=unfinished_id)
        return True

    def _add(self, counted: Sequence[CountedExtent]) -> None:
        for one in counted:
            assert (one.extent.object_key, one.extent.version) not in self.counted
            self.counted[one.extent.object_key, one.extent.version] = one

    @property
    def lines(self) -> list[bytes]:
        """All lines with events that are counted now."""
        return [line for one in self.counted.values() for _, _, line in one.events]


def read(source: Source, log_object: LogObject, **options) -> tuple[ObjectResult, list]:
    """Read one object; the events of each extent come with the result."""
    sinks: list[tuple[bool, list[tuple[Event, int, bytes]]]] = []

    def sink_for(is_unfinished: bool) -> Callable[[Event, int, bytes], None]:
        events: list[tuple[Event, int, bytes]] = []
        sinks.append((is_unfinished, events))
        return lambda event, number, line: events.append((event, number, line))

    result = read_extents(source, log_object, options.pop("zone", UTC), sink_for, **options)
    if result.error is not None:
        return result, []
    assert [e.is_unfinished for e in result.extents] == [u for u, _ in sinks]
    return result, [
        CountedExtent(e, events) for e, (_, events) in zip(result.extents, sinks, strict=True)
    ]


def scan(source: Source, ledger: MemoryLedger) -> tuple[Plan, list[ObjectResult]]:
    """One run: plan, read all, commit."""
    plan = source.plan(ledger)
    assert plan.listed == (
        len(plan.to_read) + plan.unchanged + len(plan.skipped) + plan.quarantined
    )
    ledger.record_seen(plan.seen)
    results = []
    for log_object in plan.to_read:
        result, counted = read(source, log_object)
        ledger.commit(result, counted)
        results.append(result)
    return plan, results
