"""
HAProxy's HTTP log format, as the message of a syslog line or alone.

Source: https://docs.haproxy.org/3.0/configuration.html#8.2.3
"""

import re

from tasks.collect.formats.fields import IMPOSSIBLE_TIME, Parsed, read_text
from tasks.collect.formats.request import Context, build_request, split_request

# In captured headers and in the request, `"`, `#`, braces and control characters are `#XX`; some
# syslog daemons write a backslash before the quotes around the request.
_LINE = re.compile(
    rb"(?:haproxy\[\d+\]: )?(?P<source_ip>[0-9A-Fa-f:.]+):\d{1,5} "
    rb"\[(\d\d)/([A-Z][a-z][a-z])/(\d{4}):(\d\d:\d\d:\d\d)(?:\.\d{1,9})?\] "
    rb"[^\s\"\[]+ [^\s\"\[/]+/[^\s\"\[]+ [-+\d/]+ (-?\d{1,3}) \+?(\d+) "
    rb"[^\s\"\[]+ [^\s\"\[]+ [^\s\"\[]{4} [\d/+]+ [\d/]+ (?:\{[^{}\"]*\} ){0,2}"
    rb"(?:\\\"([^\"]*)\\\".*|\"([^\"]*)\"?.*)",
    re.DOTALL,
)
# connections: `option tcplog`, and what went wrong before there was a request
_CONNECTION = re.compile(
    rb"(?:haproxy\[\d+\]: )?[0-9A-Fa-f:.]+:\d{1,5} "
    rb"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d(?:\.\d{1,9})?\] "
    rb"(?:[^\s\"\[/]+/[^\s\"\[]+: [^\"]*"
    rb"|[^\s\"\[]+ [^\s\"\[/]+/[^\s\"\[]+ [-+\d/]+ \+?\d+ [^\s\"\[]{2} [\d/+]+ [\d/]+[^\"]*)"
)
_ENCODED = re.compile(rb"#([0-9A-F]{2})")


def read_encoded(text: bytes) -> bytes:
    """*text*, escaped as web servers do it; to HAProxy a backslash is a letter like others."""
    return _ENCODED.sub(rb"\\x\1", text.replace(b"\\", b"\\\\"))


def parse_haproxy(line: bytes, context: Context, timestamp: int | None = None) -> Parsed | None:
    """
    The request that *line* logs, nothing for a connection; None when it is another format.

    Args:
        line: A log line or the message in it.
        context: Its clock says what zone a time without an offset is in.
        timestamp: What the line around it says, where that has an offset; HAProxy's has none.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        return () if _CONNECTION.fullmatch(line) else None
    source_ip, day, month, year, time, status, size, escaped, request = match.groups()
    request = request if escaped is None else escaped
    if timestamp is None:
        timestamp = context.clock.read_local_time(day, month, year, time)
    if timestamp is None:
        return IMPOSSIBLE_TIME
    method, target = (
        (None, None) if request == b"<BADREQ>" else split_request(read_encoded(request))
    )
    texts = {
        "source_ip": source_ip.decode(),
        "http_request_method": method,
        "url_original": target,
        "http_response_status_code": status.decode(),
        "http_response_body_bytes": read_text(size),
    }
    return build_request(texts, context, timestamp)
