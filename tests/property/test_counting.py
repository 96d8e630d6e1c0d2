"""Same lines, same incidents: however they are cut, in whatever order they come."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.detect import loading
from tasks.detect.addressed import Addressed, hash_names
from tasks.detect.counted_hours import (
    CountedHours,
    affected_by_hours,
    evaluate_hours,
    needed_hours,
    slow_candidates,
    slow_reach,
)
from tasks.detect.evaluate import evaluate
from tasks.detect.incidents import chain, reach, reconcile
from tasks.detect.loading import LoadedTally, Survey
from tasks.detect.subjects import roll_up
from tasks.detect.suspect_hours import SuspectHour
from tasks.detect.touched import (
    Touched,
    affected_hours,
    merge_spans,
    needed_minutes,
    told_minutes,
)
from tasks.model.incidents import Incident, Status, StoredIncident
from tests.counting import (
    RULES,
    SOURCE_IPS,
    Line,
    count,
    count_hours,
    lines_of,
    loaded,
    reference_hours,
    reference_samples,
    suspect_hours,
)

patiently = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
some_lines = lines_of(6)


class Record:
    """What a database holds of one namespace, and a scan that evaluates what is new."""

    def __init__(self) -> None:
        self.tallies: list[LoadedTally] = []
        self.hours: dict[tuple[str, int], SuspectHour] = {}
        self.counted = CountedHours.from_payloads([])
        self.slow_hours: dict[tuple[str, int], SuspectHour] = {}
        self.incidents: dict[str, Incident] = {}
        self.closed: dict[str, Incident] = {}

    def add(self, extents: Sequence[Sequence[Line]]) -> None:
        self.tallies.append(loaded(extents))
        self._evaluate(Touched.by([self.tallies[-1].tally]))

    def withdraw(self, tally: int, extent: int) -> None:
        old = self.tallies[tally]
        others = set(old.object_keys) - {extent}
        self.tallies[tally] = LoadedTally(old.tally.only(others), old.object_keys)
        self._evaluate(Touched.by([old.tally.only({extent})]))

    def _evaluate(self, touched: Touched) -> None:
        needed = needed_minutes(touched, RULES)
        near = [t for t in self.tallies if any(_overlaps(t, span) for span in needed)]
        counted = count_hours(near, touched)
        self.counted = self.counted.replaced(touched, counted)
        slow = evaluate_hours(RULES, self._counted_near(touched), touched)
        affected = self._replace(
            self.hours, evaluate(RULES, near, touched), affected_hours, touched
        )
        slowly = self._replace(self.slow_hours, slow, affected_by_hours, touched)
        for source_ip in affected | slowly:
            for span in merge_spans([*affected.get(source_ip, ()), *slowly.get(source_ip, ())]):
                self._reconcile(source_ip, span)

    def _counted_near(self, touched: Touched) -> CountedHours:
        """As a database gives it back: by hours, and no more of them than are asked for."""
        hours = self.counted.by_hour()
        near = [
            hours[h] for a, b in needed_hours(touched, RULES) for h in range(a, b) if h in hours
        ]
        return CountedHours.from_payloads(p for c in near for p in c.to_payloads())

    def _replace(self, there, new, affected_by, touched):
        found = {(h.source_ip, h.hour): h for h in new}
        affected = affected_by(touched, RULES, {ip for ip, _ in (*there, *found)})
        for source_ip, spans in affected.items():
            for hour in [h for start, end in spans for h in range(start, end)]:
                there.pop((source_ip, hour), None)
        there |= found
        return affected

    def _reconcile(self, source_ip: str, span: tuple[int, int]) -> None:
        existing = [
            StoredIncident(i.id, source_ip, i.status, i.first_seen, i.last_seen)
            for i in (*self.incidents.values(), *self.closed.values())
            if i.source_ip == source_ip
        ]
        start, end = reach(span, existing, RULES)
        there = [*self.hours.items(), *self.slow_hours.items()]
        hours = [h for (ip, n), h in there if ip == source_ip and start <= n < end]
        told = reconcile(chain(hours, RULES, "test"), existing, RULES, (start, end))
        for closed in (*(old for old, _ in told.merged), *told.withdrawn):
            self.closed[closed] = replace(self.incidents.pop(closed), status=Status.CLOSED)
        self.incidents |= {i.id: i for i in told.upserts}

    def told(self) -> list[Incident]:
        return comparable(self.incidents.values())


def _overlaps(tally: LoadedTally, span: tuple[int, int]) -> bool:
    minutes = tally.tally.counts.rows["minute"].to_numpy()
    return bool(((minutes >= span[0]) & (minutes < span[1])).any())


def comparable(incidents) -> list[Incident]:
    """Everything but ids and references into objects, in an order of its own."""
    return sorted(
        (
            replace(
                i,
                id="",
                evidence=tuple(replace(e, object_key="", line_number=0) for e in i.evidence),
            )
            for i in incidents
        ),
        key=lambda i: (i.source_ip, i.first_seen),
    )


def affected_pairs(touched: Touched) -> list[tuple[str, int]]:
    """Source IPs of generated lines with the hours that are spoken of."""
    affected = affected_hours(touched, RULES, SOURCE_IPS)
    return [(ip, hour) for ip, spans in affected.items() for s in spans for hour in range(*s)]


def all_at_once(lines: Sequence[Line]) -> list[Incident]:
    record = Record()
    record.add([lines])
    return record.told()


@patiently
@given(some_lines)
def test_engine_equals_the_reference(lines):
    """What is said of every hour is what plain Python says, window by window."""
    said = [replace(h, samples=()) for h in suspect_hours(lines)]

    assert said == reference_hours(lines)


@patiently
@given(st.lists(some_lines, min_size=1, max_size=3), st.sampled_from([48, 64, 128]))
def test_whoever_is_found_was_a_candidate(extents, prefix):
    """Leaving out those whose totals are too low loses no finding, of IPv6 networks neither."""
    tallies = [loaded([lines]) for lines in extents]
    tallies = [LoadedTally(roll_up(t.tally, prefix), t.object_keys) for t in tallies]
    touched = Touched.by([t.tally for t in tallies])

    def found():
        hours = evaluate(RULES, tallies, touched)
        counted = count_hours(tallies, touched)
        return hours, evaluate_hours(RULES, counted, touched)

    narrowed = found()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "candidates", lambda _, counts, __: hash_names(counts.names))

        assert narrowed == found()


@patiently
@given(some_lines)
def test_long_windows_equal_the_reference(lines):
    """What slow rules say of every hour is what plain Python says, from the lines themselves."""
    tally = loaded([lines])
    touched = Touched.by([tally.tally])
    counted = count_hours([tally], touched)
    said = [replace(h, samples=()) for h in evaluate_hours(RULES, counted, touched)]

    assert said == reference_hours(lines, is_slow=True)


@patiently
@given(some_lines)
def test_evidence_is_chosen_from_the_lowest_hashes(lines):
    """Every sample is one that the reference keeps, of the minutes that are suspicious."""
    for hour in suspect_hours(lines):
        own = [e for e in lines if e.event.source_ip == hour.source_ip]
        kept = reference_samples(own)

        assert {s.line.encode() for s in hour.samples} <= kept


@patiently
@given(st.lists(st.lists(lines_of(2), min_size=1, max_size=3), max_size=4))
def test_cuts_and_order_change_nothing(batches):
    """Lines spread over extents, tallies and runs give the incidents of one object."""
    record = Record()
    for extents in batches:
        record.add(extents)

    assert record.told() == all_at_once([e for b in batches for x in b for e in x])


@settings(patiently, max_examples=15)
@given(lines_of(3), st.randoms(use_true_random=False))
def test_one_line_at_a_time_in_any_order(lines, random):
    """Evaluating after every single line, in any order, ends where one evaluation ends."""
    shuffled = random.sample(lines, len(lines))
    record = Record()
    for line in shuffled:
        record.add([[line]])

    assert record.told() == all_at_once(lines)


@patiently
@given(st.lists(st.lists(lines_of(2), min_size=2, max_size=2), min_size=1, max_size=3))
def test_what_is_withdrawn_was_never_counted(batches):
    """An overwritten object leaves no trace: as if its lines had never been seen."""
    record = Record()
    for extents in batches:
        record.add(extents)
    for number in range(len(batches)):
        record.withdraw(number, 0)

    assert record.told() == all_at_once([e for _, stays in batches for e in stays])


@patiently
@given(st.lists(lines_of(3), min_size=1, max_size=3), st.randoms())
def test_a_tally_has_the_same_bytes_for_the_same_lines(extents, random):
    """The order of lines inside an extent does not show in the payload."""
    shuffled = [random.sample(lines, len(lines)) for lines in extents]

    assert count(shuffled).to_payloads() == count(extents).to_payloads()


@patiently
@given(some_lines, st.integers(1, 30), st.integers(1, 5))
def test_slices_say_once_what_the_whole_says(lines, width, size):
    """Evaluating what is touched in slices of any size is evaluating it, and nothing twice."""
    tally = loaded([lines])
    touched = Touched.by([tally.tally])
    said = [
        h
        for piece in touched.slices(hours=width, size=size)
        for h in evaluate(RULES, [tally], piece)
    ]
    around = [p for piece in touched.slices(hours=width, size=size) for p in affected_pairs(piece)]

    assert sorted(said, key=lambda h: (h.source_ip, h.hour)) == evaluate(RULES, [tally], touched)
    assert sorted(around) == sorted(affected_pairs(touched))


@patiently
@given(some_lines, st.integers(1, 60), st.integers(1, 5), st.booleans())
def test_slices_of_long_windows_say_once_what_the_whole_says(lines, width, size, is_by_hour):
    """The same of slow rules, which look at only those with a busy hour."""
    tally = loaded([lines])
    touched = Touched.by([tally.tally])
    counted = count_hours([tally], touched)
    few = touched.only(slow_candidates(RULES, counted.by_hour().values()))
    said = [
        hour
        for piece in few.slices(slow_reach(RULES), width, size, is_by_hour=is_by_hour)
        for hour in evaluate_hours(RULES, counted, piece)
    ]

    assert sorted(said, key=lambda h: (h.source_ip, h.hour)) == evaluate_hours(
        RULES, counted, touched
    )


def named_by_row(table: Addressed) -> Addressed:
    """The same with a name for each row, as networks have one for each address."""
    ips = pl.int_range(table.height, dtype=pl.UInt32, eager=True).alias("ip")
    return Addressed(table.rows.with_columns(ips), table.names.gather(table.rows["ip"]))


@patiently
@given(st.lists(some_lines, min_size=1, max_size=3), st.integers(1, 4))
def test_a_survey_leaves_whoever_is_found(extents, width):
    """Of each slice all are left who are found in it, however the lines are cut into tallies."""
    tallies = [loaded([lines]) for lines in extents]
    touched = Touched.by([t.tally for t in tallies])
    fast = [rule for rule in RULES.rules if not rule.is_slow]
    for piece in touched.slices(hours=width, size=3):
        needed, told = needed_minutes(piece, RULES), told_minutes(piece, RULES)
        if not needed:
            continue
        survey = Survey(fast, (told[0][0], told[-1][1]))
        for tally in tallies:
            near = tally.tally.within((needed[0][0], needed[-1][1]))
            survey.notice(named_by_row(near.counts), named_by_row(near.values))
        found = {h.source_ip for h in evaluate(RULES, tallies, piece)}

        assert {*hash_names(pl.Series([*found], dtype=pl.String))} <= {*survey.candidates()}


@patiently
@given(some_lines)
def test_a_line_sent_twice_is_one_sample(lines):
    """Identical lines count twice and are shown once."""
    once, twice = suspect_hours(lines), suspect_hours([*lines, *lines])
    shown = {(h.source_ip, h.hour): [s.line for s in h.samples] for h in twice}

    assert all(len(set(samples)) == len(samples) for samples in shown.values())
    assert {(h.source_ip, h.hour) for h in once} <= set(shown)


def test_the_reference_has_something_to_say():
    """The generated lines do make findings of all rules: the properties above are not empty."""
    seen: set[str] = set()

    @settings(max_examples=100, deadline=None, derandomize=True, database=None)
    @given(some_lines)
    def look(lines):
        for hour in [*reference_hours(lines), *reference_hours(lines, is_slow=True)]:
            seen.update(f.rule_id for f in hour.findings)

    look()

    assert seen == {rule.id for rule in RULES.rules}
