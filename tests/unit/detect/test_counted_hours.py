"""Long windows: what is counted of an hour, and what a day of such hours says."""

import pytest

from tasks.detect import counted_hours as counted_hours_module
from tasks.detect.counted_hours import (
    CountedHours,
    HourCounter,
    affected_by_hours,
    evaluate_hours,
    needed_hours,
    slow_candidates,
)
from tasks.detect.incidents import chain
from tasks.detect.touched import Touched, needed_minutes
from tasks.model.errors import PermanentError
from tests.counting import (
    ATTACKER,
    NEW_YEAR,
    RULES,
    count_hours,
    loaded,
    login,
    request,
    suspect_hours,
)

HOUR = NEW_YEAR // 60


def counted_hours(lines):
    tally = loaded([list(lines)])
    touched = Touched.by([tally.tally])
    return count_hours([tally], touched), touched


def slow_hours(lines):
    return evaluate_hours(RULES, *counted_hours(lines))


def failures(*minutes):
    return [login(NEW_YEAR + minute) for minute in minutes]


@pytest.mark.parametrize(
    ("minutes", "hours"),
    [
        ((0, 60, 120), []),
        ((0, 60, 120, 179), [0, 1, 2]),
        ((59, 60, 120, 179), [0, 1, 2]),
        ((0, 60, 120, 180), []),
        ((0, 1, 2, 3), [0]),
        ((0, 1, 2, 180, 181, 182), []),
    ],
)
def test_a_long_window_is_of_whole_hours(minutes, hours):
    """Four failures in three hours of the clock are found, and in four hours they are not."""
    assert [h.hour - HOUR for h in slow_hours(failures(*minutes))] == hours


def test_a_long_window_says_from_when_to_when():
    """The finding names the minutes of its own events, and the hour all that the IP did."""
    lines = [*failures(10, 70, 130, 140), request(NEW_YEAR + 150), request(NEW_YEAR + 200)]
    *_, last = slow_hours(lines)
    (found,) = last.findings

    assert (found.rule_id, found.event_count, found.peak_count) == ("slow-logins", 2, 4)
    assert (found.first_minute, found.last_minute) == (NEW_YEAR + 130, NEW_YEAR + 140)
    assert found.peak_minute == NEW_YEAR
    assert (last.request_count, last.responses) == (3, {"2xx": 1, "ssh_failure": 2})


def test_a_slow_attack_is_one_incident():
    """Attempts an hour and more apart belong together while they are within the window."""
    lines = failures(*(start + n for start in range(0, 1000, 90) for n in (0, 1)))
    (incident,) = chain([*suspect_hours(lines), *slow_hours(lines)], RULES, "test")

    assert [f.rule_id for f in incident.findings] == ["slow-logins"]
    assert incident.activity.request_count == len(lines)
    assert incident.evidence


def test_what_lies_between_belongs_to_it():
    """An attack of another kind in a pause of the slow one is no incident of its own."""
    slow = failures(0, 1, 60, 170, 171)
    attack = request(NEW_YEAR + 120, "/a?id=1+union+select+2")
    lines = [*slow, attack]
    (incident,) = chain([*suspect_hours(lines), *slow_hours(lines)], RULES, "test")

    assert {f.rule_id for f in incident.findings} >= {"slow-logins", "attack"}


def test_an_hour_with_both_is_counted_once():
    """What slow rules say of an hour holds what the others say of its minutes."""
    lines = failures(0, 1, 2, 3)
    (incident,) = chain([*suspect_hours(lines), *slow_hours(lines)], RULES, "test")

    assert [f.rule_id for f in incident.findings] == ["logins", "slow-logins"]
    assert incident.activity.request_count == 4
    assert len({e.line for e in incident.evidence}) == len(incident.evidence) == 4


def test_a_long_window_needs_no_day_of_minutes():
    """However long the windows are, segments are read one hour around what is touched."""
    touched = Touched.within({ATTACKER: (NEW_YEAR, NEW_YEAR)})

    assert needed_minutes(touched, RULES) == [(NEW_YEAR - 2 * 60 + 1, NEW_YEAR + 2 * 60 - 1)]
    assert needed_hours(touched, RULES) == [(HOUR - 4, HOUR + 5)]
    assert affected_by_hours(touched, RULES, {ATTACKER}) == {ATTACKER: [(HOUR - 2, HOUR + 3)]}


def test_who_is_not_counted_leaves_no_row():
    """A page view is nothing that a slow rule asks for, and comes once without a line."""
    counted, _ = counted_hours([request(NEW_YEAR), *failures(0)])
    alone, _ = counted_hours([request(NEW_YEAR)])

    assert counted.counts.rows["count"].sum() == 2
    assert counted.samples.rows.is_empty()
    assert all(table.rows.is_empty() for table in alone.tables)


def test_hours_of_which_nothing_is_on_record_are_empty():
    """A slice that speaks of hours beside what is touched, and reads no tally, ended a scan."""
    found, busy = HourCounter(RULES, Touched.by([])).count()

    assert (found.to_payloads(), busy.ips.to_list()) == ([], [])


def test_payloads_give_back_what_was_counted():
    """In any number of parts, of any hours."""
    lines = [
        *failures(*range(0, 300, 5)),
        *(request(NEW_YEAR, f"/{n}", status=404) for n in range(9)),
    ]
    counted, _ = counted_hours(lines)
    hours = sorted(set(counted.counts.rows["hour"]))
    parts = [p for h in hours for p in counted.by_hour()[h].to_payloads()]
    again = CountedHours.from_payloads(reversed(parts))

    assert sorted(again.to_payloads()) == sorted(counted.to_payloads())


def test_an_hour_in_many_parts_is_as_busy_as_in_one(monkeypatch):
    """Who has rows in several parts of an hour is looked at with all of them."""
    missing = [request(NEW_YEAR + n, f"/missing/{n}", status=404) for n in range(40)]
    whole, _ = counted_hours(missing)
    monkeypatch.setattr(counted_hours_module, "_MAX_BYTES", 1)
    parts = whole.to_payloads()

    assert len(parts) > len(missing)
    found = slow_candidates(RULES, [CountedHours.from_payloads(parts)]).to_list()
    assert found == slow_candidates(RULES, [whole]).to_list()
    assert len(found) == 1


@pytest.mark.parametrize("part", [b"", b"MWH3C", b"MWH2C", b"MWH1X", b"MWH1Cnonsense"])
def test_a_damaged_part_is_named(part):
    """What this version does not know is not guessed."""
    with pytest.raises(PermanentError, match="Counted hours in the database"):
        CountedHours.from_payloads([part])
