"""Common and Combined lines, as servers and attackers write them."""

import time
from datetime import UTC, datetime

import pytest

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.parser import parse_line
from tasks.model.events import Event, EventCategory, Unparsed

CLOCK = ObjectClock(datetime(2026, 2, 23, tzinfo=UTC))
TIME = "[22/Feb/2026:22:10:01 +0300]"
TIMESTAMP = int(datetime(2026, 2, 22, 19, 10, 1, tzinfo=UTC).timestamp())


def parse(line: str | bytes) -> Event:
    parsed = parse_line(line.encode() if isinstance(line, str) else line, CLOCK)
    assert not isinstance(parsed, Unparsed), parsed
    (event,) = parsed
    return event


def reason(line: str | bytes) -> str:
    parsed = parse_line(line.encode() if isinstance(line, str) else line, CLOCK)
    assert isinstance(parsed, Unparsed)
    return parsed.reason


def test_combined():
    """Every field of a Combined line is in the event."""
    line = (
        f'192.0.2.7 - alice {TIME} "GET /a/b.php?x=1&y=%27 HTTP/1.1" 200 4523 '
        '"https://example.com/" "Mozilla/5.0 (X11; Linux x86_64)"'
    )

    assert parse(line) == Event(
        timestamp=TIMESTAMP,
        source_ip="192.0.2.7",
        category=EventCategory.WEB,
        http_request_method="GET",
        url_original="/a/b.php?x=1&y=%27",
        url_path="/a/b.php",
        url_query="x=1&y=%27",
        http_response_status_code=200,
        http_response_body_bytes=4523,
        http_request_referrer="https://example.com/",
        user_agent_original="Mozilla/5.0 (X11; Linux x86_64)",
        user_name="alice",
    )


def test_common():
    """A Common line has no referrer and no user agent."""
    event = parse(f'192.0.2.7 - - {TIME} "HEAD / HTTP/1.0" 304 -')

    assert (event.http_request_method, event.http_response_status_code) == ("HEAD", 304)
    assert event.http_response_body_bytes is None
    assert event.user_agent_original is None
    assert event.url_query is None


@pytest.mark.parametrize(
    "extra", [' "203.0.113.9"', " 0.012 0.010 -", ' "a" "b" rt=0.1', 'rt=0.1 uct="0.0"', " "]
)
def test_trailing_fields(extra):
    """More fields after the user agent change nothing."""
    event = parse(f'192.0.2.7 - - {TIME} "GET / HTTP/1.1" 200 1 "-" "curl/8"{extra}')

    assert (event.source_ip, event.user_agent_original) == ("192.0.2.7", "curl/8")


@pytest.mark.parametrize(
    ("client", "source_ip"),
    [
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:51234", "192.0.2.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
    ],
)
def test_client_addresses(client, source_ip):
    """However an address is written, the source IP is its canonical form."""
    assert parse(f'{client} - - {TIME} "GET / HTTP/1.1" 200 1').source_ip == source_ip


@pytest.mark.parametrize(
    ("vhost", "domain"),
    [("www.example.com:443", "www.example.com"), ("example.com", "example.com")],
)
def test_virtual_host(vhost, domain):
    """The client stands after the virtual host."""
    event = parse(f'{vhost} 192.0.2.7 - alice {TIME} "GET / HTTP/1.1" 200 1 "-" "curl/8"')

    assert event.source_ip == "192.0.2.7"
    assert event.url_domain == domain
    assert event.user_name == "alice"


def test_virtual_host_that_is_an_address():
    """A Host header that is somebody's address accuses nobody."""
    event = parse(f'198.51.100.9 192.0.2.7 - - {TIME} "GET / HTTP/1.1" 200 1 "-" "-"')

    assert event.source_ip == "192.0.2.7"


def test_user_name_that_looks_like_a_line():
    """An attacker's user name does not become the time, the request or the client."""
    user = "198.51.100.9 - - [01/Jan/2020:00:00:00 +0000]"
    event = parse(f'192.0.2.7 - {user} {TIME} "GET /x HTTP/1.1" 401 1')

    assert (event.source_ip, event.timestamp, event.user_name) == ("192.0.2.7", TIMESTAMP, user)


@pytest.mark.parametrize("user", [r"al\"ice", r"alice\\", "DOMAIN\\", r"\"\"\\"])
def test_user_names_with_quotes_do_not_hide_a_request(user):
    """A name in the Authorization header that the server has to escape is a name like others."""
    event = parse(f'192.0.2.7 - {user} {TIME} "GET /x HTTP/1.1" 401 1')

    assert (event.source_ip, event.timestamp, event.url_path) == ("192.0.2.7", TIMESTAMP, "/x")


@pytest.mark.parametrize("before", ["192.0.2.7 -", "www.shop.example:443 192.0.2.7 -"])
def test_empty_user_name(before):
    """An empty name in the Authorization header, which Apache writes as two quotes, hides nothing."""
    event = parse(f'{before} "" {TIME} "GET /x HTTP/1.1" 401 1')

    assert (event.source_ip, event.timestamp, event.url_path) == ("192.0.2.7", TIMESTAMP, "/x")
    assert event.user_name is None


@pytest.mark.parametrize(
    ("logged", "user"),
    [
        ('"bob"', "bob"),
        (r'"a\"b"', 'a"b'),
        (f'"198.51.100.9 - - {TIME} "', f"198.51.100.9 - - {TIME} "),
        (r"x\"", 'x"'),
    ],
)
def test_user_name_in_quotes(logged, user):
    """A server may put quotes around the name, which then may hold blanks and brackets."""
    event = parse(f'192.0.2.7 - {logged} {TIME} "GET /x HTTP/1.1" 401 1')

    assert (event.source_ip, event.timestamp, event.url_path) == ("192.0.2.7", TIMESTAMP, "/x")
    assert event.user_name == user


def test_bait_of_quotes():
    """Any number of quotes in the user name costs its length, not its square."""
    line = "192.0.2.7 - " + '\\"' * 100_000 + ' "' + '\\" ' * 100_000
    begin = time.process_time()

    assert isinstance(parse_line(line.encode(), CLOCK), Unparsed)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("logged", "agent"),
    [
        (r"a\"b", 'a"b'),
        (r"a\x22b", 'a"b'),
        (r"\\x41", r"\x41"),
        (r"\xd0\xb0", "а"),
        (r"\xff", r"\xff"),
        (r"a\tb", "a\tb"),
        (r"C:\dir", r"C:\dir"),
    ],
)
def test_escapes(logged, agent):
    """What the server escaped is unescaped, one level."""
    event = parse(f'192.0.2.7 - - {TIME} "GET / HTTP/1.1" 200 1 "-" "{logged}"')

    assert event.user_agent_original == agent


def test_quotes_that_the_server_did_not_escape():
    """Quotes in the request or the user agent neither lose the line nor hide the rest."""
    event = parse(f'192.0.2.7 - - {TIME} "GET /?q="><script> HTTP/1.1" 200 1 "-" "a "b" c"')

    assert event.url_original == '/?q="><script>'
    assert event.user_agent_original == 'a "b" c'


def test_number_before_the_headers():
    """Some log how long it took after the size, and the headers after that."""
    line = f'192.0.2.7 - - {TIME} "GET / HTTP/1.1" 200 1 3413 "http://a/" "curl"'

    assert (parse(line).http_request_referrer, parse(line).user_agent_original) == (
        "http://a/",
        "curl",
    )


@pytest.mark.parametrize(
    "times",
    ["0.202", "312 0.202", "0.202 -", "0.202 0.1 .", '312 0.202 "0.201"', '0.2 "0.201, 0.003"'],
)
def test_times_before_the_headers(times):
    """nginx's `$request_time` and its like before the headers hide neither of them."""
    event = parse(f'192.0.2.7 - - {TIME} "GET / HTTP/1.1" 200 1 {times} "http://a/" "curl" "-"')

    assert (event.http_request_referrer, event.user_agent_original) == ("http://a/", "curl")


@pytest.mark.parametrize(
    ("texts", "headers"),
    [
        ('"-" "http://a/" "curl"', ("http://a/", "curl")),
        ('"shop.example" "http://a/" "curl" "-"', ("http://a/", "curl")),
        ('"-" "curl" "198.51.100.9, 10.0.0.1"', (None, "curl")),
        ('"-" "curl"', (None, "curl")),
        ('"-" "-" "curl"', (None, None)),
    ],
)
def test_a_text_after_the_times_is_not_taken_for_a_header(texts, headers):
    """Where the server asked no other one, `-` stood for its time, and the agent was lost."""
    event = parse(f'192.0.2.7 - - {TIME} "GET / HTTP/1.1" 200 1 0.003 {texts}')

    assert (event.http_request_referrer, event.user_agent_original) == headers


@pytest.mark.parametrize("host", ["", "shop.example "])
@pytest.mark.parametrize("user", ['- "anna b"', '- ""', "- -", "- anna"])
def test_a_request_with_raw_quotes_chooses_no_time(host, user):
    """A second time in the request was that of the event, and the request was a user name."""
    line = f'{host}192.0.2.7 {user} {TIME} "GET /a?1+UNION+SELECT" [01/Jan/2020:00:00:00 +0000] "x"'
    event = parse(f'{line} 200 12 "-" "curl"')

    assert event.timestamp == parse(f'192.0.2.7 - - {TIME} "GET / HTTP/1.1" 200 1').timestamp
    assert '1+UNION+SELECT" [01/Jan/2020' in str(event.url_original)


def test_absent_headers_without_quotes():
    """Traefik 1 writes `-` without quotes for a header that was not sent."""
    line = f'192.0.2.7 - - {TIME} "GET / HTTP/1.1" 200 1 {{}} 13 "Host-a" "http://10.0.0.1" 2ms'

    assert parse(line.format('- "curl"')).user_agent_original == "curl"
    assert parse(line.format('"http://a/" -')).http_request_referrer == "http://a/"
    assert parse(line.format("- -")).user_agent_original is None


def test_raw_bytes():
    """Bytes that are not UTF-8 cost nothing but their own spelling."""
    event = parse(b'192.0.2.7 - - [22/Feb/2026:22:10:01 +0300] "GET /\xff\xfe HTTP/1.1" 404 1')

    assert event.url_path == r"/\xff\xfe"


@pytest.mark.parametrize(
    ("request_line", "method", "original"),
    [
        (r"\x16\x03\x01\x02", None, "\x16\x03\x01\x02"),
        ("SSH-2.0-Go", None, "SSH-2.0-Go"),
        ("-", None, None),
        ("", None, None),
        ("GET /", "GET", "/"),
        ("GET /a b c HTTP/1.1", "GET", "/a b c"),
        ("PRI * HTTP/2.0", "PRI", "*"),
    ],
)
def test_strange_requests(request_line, method, original):
    """What is not HTTP is an event with the whole text as its target."""
    event = parse(f'192.0.2.7 - - {TIME} "{request_line}" 400 157 "-" "-"')

    assert (event.http_request_method, event.url_original) == (method, original)
    assert event.url_path == original


def test_absolute_target():
    """A proxy request keeps its target; the path is that of the URL in it."""
    event = parse(f'192.0.2.7 - - {TIME} "GET http://example.com/a?b HTTP/1.1" 404 1')

    assert (event.url_path, event.url_query) == ("/a", "b")
    assert event.url_original == "http://example.com/a?b"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("22/Feb/2026:19:10:60 +0000", TIMESTAMP + 58),
        ("23/Feb/2026:00:40:01 +0530", TIMESTAMP),
        ("22/Feb/2026:11:10:01 -0800", TIMESTAMP),
    ],
)
def test_times(time, expected):
    """Offsets count, and a leap second is the second before it."""
    assert parse(f'192.0.2.7 - - [{time}] "GET / HTTP/1.1" 200 1').timestamp == expected


@pytest.mark.parametrize(
    "time",
    [
        "30/Feb/2026:22:10:01 +0000",
        "22/Foo/2026:22:10:01 +0000",
        "22/Feb/2026:24:10:01 +0000",
        "22/Feb/2026:22:60:01 +0000",
        "22/Feb/2026:22:10:61 +0000",
        "22/Feb/2026:22:10:01 +2400",
        "22/Feb/0000:22:10:01 +0000",
        "22/Feb/9999:22:10:01 +0000",
    ],
)
def test_times_that_do_not_exist(time):
    """A line without a real time is not parsed, and says why."""
    assert "time" in reason(f'192.0.2.7 - - [{time}] "GET / HTTP/1.1" 200 1')


@pytest.mark.parametrize("client", ["host.example.com", "999.1.1.1", "-", "1.2.3"])
def test_clients_without_an_address(client):
    """A name accuses nobody: reverse DNS belongs to the attacker."""
    assert "not an IP address" in reason(f'{client} - - {TIME} "GET / HTTP/1.1" 200 1')


@pytest.mark.parametrize(
    "clients",
    [
        "198.51.100.9, 192.0.2.7 - -",
        "198.51.100.9, 203.0.113.5, 192.0.2.7 - -",
        "2001:db8::1, 198.51.100.9 192.0.2.7 - -",
        "shop.example 198.51.100.9, 192.0.2.7 - -",
        "203.0.113.5 2001:db8::1, 198.51.100.9 192.0.2.7 - -",
    ],
)
def test_lists_of_addresses(clients):
    """Who stands in X-Forwarded-For, which clients can write, is not accused."""
    assert "list" in reason(f'{clients} {TIME} "GET / HTTP/1.1" 200 1 "-" "curl"')


def test_server_whose_client_has_a_name():
    """The address of a virtual host is not its client's, whose own address is not logged."""
    assert "host name" in reason(
        f'198.51.100.9 localhost - - {TIME} "GET / HTTP/1.1" 200 1 "-" "c"'
    )


def test_client_behind_a_socket():
    """The reason says what to log instead."""
    assert "socket" in reason(f'unix: - - {TIME} "GET / HTTP/1.1" 200 1')


@pytest.mark.parametrize(
    "line",
    [
        "hello 192.0.2.7",
        '192.0.2.7 - - "GET / HTTP/1.1" 200 1',
        f'192.0.2.7 - - {TIME} "GET / HTTP/1.1',
        '{"remote_addr": "192.0.2.7"}',
    ],
)
def test_other_lines(line):
    """The first thing that looks like an address is not the client."""
    assert "known formats" in reason(line)


@pytest.mark.parametrize("line", ["", "   ", "\r", "#Fields: date time", "\0\0\0"])
def test_lines_without_content(line):
    """Blank lines and comments are understood, and count nothing."""
    assert parse_line(line.encode(), CLOCK) == ()


@pytest.mark.parametrize("padding", [b"\xef\xbb\xbf", b"\0\0\0\0"])
def test_padding(padding):
    """A byte order mark, or the NULs after a truncation, do not cost the line."""
    line = b'192.0.2.7 - - [22/Feb/2026:22:10:01 +0300] "GET / HTTP/1.1" 200 1'

    assert parse(padding + line) == parse(line)


@pytest.mark.parametrize(
    ("said", "user"),
    [
        (" - ", None),
        ("[192.0.2.7] - -", None),
        ("[192.0.2.7, 10.0.0.1] - bob", "bob"),
        ("[b]", "[b]"),
    ],
)
def test_what_stands_before_the_user(said, user):
    """Blanks name nobody, and nor does the client once more, as an ingress controller has it."""
    line = f'192.0.2.7 - {said} [22/Feb/2026:22:10:01 +0000] "GET / HTTP/1.1" 401 5'
    event = parse(line)

    assert (event.source_ip, event.user_name) == ("192.0.2.7", user)
