"""The engine counts as the exact path does, on any bytes and for any cut; or it refuses."""

import gc
import io
import itertools
import random
import weakref
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import re2
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasks.collect import lines as lines_module
from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.parser import parse_line
from tasks.collect.reader import read_extents
from tasks.detect import blocks as blocks_module
from tasks.detect import classes as classes_module
from tasks.detect import engine as engine_module
from tasks.detect import numbered_texts as texts_module
from tasks.detect import outcomes as outcomes_module
from tasks.detect import reducing_kernel as reducing
from tasks.detect.decode import view
from tasks.detect.proving import Prover, Views, widen
from tasks.detect.rules import load_rules
from tasks.detect.selections import build_selection
from tasks.detect.signatures import Signature, Strength
from tasks.detect.tally_builder import TallyBuilder
from tasks.model.events import Unparsed
from tasks.model.incidents import Family
from tasks.model.objects import EventRange, LogObject
from tests.counting import RULES, built

SHIPPED = load_rules()
CLOCK = ObjectClock(datetime(2026, 2, 23, tzinfo=UTC))
patiently = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

ADDRESSES = [
    "192.0.2.7", "192.0.2.7", "198.51.100.23", "203.0.113.255", "0.0.0.0", "2001:db8::7",
    "2001:DB8::7", "2001:db8:0:0:0:0:0:7", "::", "::1", "1::", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7:8", "::ffff:192.0.2.7", "::ffff:c000:207", "1:2:3:4:5:6:7:8:9", "1::2::3", ":1",
    "1:", "12345::", "256.1.1.1", "01.2.3.4", "1.2.3", "1.2.3.4.5", "1.2.3.", "-", "host.example",
    "[2001:db8::7]", "192.0.2.7:80", "fe80::1%eth0", "a", "face", "2026",
]  # fmt: skip
BEFORE_TIME = [
    " - - ", " - - ", " - - ", " - alice ", " - - - ", " - al[ice ", ' - al"ice ', " - a b ",
    " ident - ", " -  - ", "  - - ", " - \xe9 ", " - ", ' - al\\"ice ', " - alice\\ ", " 192.0.2.9 - - ", " - -\t",
]  # fmt: skip
TIMES = [
    "22/Feb/2026:22:10:01 +0300", "22/Feb/2026:22:10:02 +0300", "22/Feb/2026:22:10:59 +0000",
    "22/Feb/2026:22:10:60 +0000", "22/Feb/2026:22:10:61 +0000", "29/Feb/2026:22:10:01 +0000",
    "29/Feb/2024:22:10:01 -0330", "31/Apr/2026:22:10:01 +0000", "00/Jan/2026:00:00:00 +0000",
    "01/Jan/1970:00:00:00 +0000", "01/Jan/1970:00:00:00 +0100", "31/Dec/2100:23:59:59 -1559",
    "01/Jan/2101:00:00:00 +0000", "22/feb/2026:22:10:01 +0300", "22/Feb/2026:24:10:01 +0300",
    "22/Feb/2026:22:60:01 +0300", "22/Feb/2026:22:10:01 +1600", "22/Feb/2026:22:10:01 +0360",
    "22/Feb/2026:22:10:01 00300", "22/Feb/2026 22:10:01 +0300", "22/Feb/2026:22:10:01",
]  # fmt: skip
METHODS = [
    "GET",
    "GET",
    "GET",
    "POST",
    "HEAD",
    "PROPFIND",
    "get",
    "X-Y",
    "ABCDEFGHI",
    "\\x16",
    "",
    "A" * 40,
    "A" * 41,
]
TARGETS = [
    "/", "/a", "/index.html", "/blog/2026/02/post?page=2&sort=price", "/search?q=union+select",
    "/a?id=1+union+select+2", "/a?id=1%20UNION%20ALL%20SELECT%20NULL,NULL--", "/admin/1",
    "/admin/2", "/wp-login.php", "/login", "/.env", "/missing", "/missing.php", "/img/x.png",
    "/../../etc/passwd", "/a?x=%3Cscript%3Ealert(1)%3C/script%3E", "/a?x=%253Cscript%253E",
    "/a?title=caf%C3%A9%20au+lait", "/a?title=%E3%81%82", "/a?to=%2Fb%2Fc", "/a//b", "/a/./b",
    "/a?u=https://example.com/x", "/shell?cmd=ls", "/a?x=1;id", "/a?", "?", "*", "-", "a",
    "http://example.com/x?y", "/a b", "/a?x=&lt;b&gt;", "/a&#60;", "/a?q=0x2e", "/a?x=%u0041",
    "/a\\x22b", '/a\\"b', "/a?%", "/a?%4", "/a?x=%00", "/A/B?C=D", "/a?x={{7*7}}", "/é", "/a?x=%c0%af",
    "/a?x=1%27%20or%201=1", "/a?o=%25", "/a?x=%5C", "/a?x=%FC%BC", "/a?x=%2e%2e/", "/a?x=%C3%BC",
]  # fmt: skip
PROTOCOLS = [
    " HTTP/1.1",
    " HTTP/1.1",
    " HTTP/2",
    " HTTP/2.0",
    "",
    " HTTP/11",
    " http/1.1",
    " HTTP/1.",
]
STATUSES = [
    "200",
    "404",
    "404",
    "403",
    "401",
    "500",
    "302",
    "999",
    "000",
    "7",
    "-",
    "2000",
    "",
    "4x",
]
SIZES = ["1", "162", "-", "123456789012345678", "1234567890123456789", "", "x"]
REFERRERS = ["-", "", "https://www.example.com/a?b=c", "https://x.example/<script>", "a", "/a/../b"]
AGENTS = [
    "-", "", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "curl/8.4.0",
    "sqlmap/1.7.2#stable (https://sqlmap.org)", "Mozilla/5.0 zgrab/0.x", "${jndi:ldap://x/a}",
    '\\"quoted\\"', "a+b", "100%", "a & b", "() { :;}; echo", "é", "x'y",
]  # fmt: skip
ENDS = ["", "", "", " ", ' "more"', " 0.003", "x", "\r", '"', " \r"]
OTHERS = [
    "", "#", "# comment", "garbage", "\0\0", "\ufeff", " 192.0.2.7 - -", "\r",
    "Feb 22 22:18:33 my-server sshd[25341]: Failed password for root from 192.0.2.7 port 5 ssh2",
    "2026-02-22T22:18:33+03:00 web sshd[1]: Accepted password for a from 192.0.2.9 port 5 ssh2",
    "#Fields: date time c-ip cs-method cs-uri-stem sc-status",
    "2026-02-22 22:10:01 192.0.2.8 GET /missing 404",
]  # fmt: skip


def of(some: list[str]) -> st.SearchStrategy[str]:
    """Mostly what comes first: most lines should be regular."""
    return st.sampled_from(some[:3]) | st.sampled_from(some)


@st.composite
def access_lines(draw: st.DrawFn) -> str:
    quoted = f'"{draw(of(REFERRERS))}" "{draw(of(AGENTS))}"'
    rest = draw(st.sampled_from([f" {quoted}", f" {quoted}", "", f' "{draw(of(AGENTS))}"']))
    return (
        f"{draw(of(ADDRESSES))}{draw(of(BEFORE_TIME))}[{draw(of(TIMES))}] "
        f'"{draw(of(METHODS))} {draw(st.sampled_from(TARGETS))}{draw(of(PROTOCOLS))}" '
        f"{draw(of(STATUSES))} {draw(of(SIZES))}{rest}{draw(of(ENDS))}"
    )


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A line in which a few bytes are others, missing or new."""
    line = bytearray(draw(access_lines()).encode())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(line)))
        line[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(line)


log_lines = st.one_of(
    access_lines().map(str.encode),
    access_lines().map(str.encode),
    spoilt(),
    st.sampled_from(OTHERS).map(str.encode),
).map(lambda line: line.replace(b"\n", b""))
logs = st.lists(log_lines, max_size=40).map(b"\n".join) | st.lists(log_lines, max_size=40).map(
    lambda lines: b"".join(line + b"\n" for line in lines)
)


class Shelf:
    """A source with one object, which gives its bytes in pieces of a size."""

    uri = "file:///shelf"

    def __init__(self, data: bytes) -> None:
        self.data = data

    @contextmanager
    def open(self, log_object: LogObject):
        yield io.BytesIO(self.data)

    def plan(self, ledger):
        raise NotImplementedError


def counted(data: bytes, rules, *, is_compiled: bool, event_range: EventRange | None = None):
    """What reading *data* says, the bytes of its tally, and the tally."""
    return counted_by(data, rules, is_compiled=is_compiled, event_range=event_range)[:3]


def counted_by(data: bytes, rules, *, is_compiled: bool, event_range: EventRange | None = None):
    builder = TallyBuilder(rules, is_compiled=is_compiled)
    result = read_into(builder, data, event_range)
    tally = built(builder)
    return result, tally.to_payloads(), tally, builder


def read_into(builder: TallyBuilder, data: bytes, event_range: EventRange | None = None):
    """What reading *data* says, which is counted as the first extent."""
    log_object = LogObject("s", "k", "v", len(data), datetime(2026, 2, 23, tzinfo=UTC))
    return read_extents(Shelf(data), log_object, UTC, lambda _: builder.sink(0), event_range)


@pytest.fixture(autouse=True)
def _warm(monkeypatch):
    """The kernel is used from the first byte on, and blocks are small."""
    monkeypatch.setattr(engine_module, "_COLD_BYTES", 0)


@pytest.mark.parametrize("rules", [SHIPPED, RULES], ids=["shipped", "counting"])
@patiently
@given(data=logs, chunk=st.sampled_from([7, 100, 1000, 1 << 20]))
def test_engine_equals_the_exact_path(monkeypatch, rules, data, chunk):
    """Counts, values, samples, unparsed lines and extents are those of the exact path."""
    monkeypatch.setattr(lines_module, "_CHUNK_BYTES", chunk)
    result, payloads, tally = counted(data, rules, is_compiled=True)
    expected, expected_payloads, expected_tally = counted(data, rules, is_compiled=False)

    assert result == expected
    assert tally.counts.named().equals(expected_tally.counts.named())
    assert tally.values.named().equals(expected_tally.values.named())
    assert tally.samples.named().equals(expected_tally.samples.named())
    assert payloads == expected_payloads


@patiently
@given(data=logs, hours=st.tuples(st.integers(0, 23), st.integers(0, 23)))
def test_event_range(data, hours):
    """Events outside the range are read, and counted by neither."""
    start, end = (datetime(2026, 2, 22, hour, 10, 1, tzinfo=UTC) for hour in sorted(hours))
    fast = counted(data, RULES, is_compiled=True, event_range=EventRange(start, end))
    exact = counted(data, RULES, is_compiled=False, event_range=EventRange(start, end))

    assert fast[:2] == exact[:2]


def test_full_tables_change_nothing(monkeypatch):
    """Tables that overflow are emptied or grow; the counts are the same."""
    data = b"".join(
        b'%d.%d.%d.7 - - [22/Feb/2026:22:%02d:01 +0300] "GET /%s?q=%d HTTP/1.1" %d 1 "-" "x%d"\n'
        % (n % 200, n % 251, n % 13, n % 60, b"abc"[n % 3 :], n, (200, 404)[n % 2], n % 7)
        for n in range(20_000)
    )
    for name, size in {"_REQUEST_SLOTS": 1 << 10, "_PATH_SLOTS": 1 << 9, "_OTHER_SLOTS": 1 << 6}.items():  # fmt: skip
        monkeypatch.setattr(texts_module, name, size)
    for name, size in {"_COUNT_SLOTS": 1 << 8, "_OUTCOME_SLOTS": 1 << 6, "MAX_OUTCOMES": 1 << 6, "_MAX_IPS": 1 << 9,
                       "_MOST_BYTES": 1 << 18}.items():  # fmt: skip
        monkeypatch.setattr(blocks_module, name, size)
    monkeypatch.setattr(outcomes_module, "MAX_OUTCOMES", 1 << 6)
    monkeypatch.setattr(lines_module, "_CHUNK_BYTES", 1 << 16)

    assert (
        counted(data, SHIPPED, is_compiled=True)[:2]
        == (counted(data, SHIPPED, is_compiled=False)[:2])
    )


def test_crowded_minutes():
    """Of many lines and paths of one client in one minute, the same few are kept; each line once."""
    kinds = (b"/%d HTTP/1.1", b"/a?id=%d+union+select+2 HTTP/1.1", b"/\xc3\xa9%d HTTP/1.1")
    lines = [
        b'192.0.2.%d - - [22/Feb/2026:22:10:01 +0300] "GET %s" 404 1 "-" "x"\n'
        % (n % 3, kinds[n // 3 % 3] % (n % 2000))
        for n in range(9000)
    ]
    data = b"".join(lines) + b"".join(lines[::-1])

    assert (
        counted(data, SHIPPED, is_compiled=True)[:2]
        == (counted(data, SHIPPED, is_compiled=False)[:2])
    )


def test_a_dropped_ordinal_can_be_used_again():
    """Of an object that was cut off, nothing is left that keeps lines of the next one away."""
    lines = [
        b'192.0.2.7 - - [22/Feb/2026:22:10:01 +0300] "GET /%d.php?id=1+union+select+2" 404 1\n' % n
        for n in range(300)
    ]
    builder = TallyBuilder(SHIPPED)
    read_into(builder, b"".join(lines[:280]))
    builder.drop(0)
    read_into(builder, b"".join(lines[280:]))

    expected = counted(b"".join(lines[280:]), SHIPPED, is_compiled=False)[1]
    assert built(builder).to_payloads() == expected


def test_no_table_is_left_once_all_is_written():
    """What counting took is free for evaluation at once, and counting can go on after it."""
    line = b'192.0.2.7 - - [22/Feb/2026:22:10:01 +0300] "GET /%d HTTP/1.1" 404 1\n'
    first, second = (b"".join(line % n for n in some) for some in (range(300), range(300, 600)))
    builder = TallyBuilder(RULES)
    read_into(builder, first)
    engine = builder._engine
    assert engine is not None
    assert engine._columns is not None
    tables = weakref.ref(engine._columns)
    gc.disable()
    try:
        builder.write()
        assert tables() is None
    finally:
        gc.enable()
    read_into(builder, second)

    written = built(builder).counts.rows["count"].sum()
    assert (
        written == counted(first + second, RULES, is_compiled=False)[2].counts.rows["count"].sum()
    )


def test_any_number_of_combinations_can_be_counted(monkeypatch):
    """A client that makes every line count for other rules stops nobody from counting."""
    lines = [
        b'192.0.2.%d - - [22/Feb/2026:22:10:01 +0300] "%s %s?%s" %d 1 "-" "%s"\n'
        % (n % 3, method, path, query, status, agent)
        for n, (method, path, query, status, agent) in enumerate(
            itertools.product(
                (b"GET", b"POST"),
                (b"/", b"/.env", b"/wp-login.php", b"/a.php", b"/../../etc/passwd"),
                (
                    b"a=1",
                    b"id=1+union+select+2",
                    b"x=%3Cscript%3Ealert(1)",
                    b"x=;cat%20/etc/passwd",
                ),
                (200, 301, 401, 404, 500),
                (b"x", b"sqlmap/1.7", b"${jndi:ldap://x/a}", b"\xc3\xa9"),
            )
        )
    ]
    data = b"".join(lines) + b"".join(line.replace(b" - - ", b" x y z [ ") for line in lines)
    data += b"".join(lines[::-1])
    expected = counted(data, SHIPPED, is_compiled=False)[:2]
    monkeypatch.setattr(blocks_module, "MAX_COUNTERS", 64)
    monkeypatch.setattr(lines_module, "_CHUNK_BYTES", 1 << 14)

    assert counted(data, SHIPPED, is_compiled=True)[:2] == expected


def test_the_shipped_rules_are_within_reach():
    """No shipped rule looks at what makes the engine leave every line to the exact path."""
    _, _, _, builder = counted_by(b"x" * 2 * 1024**2, SHIPPED, is_compiled=True)

    assert not builder.slowed_by


def test_rules_may_ask_any_number_of_things_of_a_path(monkeypatch):
    """Paths with ever other answers are counted by columns, as one by one; also far too many."""
    (rule,) = (r for r in SHIPPED.rules if r.id == "http-request-volume")
    words = [f"word{n:02d}" for n in range(40)]
    asking = (
        replace(
            rule, id=word, counter=word, selection=build_selection({"url_path|contains": word}, ())
        )
        for word in words
    )
    rules = replace(SHIPPED, rules=tuple(asking))
    chance = random.Random(1)
    some = ("/".join(chance.sample(words, chance.randrange(4))).encode() for _ in range(3000))
    data = b"".join(
        b'192.0.2.%d - - [22/Feb/2026:22:10:01 +0300] "GET /%s HTTP/1.1" 200 1\n' % (n % 3, path)
        for n, path in enumerate(some)
    )
    expected = counted(data, rules, is_compiled=False)[:2]
    *found, _, builder = counted_by(data, rules, is_compiled=True)
    assert tuple(found) == expected
    assert not builder.slowed_by

    monkeypatch.setattr(classes_module, "MAX_FACTS", 64)
    monkeypatch.setattr(lines_module, "_CHUNK_BYTES", 1 << 14)
    assert counted(data, rules, is_compiled=True)[:2] == expected


def test_regular_lines_are_taken():
    """The properties above are not empty: the engine counts many of such lines by itself."""
    taken = total = 0

    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    @given(st.lists(access_lines().map(str.encode), min_size=5, max_size=20))
    def look(lines):
        nonlocal taken, total
        sink = TallyBuilder(SHIPPED).sink(0)
        found = sink.count_block(
            b"".join(line + b"\n" for line in lines), lambda block: None, 0, 0, 1 << 62
        )
        taken += found.lines - len(found.refused)
        total += sum(not isinstance(parse_line(line, CLOCK), Unparsed) for line in lines)

    look()

    assert taken > total / 3


# texts

PIECES = [
    *"abcAZ09 /?=&+-_.,:;'\"`<>()[]{}$|\\^%*#!@~", "%20", "%2F", "%2f", "%3D", "%C3%A9", "%c3%89",
    "%C3%BC", "%26", "%23", "%2B", "%25", "%2e", "%5C", "&lt;", "&amp;", "&#", "0x", "0X", "//",
    "/.", "..", "/*", "  ", "%0a", "%00", "%E2%80%8B", "%EF%BC%8F", "%D0%B0", "\xe9", "select", "=",
    "x", "x2e", "ifs", "${", "%2500", "%252e", "%25%32%35", "%2E", "%3b", "u0041", "00", "5C", "lt;",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def reduce(text: str, *, is_url: bool) -> list[bytes] | None:
    """The views that the kernel writes, or None where it refuses."""
    source = np.frombuffer(text.encode() + bytes(8), np.uint8)
    target = np.zeros(reducing.VIEWS * len(source) + 64, np.uint8)
    end = reducing.reduce_text(source, 0, len(text.encode()), is_url, target, 0)
    return None if end < 0 else bytes(target[:end]).split(b"\n")[:-1]


@settings(max_examples=2000, deadline=None)
@example("%20x2e", True)  # the last digit of one encoding was not taken for the first of another
@example("/%252e%252e%252f%00/a;b", True)
@given(texts, st.booleans())
def test_reduced_texts_are_the_views(text, is_url):
    """What the kernel does not refuse has the views of decode, letters beyond ASCII aside."""
    reduced = reduce(text, is_url=is_url)
    if reduced is not None:
        views = [
            "".join(c if c.isascii() else "\xe9" for c in v).encode("latin-1")
            for v in view(text, is_url=is_url)
        ]
        assert list(dict.fromkeys(reduced)) == views


PLAIN_PIECES = [*"aX02/?=&+-_.,", "2e", "0x", "/a", "a+", "id=7&", "B.html"]


@settings(max_examples=2000, deadline=None)
@given(texts | st.lists(st.sampled_from(PLAIN_PIECES), max_size=12).map("".join))
def test_plain_texts_have_one_view(text):
    """A text that is called plain has one view, and what is after its first `?` has its end."""
    source = np.frombuffer(text.encode() + bytes(8), np.uint8)
    target = np.zeros(len(source) + 64, np.uint8)
    end = reducing._reduce_plain(source, 0, len(text.encode()), target, 0)
    if end < 0:
        return
    found = bytes(target[:end]).decode()
    assert found.endswith("\n")
    assert [*view(text, is_url=True)] == [found[:-1]]
    mark = text.find("?") + 1
    if 0 < mark < len(text):
        assert [*view(text[mark:], is_url=True)] == [found[mark:-1]]


@pytest.mark.parametrize("is_url", [True, False])
def test_every_pair_of_pieces(is_url):
    """Whatever stands beside whatever is reduced rightly, or refused; most of it is not."""
    pairs = [a + b for a in PIECES for b in PIECES]
    reduced = {text: reduce(text, is_url=is_url) for text in pairs}
    for text, found in reduced.items():
        if found is not None:
            views = view(text, is_url=is_url)
            assert next(v.decode("latin-1").isascii() for v in found) == views[0].isascii()
            assert len(set(found)) == len(views)
    assert sum(found is not None for found in reduced.values()) > 800


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, min_size=1, max_size=8))
def test_no_hit_is_overlooked(many):
    """What the prover says of texts at once is what each signature says of each of them."""
    prover = Prover(SHIPPED)
    for name in ("url_original", "url_path", "url_query", "http_request_referrer"):
        clean = [(t, r) for t in many if (r := reduce(t, is_url=True)) is not None]
        buffer = np.frombuffer(b"".join(b"\n".join(r) + b"\n" for _, r in clean), np.uint8)
        ends = np.cumsum([sum(len(v) + 1 for v in r) for _, r in clean])
        found = dict(prover.hits(name, Views(buffer, ends)))
        match = dict(SHIPPED.signature_set.matchers)[name]
        for number, (text, _) in enumerate(clean):
            hits = found.get(number, [])
            assert hits is None or tuple(sorted(hits)) == match(text)


@pytest.mark.parametrize("pattern", [r"\Aid=", r"(?-m:^id=)", r"=7\z", r"(?i-sm:=7$)", "^id=7$"])
def test_the_ends_of_a_text_are_its_own(pattern):
    """A pattern that asks for the start or the end of a text finds it in each of many texts."""
    signature = Signature("ends", Family.OTHER, Strength.STRONG, ("url_query",), pattern)
    views = Views(np.frombuffer(b"a=1\nid=7\nb=2\n", np.uint8), np.array([4, 9, 13]))

    found = Prover(replace(SHIPPED, rules=(), signatures=(signature,))).hits("url_query", views)

    assert [number for number, hits in found if hits] == [1]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(?i)=\u017fecret", b"a=secret"),
        ("=(?i:\u212a)ey", b"a=key"),
        (r"\Q{a{1,5}\E", b"a={a{1,5}"),
        ("=[[:^digit:]\u00e9]x", b"a=bx"),
    ],
)
def test_what_is_no_count_and_no_letter_of_its_own_is_not_widened(pattern, text):
    """Letters that match ASCII without case, quoted texts and negated classes hit as they do alone."""
    signature = Signature("odd", Family.OTHER, Strength.STRONG, ("url_query",), pattern)
    views = Views(np.frombuffer(text + b"\n", np.uint8), np.array([len(text) + 1]))

    found = Prover(replace(SHIPPED, rules=(), signatures=(signature,))).hits("url_query", views)

    assert list(found) == [(0, [0])]


@pytest.mark.parametrize("name", sorted(dict(SHIPPED.signature_set.matchers)))
def test_no_field_is_looked_at_text_by_text(name):
    """No shipped pattern makes the prover hand every text of a field on."""
    views = Views(np.frombuffer(b"/an ordinary-text/1.0\n", np.uint8), np.array([22]))

    assert name == "user_name" or not Prover(SHIPPED).find(name, views)


def test_wide_patterns_match_what_the_narrow_ones_match():
    """For every signature, each text of examples that it hits is hit by its wide pattern."""
    generator = random.Random(7)
    examples = [text for s in SHIPPED.signatures for e in s.matches for _, text in e]
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    for signature in SHIPPED.signatures:
        narrow = re2.compile(f"(?m:{signature.pattern})".encode(), options)
        wide = re2.compile(f"(?m:{widen(signature.pattern)})".encode(), options)
        for written in examples:
            text = written.lower().encode("latin-1", "replace")
            for _ in range(3):
                cut = sorted(generator.sample(range(len(text) + 1), 2))
                for some in (text, text[cut[0] : cut[1]]):
                    assert wide.search(some) or not narrow.search(some)


def fail_to_load():
    raise ImportError("no module named numba")


def test_without_a_compiler_the_exact_path_counts(monkeypatch):
    """Where the kernel cannot be loaded, lines are counted one by one, the same, and it says so."""
    data = b"\n".join(
        b'192.0.2.%d - - [22/Feb/2026:22:10:%02d +0300] "GET /%d HTTP/1.1" 404 1 "-" "x"'
        % (n % 9, n % 60, n)
        for n in range(500)
    )
    expected = counted(data, SHIPPED, is_compiled=True)[:2]
    monkeypatch.setattr(engine_module, "load_counter", fail_to_load)
    *found, _, builder = counted_by(data, SHIPPED, is_compiled=True)

    assert tuple(found) == expected
    assert builder.slowed_by == "the compiled part cannot be loaded (ImportError)"


def test_rules_out_of_reach_are_told(monkeypatch):
    """Where a rule looks at what is not in columns, lines are counted one by one, and it says so."""
    (rule,) = (r for r in SHIPPED.rules if r.id == "http-request-volume")
    selection = build_selection({"http_response_body_bytes": 5}, ())
    rules = replace(SHIPPED, rules=(replace(rule, selection=selection),))
    *_, builder = counted_by(b"#\n", rules, is_compiled=True)

    assert builder.slowed_by == "a rule looks at a field that is not in columns"
