"""
Syslog lines in files: RFC 3164 without a year or with one, the ISO 8601 times that rsyslog writes
now, and RFC 5424.

Source: https://www.rfc-editor.org/rfc/rfc3164#section-4.1, https://www.rfc-editor.org/rfc/rfc5424
"""

import re

from tasks.collect.formats.clock import MONTHS
from tasks.collect.formats.fields import IMPOSSIBLE_TIME, Parsed
from tasks.collect.formats.json_lines import parse_json
from tasks.collect.formats.programs import (
    HAPROXY,
    SSHD,
    parse_haproxy_message,
    parse_message,
    parse_server_line,
)
from tasks.collect.formats.request import Context
from tasks.model.events import Unparsed

# of a program's own log, in which clients may have written what follows
_LEVEL = rb"(?i:debug|info|notice|warn\w*|err\w*|crit\w*|fatal|trace)"
_LINE = re.compile(
    rb"(?:<\d{1,3}>)?"
    rb"(?:([A-Z][a-z][a-z] [ \d]?\d \d\d:\d\d):(\d\d)(?:\.\d+)?"
    # `log show` of macOS has blanks around the time
    rb"|(\d{4}-\d\d-\d\d(?:T| (?=\S+  |\S+ (?!" + _LEVEL + rb" )(?:\S+ )?sshd))\d\d:\d\d):(\d\d)"
    rb"(?:[.,]\d+)?(Z|[+-]\d\d:?\d\d)? ?)"
    # FreeBSD's `syslogd -v` says the priority here; the host may be missing
    rb" (?:<[\w.]{1,20}> )?"
    rb"(?:(?=[^\s:\[]+(?:\[\d+\])?: |\[sshd\]|(?:auth(?:priv)?|daemon)\.[a-z]+ )|\S+ +)"
    # BusyBox writes facility and level, too
    rb"(?:(?:auth(?:priv)?|cron|daemon|ftp|kern|lpr|mail|news|syslog|user|uucp|local[0-7])"
    rb"\.[a-z]+ )?"
    rb"(?:([^\s:\[]+)(?:(?:\[[^\]\s]*\])?: *|\[\d+\] )|\[(sshd)\]:? )?"  # metalog's brackets
    rb"(?:\[ID \d+ [a-z0-9]+\.[a-z]+\] )?(.*)",  # Solaris
    re.DOTALL,
)
# `log_file` of OpenWrt, and templates that put the year after the day
_WITH_YEAR = re.compile(
    rb"(?:<\d{1,3}>)?(?:[A-Z][a-z][a-z] ([A-Z][a-z][a-z]) ([ \d]\d) (\d\d:\d\d:\d\d) (\d{4})"
    rb"|([A-Z][a-z][a-z]) ([ \d]?\d) (\d{4}) (\d\d:\d\d:\d\d))(?= )"
)
_RFC_5424 = re.compile(
    rb"(?:<\d{1,3}>)?1 (\d{4}-\d\d-\d\dT\d\d:\d\d):(\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)"
    rb" \S+ (\S+) \S+ \S+ "
    rb"(?:-|(?:\[[^\s\]\"=]+(?: [^\s\]\"=]+=\"[^\"\\]*+(?:\\.[^\"\\]*+)*+\")*+\])+)"
    rb"(?: (?:\xef\xbb\xbf)? *+(.*))?",  # rsyslog puts one blank more before the message
    re.DOTALL,
)
# Others may pass on what a client sent: only these log JSON of their own making.
_JSON_LOGGERS = frozenset((None, b"nginx", b"caddy", b"traefik", b"haproxy", b"envoy", b"fastly"))
_JSON_STARTS_WITHIN = 16
_REPEATS_ANOTHER_LINE = Unparsed(
    "it repeats the line before it, which may be in another object; turn that off in syslogd"
)


def parse_syslog(line: bytes, context: Context) -> Parsed | None:
    """
    What a line of sshd, or of a web server that logs to syslog, says; None for other formats.

    Lines of all other programs are understood and hold nothing to count.
    """
    match = _LINE.fullmatch(_begin_as_iso(line))
    if match is None:
        return None
    minute, second, iso_minute, iso_second, offset, program, in_brackets, message = match.groups()
    program = program or in_brackets
    if program is not None and program.startswith(b"{"):  # JSON without a program before it
        program, message = None, match.string[match.start(6) :]
    own = _parse_own_line(program, message, context, has_offset=offset is not None)
    if own is not None:
        return own
    if program is None and minute is None:  # any program may begin its lines with such a time
        return None
    if minute is not None:
        minute = minute[:4] + minute[4:].rjust(8)
        timestamp = context.clock.read_yearless_time(minute, second)
    else:
        timestamp = context.clock.read_iso_time(iso_minute, iso_second, offset or b"")
    if timestamp is None:
        return IMPOSSIBLE_TIME
    if program not in SSHD and message.startswith(b"last message repeated "):
        return _REPEATS_ANOTHER_LINE
    return parse_message(program, message, timestamp, context)


def _begin_as_iso(line: bytes) -> bytes:
    """The same line with its time as ISO 8601, if it begins as `_WITH_YEAR` does."""
    stated = _WITH_YEAR.match(line)
    if stated is None:
        return line
    month, day, *rest = filter(None, stated.groups())
    year, time = sorted(rest, key=len)
    return b"%b-%02d-%02dT%b%b" % (
        year, MONTHS.get(month, 0), int(day), time, line[stated.end() :]
    )  # fmt: skip


def parse_rfc5424(line: bytes, context: Context) -> Parsed | None:
    """The same for RFC 5424."""
    match = _RFC_5424.fullmatch(line)
    if match is None:
        return None
    minute, second, offset, program, message = match.groups()
    own = _parse_own_line(program, message or b"", context, has_offset=True)
    if own is not None:
        return own
    timestamp = context.clock.read_iso_time(minute, second, offset)
    if timestamp is None:
        return IMPOSSIBLE_TIME
    return parse_message(program, message or b"", timestamp, context)


def _parse_own_line(
    program: bytes | None, message: bytes, context: Context, *, has_offset: bool
) -> Parsed | None:
    """What a web server says in a line whose own time is the better one; None for others."""
    if program in _JSON_LOGGERS:
        start = message.find(b"{", 0, _JSON_STARTS_WITHIN)
        if start >= 0 and not message[:start].strip(b" ").removeprefix(b"@cee:").strip(b" "):
            return parse_json(message[start:], context) or ()
    if program == HAPROXY and not has_offset:  # nor a year, perhaps
        return parse_haproxy_message(message, context)
    return parse_server_line(program, message, context)
