"""No line lost, none counted twice: what commits to the ledger promise, on both databases."""

import gzip
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Barrier, Event
from typing import TypeVar

import pytest
from sqlalchemy import func, select

from tasks.collect.source import open_source
from tasks.detect.counting import Counted, commit_batch, count_batch
from tasks.detect.tally import Tally, WrittenTally
from tasks.model.errors import TransientError
from tasks.model.objects import Batch, BatchResult, Location, ObjectResult
from tasks.model.runs import Run, RunKind
from tasks.store.engine import transaction
from tasks.store.ledger import MAX_ATTEMPTS, Ledger
from tasks.store.runs import open_run, record_listing
from tasks.store.tables import file_streams, log_objects, runs, tally_segments
from tasks.store.tallies import load_overlapping
from tests.bare_scans import NOW, Scans, Shelf, shelf

T = TypeVar("T")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
LINE = '203.0.113.7 - - [01/Jan/2026:00:0{}:01 +0000] "GET /a?id=1+union+select+{} HTTP/1.1" 200 9 "-" "x"\n'


def attack(number: int) -> str:
    """A line that is an incident by itself."""
    return LINE.format(number % 10, number)


def rows(scans: Scans, *columns, **equal) -> list[tuple]:
    """What the ledger says, by key and version."""
    wanted = select(*(log_objects.c[c] for c in columns or ("object_key", "state")))
    for column, value in equal.items():
        wanted = wanted.where(log_objects.c[column] == value)
    with transaction(scans.engine) as connection:
        found = connection.execute(wanted.order_by(log_objects.c.object_key, log_objects.c.version))
        return [tuple(row) for row in found]


def requests_of(scans: Scans) -> int:
    """How many requests all open incidents have, after an evaluation."""
    scans.evaluate()
    return sum(i.activity.request_count for i in scans.incidents())


def read(scans: Scans, source) -> tuple[Batch, Counted]:
    """Everything that is new, in one batch, counted and not committed."""
    batch = Batch(1, source.plan(scans.ledger).to_read)
    return batch, count_batch(source, batch, scans.rules, UTC)


def commit(scans: Scans, read: tuple[Batch, Counted], ledger: Ledger | None = None) -> BatchResult:
    return commit_batch(ledger or scans.ledger, *read, run_id="run", now=NOW)


class Held(Ledger):
    """A ledger that stops inside its transaction, when it has seen that nothing is taken."""

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.is_inside = Event()
        self.go_on = Event()

    def _find_taken(self, *args):
        taken = super()._find_taken(*args)
        self.is_inside.set()
        assert self.go_on.wait(20)
        return taken


def race(scans: Scans, first: Callable[[Ledger], T], second: Callable[[], T]) -> list[T]:
    """*first* is about to write when *second* comes."""
    held = Held(scans.engine, scans.namespace)
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(first, held)
        assert held.is_inside.wait(20)
        two = threads.submit(second)
        with pytest.raises(TimeoutError):
            two.result(0.5)
        held.go_on.set()
        return [one.result(20), two.result(20)]


def test_what_was_committed_is_unchanged_afterwards(scans):
    """Every object is in the ledger once, and a second scan has nothing to do."""
    source = shelf({"b": attack(1), "a": attack(2) + "nonsense\n", "empty": ""})

    (result,) = scans.run(source)

    assert (result.done, result.lines, result.lines_unparsed) == (3, 3, 1)
    assert rows(scans) == [("a", "done"), ("b", "done"), ("empty", "done")]
    assert scans.run(source) == []
    assert requests_of(scans) == 2


def test_the_same_batch_twice_is_taken_the_second_time(scans):
    """Committing again what is committed changes nothing and says so."""
    source = shelf({"a": attack(1), "b": attack(2)})
    batch = read(scans, source)
    commit(scans, batch)

    again = commit(scans, batch)

    assert (again.done, again.unchanged, again.lines) == (0, 2, 0)
    assert requests_of(scans) == 2


def test_a_run_that_never_ends_has_on_record_what_it_committed(scans):
    """Stopped or killed, it was on record with nothing listed and nothing done."""
    source = shelf({"a": attack(1), "b": attack(2) + "nonsense\n", "c": attack(3)})
    run = Run("run", "run", RunKind.SCAN, scans.namespace, source.uri, NOW)
    open_run(scans.engine, run, None)
    plan = source.plan(scans.ledger)
    record_listing(scans.engine, run.id, plan)
    batch = Batch(1, plan.to_read[:2])
    counted = count_batch(source, batch, scans.rules, UTC)
    commit(scans, (batch, counted))
    commit(scans, (batch, counted))  # nobody heard of the first time

    columns = (runs.c[c] for c in ("objects_listed", "objects_done", "lines", "lines_unparsed"))
    with transaction(scans.engine) as connection:
        assert tuple(connection.execute(select(*columns)).one()) == (3, 2, 3, 1)


def test_objects_without_events_need_no_segment(scans):
    """A batch in which nothing was counted is done, and stores no tally."""
    scans.run(shelf({"a": "nonsense\n", "b": ""}))

    with transaction(scans.engine) as connection:
        assert connection.scalar(select(func.count()).select_from(tally_segments)) == 0
    assert rows(scans, "state", "needs_evaluation") == [("done", False), ("done", False)]


def test_of_two_writers_of_one_object_one_wins(scans):
    """The loser commits its other objects; nothing is counted twice, nothing is left out."""
    both = shelf({"a": attack(1), "b": attack(2)})
    other = shelf({"a": attack(1), "c": attack(3)})
    mine, theirs = read(scans, both), read(scans, other)

    told = race(scans, lambda ledger: commit(scans, mine, ledger), lambda: commit(scans, theirs))

    assert [(r.done, r.unchanged, r.lines) for r in told] == [(2, 0, 2), (1, 1, 1)]
    assert rows(scans) == [("a", "done"), ("b", "done"), ("c", "done")]
    assert requests_of(scans) == 3


def test_of_two_writers_of_one_new_file_one_wins(scans, tmp_path):
    """Also when the second has read more of it: the rest is left to the next run."""
    directory = tmp_path / "logs"
    directory.mkdir()
    log = directory / "access.log"
    source = open_source(Location(str(directory)))
    log.write_text(attack(1))
    short = read(scans, source)
    log.write_text(attack(1) + attack(2))
    long = read(scans, source)

    told = race(scans, lambda ledger: commit(scans, short, ledger), lambda: commit(scans, long))

    assert [(r.done, r.unchanged) for r in told] == [(1, 0), (0, 1)]
    assert requests_of(scans) == 1
    scans.run(source)
    assert requests_of(scans) == 2


def test_of_two_writers_of_one_grown_file_one_wins(scans, tmp_path):
    """What was appended is counted once, however often it was read."""
    log = tmp_path / "access.log"
    log.write_text(attack(1))
    source = open_source(Location(str(tmp_path), pattern="*.log"))
    scans.run(source)
    with log.open("a") as file:
        file.write(attack(2))
    mine, theirs = read(scans, source), read(scans, source)

    told = race(scans, lambda ledger: commit(scans, mine, ledger), lambda: commit(scans, theirs))

    assert [(r.done, r.unchanged) for r in told] == [(1, 0), (0, 1)]
    assert requests_of(scans) == 2


def test_many_writers_of_the_same_objects_count_them_once(scans):
    """Eight runs at once, each with another cut and order: the sum is that of one run."""
    source = Shelf({str(n): attack(n).encode() for n in range(20)})
    _, counted = read(scans, source)
    start_line = Barrier(8)

    def work(number: int) -> BatchResult:
        planned = [r.log_object for r in counted.results]
        batch = Batch(1, tuple(planned[(number * 7 + n) % 20] for n in range(12)))
        mine = count_batch(source, batch, scans.rules, UTC)
        start_line.wait(20)
        return commit(scans, (batch, mine))

    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(work, range(8)))

    assert sum(r.done for r in told) == 20
    assert sum(r.unchanged for r in told) == 8 * 12 - 20
    assert requests_of(scans) == 20
    assert [state for (state,) in rows(scans, "state")] == ["done"] * 20


def test_an_object_that_cannot_be_read_is_tried_again_and_then_set_aside(scans):
    """Failures are counted per version; the others are done all the same."""

    class Broken(Shelf):
        def open(self, log_object):
            if log_object.object_key == "bad":
                return Path(os.devnull, "not-there").open("rb")
            return super().open(log_object)

    source = Broken({"bad": attack(1).encode(), "good": attack(2).encode()})
    told = [scans.run(source)[0] for _ in range(MAX_ATTEMPTS)]

    assert [(r.done, len(r.skipped), len(r.quarantined)) for r in told] == [
        (1, 1, 0),
        *[(0, 1, 0)] * (MAX_ATTEMPTS - 2),
        (0, 0, 1),
    ]
    assert scans.run(source) == []
    assert rows(scans, "object_key", "state", "attempts") == [
        ("bad", "quarantined", MAX_ATTEMPTS),
        ("good", "done", 1),
    ]
    ((reason, since),) = rows(scans, "reason", "recorded_at", object_key="bad")
    assert "'bad'" in reason
    assert {lost.since for r in told for lost in (*r.skipped, *r.quarantined)} == {since}
    assert since == NOW + timedelta(minutes=5)
    assert requests_of(scans) == 1


def test_a_file_that_was_set_aside_is_read_when_it_has_grown(scans, tmp_path):
    """A log that is compressed while it is written is whole at last, and nothing of it is lost."""
    log = tmp_path / "access.log.gz"
    whole = gzip.compress("".join(map(attack, range(500))).encode())
    log.write_bytes(whole[:-9])
    source = open_source(Location(str(tmp_path), pattern="*.gz"))
    told = [r for _ in range(MAX_ATTEMPTS) for r in scans.run(source)]
    assert len(told[-1].quarantined) == 1
    assert scans.run(source) == []

    log.write_bytes(whole)
    scans.run(source)

    assert requests_of(scans) == 500
    assert set(rows(scans, "state")) == {("done",)}


def test_an_object_that_failed_can_be_done_later(scans):
    """Nothing of the failure is left in the ledger but the number of attempts."""
    source = shelf({"a": attack(1)})
    batch, counted = read(scans, source)
    (result,) = counted.results
    failed = replace(counted, results=(ObjectResult(result.log_object, error="Not now."),))
    commit(scans, (batch, failed))

    scans.run(source)

    assert rows(scans, "state", "reason", "attempts") == [("done", None, 2)]


def test_a_failure_does_not_undo_what_another_run_committed(scans):
    """An object that was read by one run and gone for another stays counted."""
    source = shelf({"a": attack(1)})
    batch, counted = read(scans, source)
    source.objects.clear()
    late = count_batch(source, batch, scans.rules, UTC)
    assert late.results[0].error is not None
    commit(scans, (batch, counted))

    result = commit(scans, (batch, late))

    assert (result.done, result.unchanged, result.skipped) == (0, 1, ())
    assert rows(scans) == [("a", "done")]
    assert requests_of(scans) == 1


def test_an_overwritten_object_replaces_its_own_contribution(scans):
    """Lines that are not in the new version count no more, and no incident stands on them."""
    source = shelf({"a": attack(1) + attack(2), "b": attack(3)})
    scans.run(source)
    source.objects["a"] = attack(2).encode()

    scans.run(source)

    assert requests_of(scans) == 2
    assert sorted(rows(scans)) == [("a", "done"), ("a", "skipped"), ("b", "done")]


def test_an_object_that_goes_back_to_an_earlier_version_counts_as_that(scans):
    """An etag that was replaced and comes again is read again, whenever it was evaluated."""
    source = shelf({"a": attack(1) + attack(2)})
    old = source.objects["a"]
    for _ in range(2):
        scans.run(source)
        source.objects["a"] = attack(3).encode()
        scans.run(source)
        assert requests_of(scans) == 1
        source.objects["a"] = old

    scans.run(source)
    assert requests_of(scans) == 2

    source.objects["a"] = attack(3).encode()
    scans.count(source)
    source.objects["a"] = old
    scans.count(source)
    assert requests_of(scans) == 2


def test_two_versions_of_a_key_at_the_same_time_leave_one(scans):
    """Whichever is committed last is what counts, and the next listing sets it right."""
    source = shelf({"a": attack(1)})
    older = read(scans, source)
    source.objects["a"] = (attack(2) + attack(3)).encode()
    newer = read(scans, source)

    def persistently(ledger: Ledger, mine) -> BatchResult:
        try:
            return commit(scans, mine, ledger)
        except TransientError:  # each waits for the other: the database ends one of them
            return persistently(scans.ledger, mine)

    race(
        scans,
        lambda ledger: persistently(ledger, newer),
        lambda: persistently(scans.ledger, older),
    )
    assert sorted(state for (state,) in rows(scans, "state")) == ["done", "skipped"]

    scans.run(source)
    assert requests_of(scans) == 2


def test_a_segment_that_is_stored_again_has_no_parts_of_before(scans):
    """The same objects counted into fewer parts leave nothing of the larger segment."""
    source = shelf({"a": attack(1)})
    scans.run(source)
    with transaction(scans.engine) as connection:
        part = connection.execute(select(tally_segments)).mappings().first()
        assert part is not None
        connection.execute(tally_segments.insert(), {**part, "part": 99})
    for text in (attack(2), attack(1)):
        source.objects["a"] = text.encode()
        scans.run(source)

    assert requests_of(scans) == 1


def test_of_a_large_segment_only_parts_of_the_time_asked_for_are_loaded(scans):
    """What was counted piece by piece is stored so; a part that is known comes as its key."""
    batch, counted = read(scans, shelf({"first": attack(1), "second": attack(5)}))
    pieces = WrittenTally.of(counted.tally.read().only([extent]) for extent in (0, 1))
    commit(scans, (batch, replace(counted, tally=pieces)))
    start = int(NEW_YEAR.timestamp()) // 60

    with transaction(scans.engine) as connection:
        load = partial(load_overlapping, connection, scans.namespace)
        one, *others = found = list(load([(start + 5, start + 6)]))
        again = list(load([(start + 5, start + 6)], known=[one.key]))
        everything = list(load([(start, start + 60)]))

    tally = Tally.from_payloads(part.payload for part in found)
    assert tally.counts.rows["minute"].to_list() == [start + 5]
    assert again == [replace(one, minutes=(0, 0), payload=b""), *others]
    assert len(everything) == 2 * len(found)


def test_an_unfinished_last_line_is_counted_and_then_replaced(scans, tmp_path):
    """Half a line is never counted beside the whole one, wherever the file is by then."""
    log = tmp_path / "access.log"
    source = open_source(Location(str(tmp_path), pattern="access.log*"))
    whole = attack(1) + attack(2) + attack(3)
    log.write_text(whole[:-4])
    scans.run(source)
    assert requests_of(scans) == 3
    log.rename(tmp_path / "access.log.1")
    scans.run(source)

    with (tmp_path / "access.log.1").open("a") as file:
        file.write(whole[-4:] + attack(4))
    scans.run(source)

    assert requests_of(scans) == 4
    assert [state for (state,) in rows(scans, "state", state="done")] == ["done"] * 2


def test_a_compressed_file_with_an_unfinished_line_that_is_touched_loses_nothing(scans, tmp_path):
    """Reading the same unfinished line again does not replace it by itself."""
    log = tmp_path / "access.log.gz"
    log.write_bytes(gzip.compress((attack(1) + attack(2)).rstrip().encode()))
    source = open_source(Location(str(tmp_path), pattern="*.gz"))
    scans.run(source)
    for seconds in (60, 120):
        os.utime(log, (seconds, seconds))
        scans.run(source)

        assert requests_of(scans) == 2


def test_a_stream_without_news_is_recorded_where_it_was_seen(scans, tmp_path):
    """A renamed file is at its new place, and nothing of it is read again."""
    log = tmp_path / "access.log"
    log.write_text(attack(1))
    source = open_source(Location(str(tmp_path), pattern="access.log*"))
    scans.run(source)
    log.rename(tmp_path / "access.log.1")

    assert scans.run(source) == []
    assert [s.object_key for s in scans.ledger.file_streams(source.uri)] == ["access.log.1"]


def test_what_was_seen_does_not_set_a_stream_back(scans, tmp_path):
    """A listing that is older than a commit has no say about the stream any more."""
    log = tmp_path / "access.log"
    log.write_text(attack(1))
    source = open_source(Location(str(tmp_path), pattern="access.log*"))
    scans.run(source)
    (before,) = scans.ledger.file_streams(source.uri)
    with log.open("a") as file:
        file.write(attack(2))
    scans.run(source)
    (after,) = scans.ledger.file_streams(source.uri)

    scans.ledger.record_seen([replace(before, object_key="elsewhere")])

    assert scans.ledger.file_streams(source.uri) == [after]


def test_namespaces_know_nothing_of_each_other(scans):
    """The same objects are counted once per namespace, and told of in each."""
    source = shelf({"a": attack(1)})
    other = Scans(scans.engine, namespace="last-year")

    scans.run(source)
    assert other.incidents() == []
    other.run(source)

    assert scans.incidents() == other.incidents()
    assert len(rows(scans)) == 2


def test_a_run_that_dies_between_commit_and_evaluation_leaves_it_to_the_next(scans):
    """What is counted and not evaluated is evaluated by whoever comes next, once."""
    source = shelf({"a": attack(1)})
    scans.count(source)
    assert scans.incidents() == []

    assert scans.evaluate().segments == 1
    assert scans.evaluate().segments == 0
    assert len(scans.incidents()) == 1


@pytest.mark.parametrize("key", ["a b+c%20.log", "ключ/😀", "a'b\"c\\d", "x" * 1000, "a\x00b"])
def test_keys_are_what_they_are(scans, key):
    """Any key a bucket allows is told from any other."""
    source = Shelf({key: attack(1).encode(), key.upper() + " ": attack(2).encode()})

    scans.run(source)

    assert scans.run(source) == []
    assert {k for k, _ in rows(scans)} == set(source.objects)


def test_streams_are_those_of_one_source(scans, tmp_path):
    """Two directories with the same file names are two sets of streams."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "access.log").write_text(attack(1))
    one, two = (open_source(Location(str(tmp_path / n))) for n in ("one", "two"))

    scans.run(one, two)

    assert requests_of(scans) == 2
    assert len(scans.ledger.file_streams(one.uri)) == 1
    with transaction(scans.engine) as connection:
        assert connection.scalar(select(func.count()).select_from(file_streams)) == 2


def test_event_times_and_counts_are_in_the_ledger(scans):
    """A row says how much was read and between which events."""
    scans.run(shelf({"a": attack(1) + "nonsense\n" + attack(3)}))

    ((lines, unparsed, first, last, size),) = rows(
        scans, "lines", "lines_unparsed", "first_event_at", "last_event_at", "size"
    )
    assert (lines, unparsed) == (3, 1)
    assert last - first == timedelta(minutes=2)
    assert size == len(attack(1) + "nonsense\n" + attack(3))
