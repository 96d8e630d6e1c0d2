"""The formats file: declared formats, forced by glob; every mistake is told with its line."""

from datetime import UTC, datetime
from ipaddress import ip_network

import pytest

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.configuration import load_formats
from tasks.collect.formats.parser import LineParser
from tasks.collect.reader import BlockCount, read_extents
from tasks.model.errors import ConfigurationError
from tasks.model.events import Unparsed

CLOCK = ObjectClock(datetime(2026, 2, 23, tzinfo=UTC))
COMBINED = b'192.0.2.7 - - [22/Feb/2026:22:10:01 +0000] "GET / HTTP/1.1" 200 1 "-" "-"'
MAIN = COMBINED.replace(b"192.0.2.7", b"10.0.0.1") + b' "192.0.2.8"'
FILE = """
formats:
  - id: main
    nginx: >-
      $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer"
      "$http_user_agent" "$http_x_forwarded_for"
  - id: app
    json:
      timestamp: at
      source_ip: [peer.address, peer]
      url_original: path
objects:
  - pattern: "edge/**"
    formats: [main, auto]
  - pattern: "app-*.json"
    formats: app
  - pattern: "iis/*.log"
    formats: w3c
"""


@pytest.fixture
def load(tmp_path):
    def load_text(text, *proxies):
        path = tmp_path / "formats.yml"
        path.write_text(text)
        return load_formats(path, [ip_network(p) for p in proxies])

    return load_text


def parse(formats, key, line):
    return LineParser(CLOCK, formats.choose(key)).parse(line)


def test_forced(load):
    """An object whose key a pattern matches is read in the formats that it names, in order."""
    formats = load(FILE, "10.0.0.0/8")

    (main,) = parse(formats, "edge/web-01/access.log", MAIN)
    (combined,) = parse(formats, "edge/access.log", COMBINED)
    (app,) = parse(
        formats, "app-1.json", b'{"at": 1771798201, "peer": "192.0.2.9", "path": "/x?y"}'
    )

    assert (main.source_ip, combined.source_ip) == ("192.0.2.8", "192.0.2.7")
    assert (app.source_ip, app.url_query) == ("192.0.2.9", "y")


def test_others(load):
    """Other objects are read by detection."""
    (event,) = parse(load(FILE), "web/access.log", COMBINED)

    assert event.source_ip == "192.0.2.7"


@pytest.mark.parametrize("key", ["app-1.json", "iis/u_ex.log"])
def test_other_format(load, key):
    """A line in another format than the one that is forced is unparsed."""
    parsed = parse(load(FILE), key, COMBINED)

    assert isinstance(parsed, Unparsed)
    assert "#Fields" in parsed.reason or "configured" in parsed.reason


def test_past_the_parser(load):
    """Lines may be counted past the parser only where it would take them as an access log first."""
    formats = load(FILE)

    taken = {
        key: LineParser(CLOCK, formats.choose(key)).takes_access_first
        for key in ("web/access.log", "edge/access.log", "app-1.json")
    }

    assert taken == {"web/access.log": True, "edge/access.log": False, "app-1.json": False}


def test_no_file():
    """Without a file every object is read by detection."""
    (event,) = parse(load_formats(None), "edge/access.log", MAIN)

    assert event.source_ip == "10.0.0.1"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("formats: [{id: a}]", ["line 1", "nginx, apache or json"]),
        ("formats:\n  - id: a\n    nginx: $remote_addr", ["line 3", "formats.a.nginx", "time"]),
        ("formats:\n  - id: auto\n    apache: '%h %t \"%r\"'", ["line 2", "auto is taken"]),
        ("formats:\n  - id: a\n    json: {timestamp: t, source: x}", ["line 3", "source_ip"]),
        ("formats:\n  - id: a\n    json: {timestamp: t}", ["line 3", "source_ip"]),
        ("objects:\n  - {pattern: /x, formats: auto}", ["line 2", "/x"]),
        ("objects:\n  - {pattern: x, formats: nope}", ["line 2", "nope", "nginx_error"]),
        ("objects:\n  - {pattern: x}", ["line 2", "formats"]),
        ("object: []", ["object"]),
        ("formats: [", ["not YAML", "line 2"]),
        ("- a", ["formats file"]),
        (
            "formats:\n  - {id: A, apache: x}\nobjects:\n  - {pattern: x, formats: []}",
            ["line 2", "line 4"],
        ),
    ],
    ids=range(12),
)
def test_mistakes(load, text, problems):
    """One message names the file and every problem with its line and field."""
    with pytest.raises(ConfigurationError) as raised:
        load(text)

    for part in (*problems, "formats.yml"):
        assert part in str(raised.value)


def test_no_such_file(tmp_path):
    """A file that cannot be read is named."""
    with pytest.raises(ConfigurationError, match=r"none\.yml cannot be read"):
        load_formats(tmp_path / "none.yml")


def test_empty_file(load):
    """An empty file says nothing."""
    assert load("").forced == ()


class Columns:
    """A sink that counts whole blocks by itself, and one that is asked about single lines."""

    def __init__(self):
        self.clients = []
        self.blocks = 0

    def __call__(self, event, number, line):
        self.clients.append(event.source_ip)

    def count_block(self, block, rewrite, lines_before, since, until):
        self.blocks += 1
        return BlockCount.nothing(block, lines_before)


@pytest.mark.parametrize(
    ("key", "client", "blocks"),
    [("web/access.log", "10.0.0.1", 1), ("edge/access.log", "192.0.2.8", 0)],
)
def test_declared_formats_are_read_line_by_line(load, logs, source, ledger, key, client, blocks):
    """A faster reader of access logs is not asked where an object has a format of its own."""
    path = logs / key
    path.parent.mkdir()
    path.write_bytes(MAIN + b"\n")
    (log_object,) = source.plan(ledger).to_read
    sink = Columns()

    read_extents(
        source, log_object, UTC, lambda _: sink, choose_format=load(FILE, "10.0.0.0/8").choose
    )

    assert (sink.clients, sink.blocks) == ([client], blocks)
