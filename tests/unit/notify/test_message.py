"""Alert messages: what an ordinary reader is told, and in which order."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tasks.model.incidents import Activity, EvidenceLine, Family, Severity, Status
from tasks.model.text import count_units
from tasks.model.verdicts import AnalystName, Citation, Judgement, Reference, Research
from tasks.notify.message import RunLink, digest_message, incident_message
from tests.conclusions import CONCLUSION, END, FINDING, LINE, START, VERDICT, conclusion
from tests.servers.telegram import parse_html

RUN = RunLink("tidy-fox", "https://prefect.example.org/runs/flow-run/1")


def first_lines(plain: str) -> str:
    return "\n".join(plain.splitlines()[:2])


def test_first_two_lines_say_everything():
    """Severity, family, address, what happened, how often and when stand in the first two lines."""
    message = incident_message(CONCLUSION, RUN)

    assert first_lines(message.plain) == (
        "🔴 HIGH: SQL injection from 198.51.100.7\n"
        "Time-based SQL injection on the login form · 37 requests, 2026-02-20 22:12–22:16 UTC"
    )


def test_all_that_is_promised_is_there():
    """Action, summary, evidence, links, analyst, confidence and run are all in the message."""
    message = incident_message(CONCLUSION, RUN)

    for part in (
        "Do: Block the address",
        "SLEEP(5) into the user parameter",
        f"web-1/access.log:12\n{LINE}",
        "SQL Injection (owasp.org) (https://owasp.org/sqli)",
        "Judged by bedrock (anthropic.claude-haiku), confidence High · T1190",
        "Run tidy-fox (https://prefect.example.org/runs/flow-run/1)",
        "2xx 30, 5xx 7",
    ):
        assert part in message.plain


def test_needs_review_asks_for_a_look():
    """What the analyst could not settle says so in the first line."""
    message = incident_message(conclusion(status=Status.NEEDS_REVIEW), RUN)

    assert message.plain.startswith("🔴 PLEASE CHECK, HIGH: SQL injection")


def test_rules_analyst_says_why_it_answered():
    """A verdict without the model names the reason."""
    judged = Judgement(VERDICT, AnalystName.RULES, "Bedrock refused the call (AccessDenied).")
    message = incident_message(
        type(CONCLUSION)(CONCLUSION.incident, judged, CONCLUSION.research), RUN
    )

    assert "Judged by rules, confidence High" in message.plain
    assert "Rules analyst because: Bedrock refused the call (AccessDenied)." in message.plain


def test_changed_incident_says_what_changed():
    """An incident that is told again says that it is, and what is new."""
    before = conclusion(
        family=Family.RECONNAISSANCE,
        severity=Severity.MEDIUM,
        activity=Activity(3),
        findings=(replace(FINDING, rule_id="probes", family=Family.RECONNAISSANCE),),
    )

    message = incident_message(CONCLUSION, RUN, before)

    assert message.plain.startswith("🔴 CHANGED, HIGH: SQL injection")
    assert (
        "Changed: severity medium → high; now also SQL injection; 3 → 37 requests" in message.plain
    )
    assert "SQL injection in requests: 9" in message.plain


def test_changed_incident_does_not_repeat_what_was_told():
    """Of the evidence, the findings, the pages and the summary only what is new is told."""
    new = EvidenceLine("web-1/access.log", 99, "GET /new", ("sql-injection",))
    known = CONCLUSION.incident.evidence[0]
    now = conclusion(source_ip=known.line.split()[0], evidence=(known, new))

    plain = incident_message(now, RUN, CONCLUSION).plain

    assert "web-1/access.log:99\nGET /new" in plain
    for told in (known.line, VERDICT.summary, "owasp.org", "SQL injection in requests"):
        assert told in incident_message(now, RUN).plain
        assert told not in plain
    assert "Do: Block the address" in plain


def test_changed_logins_are_counted_as_before():
    """What was told before were events, so that is what it is compared with."""
    now = conclusion(activity=Activity(80, {"ssh_failure": 40}))
    before = conclusion(activity=Activity(72, {"ssh_failure": 36}))

    assert "Changed: 72 → 80 events" in incident_message(now, RUN, before).plain


def test_nothing_can_be_tapped_but_our_links():
    """URLs, domains, mentions, hashtags and commands in the model's prose are code."""
    prose = "See http://evil.test/x, evil.test, (@admin), #tag and /start; 198.51.100.7 did it."

    html = incident_message(conclusion(summary=prose), RUN).html

    assert (
        "See <code>http://evil.test/x</code>, <code>evil.test</code>, (<code>@admin</code>),"
        " <code>#tag</code> and <code>/start</code>; <code>198.51.100.7</code> did it." in html
    )


def test_only_plain_web_links_are_links():
    """A reference whose URL is no http or https, or hides its host, is not linked."""
    urls = ("javascript:alert(1)", "https://owasp.org@evil.test/", "ftp://example.org/", "http://[")
    research = Research(references=tuple(Reference("<b>x</b>", u, "") for u in urls))
    told = type(CONCLUSION)(CONCLUSION.incident, CONCLUSION.judgement, research)

    html = incident_message(told, RUN).html

    assert html.count("<a ") == 1  # the run
    assert "Research" not in html


def test_markup_in_a_line_is_text():
    """HTML in a log line is shown, not obeyed, and hidden characters are visible."""
    line = 'GET /<a href="http://evil.test">x</a>\u202e\x1b[2J'
    told = conclusion(evidence=(EvidenceLine("a.log", 1, line, ("r",)),))

    message = incident_message(told, RUN)

    assert 'GET /<a href="http://evil.test">x</a>\\u202e\\x1b[2J' in message.plain
    assert message.html.count("<a ") == 2  # research and run


def test_cited_line_comes_first_and_its_quote_is_seen():
    """Of a long line the part that the analyst quotes is shown."""
    long = "GET /?" + "a" * 5000 + "UNION SELECT password" + "b" * 5000
    told = conclusion(
        evidence=(
            EvidenceLine("a.log", 1, "GET /one", ("r",)),
            EvidenceLine("a.log", 2, long, ("r",)),
        )
    )
    verdict = VERDICT.model_copy(update={"evidence": (Citation(line="2", quote="UNION SELECT"),)})
    told = type(told)(told.incident, Judgement(verdict, AnalystName.BEDROCK))

    plain = incident_message(told, RUN).plain

    assert "UNION SELECT password" in plain
    assert plain.index("a.log:2") < plain.index("a.log:1")


def test_secrets_in_the_name_of_an_object_are_not_told():
    """Where a line is from is shown without the token and the address in the key."""
    key = "logs/jane.doe@example.com/token=9f86d081884c7d65/a.log"
    told = conclusion(evidence=(EvidenceLine(key, 1, "GET /attack", ("r",)),))

    plain = incident_message(told, RUN).plain

    assert "a.log:1" in plain
    assert not any(secret in plain for secret in ("jane.doe", "9f86d081884c7d65"))


def test_ordinary_lines_are_no_evidence():
    """Lines that count for no rule are left out when there are others."""
    told = conclusion(
        evidence=(
            EvidenceLine("a.log", 1, "GET /ordinary", ()),
            EvidenceLine("a.log", 2, "GET /attack", ("r",)),
        )
    )
    told = type(told)(
        told.incident, Judgement(VERDICT.model_copy(update={"evidence": ()}), AnalystName.RULES)
    )

    plain = incident_message(told, RUN).plain

    assert "GET /attack" in plain
    assert "GET /ordinary" not in plain


@pytest.mark.parametrize(
    ("activity", "words"),
    [
        (Activity(1, {"4xx": 1}), "1 request,"),
        (Activity(1200, {"4xx": 1200}), "1,200 requests,"),
        (Activity(9, {"ssh_failure": 9}), "9 ssh logins,"),
        (Activity(18, {"ssh_failure": 8, "ssh_success": 1}), "9 ssh logins,"),
        (Activity(9, {"ssh_failure": 4, "2xx": 5}), "9 events,"),
    ],
)
def test_how_often_is_told_in_its_own_unit(activity, words):
    """Requests, ssh logins and mixtures are called what they are."""
    assert words in first_lines(incident_message(conclusion(activity=activity), RUN).plain)


def test_digest_counts_and_puts_the_worst_first():
    """A digest counts by severity and family, lists the worst first and says how many more."""
    many = [conclusion(source_ip=f"198.51.100.{n}") for n in range(30)]
    worst = conclusion(
        source_ip="203.0.113.9",
        severity=Severity.CRITICAL,
        family=Family.REMOTE_CODE_EXECUTION,
        status=Status.NEEDS_REVIEW,
        first_seen=START - timedelta(days=1),
    )

    plain = digest_message([*many, worst], RUN).plain

    lines = plain.splitlines()
    assert lines[0] == "🚨 31 incidents: 1 critical, 30 high · 1 to check"
    assert lines[1].startswith("SQL injection 30, Remote code execution 1 · 2026-02-19 22:12 – ")
    assert "203.0.113.9 Remote code execution, 37 requests, 02-19 22:12 (please check)" in lines[3]
    assert "… and 6 more" in lines
    assert lines[-1].startswith("Run tidy-fox (https://")


def test_digest_marks_what_was_told_before():
    """An incident that has changed is marked in the digest."""
    assert "22:12 (changed)" in digest_message([CONCLUSION], RUN, [CONCLUSION.incident.id]).plain


def test_times_of_one_minute_are_one_time():
    """First and last in the same minute are told once."""
    told = conclusion(first_seen=END, last_seen=END)

    assert "2026-02-20 22:16 UTC" in first_lines(incident_message(told, RUN).plain)


@pytest.mark.parametrize("character", ["x", '"', "😀", "漢", "\U000e0041"])
def test_longest_of_everything_still_fits(character):
    """With every text at its limit the message is valid, and its least important parts went."""
    told = conclusion(
        summary=character * 2000,
        recommended_action=character * 1000,
        probable_attack_type=character * 200,
        evidence=tuple(
            EvidenceLine(character * 1000, n, character * 2000, ("r",)) for n in range(9)
        ),
    )

    message = incident_message(told, RunLink(character * 500))

    text, _ = parse_html(message.html)
    assert count_units(text) <= 4096
    assert len(message.html.encode()) <= 16_384
    assert text.startswith("🔴 HIGH: SQL injection from 198.51.100.7")
    assert text.count("Evidence") == 1
