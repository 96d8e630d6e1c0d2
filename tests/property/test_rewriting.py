"""Lines of other formats that are counted by columns count as their own format says."""

import json
from collections import Counter
from dataclasses import replace
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.collect import lines as lines_module
from tasks.collect.formats import rewriting
from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.fields import Parsed
from tasks.collect.formats.parser import LineParser
from tasks.detect import engine as engine_module
from tasks.detect.selections import build_selection
from tests.property.test_engine import CLOCK, METHODS, SHIPPED, TARGETS, counted, of, spoilt

patiently = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
CLIENTS = ["192.0.2.7", "198.51.100.23", "2001:db8::7", "::ffff:192.0.2.7", "-", "host.example",
           "192.0.2.7:80", "1.2.3.4 - x", "[2001:db8::7]", "[2001:db8::7]:443", "[192.0.2.7",
           "192.0.2.7:123456", "192.0.2.7:", ":80", "face:80", "fe80::1%eth0", "unix:"]  # fmt: skip
ISO_TIMES = ["2026-02-22T22:10:01Z", "2026-02-22T22:10:01+03:00", "2026-02-22 22:10:59.123", "x",
             "1771798201", "1771798201.75", "22/Feb/2026:22:10:01 +0300", "2026-02-30T22:10:01Z",
             "2026-02-22T22:10:01,5 UTC", "2026-02-22T22:10:60.999-0330", "2026-13-22T22:10:01Z",
             "2026-02-22T22:10:01.Z", "1771798201123", "1771798201123456", "1771798201123456789",
             "1771798201.9999999999", "4133980800", "0", "86399", "[22/Feb/2026:22:10:01 +0300]",
             "22/Feb/2026:22:10:01 +03001", "9999999999999999999", "-1", "1771798201.x"]  # fmt: skip
STATUSES = ["200", "404", "401", "403", "-", "0", "-1", "000", "99", "1000", "2xx"]
TEXTS = ["-", "", "https://www.example.com/a?b=c", "Mozilla/5.0 (X11; rv:140.0) Firefox/140.0",
         "curl/8.4.0", 'a"b', "a\\b", "a\nb", "é", "\x7f", "sqlmap/1.7", "Mozilla/5.0+(X11;+Linux)",
         "a%20b", "%2d", "%22", "+", "%", "\ud800", "${jndi:ldap://x/a}", "a/b&c<d", "\u2028",
         "%c3%a9", "%e9", "%0a", "%5c", "%4", "\x80", "\U0001f600", "a\tb", "caf\xe9/&"]  # fmt: skip
USERS = ["-", "", "alice", "al ice", "a'or 1=1", 'a"b', "[x"]
FORWARDED = ["203.0.113.9", "-", "203.0.113.9, 192.0.2.1"]


def read_number(text: str) -> object:
    """The number that *text* is, or *text*."""
    try:
        return json.loads(text) if text[:1].isdigit() else text
    except ValueError:
        return text


@st.composite
def values(draw: st.DrawFn, texts: list[str]) -> object:
    """A text, or what else JSON may have in its place."""
    text = draw(of(texts))
    number = st.sampled_from([read_number(text)])
    odd = st.sampled_from([None, [text], [text, "b"], [], {"a": text}, 7, 200.0, True])
    return draw(st.one_of(st.just(text), st.just(text), st.just(text), number, odd))


FLAT = {
    "remote_addr": values(CLIENTS), "remote_user": values(USERS), "status": values(STATUSES),
    "request": st.builds("{} {}{}".format, of(METHODS), of(TARGETS), of([" HTTP/1.1", "", " x"])),
    "request_method": values(METHODS), "request_uri": values(TARGETS), "uri": values(TARGETS),
    "args": values(["a=b", "-"]), "time_local": values([ISO_TIMES[6]]), "msec": values(ISO_TIMES),
    "time_iso8601": values(ISO_TIMES), "http_referer": values(TEXTS), "referer": values(TEXTS),
    "http_user_agent": values(TEXTS), "http_x_forwarded_for": values(FORWARDED),
    "body_bytes_sent": values(["1", "-"]), "host": values(["example.com", "-"]),
}  # fmt: skip
HEADERS = {
    "User-Agent": st.builds(lambda v: [v], values(TEXTS)),
    "Referer": st.builds(lambda v: [v], values(TEXTS)),
    "X-Forwarded-For": values(FORWARDED),
}
CADDY = {
    "ts": values(ISO_TIMES), "status": values(STATUSES), "size": values(["1"]),
    "user_id": values(USERS), "level": st.just("info"), "msg": st.just("handled request"),
    "request": st.fixed_dictionaries(
        {"remote_ip": values(CLIENTS), "method": values(METHODS), "uri": values(TARGETS)},
        optional={
            "host": values(["example.com"]),
            "headers": st.fixed_dictionaries({}, optional=HEADERS),
        },
    ),
}  # fmt: skip


@st.composite
def json_logs(draw: st.DrawFn) -> bytes:
    """Objects that mostly have the same keys, among other lines."""
    kind = draw(st.sampled_from([FLAT, CADDY]))
    kept = draw(st.lists(st.sampled_from(list(kind)), min_size=5, unique=True))
    usual = st.fixed_dictionaries({key: kind[key] for key in kept})
    line = usual | usual | usual | st.fixed_dictionaries({}, optional=kind)
    odd = st.sampled_from([b"", b"{", b"{}", b"[]", b'{"a": 1}', b"\xef\xbb\xbf{}", b"garbage"])
    lines = draw(st.lists(st.one_of(spelled(line), spelled(line), odd, spoilt()), max_size=12))
    if draw(st.booleans()):
        lines = [draw(of(RUNTIMES)).encode().replace(b"{}", line) for line in lines]
    return b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)


SPELLINGS = [(b"/", b"\\/"), (b"&", b"\\u0026"), (b"-", b"\\u002d"), (b": ", b":"), (b", ", b","),
             (b"\\u00e9", b"\xc3\xa9"), (b"\\u00e9", b"\xe9"), (b"\\ud800", b"\xed\xa0\x80"), (b"}", b" } "),
             (b"status", b"st\\u0061tus"), (b"{", b'{"x": {"status": [1, {}]}, '), (b"{", b'{"status": 1, '),
             (b"}", b', "x": 1e5}'), (b"}", b', "x": 01}'), (b"}", b', "x": "\\x22"}'), (b"}", b",}"),
             (b"}", b', "x": [[], {}, null, true, -0.5]}'), (b"}", b', "x": tru}'), (b"}", b"]"), (b"}", b"}}"),
             (b"HTTP/1", b"HTTP/\xd9\xa1"), (b"\\u2028", b"\xe2\x80\xa8"), (b"\\", b"\\\\"), (b"0", b"0.0"),
             (b'"', b""), (b"}", b', "request.uri": "/x", "host": "a\\tb\xc2\x85"}')]  # fmt: skip
"""How else an object can be written, and what is no longer one."""


@st.composite
def spelled(draw: st.DrawFn, records: st.SearchStrategy[object]) -> bytes:
    """An object as JSON, as one of many writers has it, or nearly so."""
    line = json.dumps(draw(records)).encode()
    for old, new in draw(st.lists(st.sampled_from(SPELLINGS), max_size=2)):
        line = line.replace(old, new, draw(st.sampled_from([1, 1, -1])))
    return line


NAMES = [
    "c-ip", "cs-method", "cs-uri-stem", "cs-uri-query", "sc-status", "cs(User-Agent)",
    "cs(Referer)", "cs-username", "time-taken", "cs(Host)", "x-host-header", "x-forwarded-for",
    "cs-uri", "source_ip", "s-ip",
]  # fmt: skip
W3C_TEXTS = {
    "c-ip": CLIENTS, "cs-method": METHODS, "sc-status": STATUSES, "cs(User-Agent)": TEXTS,
    "cs(Referer)": TEXTS, "cs-username": USERS, "x-forwarded-for": FORWARDED,
    "cs-uri-stem": ["/", "/a", "/.env", "-", "a", "/a?b", "/a'or"], "cs-uri": TARGETS,
    "cs-uri-query": ["-", "", "a=b", "?a=b", "?", "id=1+union+select+2", "q=%27"],
}  # fmt: skip


@st.composite
def w3c_logs(draw: st.DrawFn) -> bytes:
    """Lines of W3C, with other fields from time to time."""
    separator = draw(st.sampled_from([" ", " ", "\t"]))
    lines: list[bytes] = []
    for _ in range(draw(st.integers(1, 3))):
        shuffled = draw(st.permutations(NAMES))
        names = ["date", "time", *NAMES[:5], *shuffled[: draw(st.integers(0, 9))]]
        names = list(dict.fromkeys(names)) if draw(st.booleans()) else names
        lines += [b"#Fields: " + " ".join(names).encode()] * draw(st.integers(0, 1))
        for _ in range(draw(st.integers(0, 6))):
            texts = [draw(of(W3C_TEXTS.get(name, ["-", "1", "x"]))) for name in names[2:]]
            time = draw(of(["22:10:01", "22:10:59.5", "22:10", "24:00:00"]))
            text = separator.join(["2026-02-22", time, *texts])
            lines.append(text.encode("utf-8", "surrogatepass"))
        lines += draw(st.lists(st.one_of(spoilt(), st.just(b"# x")), max_size=1))
    return b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)


URLS = ["https://shop.example:443/a?b=c", "http://x", "https://x?/a", "https://x y/a", "/a", "-",
        "wss://[2001:db8::1]:443/", "https://x:443//a/../.env", "1://x/a"]  # fmt: skip
BALANCED = {
    "kind": ["https", "h2", "http", "ws", "grpcs", "tls"],
    "time": ["2026-02-22T22:10:01.186641Z", "2026-02-22T22:10:01Z", "2026-02-22T22:10:61.1Z"],
    "elb": ["app/x/50", "a_b", "a.b"], "client": ["192.0.2.7:80", *CLIENTS, "2001:db8::7:80"],
    "target": ["10.0.0.1:80", "-"], "took": ["0.0 0.01 -1", "0.0 0.0", "0 x 0"],
    "status": STATUSES, "own": ["200", "-"], "bytes": ["0 57", "- 57", "0 5a"], "method": METHODS,
    "url": URLS, "end": [" HTTP/1.1", " HTTP/2", "- ", "", " HTTP/1.1 HTTP/1.1"], "agent": TEXTS,
    "rest": [' - - arn "Root=1" "-" "-" 0 2026-02-22T22:10:00Z "forward"', " ECDHE TLSv1.2",
             ' - - arn "Root" "x" ', ' - - arn "Root" "x"', " -", ' "a" b arn "c'],
}  # fmt: skip
STORED = {
    "owner": ["0a" * 32, "0A" * 32, "0a" * 31], "bucket": ["shop.example", "1.2.3.4", "b_1", "a/b"],
    "time": ["[22/Feb/2026:22:10:01 +0000]", "[2/Feb/2026:22:10:01 +0000]", "-"],
    "client": CLIENTS, "user": ["-", "0b" * 32, "arn:aws:iam::1:user/x", "a\\b"],
    "words": ["3E5 REST.GET.OBJECT a/b", "3E5 REST.GET.OBJECT", 'x "y" z', "a b é"],
    "request": ['"GET /a?b=c HTTP/1.1"', '"GET /a"', "-", '"GET - HTTP/1.1"', '"GET /a\\"b HTTP/1.1"'],
    "status": STATUSES, "more": ["- 57 57 7 6", "NoSuchKey - - 7 -", "- 5x 7 7 7", "- 5 7 7"],
    "referrer": ['"-"', "-", '"https://x/é"', '"a\\x22"', '"", "'], "agent": ['"curl/8.5"', "-", '""'],
    "rest": [" - x= SigV4 - - host TLSv1.3", " -", "", " - é"],
}  # fmt: skip


BALANCED_BY_HAPROXY = {
    "before": ["Feb 22 22:10:02 lb haproxy[1]: ", "", "<134>Feb  2 22:10:02 lb haproxy[1]: ",
               "2026-02-22T22:10:01.655+03:00 lb haproxy[1]: ", "Feb 2 22:10:02 haproxy[1]: ",
               "2026-02-22T22:10:01Z 10.0.0.1 haproxy[1]: ", "2026-02-22T22:10:61Z lb haproxy[1]: ",
               "Feb 22 22:10:02 lb: haproxy[1]: ", "Feb 22 22:10:02.5 lb haproxy[12]: ", "<134>",
               "2026-02-22T22:10:01 lb haproxy[1]: ", "2026-02-22T22:10:01UTC lb haproxy[1]: ",
               "2026-02-22 22:10:01.655+03:00  lb haproxy[1]: ", "Feb 22 22:10:02 lb haproxy[]: ",
               "Feb 22 22:10:02 lb haproxy: ", "Feb 22 22:10:02 lb nginx: ", "Feb 22 22:1",
               "2026-02-22T22:10:01.655+16:00 lb haproxy[1]: ", "Fab 22 22:10:02 lb haproxy[1]: ",
               "Feb 22 22:10:02 2001:db8::1 haproxy[1]: ", "Feb 22 22:10:02 lb haproxy[1]:"],
    "client": ["192.0.2.7:80", "2001:db8::7:80", "::ffff:192.0.2.7:8", "-:22", *CLIENTS],
    "time": ["22/Feb/2026:22:10:01.655", "2/Feb/2026:22:10:01.655", "22/Feb/2026:22:10:61.655",
             "22/Foo/2026:22:10:01.655", "22/02/2026:22:10:01.655", "22/Feb/2026:22:10:01"],
    "names": ["fe~ be/s", "fe be/<NOSRV>", "fe /s", "fe be/", "fe be", "f[ be/s", "fe be//", 'f" b/s'],
    "took": ["1/-1/2/+3/4", "1.5", "-"], "status": STATUSES, "bytes": ["57", "+57", "5+7", "+", "-"],
    "cookies": ["- -", "a=b -", "-", "a[ b"], "state": ["----", "SC--", "---", "--\u00e9-"],
    "counts": ["1/1/1/1/0 0/0", "1/1/1/1/+3 0/0", "1/1 0/+1", "1 x"],
    "headers": ["", "{a|b c} ", "{} {} ", "{\u00e9} ", "{{a} ", "{a}", '{a"} ', "{a} {b} {c} ", "{a\tb} "],
    "request": ["GET /a?b=c HTTP/1.1", "<BADREQ>", "GET /a#22b", "GET /a\\think", "GET /a\\x22 HTTP/1.1",
                "", "-", "GET", "GET ", "CONNECT a:80 HTTP/1.1", "GET http://x/a HTTP/1.1", "GET /\u00e9",
                "POST /.env HTTP/1.0", "GET /a b HTTP/1.1", "PRI * HTTP/2.0"],
    "end": ['"', "", '" 0/0/0/0/1 x/TLSv1.3/TLS_AES', '"\r', '" "GET /b HTTP/1.1"'],
}  # fmt: skip


@st.composite
def haproxy_logs(draw: st.DrawFn) -> bytes:
    """Lines of HAProxy, and some that are nearly so."""
    lines: list[bytes] = []
    for _ in range(draw(st.integers(1, 12))):
        words = {name: some[0] for name, some in BALANCED_BY_HAPROXY.items()}
        for name in draw(st.lists(st.sampled_from(list(words)), max_size=3)):
            words[name] = draw(st.sampled_from(BALANCED_BY_HAPROXY[name]))
        text = (
            "{before}{client} [{time}] {names} {took} {status} {bytes} {cookies} {state} {counts} "
            '{headers}"{request}{end}'
        )
        lines.append(text.format(**words).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.integers(0, 6))):
        before = draw(of(BALANCED_BY_HAPROXY["before"])).replace("haproxy", draw(of(PROGRAMS)))
        lines.append((before + draw(of(LOGGED))).encode())
    lines += draw(st.lists(spoilt(), max_size=1))
    lines = draw(st.permutations(lines))
    return b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)


PROGRAMS = [
    "nginx",
    "apache2",
    "httpd",
    "apache",
    "haproxy",
    "nginx[1]",
    "httpd/a",
    "Nginx",
    "sshd",
]
LOGGED = [
    '192.0.2.7 - - [22/Feb/2026:22:10:01 +0300] "GET /a?b=c&d=<e> HTTP/1.1" 404 5 "-" "x (y; z)"',
    '192.0.2.7 - bob [22/Feb/2026:22:10:01 +0300] "GET /.env HTTP/1.1" 401 5 "-" "caf\u00e9"',
    '2001:db8::7 - - [22/Feb/2026:22:10:01 +0300] "GET /a\\x22\\\\ HTTP/1.1" 200 5',
    'shop.example 192.0.2.7 - - [22/Feb/2026:22:10:01 +0300] "GET / HTTP/1.1" 200 5 "-" "x"',
    '192.0.2.7 - - [22/Feb/2026:22:10:61 +0300] "GET / HTTP/1.1" 200 5 "-" "x"', "", " ", "x", "{}",
    '{"remote_addr": "192.0.2.7", "request": "GET / HTTP/1.1", "time": "2026-02-22T22:10:01Z"}',
    '192.0.2.7 - - [22/Feb/2026:22:10:01 +0300] "GET / HTTP/1.1" 200 5 "-" "a\tb"', "192.0.2.7 - x",
    '192.0.2.7:80 [22/Feb/2026:22:10:01.655] f b/s 1 200 1 - - ---- 1 1 "GET / HTTP/1.1"',
]  # fmt: skip
RUNTIMES = [
    "2026-02-22T22:10:01.5Z stdout F {}", "2026-02-22T22:10:01.5+03:00 stderr F {}",
    "2026-02-22T22:10:01.5Z stdout P {}", "2026-02-22T22:10:01.5 stdout F {}", "{}",
    "2026-02-22T22:10:01.5Z stdout F:x {}", "2026-02-22T22:10:01.5Z stdoux F {}",
    "2026-02-22 22:10:01.5Z stdout F {}", "2026-02-22T22:10:01.5+0300 stdout F {}",
    "2026-02-22TZ stdout F {}", "2026-02-22T22:10:01.5Z  stdout F {}", "2026-02-22T22:10:01.5Z stdout F",
]  # fmt: skip
DOCKER = [
    '{{"log":{},"stream":"stdout","time":"2026-02-22T22:10:01.5Z"}}', '{{"log":{}}}',
    '{{"log":{},"stream":"stderr","time":""}}', '{{"log":{},"stream":"stdin","time":"x"}}',
    '{{"log":{},"stream":"stdout","time":"2026-02-22T22:10:01.5Z"}} ', '{{"log": {},"time":"x"}}',
    '{{"log":{},"stream":"stdout","attrs":{{"a":"b"}},"time":"2026-02-22T22:10:01.5Z"}}',
    '{{"log":{},"stream":"stdout","time":"2026-02-22T22:10:01.5Z","log":"x"}}',
    '{{"log":{},"stream":"stdout","time":"\\u00e9"}}', '{{"log":{},"stream":"stdout","time":5}}',
]  # fmt: skip


@st.composite
def container_logs(draw: st.DrawFn) -> bytes:
    """What containers wrote, in what runtimes put around it, or nearly so."""
    lines: list[bytes] = []
    for _ in range(draw(st.integers(1, 12))):
        text = draw(of(LOGGED))
        if draw(st.booleans()):
            lines.append(draw(of(RUNTIMES)).format(text).encode())
            continue
        logged = json.dumps(text + draw(of(["\n", "", "\n\n", "\r\n"])))
        for letter in draw(st.lists(of(["<", ">", "&", "/", "é"]), max_size=3)):
            escaped = "\\/" if letter == "/" else f"\\u{ord(letter):04x}"
            logged = logged.replace(letter, escaped)
        lines.append(draw(of(DOCKER)).format(logged).encode())
    lines += draw(st.lists(spoilt(), max_size=1))
    return b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)


@st.composite
def amazon_logs(draw: st.DrawFn) -> bytes:
    """Lines of load balancers and of S3, and some that are nearly so."""
    lines: list[bytes] = []
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from([BALANCED, STORED]))
        words = {name: some[0] for name, some in kind.items()}
        for name in draw(st.lists(st.sampled_from(list(kind)), max_size=3)):
            words[name] = draw(st.sampled_from(kind[name]))
        if kind is BALANCED:
            text = (
                "{kind} {time} {elb} {client} {target} {took} {status} {own} {bytes} "
                '"{method} {url}{end}" "{agent}"{rest}'
            )
        else:
            text = (
                "{owner} {bucket} {time} {client} {user} {words} {request} {status} {more} "
                "{referrer} {agent}{rest}"
            )
        lines.append(text.format(**words).encode("utf-8", "surrogatepass"))
    return b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)


@pytest.fixture(autouse=True)
def _warm(monkeypatch):
    """The kernels are used from the first byte on."""
    monkeypatch.setattr(engine_module, "_COLD_BYTES", 0)
    monkeypatch.setattr(rewriting, "_worth_bytes", lambda function: 0)


@patiently
@given(
    data=json_logs() | w3c_logs() | amazon_logs() | haproxy_logs() | container_logs(),
    chunk=st.sampled_from([100, 1000, 1 << 20]),
)
def test_rewritten_lines_count_as_they_are(monkeypatch, data, chunk):
    """Counts, values, samples, unparsed lines and extents are those of the exact path."""
    monkeypatch.setattr(lines_module, "_CHUNK_BYTES", chunk)
    result, payloads, _ = counted(data, SHIPPED, is_compiled=True)
    expected, expected_payloads, _ = counted(data, SHIPPED, is_compiled=False)

    assert result == expected
    assert payloads == expected_payloads


def test_rules_may_ask_for_the_host():
    """Access lines name no host: lines of JSON that do are not counted as such then."""
    (rule,) = (r for r in SHIPPED.rules if r.id == "http-request-volume")
    rules = replace(
        SHIPPED, rules=(replace(rule, selection=build_selection({"url_domain": "a.example"}, ())),)
    )
    data = b"".join(
        b'{"time_local": "22/Feb/2026:22:10:01 +0300", "remote_addr": "192.0.2.7", "request": '
        b'"GET / HTTP/1.1", "status": 200, "host": "%b.example"}\n' % host
        for host in (b"a", b"b", b"a")
    )
    _, _, tally = counted(data, rules, is_compiled=True)

    assert dict(
        tally.counts.rows.select("counters", "count").cast({"counters": pl.String}).rows()
    ) == {
        f"2xx {rule.counter}": 2,
        "2xx": 1,
    }


def parsed(line: bytes, *before: bytes) -> Parsed:
    parser = LineParser(ObjectClock(CLOCK._modified_at))
    for directive in before:
        parser.read_directive(directive)
    return parser.parse(line)


FIELDS = b"#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query sc-status cs(User-Agent)"


@pytest.mark.parametrize(
    ("line", "before"),
    [
        (
            (
                b'{"time_local": "22/Feb/2026:22:10:01 +0300", "remote_addr": "192.0.2.7", '
                b'"request": "GET /a?b=c HTTP/1.1", "status": 404, "http_user_agent": "x y"}'
            ),
            (),
        ),
        (
            (
                b'{"ts": 1771798201.75, "request": {"remote_ip": "192.0.2.7", "method": "GET", '
                b'"uri": "/a?b=c", "headers": {"User-Agent": ["x y"]}}, "status": 404}'
            ),
            (),
        ),
        (b"2026-02-22 22:10:01 192.0.2.7 GET /a b=c 404 x+y", (FIELDS,)),
        ("2026-02-22 22:10:01 192.0.2.7 GET /é b=c 404 x+y".encode(), (FIELDS,)),
        (
            (
                b'{"ClientAddr": "[2001:db8::7]:55", "RequestMethod": "GET", "level": "info", '
                b'"RequestPath": "/a?b=c\\u0026d=e", "DownstreamStatus": 404, "Overhead": -1.5e-7, '
                b'"StartUTC": "2026-02-22T22:10:01.124050100Z", "time": "x", "b": [{"c": null}]}'
            ),
            (),
        ),
        (
            (
                b'{"remote_addr": "192.0.2.7", "uri": "/a", "args": "b=c", "method": "GET", '
                b'"msec": "1771798201.123", "status": "404", "agent": "\xc3\xa9", "geo": "\xc3\xa9"}'
            ),
            (),
        ),
        (
            (
                b"192.0.2.7:80 [22/Feb/2026:22:10:01.655] fe~ be/s "
                b'1/0/1/2/4 404 +57 - - ---- 1/1/1/1/0 0/0 {a b} {} "GET /a?b=c HTTP/1.1" 0/0'
            ),
            (),
        ),
        (
            (
                b"Feb 22 22:10:02 lb haproxy[1]: 192.0.2.7:80 [22/Feb/2026:22:10:01.655] fe~ be/s "
                b'1/0/1/2/4 404 +57 - - ---- 1/1/1/1/0 0/0 {a b} {} "GET /a?b=c HTTP/1.1" 0/0'
            ),
            (),
        ),
        (
            (
                b"<134>Feb 22 22:10:02 haproxy[1]: 192.0.2.7:80 [22/Feb/2026:22:10:01.655] fe~ be/s "
                b'1/0/1/2/4 404 +57 - - ---- 1/1/1/1/0 0/0 {a b} {} "GET /a?b=c HTTP/1.1" 0/0'
            ),
            (),
        ),
        (
            (
                b"2026-02-23T01:10:01.655+03:00 lb haproxy[1]: 192.0.2.7:80 [22/Feb/2026:22:10:01.655] fe~ be/s "
                b'1/0/1/2/4 404 +57 - - ---- 1/1/1/1/0 0/0 {a b} {} "GET /a?b=c HTTP/1.1" 0/0'
            ),
            (),
        ),
        (
            (
                b"<190>Feb 22 22:10:02 web-01 nginx: 192.0.2.7 - - [22/Feb/2026:22:10:01 +0000] "
                b'"GET /a?b=c HTTP/1.1" 404 - "-" "x y"'
            ),
            (),
        ),
        (
            (
                b"2026-02-22T22:10:02.5Z stdout F 192.0.2.7 - - [22/Feb/2026:22:10:01 +0000] "
                b'"GET /a?b=c HTTP/1.1" 404 - "-" "x y"'
            ),
            (),
        ),
        (
            (
                b'2026-02-22T22:10:02.5+03:00 stderr F {"time_local": "22/Feb/2026:22:10:01 +0300", '
                b'"remote_addr": "192.0.2.7", "request": "GET /a?b=c HTTP/1.1", "status": 404, '
                b'"http_user_agent": "x y"}'
            ),
            (),
        ),
        (
            (
                rb'{"log":"192.0.2.7 - - [22/Feb/2026:22:10:01 +0000] \"GET /a?b=c\u0026d HTTP/1.1\" '
                rb'404 - \"-\" \"x\\\\y\"\n","stream":"stderr","time":"2026-02-22T22:10:02.5Z"}'
            ),
            (),
        ),
        (
            (
                b"https 2026-02-22T22:10:01.186641Z app/shop/50 192.0.2.7:2817 10.0.0.1:80 0.086 "
                b'0.048 0.037 404 404 0 57 "GET https://shop.example:443/a?b=c HTTP/2.0" "x y" '
                b'ECDHE TLSv1.2 arn "Root=1" "shop.example" "arn" 1 2026-02-22T22:10:00Z "forward"'
            ),
            (),
        ),
        (
            (
                b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef shop "
                b"[22/Feb/2026:22:10:01 +0000] 192.0.2.7 - 3E57 REST.GET.OBJECT a "
                b'"GET /a?b=c HTTP/1.1" 404 - 57 57 7 6 "-" "x y" - x= SigV4 ECDHE - host TLSv1.3'
            ),
            (),
        ),
        (b"2026-02-22\t22:10:01\t192.0.2.7\tGET\t/a\tb=c\t404\tx%20y", (FIELDS,)),
    ],
)
def test_regular_lines_are_rewritten(line, before):
    """The properties above are not empty: ordinary lines become access lines that say the same."""
    parser = LineParser(ObjectClock(CLOCK._modified_at))
    for directive in before:
        parser.read_directive(directive)
    rewritten = parser.rewrite(line + b"\n")

    assert rewritten is not None
    assert [rewritten.line(0)] == [line]
    assert not rewritten.others
    expected, events = parsed(line, *before), parsed(rewritten.block.removesuffix(b"\n"))
    assert isinstance(expected, tuple)
    assert events == (replace(expected[0], url_domain=None, http_response_body_bytes=None),)


AGENT_LAST = b"#Fields: date time c-ip cs-method cs-uri-stem sc-status cs(User-Agent)"
OBJECT = (
    b'{"time_local": "22/Feb/2026:22:10:01 +0300", "remote_addr": "192.0.2.7", '
    b'"request": "GET / HTTP/1.1", "status": 200}'
)
COMBINED = b'192.0.2.7 - - [22/Feb/2026:22:10:01 +0300] "GET / HTTP/1.1" 200 5 "-" "x"'


@pytest.mark.parametrize(
    ("line", "before"),
    [
        (b"2026-02-22T22:10:01.5+0300 stdout F " + COMBINED, ()),
        (b"2026-02-22T22:10:01,5Z stdout F " + COMBINED, ()),
        (b"2026-02-22T22:10:01.5,03:00 stdout F " + COMBINED, ()),
        (b"<134>2026-02-22T22:10:01.5Z stdout F " + COMBINED, ()),
        (b"2026-02-22T22:10:01.5Z stdout P " + OBJECT, ()),
        (b"2026-02-22T22:10:01.5+0300 stdout F " + OBJECT, ()),
        (b'2026-02-22T22:10:01.5Z stdout F {"log":"x","stream":"stdout","time":""}', ()),
        (b'{"stream":"stdout","log":"' + COMBINED.replace(b'"', b'\\"') + b'","time":""}', ()),
        (b'{"log":"' + COMBINED.replace(b'"', b'\\"') + b'\\\\n","stream":"stdout","time":""}', ()),
        (
            b"2026-02-22 22:10:01 192.0.2.7 GET /a 404 Mozilla/5.0 (X11) Firefox/140.0",
            (AGENT_LAST,),
        ),
        (b"2026-02-22\t22:10:01\t192.0.2.7\tGET\t/a\t404\tMozilla/5.0\tFirefox", (AGENT_LAST,)),
        (b'2026-02-22 22:10:01 192.0.2.7 GET /a 404 x"y', (AGENT_LAST,)),
    ],
)
def test_nearly_regular_lines_are_not_rewritten(line, before):
    """A shape takes no line that is not of its format, though it nearly is."""
    parser = LineParser(ObjectClock(CLOCK._modified_at))
    for directive in before:
        parser.read_directive(directive)
    others = [b'{"log":"x"}'] if b"{" in line else [b"2026-02-22T22:10:01Z stdout F x"]
    rewritten = parser.rewrite(b"\n".join([*others * 3, line, b""]))

    assert rewritten is not None
    assert not rewritten.block


def test_time_without_an_offset_elsewhere():
    """HAProxy's own time is rewritten where it is UTC, and left to the exact path where it is not."""
    line = (
        b"192.0.2.7:80 [22/Feb/2026:22:10:01.655] fe be/s 1/0/1/2/4 404 57 - - ---- 1/1/1/1/0 0/0 "
        b'"GET / HTTP/1.1"\n'
    )
    clock = ObjectClock(CLOCK._modified_at, ZoneInfo("Europe/Rome"))
    rewritten = LineParser(clock).rewrite(line)

    assert rewritten is not None
    assert rewritten.others == [(1, line[:-1])]


def test_lines_of_another_format_at_the_start():
    """What most of the first lines are decides what is rewritten."""
    line = (
        b'{"time_local": "22/Feb/2026:22:10:01 +0300", "remote_addr": "192.0.2.7", '
        b'"request": "GET / HTTP/1.1", "status": 200}\n'
    )
    parser = LineParser(ObjectClock(CLOCK._modified_at))
    rewritten = parser.rewrite(b"Starting.\n\n" + 3 * line + b"x\n")

    assert rewritten is not None
    assert rewritten.places[:, 2].tolist() == [3, 4, 5]
    assert rewritten.others == [(1, b"Starting."), (2, b""), (6, b"x")]
    assert parser.rewrite(3 * b"Starting.\n" + line) is None


def test_little_of_many_objects_is_enough(monkeypatch):
    """What the kernel costs is weighed against all objects of a process, not against each."""
    monkeypatch.setattr(rewriting, "_worth_bytes", lambda function: 300)
    monkeypatch.setattr(rewriting, "_seen_bytes", Counter())
    line = (
        b'{"time_local": "22/Feb/2026:22:10:01 +0300", "remote_addr": "192.0.2.7", '
        b'"request": "GET / HTTP/1.1", "status": 200}\n'
    )
    rewritten = [LineParser(ObjectClock(CLOCK._modified_at)).rewrite(line) for _ in range(4)]

    assert [some is not None for some in rewritten] == [False, False, True, True]


def test_json_is_never_an_access_line():
    """What clients put into two neighbouring fields of JSON cannot make an access line of it."""
    line = (
        b'{"time_local": "22/Feb/2026:22:10:01 +0300", "remote_addr": "192.0.2.7", "request": '
        b'"GET / HTTP/1.1", "status": 200, "http_user_agent": '
        b'"x 203.0.113.9 b c [22/Feb/2026:22:10:01 +0300] ", "http_referer": " 200 5 "}'
    )
    events = parsed(line)

    assert isinstance(events, tuple)
    assert [event.source_ip for event in events] == ["192.0.2.7"]
