"""What the programs that log to syslog or to the journal say in their messages."""

from tasks.collect.formats.access import parse_access
from tasks.collect.formats.fields import Parsed
from tasks.collect.formats.haproxy import parse_haproxy
from tasks.collect.formats.request import Context
from tasks.collect.formats.sshd import parse_sshd

SSHD = frozenset((b"sshd", b"sshd-session", b"sshd-auth"))
_ACCESS_LOGGERS = frozenset((b"nginx", b"httpd", b"apache", b"apache2"))


def parse_message(
    program: bytes | None, message: bytes, timestamp: int, context: Context
) -> Parsed:
    """What *program* says in *message*; nothing for programs that are not known."""
    if program in SSHD:
        return parse_sshd(message, timestamp)
    if program == b"haproxy":
        parsed = parse_haproxy(message, context, timestamp)
        # `option httplog clf`; the rest is connections without a request, and notices
        return parse_access_message(message, context) if parsed is None else parsed
    return ()


def is_access_logger(program: bytes | None) -> bool:
    """Whether *program* sends whole access log lines, which have a time of their own."""
    return program in _ACCESS_LOGGERS


def parse_access_message(message: bytes, context: Context) -> Parsed:
    """The request in a message of a web server; nothing in its other messages."""
    return parse_access(message, context.clock) or ()
