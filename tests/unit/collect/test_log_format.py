"""Declared formats: what a format string says is read, and what could be forged is refused."""

from datetime import UTC, datetime
from ipaddress import ip_network

import pytest

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.forwarded import TrustedProxies
from tasks.collect.formats.log_format import FormatError, compile_apache, compile_nginx
from tasks.collect.formats.request import Context

CONTEXT = Context(
    ObjectClock(datetime(2026, 2, 23, tzinfo=UTC)), TrustedProxies([ip_network("10.0.0.0/8")])
)
TIMESTAMP = int(datetime(2026, 2, 22, 22, 10, 1, tzinfo=UTC).timestamp())
TIME = "[22/Feb/2026:22:10:01 +0000]"
MAIN = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent" "$http_x_forwarded_for"'
)
COMBINED = r"%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\""


def parse(compiled, line):
    (event,) = compiled.parse(line if isinstance(line, bytes) else line.encode(), CONTEXT)
    return event


@pytest.mark.parametrize(
    ("compiled", "line"),
    [
        (
            compile_nginx(MAIN),
            f'10.0.0.1 - bob {TIME} "GET /a?b=1 HTTP/1.1" 404 57 "-" "curl" "198.51.100.9, 192.0.2.7"',
        ),
        (
            compile_apache(COMBINED),
            f'192.0.2.7 - bob {TIME} "GET /a?b=1 HTTP/1.1" 404 57 "-" "curl"',
        ),
        (
            compile_nginx(
                "$time_iso8601|$remote_addr|$host|$request_method|$status|$body_bytes_sent|"
                '$upstream_response_time|$remote_user|"$request_uri"|"$http_user_agent"'
            ),
            '2026-02-22T22:10:01+00:00|192.0.2.7|shop.example|GET|404|57|0.1, 0.2 : 0.3|bob|"/a?b=1"|"curl"',
        ),
        (
            compile_nginx(
                '${msec} $scheme://$host:$server_port $remote_addr "$request" $status $bytes_sent '
                'uct="$upstream_connect_time" us="$upstream_status" $remote_user "$http_user_agent"'
            ),
            (
                '1771798201.123 https://shop.example:443 192.0.2.7 "GET /a?b=1 HTTP/1.1" 404 57 '
                'uct="-" us="502, 404" bob "curl"'
            ),
        ),
        (
            compile_apache(
                '%{c}a %a "%{%Y-%m-%dT%H:%M:%S%z}t" %u "%m" "%U%q" %s %O %D "%{User-agent}i" %%'
            ),
            '192.0.2.7 198.51.100.9 "2026-02-22T22:10:01+0000" bob "GET" "/a?b=1" 404 57 12 "curl" %',
        ),
        (
            compile_apache('%{sec}t %v:%p %h %u %T/%D "%r" %>s %B "%{User-Agent}i" %{X-Id}o %X'),
            '1771798201 shop.example:443 192.0.2.7 bob 0/12 "GET /a?b=1 HTTP/2.0" 404 57 "curl" x y +',
        ),
    ],
    ids=range(6),
)
def test_fields(compiled, line):
    """What the string names is in the event."""
    event = parse(compiled, line)

    assert (event.timestamp, event.source_ip) == (TIMESTAMP, "192.0.2.7")
    assert (event.http_request_method, event.url_path, event.url_query) == ("GET", "/a", "b=1")
    assert (event.http_response_status_code, event.http_response_body_bytes) == (404, 57)
    assert (event.user_name, event.user_agent_original) == ("bob", "curl")


@pytest.mark.parametrize(
    ("time", "logged"),
    [
        ("%t", "[22/Feb/2026:22:10:01 +0000]"),
        ("%{end:%d/%b/%Y:%T %z}t", "22/Feb/2026:22:10:01 +0000"),
        ("[%{%d/%b/%Y %T}t.%{msec_frac}t %{%z}t]", "[22/Feb/2026 22:10:01.655 +0000]"),
        ("%{%Y-%m-%d}tT%{%T}t.%{usec_frac}tZ", "2026-02-22T22:10:01.655001Z"),
        ("%{%FT%T%z}t", "2026-02-22T23:10:01+0100"),
        ("%{%F %H:%M:%S.000}t", "2026-02-22 22:10:01.000"),
        ("%{sec}t", "1771798201"),
        ("%{begin:usec}t", "1771798201655001"),
        ("%t %{%T}t", None),
        ("%{%T}t", None),
        ("%{%d/%m/%Y %T}t", None),
        ("%{%c}t", None),
    ],
)
def test_times_of_apache(time, logged):
    """A time is read as strftime writes it, also in parts, or refused: none is misread."""
    if logged is None:
        with pytest.raises(FormatError, match="time"):
            compile_apache(f'%h {time} "%r" %>s')
        return
    event = parse(compile_apache(f'%h {time} "%r" %>s'), f'192.0.2.7 {logged} "GET / HTTP/1.1" 200')

    assert event.timestamp == TIMESTAMP


def test_time_to_the_first_byte():
    """`%^FB` has a name of two letters."""
    event = parse(
        compile_apache('%h %t "%r" %>s %^FB %D'), f'192.0.2.7 {TIME} "GET / HTTP/1.1" 200 33 5'
    )

    assert event.http_response_status_code == 200


def test_string_in_pieces():
    """A string of nginx may be copied as it stands in its configuration, and matched nothing."""
    pieces = f"'{MAIN[:60]}'\n    '{MAIN[60:]}';\n"

    event = parse(
        compile_nginx(pieces), f'192.0.2.7 - - {TIME} "GET / HTTP/1.1" 200 1 "-" "curl" "-"'
    )

    assert event.user_agent_original == "curl"


def test_escapes():
    """What the server escaped is unescaped; bytes that are not UTF-8 are kept visible."""
    line = f'192.0.2.7 - - {TIME} "GET /\\x22 HTTP/1.1" 200 1 "-" "a\\"b'.encode() + b'\xff"'

    event = parse(compile_apache(COMBINED), line)

    assert (event.url_path, event.user_agent_original) == ('/"', 'a"b\\xff')


@pytest.mark.parametrize(
    "user",
    ["a b", f"198.51.100.9 - - {TIME}", "x [21/Feb/2026:22:10:01 +0000]", "-", "] ["],
)
def test_user_name_that_looks_like_a_line(user):
    """Unquoted text of a client ends where the server's own text after it begins, for the last time."""
    event = parse(
        compile_nginx(MAIN), f'192.0.2.7 - {user} {TIME} "GET / HTTP/1.1" 200 1 "-" "-" "-"'
    )

    assert (event.timestamp, event.source_ip) == (TIMESTAMP, "192.0.2.7")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('$remote_addr "$request"', "time"),
        ('[$time_local] "$request"', "client's address"),
        ("$remote_addr [$time_local] $status", "request"),
        (
            '$http_referer $http_user_agent $remote_addr [$time_local] "$request"',
            "forge $remote_addr",
        ),
        (
            '"$http_referer $http_user_agent $remote_addr" [$time_local] "$request"',
            "forge $remote_addr",
        ),
        ("$remote_addr [$time_local] $request $http_user_agent $status", "forge $status"),
        ('$my_map $remote_user $remote_addr [$time_local] "$request"', "forge $remote_addr"),
    ],
)
def test_refused_nginx(text, problem):
    """A string that says too little, or that a client could forge with, is refused."""
    with pytest.raises(FormatError, match=problem.replace("$", r"\$")):
        compile_nginx(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [('%h %{%c}t "%r"', "time"), ('%u %{X}i %h %t "%r"', "forge %h"), ("%h %t %>s", "request")],
)
def test_refused_apache(text, problem):
    """The same for Apache."""
    with pytest.raises(FormatError, match=problem):
        compile_apache(text)


def test_other_lines():
    """A line of another format is left to the others."""
    assert compile_nginx(MAIN).parse(b"192.0.2.7 - -", CONTEXT) is None


def test_linear_time():
    """A megabyte of bait takes no longer than it is long."""
    compiled = compile_nginx('$host:$server_name:$host:$remote_addr [$time_local] "$request"')

    assert compiled.parse(b":" * 1_000_000, CONTEXT) is None
