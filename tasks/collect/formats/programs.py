"""What the programs that log to syslog or to the journal say in their messages."""

import re

from tasks.collect.formats.access import parse_access
from tasks.collect.formats.error_log import parse_apache_message, parse_nginx_error
from tasks.collect.formats.fields import Parsed
from tasks.collect.formats.haproxy import parse_haproxy, read_encoded
from tasks.collect.formats.request import Context
from tasks.collect.formats.sshd import parse_pam, parse_sshd
from tasks.model.events import Unparsed

SSHD = frozenset((b"sshd", b"sshd-session", b"sshd-auth", b"dropbear"))
_PAM = b"sshd(pam_unix)"
HAPROXY = b"haproxy"
_SERVERS = frozenset((b"nginx", b"httpd", b"apache", b"apache2"))
_REQUEST = re.compile(rb'"[A-Z]+ [^"]* HTTP/\d')
_OTHER_FORMAT = Unparsed("it logs a request in another format than its server has by default")


def parse_message(
    program: bytes | None, message: bytes, timestamp: int, context: Context
) -> Parsed:
    """What *program* says in *message*; nothing for programs that are not known."""
    if program in SSHD:
        return parse_sshd(message, timestamp)
    if program == _PAM:
        return parse_pam(message, timestamp)
    if program == HAPROXY:
        return parse_haproxy_message(message, context, timestamp)
    if _is_server(program):
        parsed = parse_apache_message(message, timestamp, context)
        return _refuse_request(message) if parsed is None else parsed
    return ()


def parse_server_line(program: bytes | None, message: bytes, context: Context) -> Parsed | None:
    """What a web server says in a line that has a time of its own; None for other messages."""
    if not _is_server(program):
        return None
    parsed = parse_access(message, context.clock)
    return parse_nginx_error(message, context) if parsed is None else parsed


def parse_haproxy_message(message: bytes, context: Context, timestamp: int | None = None) -> Parsed:
    """The request in a message of HAProxy; nothing in its other messages."""
    parsed = parse_haproxy(message, context, timestamp)
    if parsed is None:  # `option httplog clf`
        parsed = parse_access(read_encoded(message), context.clock)
    return _refuse_request(message) if parsed is None else parsed


def _is_server(program: bytes | None) -> bool:
    return program is not None and program.partition(b"/")[0] in _SERVERS


def _refuse_request(message: bytes) -> Parsed:
    """The rest is connections without a request, and notices."""
    return _OTHER_FORMAT if _REQUEST.search(message) else ()
