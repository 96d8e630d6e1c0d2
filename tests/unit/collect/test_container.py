"""What a container wrote is read as if it stood in a file of its own."""

import json
from datetime import UTC, datetime

import pytest

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.parser import LineParser, parse_line
from tasks.model.events import Unparsed

CLOCK = ObjectClock(datetime(2026, 2, 23, tzinfo=UTC))
LINES = [
    '192.0.2.7 - - [22/Feb/2026:22:10:01 +0000] "GET /a?b=%27 HTTP/1.1" 404 7 "-" "x \\"y\\" é"',
    '{"time_iso8601": "2026-02-22T22:10:01Z", "remote_addr": "192.0.2.7", "request": "GET /a"}',
    '2026/02/22 22:10:01 [error] 9#9: *1 x, client: 192.0.2.7, server: _, request: "GET /a HTTP/1.1"',
]


def wrapped(line: str) -> list[str]:
    """How Docker and the runtimes of Kubernetes keep a line."""
    docker = {"log": f"{line}\n", "stream": "stdout", "time": "2026-02-22T22:10:02.123456789Z"}
    return [
        json.dumps(docker, separators=(",", ":")),
        json.dumps(docker, separators=(",", ":"), ensure_ascii=False),
        f"2026-02-22T22:10:02.123456789Z stdout F {line}",
        f"2026-02-22T23:10:02.123456789+01:00 stderr F {line}",
    ]


@pytest.mark.parametrize("line", LINES)
def test_line_of_a_container(line):
    """It says what the line says that the container wrote, whatever stood before it."""
    parser = LineParser(CLOCK)
    expected = parse_line(line.encode(), CLOCK)
    assert isinstance(expected, tuple)
    assert len(expected) == 1

    for text in (*wrapped(line), *wrapped(LINES[0]), *wrapped(line)):
        parsed = parser.parse(text.encode())
        assert parsed in (expected, parse_line(LINES[0].encode(), CLOCK))
    assert all(parse_line(text.encode(), CLOCK) == expected for text in wrapped(line))


def test_other_lines_of_a_container():
    """Empty ones say nothing; what nobody understands is told, not passed over in silence."""
    assert all(parse_line(text.encode(), CLOCK) == () for text in wrapped(""))
    assert all(isinstance(parse_line(t.encode(), CLOCK), Unparsed) for t in wrapped("Started."))


@pytest.mark.parametrize(
    "line", ['{"log":"x"}', '{"log":7,"stream":"stdout","time":"x"}', '{"log":"x']
)
def test_objects_that_no_runtime_wrote(line):
    """They are read as any JSON."""
    assert isinstance(parse_line(line.encode(), CLOCK), Unparsed)
