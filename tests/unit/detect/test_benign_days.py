"""What ordinary clients do all day long is nothing, also with windows of a day."""

from datetime import UTC, datetime
from hashlib import sha256

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


def missing(*requests, agent, times=40):
    """What a program asks for that is not there, each of *requests* with names of its own."""
    digests = [sha256(bytes([n])).hexdigest() for n in range(times)]
    return [
        web(600, request.format(n=n, digest=digest), 404, agent, n % 60)
        for n, digest in enumerate(digests)
        for request in requests
    ]


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
    "a crawler that reads relative links from the wrong page": missing(
        "GET /blog/2024/blog/2024/tag{n}/", agent="ExampleBot/1.0 (+https://example.com/bot)"
    ),
    "a push of an image to a registry": missing(
        "HEAD /v2/acme/api/blobs/sha256:{digest}", agent="docker/24.0.7 go/go1.20.10"
    ),
    "a build that looks for cached layers": missing(
        "HEAD /v2/cache/layer-{n}/manifests/latest", agent="buildkit/v0.12"
    ),
    "a backup that looks for what is stored": missing(
        "HEAD /backup/data/{digest}", agent="restic/0.16", times=200
    ),
    "a build cache that is empty": missing(
        "GET /cache/ac/{digest}", "GET /{digest}.narinfo", agent="build/7.0", times=250
    ),
    "a clone without packs": missing("GET /site.git/objects/{n}/{digest}", agent="git/2.39.2"),
    "a synchronisation before it uploads": missing(
        "PROPFIND /remote.php/dav/photos/day{n}", agent="mirall/3.11"
    ),
    "a proxy for modules of Go": missing(
        "GET /github.com/acme/mod{n}/@v/list", agent="Go-http-client/1.1"
    ),
    "a package manager with scoped names": missing(
        "GET /@acme%2fpkg{n}", agent="npm/10.2.3 node/v20.10.0"
    ),
    "a map outside of its area": missing(
        "GET /tiles/15/17{n}/11321.png",
        "GET /tiles/16/17{n}/22642.png",
        agent="Mozilla/5.0",
        times=200,
    ),
    "records that were removed": missing("GET /api/node/{n}", agent="Mozilla/5.0"),
    "an address book of pictures that nobody has": missing(
        "GET /avatar/user{n}/64", agent="Mozilla/5.0"
    ),
    "mail in use": missing("GET /horde/themes/default/fonts/x{n}.woff", agent="Mozilla/5.0"),
    "a user of a remote desktop's gateway": [
        web(600, f"GET /logon/LogonPoint/{name}", second=n)
        for n, name in enumerate(("index.html", "init.js", "custom/style.css", *PAGE))
    ],
    "a visitor of a VPN's portal": [
        web(600, f"GET /global-protect/portal/{name}", second=n)
        for n, name in enumerate(("css/login.css", "images/logo.png", "js/a.js", *PAGE))
    ],
    "a set-top box": [
        web(600, f"GET /stalker_portal/c/{name}", second=n) for n, name in enumerate(PAGE)
    ],
    "a profiler": [
        web(m, f"GET /debug/pprof/{kind}", agent="profiler/1.0")
        for m in DAY[::5]
        for kind in ("profile", "heap", "allocs", "goroutine", "mutex", "block")
    ],
    "a visitor of an old shop": [
        web(600, f"GET /{name}.php?id=7", second=n)
        for n, name in enumerate(("about", "goods", "buy", "content", "doc", "simple"))
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
