"""
Syslog lines in files: RFC 3164 without a year, and the ISO 8601 times that rsyslog writes now.

Source: https://www.rfc-editor.org/rfc/rfc3164#section-4.1
"""

import re

from tasks.collect.formats.access import parse_access
from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.fields import IMPOSSIBLE_TIME, Parsed
from tasks.collect.formats.sshd import parse_sshd
from tasks.model.events import Unparsed

_LINE = re.compile(
    rb"(?:<\d{1,3}>)?"
    rb"(?:([A-Z][a-z][a-z] [ \d]\d \d\d:\d\d):(\d\d)(?:\.\d+)?"
    rb"|(\d{4}-\d\d-\d\dT\d\d:\d\d):(\d\d)(?:[.,]\d+)?(Z|[+-]\d\d:?\d\d)?)"
    rb" \S+ (?:([^\s:\[]+)(?:\[[^\]\s]*\])?: ?)?(.*)",
    re.DOTALL,
)
_SSHD = frozenset((b"sshd", b"sshd-session", b"sshd-auth"))
_WEB_SERVERS = frozenset((b"nginx", b"httpd", b"apache", b"apache2"))
_REPEATS_ANOTHER_LINE = Unparsed(
    "it repeats the line before it, which may be in another object; turn that off in syslogd"
)


def parse_syslog(line: bytes, clock: ObjectClock) -> Parsed | None:
    """
    What a line of sshd, or of a web server that logs to syslog, says; None for other formats.

    Lines of all other programs are understood and hold nothing to count.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    minute, second, iso_minute, iso_second, offset, program, message = match.groups()
    if program in _WEB_SERVERS:
        return parse_access(message, clock) or ()
    if minute is not None:
        timestamp = clock.read_yearless_time(minute, second)
    else:
        timestamp = clock.read_iso_time(iso_minute, iso_second, offset or b"")
    if timestamp is None:
        return IMPOSSIBLE_TIME
    if program in _SSHD:
        return parse_sshd(message, timestamp)
    if message.startswith(b"last message repeated "):
        return _REPEATS_ANOTHER_LINE
    return ()
