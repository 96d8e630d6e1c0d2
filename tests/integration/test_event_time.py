"""One attack is one incident, whatever the clocks of the hosts that logged it do meanwhile."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tasks.detect.rules import load_rules
from tests.bare_scans import Shelf

ATTACKER = "203.0.113.7"


@pytest.fixture
def scans(scans):
    scans.rules = load_rules()
    return scans


def web(at, second="00"):
    """A refused login at a local time with its offset, such as `31/Dec/2025:23:59 +0000`."""
    time, _, offset = at.partition(" ")
    return f'{ATTACKER} - - [{time}:{second} {offset}] "POST /login HTTP/1.1" 401 9 "-" "Mozilla/5.0"\n'


def ssh(at, port=5):
    """A refused login at a time of syslog, in any of its spellings."""
    return f"{at} bastion sshd[7]: Failed password for root from {ATTACKER} port {port} ssh2\n"


def found_in(scans, *objects, modified_at=datetime(2026, 1, 1, 12, tzinfo=UTC)):
    scans.run(Shelf({f"{n}.log": o.encode() for n, o in enumerate(objects)}, "s3://a", modified_at))
    (incident,) = scans.incidents()
    assert incident.source_ip == ATTACKER
    return incident


def utc(year, month, day, hour, minute=0):
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minutes", "first", "last"),
    [
        (["31/Dec/2025:23:58 +0000", "01/Jan/2026:00:01 +0000"],
         utc(2025, 12, 31, 23, 58), utc(2026, 1, 1, 0, 1)),
        (["26/Oct/2025:02:58 +0200", "26/Oct/2025:02:03 +0100"],
         utc(2025, 10, 26, 0, 58), utc(2025, 10, 26, 1, 3)),
        (["30/Mar/2025:01:58 +0100", "30/Mar/2025:03:02 +0200"],
         utc(2025, 3, 30, 0, 58), utc(2025, 3, 30, 1, 2)),
        (["31/Dec/2016:23:56 -0330", "01/Jan/2017:08:59 +0530"],
         utc(2017, 1, 1, 3, 26), utc(2017, 1, 1, 3, 29)),
    ],
    ids=["New Year", "clocks go back", "clocks go forward", "two zones"],
)  # fmt: skip
def test_offsets_make_one_time_of_many(scans, minutes, first, last):
    """Eight refusals before and eight after are sixteen within ten minutes: too many."""
    incident = found_in(scans, *(web(minute) * 8 for minute in minutes))

    assert (incident.first_seen, incident.last_seen) == (first, last)
    assert "http-login-failures" in {f.rule_id for f in incident.findings}
    assert incident.activity.request_count == 16


def test_a_leap_second_is_in_the_minute_that_it_ends(scans):
    """23:59:60 exists, and 00:00:00 follows it in the next minute."""
    text = web("31/Dec/2016:23:59 +0000", "60") * 8 + web("01/Jan/2017:00:00 +0000", "00") * 7
    incident = found_in(scans, text)

    assert incident.first_seen == utc(2016, 12, 31, 23, 59)
    assert incident.last_seen == utc(2017, 1, 1, 0, 0)


def test_syslog_without_a_year_goes_over_new_year(scans):
    """The object was written in the new year: its December is that of the old one."""
    incident = found_in(scans, ssh("Dec 31 23:57:02") * 3 + ssh("Jan  1 00:02:40") * 2)

    assert incident.first_seen == utc(2025, 12, 31, 23, 57)
    assert incident.last_seen == utc(2026, 1, 1, 0, 2)


def test_the_year_of_a_line_does_not_depend_on_when_it_is_read(scans):
    """A part that was written before midnight and one that was written after it add up."""
    before, after = utc(2025, 12, 31, 23, 58), utc(2026, 1, 1, 0, 3)
    scans.run(Shelf({"old.log": (ssh("Dec 31 23:57:02") * 3).encode()}, "s3://a", before))
    scans.run(Shelf({"new.log": (ssh("Jan  1 00:02:40") * 2).encode()}, "s3://b", after))
    (incident,) = scans.incidents()

    assert incident.last_seen - incident.first_seen == timedelta(minutes=5)


def test_local_times_without_an_offset_go_back_only_once(scans):
    """Where clocks go back, 02:xx is there twice and lines do not tell which: it is the first."""
    scans.zone = ZoneInfo("Europe/Rome")
    times = ["Oct 26 01:57:00", "Oct 26 02:20:00", "Oct 26 02:59:00", "Oct 26 03:01:00"]
    scans.run(Shelf({"a.log": "".join(ssh(time) * 5 for time in times).encode()}))
    first, second = scans.incidents()

    assert first.first_seen == utc(2025, 10, 25, 23, 57)
    assert first.last_seen == utc(2025, 10, 26, 0, 59)
    assert second.first_seen == utc(2025, 10, 26, 2, 1)
    assert (first.activity.request_count, second.activity.request_count) == (15, 5)


def test_hosts_in_different_zones_see_one_attack(scans):
    """RFC 5424 and ISO times say their offset, and three of one host and two of another are five."""
    incident = found_in(
        scans,
        ssh("2025-11-03T10:00:59.123456+05:30") * 3,
        ssh("2025-11-03T04:31:00Z") * 2,
    )

    assert incident.first_seen == utc(2025, 11, 3, 4, 30)
    assert incident.activity.request_count == 5


def test_a_clock_that_is_ahead_of_the_others_changes_little(scans):
    """Two hosts that are four minutes apart: what they see is still within one window."""
    incident = found_in(
        scans,
        "".join(ssh(f"2025-11-03T04:3{n}:00Z") for n in range(3)),
        "".join(ssh(f"2025-11-03T04:3{n + 4}:00Z", 6) for n in range(3)),
    )

    assert incident.activity.request_count == 6


def test_a_clock_that_is_ahead_of_the_object_keeps_its_year(scans):
    """A line may be hours younger than the object that holds it, and is not of the year before."""
    modified_at = utc(2025, 12, 31, 22)
    incident = found_in(scans, ssh("Jan  1 01:30:00") * 5, modified_at=modified_at)

    assert incident.first_seen == utc(2026, 1, 1, 1, 30)


def test_lines_that_come_backwards_are_the_same_incident(scans):
    """A host whose lines are older than those that are there already completes the window."""
    for minute in (9, 4, 7, 1, 5):
        scans.run(Shelf({f"{minute}.log": ssh(f"2025-11-03T04:0{minute}:00Z").encode()}))
    (incident,) = scans.incidents()

    assert (incident.first_seen.minute, incident.last_seen.minute) == (1, 9)
