"""Error logs of nginx and Apache: who, and why; a client cannot name another one."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.parser import parse_line
from tasks.model.events import EventCategory, Unparsed

WRITTEN = datetime(2026, 2, 23, tzinfo=UTC)
CLOCK = ObjectClock(WRITTEN)
TIMESTAMP = int(datetime(2026, 2, 22, 22, 10, 1, tzinfo=UTC).timestamp())
NGINX = "2026/02/22 22:10:01 [error] 12#12: *17 "
TAIL = ', client: 192.0.2.7, server: _, request: "GET /x?a=1 HTTP/1.1", host: "shop.example"'
APACHE = (
    "[Sun Feb 22 22:10:01.123456 2026] [auth_basic:error] [pid 5:tid 6] [client 192.0.2.7:555] "
)


def parse(line, clock=CLOCK):
    parsed = parse_line(line.encode(), clock)
    assert not isinstance(parsed, Unparsed), parsed
    (event,) = parsed
    return event


@pytest.mark.parametrize(
    ("message", "user", "is_invalid"),
    [
        ('user "bob": password mismatch', "bob", False),
        ('user "bob" was not found in "/etc/nginx/htpasswd"', "bob", True),
        ('user "a": x" was not found in "/etc/nginx/htpasswd"', 'a": x', True),
    ],
)
def test_login_at_nginx(message, user, is_invalid):
    """A refused name and password is a failed login."""
    event = parse(NGINX + message + TAIL)

    assert (event.category, event.event_action) == (EventCategory.AUTHENTICATION, "http_login")
    assert (event.event_outcome, event.user_name) == ("failure", user)
    assert event.is_invalid_user is is_invalid
    assert (event.timestamp, event.source_ip) == (TIMESTAMP, "192.0.2.7")


def test_backslashes_at_nginx():
    r"""nginx escapes nothing in its error log: the `\t` in `\think` is no tabulator."""
    event = parse(NGINX + "x" + TAIL.replace("/x?a=1", "/?s=\\think\\x22"))

    assert event.url_query == "s=\\think\\x22"


@pytest.mark.parametrize("client", ["2001:db8::7:555", "[2001:db8::7]:555"])
def test_ipv6_at_apache(client):
    """The port comes after the last colon, with and without brackets."""
    assert parse(APACHE.replace("192.0.2.7:555", client) + "x").source_ip == "2001:db8::7"


@pytest.mark.parametrize(
    "time",
    [
        "2026-02-22 22:10:01.323610",
        "2026-02-22 22:10:01",
        "2026-02-23 00:10:01.32 +0200",
        "23/Feb/2026:00:10:01 +0200",
    ],
)
def test_compact_time_at_apache(time):
    """`ErrorLogFormat` may ask for a shorter time, with or without a zone."""
    event = parse(APACHE.replace("Sun Feb 22 22:10:01.123456 2026", time) + "x")

    assert (event.timestamp, event.source_ip) == (TIMESTAMP, "192.0.2.7")


def test_path_that_apache_refuses():
    """A path that leaves the root is the target, as in the access log."""
    event = parse(APACHE + "AH10244: invalid URI path (/cgi-bin/.%2e/.%2e/bin/sh), referer: x")

    assert event.url_path == "/cgi-bin/.%2e/.%2e/bin/sh"


@pytest.mark.parametrize("program", ["httpd[5]", "httpd/shop[5]", "apache2"])
def test_apache_through_syslog(program):
    """Apache sends its error log to syslog without a time of its own."""
    message = "[authz_core:error] [pid 5] [client 192.0.2.7:555] AH01630: client denied: /srv"
    event = parse(f"Feb 22 22:10:01 web-01 {program}: {message}")

    assert (event.timestamp, event.source_ip) == (TIMESTAMP, "192.0.2.7")
    assert (event.category, event.event_reason) == (
        EventCategory.WEB_ERROR,
        "AH01630: client denied: /srv",
    )


def test_nginx_through_syslog():
    """nginx sends its error log to syslog as it is."""
    event = parse("Feb 22 22:10:05 web-01 nginx: " + NGINX + 'user "bob": password mismatch' + TAIL)

    assert (event.timestamp, event.source_ip, event.user_name) == (TIMESTAMP, "192.0.2.7", "bob")


@pytest.mark.parametrize(
    ("message", "user", "is_invalid"),
    [
        ("Digest: user bob: password mismatch: /x", "bob", False),
        ('AH01617: user bob: authentication failure for "/x": Password Mismatch', "bob", False),
        ("AH01618: user bob not found: /x", "bob", True),
        ("AH01790: user `bob' in realm `r' not found: /x", "bob", True),
        ("user bob not found: /x, referer: http://shop.example/", "bob", True),
    ],
)
def test_login_at_apache(message, user, is_invalid):
    """A refused name and password is a failed login."""
    event = parse(APACHE + message)

    assert (event.category, event.event_action) == (EventCategory.AUTHENTICATION, "http_login")
    assert (event.user_name, event.is_invalid_user) == (user, is_invalid)
    assert (event.timestamp, event.source_ip) == (TIMESTAMP, "192.0.2.7")


@pytest.mark.parametrize(
    ("client", "source_ip"),
    [
        ("2001:db8::7:555", "2001:db8::7"),
        ("2001:db8:1:2:3:4:5:6:41234", "2001:db8:1:2:3:4:5:6"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6"),
    ],
)
def test_port_behind_ipv6_at_apache(client, source_ip):
    """Since 2.4 a port follows the address, without brackets around that."""
    event = parse(APACHE.replace("192.0.2.7:555", client) + "AH00126: Invalid URI")

    assert event.source_ip == source_ip


def test_ipv6_without_port_at_apache():
    """2.2 writes none: the last group belongs to the address."""
    event = parse("[Sun Feb 22 22:10:01 2026] [error] [client 2001:db8::7:555] File does not exist")

    assert event.source_ip == "2001:db8::7:555"


def test_refusal_at_nginx():
    """Client, request and reason are known; it is no second request beside the access log's."""
    event = parse(NGINX + "access forbidden by rule" + TAIL)

    assert event.category is EventCategory.WEB_ERROR
    assert event.event_reason == "access forbidden by rule"
    assert (event.http_request_method, event.url_path, event.url_query) == ("GET", "/x", "a=1")


@pytest.mark.parametrize(
    "line",
    [
        (
            "[Sun Feb 22 22:10:01.1 2026] [core:error] [pid 5] [client 192.0.2.7:5] AH00126: Invalid "
            "URI in request GET /../../etc/passwd HTTP/1.1"
        ),
        (
            "[Sun Feb 22 22:10:01 2026] [error] [client 192.0.2.7] Invalid URI in request GET "
            "/../../etc/passwd HTTP/1.1"
        ),
        (
            "[Sun Feb 22 22:10:01.1 2026] [core:error] [pid 5:tid 6] (36)File name too long: "
            "[client 192.0.2.7:5] AH00036: x in request GET /../../etc/passwd HTTP/1.1"
        ),
    ],
)
def test_refusal_at_apache(line):
    """Both generations of Apache's format give client and request."""
    event = parse(line)

    assert event.category is EventCategory.WEB_ERROR
    assert (event.source_ip, event.timestamp) == ("192.0.2.7", TIMESTAMP)
    assert event.url_original == "/../../etc/passwd"


@pytest.mark.parametrize(
    "line",
    [
        NGINX + 'open() "/srv/x, client: 198.51.100.9, server: _, request: "GET / HTTP/1.1", '
        'host: "h" failed (2: No such file)' + TAIL,
        NGINX
        + "access forbidden by rule"
        + TAIL
        + ', referrer: "x", client: 198.51.100.9, server: y"',
        NGINX
        + 'user "x": password mismatch, client: 198.51.100.9, server: _" was not found in "f"'
        + TAIL,
    ],
)
def test_client_that_names_another_one(line):
    """nginx escapes nothing: where two clients are named, neither is accused."""
    parsed = parse_line(line.encode(), CLOCK)

    assert isinstance(parsed, Unparsed)
    assert "more than one client" in parsed.reason


def test_cut_off_at_nginx():
    """An address that nginx may have cut off at its 2,048 bytes is not taken for another one."""
    line = (NGINX + "x" * 1990 + ", client: 192.0.2.7").encode()

    assert parse_line(line, CLOCK) == ()


def test_message_that_names_another_client_at_apache():
    """At Apache the client stands before everything that a client writes."""
    event = parse(APACHE + "AH01618: user x [client 198.51.100.9:1] not found: /x")

    assert event.source_ip == "192.0.2.7"
    assert event.user_name == "x [client 198.51.100.9:1]"


@pytest.mark.parametrize(
    "line",
    [
        "2026/02/22 22:10:01 [notice] 1#1: signal process started",
        "2026/02/22 22:10:01 [error] 1#1: *1 x, client: unix:, server: _",
        "[Sun Feb 22 22:10:01.1 2026] [mpm_event:notice] [pid 1:tid 2] AH00489: Apache configured",
    ],
)
def test_lines_without_client(line):
    """What a server says about itself holds nothing to count."""
    assert parse_line(line.encode(), CLOCK) == ()


@pytest.mark.parametrize("line", [NGINX + "x" + TAIL, APACHE + "AH00128: File does not exist: /x"])
def test_zone(line):
    """Error logs name no zone, so the configured one counts."""
    clock = ObjectClock(WRITTEN, ZoneInfo("Europe/Rome"))

    assert parse(line, clock).timestamp == TIMESTAMP - 3600


@pytest.mark.parametrize(
    "line", [NGINX.replace("02/22", "02/30") + "x" + TAIL, APACHE.replace("22:10", "25:10")]
)
def test_impossible_time(line):
    """A time that does not exist is said to be none."""
    parsed = parse_line(line.encode(), CLOCK)

    assert isinstance(parsed, Unparsed)
    assert "time" in parsed.reason


def test_quadratic_bait():
    """A long hostile line is refused before a pattern can be slow on it."""
    line = (APACHE + 'user x: authentication failure for "' * 20_000).encode()

    assert isinstance(parse_line(line, CLOCK), Unparsed)
