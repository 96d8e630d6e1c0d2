"""
Apache's LogFormat and nginx's log_format strings, compiled into a format.

A string is refused when a client could forge with it: what a client writes (a header, a path, a
user name) has no end that it cannot write, too, unless that is a quote, which both servers
escape, or text of the server's own that reaches to the next quote or to the end of the line.

Source: https://httpd.apache.org/docs/2.4/mod/mod_log_config.html,
https://nginx.org/en/docs/http/ngx_http_log_module.html
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import re2

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.text import TextFormat, read_fields

_ADDRESS = r"[^\s\"\[\]]+"
_NUMBER = r"-|[\d.]+"
_WORD = r"[^\s\"\[\]]*"
_LIST = r"(?:-|[^\s,\"\[\]]+)(?:(?:, | : )(?:-|[^\s,\"\[\]]+))*"
_ACCESS_TIME = r"\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"
_ISO_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
_FREE = None
"""Anything that a client can write."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a format string."""

    name: str
    field: str | None
    """What it says of a request, if anything."""
    pattern: str | None
    """What the server writes; None for what a client does."""


Part = str | Variable

_NGINX: Mapping[str, tuple[str | None, str | None]] = {
    "remote_addr": ("source_ip", _ADDRESS),
    "remote_user": ("user_name", _FREE),
    "time_local": ("timestamp", _ACCESS_TIME),
    "time_iso8601": ("timestamp", _ISO_TIME),
    "msec": ("timestamp", _NUMBER),
    "request": ("request", _FREE),
    "request_method": ("http_request_method", _WORD),
    "request_uri": ("url_original", _FREE),
    "uri": ("url_path", _FREE),
    "document_uri": ("url_path", _FREE),
    "args": ("url_query", _FREE),
    "query_string": ("url_query", _FREE),
    "host": ("url_domain", _WORD),
    "server_name": ("url_domain", _WORD),
    "http_host": ("url_domain", _FREE),
    "status": ("http_response_status_code", _NUMBER),
    "body_bytes_sent": ("http_response_body_bytes", _NUMBER),
    "bytes_sent": ("http_response_body_bytes", _NUMBER),
    "http_referer": ("http_request_referrer", _FREE),
    "http_user_agent": ("user_agent_original", _FREE),
    "http_x_forwarded_for": ("forwarded_for", _FREE),
    **dict.fromkeys(
        (
            "connection", "connection_requests", "gzip_ratio", "pid", "remote_port",
            "request_length", "request_time", "server_port",
        ),
        (None, _NUMBER),
    ),
    **dict.fromkeys(
        (
            "connection_time", "hostname", "is_args", "nginx_version", "pipe", "proxy_host",
            "proxy_port", "realip_remote_addr", "realip_remote_port", "request_completion",
            "request_id", "scheme", "server_addr", "server_protocol", "ssl_cipher",
            "ssl_protocol", "ssl_session_reused", "upstream_cache_status",
        ),
        (None, _WORD),
    ),
    **dict.fromkeys(
        (
            "upstream_addr", "upstream_bytes_received", "upstream_bytes_sent",
            "upstream_connect_time", "upstream_header_time", "upstream_response_length",
            "upstream_response_time", "upstream_status",
        ),
        (None, _LIST),
    ),
}  # fmt: skip
_APACHE: Mapping[str, tuple[str | None, str | None]] = {
    "a": ("source_ip", _ADDRESS),
    "h": ("source_ip", _ADDRESS),
    "u": ("user_name", _FREE),
    "r": ("request", _FREE),
    "m": ("http_request_method", _WORD),
    "U": ("url_path", _FREE),
    "q": ("url_query", _FREE),
    "s": ("http_response_status_code", _NUMBER),
    "b": ("http_response_body_bytes", _NUMBER),
    "B": ("http_response_body_bytes", _NUMBER),
    "O": ("http_response_body_bytes", _NUMBER),
    "v": ("url_domain", _WORD),
    "V": ("url_domain", _WORD),
    "f": (None, _FREE),
    "R": (None, _FREE),
    **dict.fromkeys("DIS", (None, _NUMBER)),
    **dict.fromkeys("AHLPTXklp", (None, _WORD)),
}
_APACHE_HEADERS = {
    "host": "url_domain",
    "referer": "http_request_referrer",
    "user-agent": "user_agent_original",
    "x-forwarded-for": "forwarded_for",
}
_APACHE_TIMES = {
    "": "[%d/%b/%Y:%H:%M:%S %z]", "sec": "%s", "msec": "%s000", "usec": "%s000000",
    "msec_frac": "000", "usec_frac": "000000",
}  # fmt: skip
"""What %t writes that is no strftime string, as one."""
_CONVERSIONS = {
    "%Y": r"\d{4}", **dict.fromkeys(("%m", "%d", "%H", "%M", "%S"), r"\d\d"),
    **dict.fromkeys(("%b", "%h"), "[A-Z][a-z][a-z]"), "%z": r"[+-]\d{4}", "%s": r"\d+",
    "%F": r"\d{4}-\d\d-\d\d", "%T": r"\d\d:\d\d:\d\d", **dict.fromkeys("0123456789", r"\d"),
}  # fmt: skip
"""What strftime writes for its conversions and, of fractions of a second, for digits."""
_MOMENT = datetime(2001, 2, 3, 16, 5, 6, tzinfo=UTC)
_NGINX_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)
_NGINX_PIECES = re.compile(r"\s*(?:'[^']*'\s*)+;?\s*")
_APACHE_TIME = re.compile(r"%[!\d,]*[<>]?(?:\{(?:begin:|end:)?([^}]*)\})?t")
_APACHE_DIRECTIVE = re.compile(
    rf"({_APACHE_TIME.pattern}(?:[ .,:/T-]*{_APACHE_TIME.pattern})*)"
    r"|%(?:[!\d,]*[<>]?(?:\{(?P<argument>[^}]*)\})?(?P<letter>\^[A-Za-z]{2}|[A-Za-z])|(?P<percent>%))",
    re.ASCII,
)
_FIXED_FIELDS = frozenset({"source_ip", "timestamp", "http_response_status_code", "forwarded_for"})
_NEEDED = (
    ("source_ip", "the client's address ($remote_addr, %h or %a)"),
    ("timestamp", "the time ($time_local, $time_iso8601, $msec or %t)"),
)
_TARGETS = frozenset({"request", "url_original", "url_path"})


class FormatError(Exception):
    """A format string cannot be used; the message says why, in the second half of a sentence."""


def compile_nginx(text: str) -> TextFormat:
    """
    The format that nginx writes with `log_format` *text* and its default escaping.

    It may be copied in the pieces between quotes that nginx's configuration has.

    Raises:
        FormatError: It does not say what is needed, or a client could forge with it.
    """
    if _NGINX_PIECES.fullmatch(text):
        text = "".join(re.findall(r"'([^']*)'", text))
    return _compile(list(_read_nginx(text)))


def compile_apache(text: str) -> TextFormat:
    r"""
    The format that Apache writes with `LogFormat` *text*, which may be copied with its `\"`.

    Raises:
        FormatError: It does not say what is needed, or a client could forge with it.
    """
    text = text.replace('\\"', '"').replace("\\t", "\t")
    parts = list(_read_apache(text))
    names = [part.name for part in parts if isinstance(part, Variable)]
    if "%{c}a" in names:  # the peer; %a and %h are what mod_remoteip made of it
        parts = [_without_field(p) if _is_named(p, "%a", "%h") else p for p in parts]
    return _compile(parts)


def _read_nginx(text: str) -> Iterator[Part]:
    end = 0
    for match in _NGINX_VARIABLE.finditer(text):
        yield text[end : match.start()]
        name = match[1] or match[2]
        field, pattern = _NGINX.get(name, (None, _FREE))
        yield Variable(f"${name}", field, pattern)
        end = match.end()
    yield text[end:]


def _read_apache(text: str) -> Iterator[Part]:
    end = 0
    for match in _APACHE_DIRECTIVE.finditer(text):
        yield text[end : match.start()]
        if match[1] is not None:
            yield from _read_times(match[1])
        else:
            yield "%" if match["percent"] else _read_directive(match["argument"], match["letter"])
        end = match.end()
    yield text[end:]


def _read_times(text: str) -> Iterator[Part]:
    """The time that %t says in *text*, several of which may say a part of it each."""
    pattern = _read_time(text)
    if pattern is not None:
        yield Variable(text, "timestamp", pattern)
        return
    end = 0
    for match in _APACHE_TIME.finditer(text):
        yield text[end : match.start()]
        pattern = _read_time(match[0])
        if pattern is None:
            raise FormatError(f"{text} is a time that is not understood; log %t instead")
        yield Variable(match[0], "timestamp", pattern)
        end = match.end()


def _read_time(text: str) -> str | None:
    """The pattern of what Apache writes for *text*; None where the clock cannot read that."""
    said = _APACHE_TIME.sub(lambda match: _APACHE_TIMES.get(match[1] or "", match[1] or ""), text)
    pieces = re.split(r"(%.|\d)", said)
    if not all(piece in _CONVERSIONS for piece in pieces[1::2]):
        return None
    sample = _MOMENT.strftime(said.replace("%s", f"{_MOMENT.timestamp():.0f}"))
    if ObjectClock(_MOMENT).read_time(sample.encode()) != _MOMENT.timestamp():
        return None
    return "".join(_CONVERSIONS.get(piece) or re.escape(piece) for piece in pieces)


def _read_directive(argument: str | None, letter: str) -> Variable:
    name = f"%{letter}" if argument is None else f"%{{{argument}}}{letter}"
    if letter == "i":
        return Variable(name, _APACHE_HEADERS.get((argument or "").lower()), _FREE)
    if argument is not None and letter not in "ahpPT":
        return Variable(name, None, _FREE)
    return Variable(name, *_APACHE.get(letter, (None, _FREE)))


def _is_named(part: Part, *names: str) -> bool:
    return isinstance(part, Variable) and part.name in names


def _without_field(part: Part) -> Part:
    return Variable(part.name, None, part.pattern) if isinstance(part, Variable) else part


def _compile(parts: Sequence[Part]) -> TextFormat:
    fields = [p.field for p in parts if isinstance(p, Variable)]
    for field, told in _NEEDED:
        if field not in fields:
            raise FormatError(f"it does not log {told}")
    if not _TARGETS.intersection(fields):
        raise FormatError("it does not log the request ($request, $request_uri or %r)")
    seen: dict[str, None] = {}
    regions = [(quoted, list(group)) for quoted, group in _split_at_quotes(parts)]
    pattern = "".join(_translate_region(region, quoted, seen) for quoted, region in regions)
    # RE2 because the lines are attackers' text: linear time, whatever the format is
    options = re2.Options()
    options.dot_nl = True
    options.encoding = re2.Options.Encoding.LATIN1  # any byte is one character
    compiled = re2.compile(pattern.encode() + rb"[ \r]*", options)
    return TextFormat(compiled, tuple(seen), read_fields)


def _split_at_quotes(parts: Sequence[Part]) -> Iterator[tuple[bool, Iterator[Part]]]:
    """Runs of parts, and whether they stand between quotes; the quotes begin or end a run."""
    quotes = 0
    marked: list[tuple[int, Part]] = []
    for part in parts:
        pieces = [part] if isinstance(part, Variable) else re.split('(")', part)
        for piece in filter(None, pieces):
            quotes += piece == '"'
            marked.append((quotes, piece))
    for number, group in groupby(marked, key=lambda item: item[0]):
        yield number % 2 == 1, (piece for _, piece in group)


def _translate_region(region: Sequence[Part], quoted: bool, seen: dict[str, None]) -> str:
    free = [n for n, p in enumerate(region) if isinstance(p, Variable) and p.pattern is _FREE]
    if len(free) > 1:
        _refuse_forgery(region, free[0])
    return "".join(
        re.escape(part)
        if isinstance(part, str)
        else _translate(part, _any_text(part, quoted=quoted, is_last=n in free[-1:]), seen)
        for n, part in enumerate(region)
    )


def _any_text(variable: Variable, *, quoted: bool, is_last: bool) -> str:
    """What a client may have written; of several such texts, the first ones take the least."""
    text = r'(?:[^"\\]|\\.)*' if quoted else r'[^"]*'
    if is_last:
        return text
    if variable.field == "url_path":  # the query behind it begins with a question mark
        return text.replace("[^", "[^?")
    return f"{text}?"


def _refuse_forgery(region: Sequence[Part], first: int) -> None:
    """
    Two texts of a client side by side cannot be told apart, and nothing that counts after them.

    Raises:
        FormatError: Something that counts comes after the first.
    """
    forged = (p for p in region[first:] if isinstance(p, Variable) and p.field in _FIXED_FIELDS)
    fixed = next(forged, None)
    start = region[first]
    if fixed is not None and isinstance(start, Variable):
        raise FormatError(
            f"a client could forge {fixed.name} with what it writes into {start.name}; log "
            f"{start.name} between quotes of its own"
        )


def _translate(variable: Variable, any_text: str, seen: dict[str, None]) -> str:
    pattern = any_text if variable.pattern is None else variable.pattern
    field = variable.field
    if field is None or field in seen:
        return f"(?:{pattern})"
    seen[field] = None
    return f"({pattern})"
