"""
Entries of the systemd journal, as `journalctl -o json` exports them.

Source: https://systemd.io/JOURNAL_EXPORT_FORMATS/#journal-json-format
"""

from collections.abc import Mapping
from typing import Any

from tasks.collect.formats.fields import IMPOSSIBLE_TIME, Parsed
from tasks.collect.formats.programs import (
    SSHD,
    parse_message,
    parse_server_line,
)
from tasks.collect.formats.request import Context


def parse_journal(entry: Mapping[str, Any], context: Context) -> Parsed:
    """What the message of an entry says; nothing for programs that are not known."""
    message = _read_bytes(entry.get("MESSAGE"))
    program = _read_bytes(entry.get("SYSLOG_IDENTIFIER"))
    command = _read_bytes(entry.get("_COMM"))
    if message is None:  # too long for the export
        return ()
    # any user can log under any identifier; the journal itself says what the command was
    if program in SSHD and command is not None and command not in SSHD:
        return ()
    own = parse_server_line(program, message, context)
    if own is not None:
        return own
    timestamp = context.clock.read_time(_read_bytes(entry.get("__REALTIME_TIMESTAMP")) or b"")
    if timestamp is None:
        return IMPOSSIBLE_TIME
    return parse_message(program or command, message, timestamp, context)


def _read_bytes(value: object) -> bytes | None:
    """A field is text, or its bytes as numbers when it is not UTF-8, or null when it is long."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, list) and all(isinstance(b, int) and 0 <= b < 256 for b in value):
        return bytes(value)
    return None
