"""
Common and Combined Log Format, as nginx and Apache write them.

Also understood: a virtual host before the client (`vhost_combined`), more fields after the
user agent (ignored), and quotes that the server did not escape.

Source: https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#formats
"""

import re

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.fields import (
    IMPOSSIBLE_TIME,
    Parsed,
    read_address,
    read_text,
    refuse_client,
)
from tasks.collect.formats.request import split_request, split_target
from tasks.model.events import Event, EventCategory, Unparsed

# No server leaves a quote in the user name unescaped, but for two around it, so the time is the
# last [...] before the first bare quote that is none of these: a user name that looks like the rest
# of a line cannot pass for it, nor can a request that holds quotes and another time.
# What starts as JSON or a syslog line is one, whatever follows: no line has two formats.
_CLIENT_AND_TIME = (
    rb"(?!\{|<\d|(?:[A-Z][a-z][a-z] ){1,2}[ \d]?\d (?:\d{4} )?\d\d:|\d{4}-\d\d-\d\dT)"
    rb'(\S+) (\S+) ((?:- )?"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^"\\]*(?:\\"?[^"\\]*)*) '
    rb"\[(\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d):(\d\d) ([+-]\d{4})\] "
)
_STATUS_AND_SIZE = rb" (\d{1,3}|-) (\d{1,18}|-)"
_LINE = re.compile(
    _CLIENT_AND_TIME + rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"' + _STATUS_AND_SIZE + rb"(?= |$)(.*)",
    re.DOTALL,
)
_LINE_WITH_RAW_QUOTES = re.compile(
    _CLIENT_AND_TIME + rb'"(.*?)"' + _STATUS_AND_SIZE + rb'(?= "| ?$)(.*)', re.DOTALL
)
_FORWARDED = Unparsed(
    "it begins with a list of addresses, which clients can write to; log who spoke to the server"
)
_CLIENT_AGAIN = re.compile(rb"^\[[0-9A-Fa-f.:, ]{2,200}\] - ")
_QUOTED = rb' "([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_QUOTED_OR_NOT = rb"(?:" + _QUOTED + rb"| -)"
# NGINX's own example of upstream times has no blank between the agent and `rt=`.
_AFTER_AGENT = rb"(?: |$|rt=)"
_REFERRER_AND_AGENT = re.compile(
    rb"(?: \d+)?" + _QUOTED_OR_NOT + _QUOTED_OR_NOT + _AFTER_AGENT, re.DOTALL
)
# nginx's lengths and times, of which those of upstream servers may be in quotes, as may a host or
# the client's client: of three texts in quotes, the one that is a URL is the referrer, or the first
# if the third is an address
_REFERRER_AND_AGENT_AFTER_TIMES = re.compile(
    rb'(?: (?:[\d.]+|-)){1,8}(?: "\d+\.\d{1,6}(?:[,: ]+(?:\d+\.\d{1,6}|-))*+"|'
    rb' "[^"]*+"(?= "[a-z][a-z+.-]*+://))?'
    rb'(?= "[a-z][a-z+.-]*+://|(?: "[^"]*+"){2}(?:$|[^ ]| [^"]| "(?:-|[0-9A-Fa-f.:, ]+)"))'
    + _QUOTED
    + _QUOTED
    + _AFTER_AGENT,
    re.DOTALL,
)
_REFERRER_AND_AGENT_WITH_RAW_QUOTES = re.compile(rb' "(.*?)" "(.*)"', re.DOTALL)


def parse_access(line: bytes, clock: ObjectClock) -> Parsed | None:
    """
    The request that *line* logs, or None when the line has another format.

    A request line that is not HTTP is an event all the same: its whole text is the target, so
    that attacks on the server's parser are seen.
    """
    match = _LINE.fullmatch(line) or _LINE_WITH_RAW_QUOTES.fullmatch(line)
    if match is None:
        return None
    first, second, user, minute, seconds, offset, request, status, size, rest = match.groups()
    if _begins_list(first) or _begins_list(second):
        return _FORWARDED
    source_ip, domain, user = _read_client(first, second, user)
    if source_ip is None:
        return refuse_client(first)
    timestamp = clock.read_access_time(minute, seconds, offset)
    if timestamp is None:
        return IMPOSSIBLE_TIME
    method, target = split_request(request)
    path, query = split_target(target)
    referrer, agent = _read_referrer_and_agent(rest)
    event = Event(
        timestamp=timestamp,
        source_ip=source_ip,
        category=EventCategory.WEB,
        http_request_method=method,
        url_original=target,
        url_path=path,
        url_query=query,
        http_response_status_code=None if status == b"-" else int(status),
        http_response_body_bytes=None if size == b"-" else int(size),
        http_request_referrer=referrer,
        user_agent_original=agent,
        url_domain=domain,
        user_name=_read_user(user),
    )
    return (event,)


def _read_client(first: bytes, second: bytes, user: bytes) -> tuple[str | None, str | None, bytes]:
    """
    Source IP, virtual host and user name of what stands before the time.

    An address in the second place means that a virtual host stands in the first: there, the
    formats without one have the answer of an ident server, and nobody asks for that. A name
    there, with identity and user after it, is the client's own.
    """
    if second != b"-":
        source_ip = read_address(second)
        if source_ip is not None and b" " in user:
            return source_ip, _read_host(first), user.partition(b" ")[2]
        if user.startswith(b"- "):
            return None, None, user
    return read_address(first), None, user


def _read_user(user: bytes) -> str | None:
    """Old versions of the ingress controller say between brackets again who the client is."""
    name = _CLIENT_AGAIN.sub(b"", user).strip(b" ")
    return read_text(name[1:-1] if name.startswith(b'"') else name)


def _begins_list(field: bytes) -> bool:
    return field.endswith(b",") and read_address(field[:-1]) is not None


def _read_host(field: bytes) -> str | None:
    host, colon, port = field.rpartition(b":")
    return read_text(host if colon and port.isdigit() else field)


def _read_referrer_and_agent(rest: bytes) -> tuple[str | None, str | None]:
    match = (
        _REFERRER_AND_AGENT.match(rest)
        or _REFERRER_AND_AGENT_AFTER_TIMES.match(rest)
        or _REFERRER_AND_AGENT_WITH_RAW_QUOTES.match(rest)
    )
    if match is None:
        return None, None
    return read_text(match[1] or b""), read_text(match[2] or b"")
