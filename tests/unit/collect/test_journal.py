"""sshd in RFC 5424 and in the journal says what it says in auth.log."""

import json
from datetime import UTC, datetime

import pytest

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.parser import parse_line
from tasks.model.events import Event, EventCategory, Unparsed

CLOCK = ObjectClock(datetime(2026, 2, 23, tzinfo=UTC))
TIMESTAMP = int(datetime(2026, 2, 22, 22, 18, 33, tzinfo=UTC).timestamp())
MESSAGE = "Failed password for invalid user admin from 192.0.2.7 port 56789 ssh2"
EVENT = Event(
    timestamp=TIMESTAMP,
    source_ip="192.0.2.7",
    category=EventCategory.AUTHENTICATION,
    event_action="ssh_login",
    event_outcome="failure",
    user_name="admin",
    is_invalid_user=True,
)


def entry(**fields):
    known = {
        "__REALTIME_TIMESTAMP": f"{TIMESTAMP}123456",
        "SYSLOG_IDENTIFIER": "sshd",
        "_COMM": "sshd",
        "_HOSTNAME": "web-01",
        "MESSAGE": MESSAGE,
    }
    return json.dumps({**known, **fields}).encode()


@pytest.mark.parametrize(
    "prefix",
    [
        "<38>1 2026-02-23T01:18:33.123456+03:00 web-01 sshd 123 - - ",
        "<38>1 2026-02-22T22:18:33Z web-01 sshd-session 123 ID47 - \ufeff",
        '<38>1 2026-02-22T22:18:33Z web-01 sshd - - [a@1 b="x \\] y"][c d="e"] ',
        "1 2026-02-22T22:18:33.1Z web-01 sshd 123 - - ",
        "<38>1 2026-02-22T22:18:33Z web-01 sshd 123 - -  ",  # rsyslog's SyslogProtocol23Format
    ],
)
def test_rfc5424(prefix):
    """A line of RFC 5424, with or without priority and structured data, is read."""
    assert parse_line((prefix + MESSAGE).encode(), CLOCK) == (EVENT,)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"MESSAGE": list(MESSAGE.encode())},
        {"_COMM": "sshd-session"},
        {"SYSLOG_IDENTIFIER": "sshd-session", "_COMM": None},
        {"SYSLOG_IDENTIFIER": None},
    ],
)
def test_journal(fields):
    """An entry of the journal is read, also where its message is given as numbers."""
    assert parse_line(entry(**fields), CLOCK) == (EVENT,)


@pytest.mark.parametrize(
    "fields",
    [
        {"_COMM": "logger"},
        {"SYSLOG_IDENTIFIER": "cron", "_COMM": "cron"},
        {"MESSAGE": None},
        {"MESSAGE": [1, "a"]},
        {"MESSAGE": "Server listening on 0.0.0.0 port 22."},
    ],
)
def test_others(fields):
    """What others say, also under sshd's name, holds nothing to count."""
    assert parse_line(entry(**fields), CLOCK) == ()


def test_access_log_in_journal():
    """A web server's access log in the journal is an access log."""
    line = '192.0.2.7 - - [22/Feb/2026:22:18:33 +0000] "GET /x HTTP/1.1" 200 1 "-" "-"'

    parsed = parse_line(entry(SYSLOG_IDENTIFIER="nginx", MESSAGE=line), CLOCK)

    assert not isinstance(parsed, Unparsed)
    (event,) = parsed
    assert (event.url_path, event.timestamp) == ("/x", TIMESTAMP)


def test_impossible_time():
    """A time that is none is said to be none."""
    assert isinstance(parse_line(entry(__REALTIME_TIMESTAMP="x"), CLOCK), Unparsed)
