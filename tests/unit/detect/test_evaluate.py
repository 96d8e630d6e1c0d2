"""Evaluation: windows, thresholds, and what is told of an hour."""

from dataclasses import replace

import orjson
import polars as pl
import pytest

from tasks.detect.addressed import Addressed, hash_names
from tasks.detect.evaluate import evaluate
from tasks.detect.loading import Lines, LoadedTally
from tasks.detect.rules import Override, RuleSet, with_thresholds
from tasks.detect.suspect_hours import HourFinding, SuspectHour
from tasks.detect.tally import Tally
from tasks.detect.touched import SLICE_BYTES, Touched, affected_hours, needed_minutes, told_minutes
from tasks.model.incidents import EvidenceLine
from tests.counting import (
    ATTACKER,
    NEW_YEAR,
    RULES,
    Line,
    count,
    loaded,
    login,
    request,
    suspect_hours,
)

HOUR = NEW_YEAR // 60


def finding(hours: list[SuspectHour], rule_id: str, hour: int = HOUR) -> HourFinding | None:
    """What a rule says in one hour of one IP."""
    found = [f for h in hours for f in h.findings if (h.hour, f.rule_id) == (hour, rule_id)]
    return found[0] if found else None


def requests(number: int, minute: int = NEW_YEAR) -> list[Line]:
    return [request(minute, second=n) for n in range(number)]


@pytest.mark.parametrize(("number", "is_found"), [(4, False), (5, True), (6, True)])
def test_event_count_is_reached_exactly(number, is_found):
    """One event less than the threshold is nothing."""
    assert (finding(suspect_hours(requests(number)), "volume") is not None) is is_found


@pytest.mark.parametrize(("number", "is_found"), [(2, False), (3, True)])
def test_value_count_is_reached_exactly(number, is_found):
    """Distinct values count, however often each is there."""
    lines = [request(NEW_YEAR + m, f"/{n}", status=404) for n in range(number) for m in range(3)]
    found = finding(suspect_hours(lines), "missing")

    assert (found is not None) is is_found
    if found:
        assert (found.peak_count, found.event_count) == (3, 9)


@pytest.mark.parametrize(("apart", "is_found"), [(2, True), (3, False)])
def test_a_window_is_as_long_as_its_timespan(apart, is_found):
    """Three minutes hold what is two minutes apart, and not what is three apart."""
    lines = requests(3) + requests(2, NEW_YEAR + apart)

    assert (finding(suspect_hours(lines), "volume") is not None) is is_found


def test_distinct_values_are_those_of_one_window():
    """A value that comes again after the window has passed counts again."""
    paths = ["/a", "/b", "/a", "/c", "/b", "/a"]
    lines = [request(NEW_YEAR + 9 * n, path, status=404) for n, path in enumerate(paths)]

    assert finding(suspect_hours(lines), "missing") is None


def test_a_window_crosses_hour_midnight_and_year():
    """Each side gets its hour, with the peak of the window that both share."""
    lines = requests(3, NEW_YEAR - 1) + requests(2, NEW_YEAR + 1)
    hours = suspect_hours(lines)
    before, after = finding(hours, "volume", HOUR - 1), finding(hours, "volume")

    assert before is not None
    assert after is not None
    assert (before.event_count, before.peak_count, before.peak_minute) == (3, 5, NEW_YEAR - 1)
    assert (after.event_count, after.peak_count, after.peak_minute) == (2, 5, NEW_YEAR - 1)
    assert [(h.first_minute, h.last_minute) for h in hours] == [
        (NEW_YEAR - 1, NEW_YEAR - 1),
        (NEW_YEAR + 1, NEW_YEAR + 1),
    ]


def test_the_earliest_of_equal_peaks_is_named():
    """Of two windows with the highest count the first one is told."""
    lines = requests(6, NEW_YEAR + 10) + requests(5) + requests(6, NEW_YEAR + 30)
    found = finding(suspect_hours(lines), "volume")

    assert found is not None
    assert (found.peak_count, found.peak_minute) == (6, NEW_YEAR + 10)
    assert (found.event_count, found.first_minute, found.last_minute) == (
        17,
        NEW_YEAR,
        NEW_YEAR + 30,
    )


def test_quiet_minutes_between_hot_ones_do_not_count():
    """Only minutes inside a hot window are summed up."""
    lines = requests(5) + requests(1, NEW_YEAR + 20) + requests(5, NEW_YEAR + 40)
    (hour,) = suspect_hours(lines)

    assert hour.request_count == 10
    assert (hour.first_minute, hour.last_minute) == (NEW_YEAR, NEW_YEAR + 40)


def test_activity_is_everything_in_the_suspicious_minutes():
    """A success among failures is told, whatever the rule counts."""
    lines = [*(login(NEW_YEAR + n) for n in range(3)), login(NEW_YEAR + 1, outcome="success")]
    (hour,) = suspect_hours([*lines, request(NEW_YEAR, status=302), request(NEW_YEAR + 5)])

    assert hour.request_count == 5
    assert hour.responses == {"3xx": 1, "ssh_failure": 3, "ssh_success": 1}


def test_more_values_than_are_kept_are_128():
    """A threshold of 128 is reached by 128 values, and no count is above it."""
    strict = with_thresholds(RULES, {"missing": Override(threshold=128)})

    def peak(number: int) -> int | None:
        lines = [request(NEW_YEAR + n % 2, f"/{n}", status=404) for n in range(number)]
        found = finding(suspect_hours(lines, strict), "missing")
        return found.peak_count if found else None

    assert [peak(127), peak(128), peak(129), peak(700)] == [None, 128, 128, 128]


def test_thresholds_meet_what_is_stored():
    """Another threshold or timespan needs no new counting."""
    tally = loaded([requests(3)])
    loose = with_thresholds(RULES, {"volume": Override(threshold=3, timespan="1m")})
    touched = Touched.by([tally.tally])

    assert evaluate(RULES, [tally], touched) == []
    assert finding(evaluate(loose, [tally], touched), "volume") is not None


def test_a_rule_that_is_gone_says_nothing():
    """Counters of rules that are not there any more are left alone."""
    tally = loaded([[*requests(5), request(NEW_YEAR, "/?id=1+union+select+2")]])
    fewer = RuleSet(
        rules=tuple(r for r in RULES.rules if r.id != "volume"),
        signatures=RULES.signatures,
        incident_gap_seconds=RULES.incident_gap_seconds,
        signature_set=RULES.signature_set,
    )
    (hour,) = evaluate(fewer, [tally], Touched.by([tally.tally]))

    assert [f.rule_id for f in hour.findings] == ["attack"]


def test_hours_before_the_epoch_are_hours():
    """Time before 1970 is cut into hours like any other."""
    (hour,) = suspect_hours(requests(5, -30))

    assert (hour.hour, hour.first_minute) == (-1, -30)


def test_ips_do_not_meet():
    """Windows of one IP hold nothing of another, also where their minutes touch."""
    lines = [
        *requests(4, NEW_YEAR),
        *(request(NEW_YEAR, source_ip="203.0.113.8", second=n) for n in range(4)),
    ]

    assert suspect_hours(lines) == []


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_ips_are_judged_some_at_a_time(monkeypatch, rows):
    """However few IPs meet, the same hours are found, in the same order."""
    ips = ["203.0.113.9", "203.0.113.10", "2001:db8::1", "198.51.100.7"]
    lines = [request(NEW_YEAR + n % 70, source_ip=ip) for ip in ips for n in range(140)]
    expected = suspect_hours(lines)
    monkeypatch.setattr("tasks.detect.loading._CROWD", rows)

    assert suspect_hours(lines) == expected
    assert {hour.source_ip for hour in expected} >= {ips[0], ips[1], ips[3]}


def test_an_ip_that_is_not_touched_is_not_spoken_of():
    """Evaluation costs what is new."""
    tally = loaded([[*requests(5), request(NEW_YEAR, "/?id=union select", source_ip="::1")]])
    touched = Touched.within({"::1": (NEW_YEAR, NEW_YEAR)})

    assert {h.source_ip for h in evaluate(RULES, [tally], touched)} == {"::1"}


def test_only_affected_hours_are_spoken_of():
    """An hour that nothing new can reach is not returned, so it is not replaced."""
    tally = loaded([[*requests(5), *requests(5, NEW_YEAR + 180)]])
    touched = Touched.within({ATTACKER: (NEW_YEAR + 180, NEW_YEAR + 180)})

    assert [h.hour for h in evaluate(RULES, [tally], touched)] == [HOUR + 3]
    assert affected_hours(touched, RULES, [ATTACKER]) == {ATTACKER: [(HOUR + 2, HOUR + 4)]}


def test_affected_and_needed_are_as_wide_as_the_longest_window():
    """With windows of one hour, a minute reaches 59 minutes both ways."""
    touched = Touched.within({ATTACKER: (NEW_YEAR, NEW_YEAR), "::1": (9, 9)})

    assert affected_hours(touched, RULES, [ATTACKER, "192.0.2.1"]) == {
        ATTACKER: [(HOUR - 1, HOUR + 1)]
    }
    assert needed_minutes(touched, RULES) == [
        (-60 - 59, 120 + 59),
        (NEW_YEAR - 60 - 59, NEW_YEAR + 60 + 59),
    ]
    assert told_minutes(touched, RULES) == [(-60, 120), (NEW_YEAR - 60, NEW_YEAR + 60)]


def test_what_is_withdrawn_is_affected_and_gone():
    """An hour that lost its last suspicious minute is affected, and nothing is returned."""
    before = loaded([requests(5)])
    touched = Touched.by([before.tally])
    after = LoadedTally(before.tally.only([]), before.object_keys)

    assert evaluate(RULES, [after], touched) == []
    assert affected_hours(touched, RULES, [ATTACKER]) == {ATTACKER: [(HOUR - 1, HOUR + 1)]}


def test_nothing_touched_is_nothing_to_do():
    """Without anything new nothing is needed and nothing is found."""
    touched = Touched.by([])

    assert touched.is_empty
    assert needed_minutes(touched, RULES) == []
    assert list(touched.slices()) == []
    assert evaluate(RULES, [loaded([requests(5)])], touched) == []


def test_within_is_what_tallies_touch():
    """Hours between the first and the last minute are touched, each with its part."""
    within = Touched.within({ATTACKER: (NEW_YEAR - 1, NEW_YEAR + 60)})
    (attacker,) = hash_names(pl.Series([ATTACKER]))

    assert sorted(within.hours.rows()) == [
        (attacker, HOUR - 1, NEW_YEAR - 1, NEW_YEAR - 1),
        (attacker, HOUR, NEW_YEAR, NEW_YEAR + 59),
        (attacker, HOUR + 1, NEW_YEAR + 60, NEW_YEAR + 60),
    ]
    tallies = [count([requests(1, NEW_YEAR + 7)]), count([requests(1, NEW_YEAR + 3)])]
    assert Touched.by(tallies).hours.rows() == [(attacker, HOUR, NEW_YEAR + 3, NEW_YEAR + 7)]


def test_evidence_says_where_it_is_and_what_for():
    """A line names its object, its number, and the rules it counts for there and then."""
    attack = request(NEW_YEAR, "/?id=1+union+select+2", status=404)
    lines = [request(NEW_YEAR, f"/{n}") for n in range(40)]
    (hour,) = evaluate(
        RULES,
        [
            loaded([lines, [Line(attack.event, attack.text, 12)]]),
            loaded([[Line(attack.event, attack.text, 11)]]),
        ],
        Touched.within({ATTACKER: (NEW_YEAR, NEW_YEAR)}),
    )
    shown = [s for s in hour.samples if "union" in s.line]

    assert shown == [EvidenceLine("0.log", 11, attack.text.decode(), ("attack", "volume"))]
    assert {s.rule_ids for s in hour.samples} == {("attack", "volume"), ("volume",)}


def test_a_line_that_two_sets_of_rules_counted_names_each_rule_once():
    """Rules that were changed between two runs do not repeat what they have in common."""
    attack = request(NEW_YEAR, "/?id=1+union+select+2", status=404)
    before = replace(RULES, rules=tuple(r for r in RULES.rules if r.id != "volume"))
    (hour,) = evaluate(
        RULES,
        [loaded([[attack]], before), loaded([[*requests(5), attack]])],
        Touched.within({ATTACKER: (NEW_YEAR, NEW_YEAR)}),
    )
    (shown,) = (s for s in hour.samples if "union" in s.line)

    assert shown.rule_ids == ("attack", "volume")


def test_lines_of_rules_that_did_not_match_are_ordinary():
    """Evidence is told only of what was found."""
    lines = [
        request(NEW_YEAR, "/?id=1+union+select+2"),
        *(request(NEW_YEAR, f"/{n}", status=404) for n in range(2)),
    ]
    (hour,) = suspect_hours(lines)

    assert sorted(s.rule_ids for s in hour.samples) == [(), (), ("attack",)]


def test_an_hour_survives_the_database():
    """What is stored as JSON comes back as it was."""
    hours = suspect_hours([*requests(5), request(NEW_YEAR, '/"\u2603?id=union select\x00')])

    assert [SuspectHour.from_json(orjson.loads(orjson.dumps(h))) for h in hours] == hours


@pytest.mark.parametrize(("hours", "size"), [(24, 1000), (24, 7), (2, 3), (1, 1)])
@pytest.mark.parametrize("margin", [0, 1, 3])
@pytest.mark.parametrize("is_by_hour", [True, False])
def test_each_hour_of_each_ip_is_spoken_of_by_one_slice(hours, size, margin, is_by_hour):
    """And that slice has all that is touched around it; what is touched there is in no other."""
    at = {f"192.0.2.{n}": (60 * (n // 10), 60 * (n // 10 + n % 4)) for n in range(40)}
    at |= {"198.51.100.1": (60 * 40, 60 * 41)}
    touched = Touched.within(at)
    around = {
        (ip, hour): [h for i, h, *_ in touched.hours.rows() if i == ip and abs(h - hour) <= margin]
        for ip, near, *_ in touched.hours.rows()
        for hour in range(near - margin, near + margin + 1)
    }

    slices = list(touched.slices(margin, hours, size, is_by_hour=is_by_hour))
    speaking = [
        (s, s.hours.filter(pl.col("ip_hash") == ip)["hour"])
        for (ip, hour), near in around.items()
        for s in slices
        if s.spoken[0] <= hour < s.spoken[1] and ip in s.hours["ip_hash"]
        if {h for i, h, *_ in s.hours.rows() if i == ip} >= {*near}
    ]

    assert len(speaking) == len(around)
    assert sorted(row for s in slices for row in s.own.hours.rows()) == sorted(touched.hours.rows())
    assert all(s.spoken[1] - s.spoken[0] <= hours for s in slices)
    assert all(s.own.hours.height <= max(3 * size, 8) for s in slices)


def test_slices_of_heavy_parts_are_shorter():
    """What attackers do in an hour takes the memory of what many others do in a day."""
    touched = Touched.within({ATTACKER: (NEW_YEAR, NEW_YEAR + 8 * 60)})
    start = NEW_YEAR // 60
    heavy = (NEW_YEAR, NEW_YEAR + 4 * 60 - 1, 4 * SLICE_BYTES)
    elsewhere = (NEW_YEAR - 5000, NEW_YEAR - 4000, 100 * SLICE_BYTES)

    slices = [s.spoken for s in touched.slices(weights=[heavy, elsewhere])]

    assert [(a - start, b - start) for a, b in slices] == [(-1, 1), (1, 2), (2, 3), (3, 4), (4, 10)]
    assert [s.spoken for s in touched.slices()] == [(start - 1, start + 10)]


def test_a_heavy_hour_is_evaluated_in_shares_of_its_ips():
    """Thirty GiB of one day took three quarters of a GiB to evaluate."""
    touched = Touched.within({f"192.0.2.{n}": (NEW_YEAR, NEW_YEAR + 59) for n in range(99)})
    heavy = (NEW_YEAR, NEW_YEAR + 59, 6 * SLICE_BYTES)
    shares = [s for s in touched.slices(weights=[heavy]) if s.own.hours.height]

    assert [(s.share, s.shares) for s in shares] == [(n, 6) for n in range(6)]
    assert sorted(pl.concat(s.ips for s in shares)) == sorted(touched.ips)


def test_no_slice_is_empty():
    """Where the hashes of few IPs leave a part of the hours to nobody, there is no slice of it."""
    touched = Touched.within({ATTACKER: (NEW_YEAR, NEW_YEAR + 7 * 60)})

    slices = list(touched.slices(1, 24, 2, is_by_hour=False))

    assert [s.ips.to_list() for s in slices] == [touched.ips.to_list()]


def test_lines_that_are_asked_for_are_read_together():
    """A part is decompressed once for the lines of all rules; what is asked for later is read."""
    reads: list[list[int]] = []

    def read(rows):
        reads.append(rows.tolist())
        return pl.Series(["first", "second", "third"]).gather(rows)

    tally = Tally.from_payloads([])
    rows = pl.DataFrame({"ip": [0, 0, 0], "line": [0, 1, 2]})
    samples = Addressed(rows, pl.Series([ATTACKER]))
    lines = Lines()
    numbers = lines.number(LoadedTally(replace(tally, samples=samples), {}, read)).rows["line"]
    some, others = lines.ask(numbers[[2, 0]]), lines.ask(numbers[[0, 0]])

    assert some().to_list() == ["third", "first"]
    assert others().to_list() == ["first", "first"]
    assert reads == [[0, 2]]
    assert lines.ask(numbers[[1]])().to_list() == ["second"]
