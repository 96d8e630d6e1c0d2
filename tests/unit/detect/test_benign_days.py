"""What ordinary clients do all day long is nothing, also with windows of a day."""

from datetime import UTC, datetime

import pytest

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.parser import parse_line
from tasks.detect.counted_hours import evaluate_hours
from tasks.detect.evaluate import evaluate
from tasks.detect.loading import LoadedTally
from tasks.detect.rules import load_rules
from tasks.detect.tally_builder import TallyBuilder
from tasks.detect.touched import Touched
from tasks.model.events import Unparsed
from tests.counting import count_hours

SHIPPED = load_rules()
CLOCK = ObjectClock(datetime(2026, 2, 24, tzinfo=UTC))


def web(minute, request, status=200, agent="Mozilla/5.0 (X11; Linux x86_64)", second=0):
    time = f"{minute // 60:02}:{minute % 60:02}:{second:02}"
    return (
        f'192.0.2.7 - - [22/Feb/2026:{time} +0000] "{request} HTTP/1.1" {status} 512 "-" "{agent}"'
    )


def ssh(minute, message):
    return f"2026-02-22T{minute // 60:02}:{minute % 60:02}:07+00:00 bastion sshd[77]: {message}"


def findings(lines):
    """The ids of all rules that find something in a day of one client."""
    builder = TallyBuilder(SHIPPED)
    sink = builder.sink(0)
    for number, line in enumerate(lines, start=1):
        parsed = parse_line(line.encode(), CLOCK)
        assert not isinstance(parsed, Unparsed), line
        for event in parsed:
            sink(event, number, line.encode())
    tally = builder.write().read()
    touched = Touched.by([tally])
    tallies = [LoadedTally(tally, {0: "day.log"})]
    hours = evaluate(SHIPPED, tallies, touched)
    hours += evaluate_hours(SHIPPED, count_hours(tallies, touched, SHIPPED), touched)
    return {finding.rule_id for hour in hours for finding in hour.findings}


DAY = range(24 * 60)
PAGE = ["site.css", "app.js", "logo.svg", *(f"{n}.jpg" for n in range(25))]

BENIGN = {
    "a monitor that asks for a page every minute": [
        web(m, "GET /health", agent="monitor/1.0") for m in DAY
    ],
    "a monitor that asks for a page that fails": [
        web(m, "GET /status/db-01", 503, "monitor/1.0") for m in DAY
    ],
    "a feed reader every five minutes": [
        web(m, "GET /blog/feed/rss.xml", 304, "reader/2.0") for m in DAY[::5]
    ],
    "a crawler that takes a page every three minutes": [
        web(m, f"GET /articles/{m}-title", 200, "ExampleBot/1.0 (+https://example.com/bot)")
        for m in DAY[::3]
    ],
    "a crawler that follows links of an old site": [
        web(m, f"GET /old/{m}", 404, "ExampleBot/1.0 (+https://example.com/bot)") for m in DAY[::2]
    ],
    "an API client that asks twice a minute": [
        web(m, "GET /api/v1/messages?since=5&limit=20", 200, "app/3.1", s)
        for m in DAY
        for s in (0, 30)
    ],
    "a reader of many pages with all that is in them": [
        line
        for m in DAY[480:1080:6]
        for line in (
            web(m, f"GET /articles/{m}-title"),
            *(web(m, f"GET /static/{name}") for name in PAGE),
        )
    ],
    "an editor of a content management system": [
        web(m, request)
        for m in DAY[540:1020:4]
        for request in (
            f"GET /wp-admin/post.php?post={m}&action=edit",
            "POST /wp-admin/admin-ajax.php",
            f"GET /wp-json/wp/v2/posts/{m}?context=edit",
        )
    ],
    "somebody who forgot a password and found it": [
        *(ssh(600 + n, "Failed password for dora from 192.0.2.7 port 5 ssh2") for n in range(3)),
        ssh(604, "Accepted password for dora from 192.0.2.7 port 5 ssh2"),
    ],
    "a job with a withdrawn key, every hour": [
        ssh(m, "Connection closed by authenticating user backup 192.0.2.7 port 5 [preauth]")
        for m in DAY[::60]
    ],
    "a job that logs in every minute": [
        ssh(m, "Accepted publickey for deploy from 192.0.2.7 port 5 ssh2: ED25519 SHA256:abc")
        for m in DAY
    ],
}


@pytest.mark.parametrize("who", BENIGN)
def test_an_ordinary_day_is_nothing(who):
    """No rule finds anything in it."""
    assert findings(BENIGN[who]) == set()


HOSTILE = {
    "ssh-slow-login-failures": [
        ssh(m, "Failed password for root from 192.0.2.7 port 5 ssh2") for m in DAY[::40]
    ],
    "ssh-slow-user-enumeration": [
        ssh(m, f"Invalid user u{m} from 192.0.2.7 port 5") for m in DAY[::120]
    ],
    "http-scraping": [web(m, f"GET /catalog/item-{m}", agent="x") for m in DAY],
    "ssh-login-after-failures": [
        *(ssh(600 + n, "Failed password for root from 192.0.2.7 port 5 ssh2") for n in range(12)),
        ssh(615, "Accepted password for root from 192.0.2.7 port 5 ssh2"),
    ],
}


@pytest.mark.parametrize("rule_id", HOSTILE)
def test_a_slow_attack_is_found(rule_id):
    """The same measure finds what goes on all day."""
    assert rule_id in findings(HOSTILE[rule_id])
