"""Every line of an object is counted, parsed or not; sinks get what happened in it."""

import io
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from tasks.collect.lines import MAX_LINE_BYTES
from tasks.model.errors import TransientError
from tasks.model.objects import EventRange, LogObject
from tests.ledgers import read

FIVE_LINES = rb"""127.0.0.1 - - [22/Feb/2026:22:10:01 +0300] "GET /assets/images/logo.png HTTP/1.1" 200 4523 "https://mysite.com/" "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
192.168.1.105 - - [22/Feb/2026:22:12:45 +0300] "GET /login.php?user=admin' AND (SELECT 1 FROM (SELECT(SLEEP(5)))a)-- HTTP/1.1" 200 512 "-" "Mozilla/5.0"
Feb 22 22:15:01 cloud-server sshd[1245]: Accepted password for developer from 192.168.1.20 port 54321 ssh2
Feb 22 22:18:33 my-server sshd[25341]: Failed password for invalid user admin from 103.45.12.8 port 56789 ssh2
45.89.23.12 - - [22/Feb/2026:22:25:40 +0300] "GET /../../../../etc/passwd HTTP/1.1" 403 162 "-" "curl/7.81.0"
"""


class OneObject:
    """A bucket with one object in it."""

    uri = "s3://bucket"

    def __init__(self, content: bytes | Exception) -> None:
        self.content = content
        self.log_object = LogObject(
            self.uri, "web/access.log", "etag", 1, datetime(2026, 2, 23, tzinfo=UTC)
        )

    def plan(self, ledger):
        raise NotImplementedError

    @contextmanager
    def open(self, log_object):
        if isinstance(self.content, Exception):
            raise self.content
        yield io.BytesIO(self.content)


def read_all(content, **options):
    source = OneObject(content)
    return read(source, source.log_object, **options)


def test_mixed_formats():
    """A file may mix access lines and sshd's; the client is the peer."""
    result, (counted,) = read_all(FIVE_LINES)
    (extent,) = result.extents

    assert [e.source_ip for e, _, _ in counted.events] == [
        "127.0.0.1", "192.168.1.105", "192.168.1.20", "103.45.12.8", "45.89.23.12",
    ]  # fmt: skip
    assert [n for _, n, _ in counted.events] == [1, 2, 3, 4, 5]
    assert [raw for _, _, raw in counted.events] == FIVE_LINES.splitlines()
    assert (extent.lines, extent.lines_unparsed, extent.size_bytes) == (5, 0, len(FIVE_LINES))
    assert (extent.object_key, extent.version) == ("web/access.log", "etag")
    assert extent.first_event_at == datetime(2026, 2, 22, 19, 10, 1, tzinfo=UTC)
    assert extent.last_event_at == datetime(2026, 2, 22, 22, 18, 33, tzinfo=UTC)


def test_last_line_of_an_immutable_object():
    """An S3 object does not grow, so its last line needs no line feed."""
    result, (counted,) = read_all(FIVE_LINES.rstrip(b"\n"))

    assert result.extents[0].lines == len(counted.events) == 5
    assert not result.extents[0].is_unfinished


def test_bad_lines():
    """A bad line costs itself: it is counted, and the first three are shown with the reason."""
    bad = b"nonsense \xff\x1b[31m\nmore\n\n# comment\nlast\neven\n"
    result, (counted,) = read_all(bad + FIVE_LINES)
    (extent,) = result.extents

    assert (extent.lines, extent.lines_unparsed, len(counted.events)) == (11, 4, 5)
    assert [s.line_number for s in extent.unparsed] == [1, 2, 5]
    assert extent.unparsed[0].line.startswith(r"nonsense \xff")
    assert all(s.reason for s in extent.unparsed)


def test_endless_line():
    """A line over the bound is one unparsed line."""
    result, (counted,) = read_all(b"x" * (2 * MAX_LINE_BYTES) + b"\n" + FIVE_LINES)

    assert (result.extents[0].lines, result.extents[0].lines_unparsed) == (6, 1)
    assert len(result.extents[0].unparsed[0].line) == 200
    assert counted.events[0][1] == 2


def test_endless_line_that_seems_to_end_where_it_is_cut():
    """A carriage return at the bound makes no line of the beginning of a longer one."""
    start = FIVE_LINES.splitlines()[4][:-1].ljust(MAX_LINE_BYTES - 1, b"x") + b'"\r'
    result, (counted,) = read_all(start + b"x" * (2 * MAX_LINE_BYTES) + b"\n" + FIVE_LINES)

    assert (result.extents[0].lines, result.extents[0].lines_unparsed) == (6, 1)
    assert counted.events[0][1] == 2


def test_empty_object():
    """An empty object is done, with no lines."""
    result, (counted,) = read_all(b"")

    assert (result.extents[0].lines, result.extents[0].first_event_at) == (0, None)
    assert counted.events == []


def test_event_range():
    """Events outside the half-open range are read and not counted."""
    event_range = EventRange(
        datetime(2026, 2, 22, 19, 12, 45, tzinfo=UTC), datetime(2026, 2, 22, 19, 25, 40, tzinfo=UTC)
    )
    result, (counted,) = read_all(FIVE_LINES, event_range=event_range)

    assert [e.source_ip for e, _, _ in counted.events] == ["192.168.1.105"]
    assert result.extents[0].lines == 5
    assert result.extents[0].first_event_at == result.extents[0].last_event_at


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), PermissionError(13, "denied")])
def test_errors_of_the_system(error):
    """An object that cannot be read is a sentence, not a crash."""
    result, _ = read_all(error)

    assert "'web/access.log'" in (result.error or "")
    assert not result.extents


def test_transient_errors():
    """What may be over soon is left to the retries of the task."""
    with pytest.raises(TransientError):
        read_all(TransientError("later"))
