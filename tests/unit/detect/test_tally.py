"""Tallies: what is counted, what is kept, and what it looks like in a database."""

import os
import resource
from io import SEEK_END, BytesIO

import polars as pl
import pytest

from tasks.detect import parts as parts_module
from tasks.detect import tally_builder as builder_module
from tasks.detect.parts import Parts
from tasks.detect.tally import Tally, WrittenTally, read_lines
from tasks.detect.tally_builder import TallyBuilder
from tasks.model.errors import PermanentError, TransientError
from tasks.model.parts import Part
from tests.counting import NEW_YEAR, RULES, built, count, login, request


def counts_of(tally: Tally) -> dict[str, int]:
    """Events by counter, rule counters by the rule's id."""
    found: dict[str, int] = {}
    for row in tally.counts.rows.iter_rows(named=True):
        for counter in row["counters"].split(" "):
            rule = counter.partition(":")[0]
            found[rule] = found.get(rule, 0) + row["count"]
    return found


def lines_of(tally: Tally) -> list[str]:
    return sorted(tally.samples.rows["line"])


def test_every_event_counts_for_what_it_answers_and_for_its_rules():
    """Status classes, login outcomes and rules are counted side by side."""
    lines = [
        request(NEW_YEAR, "/a", status=404),
        request(NEW_YEAR, "/a", status=404),
        request(NEW_YEAR, "/a?id=1+union+select+2", status=500),
        request(NEW_YEAR, "/", status=999),
        login(NEW_YEAR),
        login(NEW_YEAR, outcome="success"),
    ]

    assert counts_of(count([lines])) == {
        "4xx": 2,
        "5xx": 1,
        "ssh_failure": 1,
        "ssh_success": 1,
        "attack": 1,
        "volume": 4,
        "missing": 2,
        "logins": 1,
        "breached": 1,
        "slow-logins": 1,
        "slow-missing": 2,
    }


def test_an_event_that_counts_for_nothing_is_still_an_event():
    """The sum over all rows is all that an IP did."""
    tally = count([[login(NEW_YEAR, outcome="")]])

    assert tally.counts.rows["count"].sum() == 1
    assert tally.counts.rows["counters"].to_list() == [""]


def test_minutes_are_those_of_the_event():
    """The first and last minute are those of the earliest and the latest event."""
    written = WrittenTally.of([count([[request(NEW_YEAR + 5, second=59), request(NEW_YEAR - 5)]])])

    assert {p.first_minute for p in written.parts} == {NEW_YEAR - 5}
    assert {p.last_minute for p in written.parts} == {NEW_YEAR + 5}


@pytest.mark.parametrize(
    ("minute", "counted"),
    [(-1_000_000_000, -1_000_000_000), (-1, -1), (4_223_371_679, 2**31 - 1)],
    ids=["year 68", "1969", "year 9999"],
)
def test_absurd_times_are_counted(minute, counted):
    """No time that a log can name loses an event; past the year 6053 they are one minute."""
    tally = count([[request(minute)]])

    assert tally.counts.rows["minute"].to_list() == [counted]


def test_nothing_is_counted_of_nothing():
    """An empty tally has no parts, and comes back from no parts."""
    tally = count([[]])

    assert tally.to_payloads() == []
    assert Tally.from_payloads([]).counts.rows.schema == tally.counts.rows.schema


def test_a_dropped_extent_was_never_counted():
    """What an object that failed midway had contributed is gone, and nothing else."""
    good, bad = [request(NEW_YEAR, "/a", status=404), login(NEW_YEAR)], [request(NEW_YEAR, "/b")]
    builder = TallyBuilder(RULES)
    sinks = [builder.sink(0), builder.sink(1)]
    for extent, lines in enumerate([good, bad]):
        for line in lines:
            sinks[extent](line.event, line.number, line.text)
    builder.drop(1)

    assert built(builder).to_payloads() == count([good]).to_payloads()


def test_a_dropped_ordinal_can_be_used_again():
    """The next object counts under the ordinal of one that failed, and alone."""
    builder = TallyBuilder(RULES)
    for line in (request(NEW_YEAR, "/b", status=404), login(NEW_YEAR)):
        builder.sink(0)(line.event, line.number, line.text)
    builder.drop(0)
    good = request(NEW_YEAR, "/a", status=404)
    builder.sink(0)(good.event, good.number, good.text)

    assert built(builder).to_payloads() == count([[good]]).to_payloads()


def test_only_some_extents_come_back():
    """What an overwritten object contributed is left out when a segment is read."""
    extents = [[request(NEW_YEAR, "/a", status=404)], [request(NEW_YEAR, "/b", status=404)]]
    parts = count(extents).to_payloads()

    assert Tally.from_payloads(parts, keep={0}).to_payloads() == count(extents[:1]).to_payloads()
    assert Tally.from_payloads(parts, keep=set()).to_payloads() == []


def test_parts_are_small_and_complete():
    """However many parts there are, each fits and together they are the tally."""
    lines = [
        request(NEW_YEAR + n % 50, f"/{n * n}", source_ip=f"192.0.2.{n % 99}", status=404)
        for n in range(20_000)
    ]
    tally = count([lines])
    parts = tally.to_payloads(64 * 1024)

    assert len(parts) > 3
    assert max(map(len, parts)) <= 64 * 1024
    assert Tally.from_payloads(parts).to_payloads() == tally.to_payloads()
    assert Tally.from_payloads(parts[::-1]).counts.height == tally.counts.height


@pytest.mark.parametrize("limit", [1, 7])
def test_memory_limits_do_not_show(monkeypatch, limit):
    """How often counts are written changes nothing in what they say."""
    extents = [
        [request(NEW_YEAR + n % 3, f"/admin/{n % 9}", status=404, second=n % 5) for n in range(40)],
        [login(NEW_YEAR + n % 4) for n in range(20)],
    ]
    expected = count(extents).to_payloads()
    monkeypatch.setattr(builder_module, "_MOST_ENTRIES", limit)

    assert count(extents).to_payloads() == expected


def test_what_is_written_early_can_be_taken_out_again():
    """An extent that fails after much of it was written leaves nothing, and its number is free."""
    builder, expected = TallyBuilder(RULES), TallyBuilder(RULES)
    kept, failing = request(NEW_YEAR, "/a"), request(NEW_YEAR + 9, "/b", status=404)
    later = request(NEW_YEAR + 1, "/c")
    for some in (builder, expected):
        some.sink(0)(kept.event, kept.number, kept.text)
    builder.spill()
    builder.sink(1)(failing.event, failing.number, failing.text)
    builder.spill()
    builder.drop(1)
    for some in (builder, expected):
        some.sink(1)(later.event, later.number, later.text)

    written = builder.write()

    assert {(p.first_minute, p.last_minute) for p in written.parts} == {
        (NEW_YEAR, NEW_YEAR),
        (NEW_YEAR + 1, NEW_YEAR + 1),
    }
    assert lines_of(written.read()) == lines_of(built(expected))
    assert written.only([1]).read().counts.rows["minute"].to_list() == [NEW_YEAR + 1]


def test_many_parts_are_read_as_they_were_written(monkeypatch):
    """On disk as in memory, parts can be read again and again while more are added."""
    monkeypatch.setattr(parts_module, "_MOST_IN_MEMORY", 10)
    one, nothing, three, four = (
        Part(minute, minute + 1, text)
        for minute, text in enumerate((b"one", b"", b"three", b"four" * 10))
    )
    parts = Parts([one, nothing, three])
    reader = iter(parts)

    assert next(reader) == one
    parts.extend([four])
    assert list(parts) == [one, nothing, three, four]
    assert next(reader) == nothing


@pytest.mark.parametrize("most", [10, 10_000])
def test_parts_of_another_process_are_read_where_they_are(monkeypatch, most):
    """None goes through memory to be taken over: threads that wait for batches grew by each."""
    monkeypatch.setattr(parts_module, "_MOST_IN_MEMORY", most)
    expected = [Part(0, 1, b"one"), Part(1, 3, b"two" * 10)]
    parts = Parts(expected)

    descriptor, places = parts.share()
    taken = Parts.open(os.dup(descriptor), places)
    del parts

    assert list(taken) == list(taken) == expected


def test_a_full_temporary_directory_is_told_as_what_it_is(monkeypatch):
    """What was written before is lost with it, so nothing is told of these parts any more."""
    monkeypatch.setattr(parts_module, "_MOST_IN_MEMORY", 10)
    parts = Parts([Part(0, 1, b"one")])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(TransientError, match=r"no room in .*: make room there, or set TMPDIR"):
            parts.extend([Part(1, 2, b"two" * 1000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with pytest.raises(TransientError, match="no room"):
        list(parts)
    with pytest.raises(TransientError, match="no room"):
        parts.extend([Part(1, 2, b"two")])


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (b"MWT9C....", "does not know"),
        (b"", "does not know"),
        (b"MWT1Cnot parquet", "is damaged"),
        (b"MWT2C\x10\x00\x00\x00not parquet", "is damaged"),
        (b"MWT2C\x00\x00\x00\x00", "is damaged"),
        (b"MWT3C", "is damaged"),
        (b"\x80\x04.", "does not know"),
    ],
    ids=["newer", "empty", "damaged", "damaged Parquet", "cut short", "nothing", "a pickle"],
)
def test_a_part_that_cannot_be_read_is_said_to_be_so(part, reason):
    """Damage is one sentence, never a half tally."""
    with pytest.raises(PermanentError, match=reason):
        Tally.from_payloads([part])


def read_in_two_steps(part):
    """The lines of a part with samples: first the rows that they have there, then their texts."""
    light = Tally.from_payloads([part], is_light=True).samples.rows
    return read_lines(part, light["line"].to_numpy()).to_list()


def test_of_lines_that_nobody_asks_for_no_text_is_made():
    """A part with samples is read without its lines, of some source IPs too, and then some."""
    lines = [
        request(NEW_YEAR, f"/{n}?id=1+union+select+2", source_ip=f"192.0.2.{n}") for n in range(9)
    ]
    tally = count([lines])
    part, texts = tally.to_payloads()[-1], tally.samples.rows["line"].to_list()
    few = Tally.from_payloads([part], None, b"", lambda names: names > "192.0.2.3", is_light=True)

    assert read_in_two_steps(part) == texts
    assert few.samples.height == 5
    assert read_lines(part, few.samples.rows["line"].to_numpy()).to_list() == texts[4:]


def test_parts_of_before_are_still_read():
    """A database holds parts in which every row has the text of its source IP."""
    tally = count([[request(NEW_YEAR, "/a?id=1+union+select+2"), login(NEW_YEAR, source_ip="::1")]])
    parts = []
    for kind, table in zip((b"C", b"V", b"S"), tally.tables, strict=True):
        file = BytesIO(b"MWT1" + kind)
        file.seek(0, SEEK_END)
        table.named().cast({pl.Categorical: pl.String}).write_parquet(file)
        parts.append(file.getvalue())

    assert Tally.from_payloads(parts).to_payloads() == tally.to_payloads()
    assert read_in_two_steps(parts[-1]) == tally.samples.rows["line"].to_list()


def test_parts_in_parquet_are_still_read():
    """A database holds parts of three Parquet files: names, texts of counters, and rows."""
    tally = count([[request(NEW_YEAR, "/a?id=1+union+select+2"), login(NEW_YEAR, source_ip="::1")]])
    parts = []
    for kind, table in zip((b"C", b"V", b"S"), tally.tables, strict=True):
        if not table.height:
            continue
        counters = "counter" if kind == b"V" else "counters"
        texts = table.rows[counters].cast(pl.String).unique().sort()
        numbers = (
            table.rows[counters]
            .cast(pl.String)
            .replace_strict(texts, pl.int_range(texts.len(), eager=True), return_dtype=pl.UInt32)
        )
        frames = (
            table.names.alias("name").to_frame(),
            texts.alias("text").to_frame(),
            table.rows.with_columns(numbers.alias(counters)),
        )
        part = b"MWT2" + kind
        for frame in frames:
            frame.write_parquet(file := BytesIO())
            part += len(file.getvalue()).to_bytes(4, "little") + file.getvalue()
        parts.append(part)

    assert Tally.from_payloads(parts).to_payloads() == tally.to_payloads()
    assert read_in_two_steps(parts[-1]) == tally.samples.rows["line"].to_list()


def test_no_more_values_are_kept_than_can_be_asked_for():
    """A scanner that tries everything costs 128 values per rule and minute."""
    tally = count([[request(NEW_YEAR, f"/{n}", status=404) for n in range(2000)]])

    assert tally.values.rows["counter"].value_counts()["count"].to_list() == [128, 128]
    assert tally.counts.rows["count"].sum() == 2000


def test_kept_values_do_not_depend_on_order():
    """Far more values than are kept leave the same ones, whichever comes first."""
    lines = [request(NEW_YEAR, f"/{n}", status=404) for n in range(2000)]

    assert count([lines]).to_payloads() == count([lines[::-1]]).to_payloads()
