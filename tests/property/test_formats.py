"""Parsers against any bytes: they never raise, and a line means what it means alone."""

import hashlib
from datetime import UTC, datetime

from hypothesis import assume, example, given
from hypothesis import strategies as st

from tasks.collect.compression import sniff
from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.log_format import compile_apache, compile_nginx
from tasks.collect.formats.parser import BUILT_IN, W3C, FormatChoice, LineParser, parse_line
from tasks.collect.reader import read_extents
from tasks.model.events import Event, Unparsed
from tasks.model.objects import LogObject
from tests.bare_scans import Shelf

PIECES = [
    b"192.0.2.7", b"2001:db8::1", b"host.example.com", b" ", b" - - ", b'"', b"\\", b"\\x22", b"[",
    b"]", b"[22/Feb/2026:22:10:01 +0300]", b"[99/Feb/0000:99:99:99 +9999]", b"GET / HTTP/1.1",
    b"200 1", b"Feb 22 22:18:33 ", b"Feb 99 99:99:99 ", b"2026-02-22T22:18:33+03:00 ", b"web-01 ",
    b"sshd[1]: ", b"nginx: ", b"Failed password for ", b"invalid user ", b" from ", b" port 22",
    b"Invalid user ", b"message repeated 3 times: [ ", b"Accepted publickey for ", b" ssh2", b"#",
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", "ж".encode(), b"0000-00-00T00:00:00Z ",
    b"2026/02/22 22:10:01 [error] 1#1: *1 ", b", client: 192.0.2.7", b", server: ", b', request: "',
    b"[Sun Feb 22 22:10:01.1 2026] [core:error] ", b"[client 192.0.2.7:5] ", b" in request ",
    b"https 2026-02-22T22:10:01.1Z app/a/b ", b"192.0.2.7:28 ", b"10.0.0.1:80 0.1 0.1 0.1 200 200 1 2",
    b"0123456789abcdef" * 4 + b" ", b"<38>1 2026-02-22T22:18:33Z web-01 sshd 1 - - ", b"haproxy[1]: ",
    b"[22/Feb/2026:22:10:01.655] fe be/s 1/1/1/1/1 200 1 - - ---- 1/1/1/1/1 0/0 ", b"{x} ", b"<Event ",
    b"[2026-02-22 22:10:01.4] ", b"[Client 192.0.2.7] ", b"2026-02-22 22:10:01 ", b"2026-02-22\t22:10:01\t",
    b'{"remote_addr":"192.0.2.7","request":"GET /","time":', b'{"ts":1,"status":', b'"}', b"}", b"\\x",
    b'{"MESSAGE":"', b'","__REALTIME_TIMESTAMP":"1771798201000000"}', b"\t",
]  # fmt: skip
lines = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=20).map(b"".join),
    st.lists(st.sampled_from(PIECES), max_size=3).map(
        lambda parts: (
            b'192.0.2.7 - - [22/Feb/2026:22:10:01 +0300] "' + b"".join(parts) + b'" 200 1 "-" "-"'
        )
    ),
    st.lists(st.sampled_from(PIECES), max_size=3).map(
        lambda parts: (
            b"".join(parts) + b'a 192.0.2.7 - - [22/Feb/2026:22:10:01 +0300] "GET /" 200 1'
        )
    ),
).map(lambda line: line.replace(b"\n", b""))


WRITTEN = datetime(2026, 2, 23, tzinfo=UTC)


def clock() -> ObjectClock:
    return ObjectClock(WRITTEN)


@given(lines)
def test_any_line(line):
    """A line is parsed, or is not and says why; its texts fit any database."""
    parsed = parse_line(line, clock())

    if isinstance(parsed, Unparsed):
        assert parsed.reason
        return
    for event in parsed:
        assert isinstance(event, Event)
        assert 0 <= event.timestamp < 1 << 32
        texts = (event.url_original, event.user_name, event.user_agent_original, event.event_reason)
        for text in texts:
            assert text is None or text.encode()


@given(st.lists(lines, max_size=12))
@example([b"?", b'"a 192.0.2.7 - - [22/Feb/2026:22:10:01 +0300] "GET /" 200 1'])
def test_order_does_not_matter(many):
    """What a line says does not depend on the lines before it."""
    parser = LineParser(clock())

    assert [parser.parse(line) for line in many] == [parse_line(line, clock()) for line in many]


DECLARED = [
    compile_nginx(
        '$remote_addr - $remote_user [$time_local] "$request" $status "$http_user_agent"'
    ),
    compile_apache('%h %l %u %t "%r" %>s %b'),
]


@given(st.sampled_from(sorted(BUILT_IN)), lines)
def test_any_line_in_a_forced_format(name, line):
    """Every format by itself, and declared ones, take any bytes without raising."""
    parser = LineParser(clock(), FormatChoice(formats=(name, *(d.parse for d in DECLARED), W3C)))

    assert isinstance(parser.parse(line), (tuple, Unparsed))


@given(st.lists(lines | st.just(b"#Fields: date time c-ip cs-uri-stem"), max_size=12))
def test_w3c_lines(many):
    """A directive changes nothing for lines that are read without it."""
    parser = LineParser(clock())

    for line in many:
        alone = parse_line(line, clock())
        parsed = parser.parse(line)
        assert parsed == alone or isinstance(alone, Unparsed)


@given(st.lists(lines, max_size=8), st.booleans())
def test_every_line_of_an_object_is_accounted_for(many, is_finished):
    """Lines are events, are ignored, or are counted as unparsed: none is lost, none is two."""
    content = b"\n".join(many) + b"\n" * is_finished
    expected = content.removesuffix(b"\n").split(b"\n") if content else []
    parser = LineParser(clock())
    parsed = [parser.parse(line.removesuffix(b"\r")) for line in expected]
    numbers: set[int] = set()
    version = hashlib.md5(content, usedforsecurity=False).hexdigest()
    log_object = LogObject("s3://shelf", "k", version, len(content), WRITTEN)

    result = read_extents(
        Shelf({"k": content}),
        log_object,
        UTC,
        lambda _: lambda event, number, line: numbers.add(number),
    )

    assume(result.error is None and sniff(content[:16]) == "plain")
    (extent,) = result.extents
    assert extent.lines == len(expected)
    assert extent.lines_unparsed == sum(isinstance(p, Unparsed) for p in parsed)
    assert numbers == {
        n for n, p in enumerate(parsed, start=1) if p and not isinstance(p, Unparsed)
    }
