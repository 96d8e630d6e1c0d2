"""Incidents: how suspicious hours are chained, and what becomes of those on record."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tasks.detect.incidents import chain, reach, reconcile
from tasks.detect.suspect_hours import HourFinding, SuspectHour
from tasks.model.incidents import (
    INJECTION_RULE,
    Activity,
    EvidenceLine,
    Family,
    Incident,
    Severity,
    Status,
    StoredIncident,
)
from tests.counting import ATTACKER, NEW_YEAR, RULES, login, request, suspect_hours

GAP = RULES.incident_gap_seconds // 60
HOUR = NEW_YEAR // 60
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
FOUND = HourFinding(
    rule_id="attack",
    rule_version=1,
    rule_title="One hit is a finding",
    family=Family.SQL_INJECTION,
    severity=Severity.HIGH,
    techniques=("T1190",),
    is_signature=True,
    timespan_seconds=60,
    threshold=1,
    first_minute=NEW_YEAR,
    last_minute=NEW_YEAR,
    event_count=1,
    peak_count=1,
    peak_minute=NEW_YEAR,
)


def hour(*findings: HourFinding, first: int = NEW_YEAR, last: int | None = None) -> SuspectHour:
    """A suspicious hour with these findings; by default one attack at its first minute."""
    return SuspectHour(
        source_ip=ATTACKER,
        hour=first // 60,
        first_minute=first,
        last_minute=first if last is None else last,
        findings=findings or (replace(FOUND, first_minute=first, last_minute=last or first),),
        request_count=1,
        responses={"2xx": 1},
        samples=(),
    )


def chained(*hours: SuspectHour) -> list[Incident]:
    return chain(hours, RULES, "test")


def one(*hours: SuspectHour) -> Incident:
    (incident,) = chained(*hours)
    return incident


def stored(first: int, last: int, name: str, status: Status = Status.SUSPECTED) -> StoredIncident:
    """An incident on record, by its first and last minute after New Year."""
    start, end = (MIDNIGHT + timedelta(minutes=m) for m in (first, last))
    return StoredIncident(name, ATTACKER, status, start, end)


@pytest.mark.parametrize(("quiet", "incidents"), [(GAP - 1, 1), (GAP, 2)])
def test_a_gap_ends_an_incident(quiet, incidents):
    """As many quiet minutes as the gap part two incidents, one less does not."""
    hours = [hour(first=NEW_YEAR + 30), hour(first=NEW_YEAR + 31 + quiet)]

    assert len(chained(*hours)) == incidents
    assert chained(*hours) == chained(*hours[::-1])


def test_an_incident_sums_its_hours():
    """Counts add up over the hours, and the highest peak is told with its first window."""
    hours = [
        hour(replace(FOUND, event_count=3, peak_count=2)),
        hour(
            replace(
                FOUND,
                first_minute=NEW_YEAR + 60,
                last_minute=NEW_YEAR + 70,
                event_count=9,
                peak_count=4,
                peak_minute=NEW_YEAR + 65,
            ),
            first=NEW_YEAR + 60,
            last=NEW_YEAR + 70,
        ),
    ]
    incident = one(*hours)
    (found,) = incident.findings

    assert (found.event_count, found.count) == (12, 4)
    assert found.window_start == MIDNIGHT + timedelta(minutes=65)
    assert (found.first_seen, found.last_seen) == (MIDNIGHT, MIDNIGHT + timedelta(minutes=70))
    assert (incident.first_seen, incident.last_seen) == (found.first_seen, found.last_seen)
    assert incident.activity == Activity(2, {"2xx": 2})
    assert incident.status is Status.SUSPECTED


def test_the_first_of_equal_peaks_is_told():
    """A peak that is reached again later started earlier."""
    again = replace(FOUND, first_minute=NEW_YEAR + 60, peak_minute=NEW_YEAR + 60)

    assert one(hour(), hour(again, first=NEW_YEAR + 60)).findings[0].window_start == MIDNIGHT


def test_the_newest_version_describes_a_changed_rule():
    """Hours on record may have been judged by an older version of a rule."""
    newer = replace(FOUND, rule_version=2, rule_title="Newer", severity=Severity.LOW)
    incident = one(hour(newer), hour(first=NEW_YEAR + 60))

    assert [(f.rule_version, f.rule_title) for f in incident.findings] == [(2, "Newer")]
    assert incident.severity is Severity.LOW


def test_family_is_what_most_of_the_content_is():
    """Signatures name the family by matched events, whatever counts say."""
    probes = replace(
        FOUND, rule_id="probes", family=Family.RECONNAISSANCE, severity=Severity.LOW, event_count=9
    )
    flood = replace(
        FOUND,
        rule_id="volume",
        family=Family.DENIAL_OF_SERVICE,
        severity=Severity.CRITICAL,
        is_signature=False,
        event_count=9999,
    )
    incident = one(hour(FOUND, probes, flood))

    assert incident.family is Family.RECONNAISSANCE
    assert incident.severity is Severity.CRITICAL
    assert [f.rule_id for f in incident.findings] == ["attack", "probes", "volume"]
    assert incident.families[0] is Family.RECONNAISSANCE


TALK = replace(
    FOUND, rule_id=INJECTION_RULE, family=Family.OTHER, severity=Severity.MEDIUM, event_count=99
)


@pytest.mark.parametrize(
    ("severity", "raised"),
    [
        (Severity.LOW, Severity.MEDIUM),
        (Severity.MEDIUM, Severity.HIGH),
        (Severity.HIGH, Severity.CRITICAL),
        (Severity.CRITICAL, Severity.CRITICAL),
    ],
)
@pytest.mark.parametrize("is_signature", [True, False])
def test_who_talks_to_the_analyst_is_one_step_worse(severity, raised, is_signature):
    """Beside whatever else there is; and it stays what that is, however much is said."""
    other = replace(FOUND, severity=severity, is_signature=is_signature)

    incident = one(hour(other, TALK))

    assert incident.severity is raised
    assert incident.family is FOUND.family
    assert incident.has_signature_evidence


def test_talk_alone_is_what_its_rule_says():
    """One finding is no two."""
    incident = one(hour(TALK))

    assert (incident.severity, incident.family) == (Severity.MEDIUM, Family.OTHER)


def test_family_of_equally_many_events_is_the_worse_one():
    """Severity decides between families with the same number of events."""
    worse = replace(
        FOUND, rule_id="rce", family=Family.REMOTE_CODE_EXECUTION, severity=Severity.CRITICAL
    )

    assert one(hour(FOUND, worse)).family is Family.REMOTE_CODE_EXECUTION
    even = replace(worse, severity=FOUND.severity)
    assert one(hour(even, FOUND)).family is Family.SQL_INJECTION


def test_family_of_counts_is_that_of_the_worst_rule():
    """Without signatures the highest severity names it, then the most events."""
    flood = replace(
        FOUND,
        rule_id="volume",
        family=Family.DENIAL_OF_SERVICE,
        severity=Severity.LOW,
        is_signature=False,
        event_count=900,
    )
    logins = replace(
        flood, rule_id="logins", family=Family.BRUTE_FORCE, severity=Severity.MEDIUM, event_count=5
    )

    assert one(hour(flood, logins)).family is Family.BRUTE_FORCE
    quiet = replace(flood, severity=Severity.MEDIUM)
    assert one(hour(quiet, logins)).family is Family.DENIAL_OF_SERVICE


def test_evidence_is_bounded_and_spread():
    """Each signature rule has its turn before any has two lines; ordinary lines come last."""
    lines = [EvidenceLine("a.log", n, f"attack {n}", ("attack",)) for n in range(30)]
    probe = EvidenceLine("a.log", 40, "probe", ("probes",))
    flood = EvidenceLine("a.log", 41, "flood", ("volume",))
    plain = EvidenceLine("a.log", 42, "plain", ())
    findings = (
        FOUND,
        replace(FOUND, rule_id="probes", severity=Severity.LOW),
        replace(FOUND, rule_id="volume", is_signature=False),
    )
    few = replace(hour(*findings), samples=(plain, flood, *lines[:2], probe, lines[0]))
    many = replace(few, samples=(plain, flood, *lines, probe))

    assert one(few).evidence == (lines[0], probe, lines[1], flood, plain)
    assert len(one(many).evidence) == 20
    assert one(many).evidence[:3] == (lines[0], probe, lines[1])


def test_a_line_is_shown_once():
    """The same line in two hours is one piece of evidence."""
    line = EvidenceLine("a.log", 1, "attack", ("attack",))
    first = replace(hour(), samples=(line,))
    second = replace(hour(first=NEW_YEAR + 60), samples=(replace(line, line_number=2),))

    assert one(first, second).evidence == (line,)


def test_real_hours_make_an_incident():
    """From lines to an incident, as a person reads it."""
    lines = [
        *(request(NEW_YEAR + n, "/?id=1+union+select+2", status=500) for n in (-1, 0, 61)),
        *(login(NEW_YEAR + n) for n in range(3)),
    ]
    incident = one(*suspect_hours(lines))

    assert incident.family is Family.SQL_INJECTION
    assert [(f.rule_id, f.count, f.event_count) for f in incident.findings] == [
        ("attack", 1, 3),
        ("logins", 3, 3),
    ]
    assert incident.activity == Activity(6, {"5xx": 3, "ssh_failure": 3})
    assert incident.first_seen == MIDNIGHT - timedelta(minutes=1)
    assert incident.last_seen == MIDNIGHT + timedelta(minutes=61)
    assert [e.rule_ids for e in incident.evidence[:3]] == [("attack",)] * 3


def test_ids_follow_from_what_happened():
    """The same lines make the same id, another namespace makes another one."""
    assert one(hour()).id == one(hour()).id
    assert chain([hour()], RULES, "other")[0].id != one(hour()).id


# what becomes of those on record


def test_a_chain_with_nothing_on_record_is_new():
    """A new incident keeps the id that follows from where it started."""
    told = reconcile([one(hour())], [], RULES)

    assert (told.upserts, told.merged, told.withdrawn) == ((one(hour()),), (), ())


def test_an_incident_that_grows_keeps_its_id():
    """Also when late lines move its start."""
    told = reconcile([one(hour(), hour(first=NEW_YEAR + 60))], [stored(60, 60, "old")], RULES)

    assert [i.id for i in told.upserts] == ["old"]
    assert (told.merged, told.withdrawn) == ((), ())


@pytest.mark.parametrize(("minute", "is_same"), [(GAP, True), (GAP + 1, False)])
def test_an_incident_that_moves_a_little_is_the_same(minute, is_same):
    """What is left within the gap of an incident continues it."""
    told = reconcile([one(hour(first=NEW_YEAR + minute))], [stored(0, 0, "old")], RULES)

    assert ([i.id for i in told.upserts] == ["old"]) is is_same
    assert (told.withdrawn == ("old",)) is not is_same


def test_late_lines_join_incidents():
    """The later incident is closed as merged into the earlier one."""
    hours = [hour(first=NEW_YEAR + m) for m in (0, 45, 90)]
    told = reconcile([one(*hours)], [stored(90, 90, "later"), stored(0, 0, "earlier")], RULES)

    assert [i.id for i in told.upserts] == ["earlier"]
    assert told.merged == (("later", "earlier"),)


def test_an_incident_without_evidence_is_withdrawn():
    """Nothing suspicious is left of it, so it closes."""
    told = reconcile([], [stored(0, 0, "old")], RULES)

    assert (told.upserts, told.withdrawn) == ((), ("old",))


def test_a_closed_incident_stays_closed():
    """What comes back where one was closed is a new incident with an id of its own."""
    first = one(hour())
    closed = stored(0, 0, first.id, Status.CLOSED)
    (again,) = reconcile([first], [closed], RULES).upserts
    (third,) = reconcile([first], [closed, replace(closed, id=again.id)], RULES).upserts

    assert len({first.id, again.id, third.id}) == 3


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.CLOSED])
def test_a_verdict_does_not_end_an_incident(status):
    """More of a benign or confirmed incident is the same incident."""
    told = reconcile([one(hour())], [stored(0, 0, "old", status)], RULES)

    assert [i.id for i in told.upserts] == ["old"]


def test_an_incident_that_falls_apart_stays_with_its_first_part():
    """Withdrawn lines in the middle leave two incidents, one of them new."""
    hours = [hour(), hour(first=NEW_YEAR + 120)]
    told = reconcile(chained(*hours), [stored(0, 120, "old")], RULES)

    assert [i.id for i in told.upserts] == ["old", chained(*hours)[1].id]


def test_incidents_out_of_reach_are_left_alone():
    """What was not chained again is neither kept nor withdrawn."""
    far = stored(600, 600, "far")

    assert reconcile([one(hour())], [far], RULES, (HOUR, HOUR + 1)).withdrawn == ()
    assert reconcile([one(hour())], [far], RULES).withdrawn == ("far",)


def test_reach_takes_in_whole_incidents():
    """Incidents within reach of a day are chained again from end to end, others are not."""
    existing = [
        stored(-300, -30, "near"),
        stored(-400, -355, "behind it"),
        stored(-2000, -1900, "far"),
        stored(-30, 300, "closed", Status.CLOSED),
    ]

    assert reach((HOUR, HOUR + 1), existing, RULES) == (HOUR - 7, HOUR + 1)
    assert reach((HOUR, HOUR + 1), existing[2:], RULES) == (HOUR, HOUR + 1)
