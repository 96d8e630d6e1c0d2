"""The end of a run and its alerts on a terminal."""

from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given, settings
from rich.console import Console

from flows.terminal import MAX_LISTED, print_alert, print_run
from tasks.model.incidents import Severity, Status
from tasks.model.objects import Coverage, SkippedObject
from tasks.model.runs import RunState, RunSummary
from tasks.notify.message import RunLink, incident_message
from tests.conclusions import CONCLUSION, END, START, conclusion, conclusions

RUN = RunSummary(
    name="tidy-fox",
    kind="scan",
    namespace="live",
    source="/var/log",
    started_at=START,
    finished_at=END,
    state=RunState.DONE,
    coverage=Coverage(listed=2, done=2),
    lines=3800,
    suspects=2,
    conclusions=(CONCLUSION, conclusion(source_ip="2001:db8:bad:cafe::7", status=Status.BENIGN)),
)


def printed(show, *arguments, width=80):
    file = StringIO()
    show(*arguments, Console(file=file, width=width, color_system=None, force_terminal=True))
    return file.getvalue()


def test_run_ends_with_incidents_coverage_and_cost():
    """The table names the attacker and not the cleared client; coverage and cost follow."""
    text = printed(print_run, RUN)

    assert "198.51.100.7" in text
    assert "2001:db8" not in text
    assert "2 listed = 2 done + 0 unchanged + 0 quarantined + 0 skipped" in text
    assert "0 model calls" in text
    assert "2 suspects, 1 incident, 1 cleared" in text


def test_thousands_of_incidents_are_counted_and_the_worst_listed():
    """What scrolls away is not read: the worst come first, and the others are a number."""
    many = [conclusion(source_ip=f"198.51.{n // 256}.{n % 256}") for n in range(2050)]
    worst = conclusion(source_ip="203.0.113.9", severity=Severity.CRITICAL)

    text = printed(print_run, replace(RUN, conclusions=(*many, worst)))

    assert "203.0.113.9" in text
    assert text.count("198.51.") == MAX_LISTED - 1
    assert "and 2,001 more, none of them worse, in the table incidents" in text
    assert "2,051 incidents" in text


def test_where_to_look_is_named():
    """Commands and pages to look at are printed as they are."""
    file = StringIO()

    print_run(
        RUN,
        Console(file=file, width=80),
        ["sqlite3 .middlewatch/[demo].db 'select * from incidents'"],
    )

    assert "  sqlite3 .middlewatch/[demo].db 'select * from incidents'" in file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 160])
def test_addresses_are_whole_on_a_narrow_terminal(width):
    """An IPv6 address is not cut, so that it can be copied."""
    told = conclusion(source_ip="2001:db8:bad::7", probable_attack_type="word " * 20)

    text = printed(print_run, replace(RUN, conclusions=(told,)), width=width)

    assert "2001:db8:bad::7" in text
    assert "02-20 22:12-22:16" in text


def test_failures_and_what_was_not_read_are_told():
    """A run that is not all fine says what failed, what was degraded and what was not read."""
    run = replace(
        RUN,
        state=RunState.INCOMPLETE,
        skipped=(
            SkippedObject("b.log", "1", "not a regular file", is_retried=False),
            SkippedObject("c.log", "1", "it is cut off"),
        ),
        failures=("c.log: it is cut off", "An alert was not delivered."),
        degradations=("Bedrock was down.",),
    )

    text = printed(print_run, run)

    for part in ("incomplete", "b.log: not a regular file", "An alert was not", "Bedrock was down"):
        assert part in text
    assert text.count("c.log") == 1


def test_alert_is_readable():
    """An alert on the terminal begins with the same line as in the channel."""
    text = printed(print_alert, incident_message(CONCLUSION, RunLink("tidy-fox")))

    assert "HIGH: SQL injection from 198.51.100.7" in text


def test_markup_of_rich_is_text():
    """Square brackets from a log are shown, not obeyed."""
    told = conclusion(probable_attack_type="[bold red]x[/] [link=http://evil.test]y[/link]")

    text = printed(print_run, replace(RUN, conclusions=(told,)), width=300)

    assert "[bold red]x[/] [link=http://evil.test]y[/link]" in text


@settings(max_examples=50, deadline=None)
@given(conclusions)
def test_no_control_sequence_reaches_the_terminal(hostile):
    """Whatever logs and models write, not one escape or control character is printed."""
    run = replace(RUN, conclusions=(hostile,), failures=(hostile.judgement.verdict.summary,))
    message = replace(
        incident_message(hostile, RunLink("x")), plain="\x1b[2J\x07" + hostile.incident.source_ip
    )

    text = printed(print_run, run) + printed(print_alert, message)

    assert all(c == "\n" or c.isprintable() or c == "\u3000" for c in text)


def test_severity_has_a_word_not_only_a_colour():
    """Without colours the severity is still there."""
    told = conclusion(severity=Severity.CRITICAL)

    assert "critical" in printed(print_run, replace(RUN, conclusions=(told,)))


def test_an_incident_of_one_minute_has_one_time():
    """No range from a minute to itself."""
    incident = replace(CONCLUSION.incident, last_seen=CONCLUSION.incident.first_seen)

    text = printed(print_run, replace(RUN, conclusions=(replace(CONCLUSION, incident=incident),)))

    assert "02-20 22:12" in text
    assert "22:12-22:12" not in text
