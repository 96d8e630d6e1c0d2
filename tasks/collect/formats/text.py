"""
Formats whose whole line is one regular expression with named fields.

In each, what a client writes stands in quotes that the server escapes, or after everything that
matters, so that no text of a client can pass for another field.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.collect.formats.fields import Parsed, read_text, strip_port
from tasks.collect.formats.request import Context, Texts, build_request, split_request
from tasks.model.events import EventCategory, Unparsed

_QUOTED = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
_REQUEST = _QUOTED + rb'(?:".*?)??'
"""AWS does not escape every quote; the request ends where the line goes on as it should."""
_REQUEST_TO_VERSION = rb'.*? HTTP/\d(?:\.\d)?(?="(?: "|\Z))|' + _QUOTED
"""The same where the user agent follows it, which may hold such quotes as well."""
_AGENT_ENDS = rb'" \S+ \S+(?: \S+ "[^"]*" "[^"]*" .*)?\Z'
"""How the line of a load balancer goes on; where it does not, all of the rest is the agent."""
_ADDRESS = rb"[0-9A-Fa-f:.]+"
_ACCESS_TIME = rb"\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"
_NO_REQUEST = b"- - - "
"""What a classic load balancer writes of a connection that it does not look into."""
_NO_PEER = Unparsed(
    "it names no peer, only X-Forwarded-For, which a client can forge; log Envoy's "
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS as JSON"
)


class BytesMatch(Protocol):
    """A match of `re` or of RE2."""

    def groups(self) -> Sequence[bytes | None]: ...


class BytesPattern(Protocol):
    """A compiled expression of `re` or of RE2."""

    def fullmatch(self, string: bytes, /) -> BytesMatch | None: ...


@dataclass(frozen=True, slots=True)
class TextFormat:
    """A line's fields by a pattern, all of whose groups are fields of a request."""

    pattern: BytesPattern
    fields: tuple[str, ...]
    """What the groups are, in their order."""
    adjust: Callable[[dict[str, bytes | None]], Texts]
    category: EventCategory = EventCategory.WEB

    def parse(self, line: bytes, context: Context) -> Parsed | None:
        """The request that *line* logs; nothing for the server's own; None: another format."""
        match = self.pattern.fullmatch(line)
        if match is None:
            return None
        fields: dict[str, bytes | None] = dict(zip(self.fields, match.groups(), strict=True))
        if fields.get("source_ip") == b"-" or fields.get("request") == _NO_REQUEST:
            return ()
        return build_request(self.adjust(fields), context, category=self.category)


def read_fields(fields: dict[str, bytes | None]) -> dict[str, str | None]:
    """Texts of *fields*, with `request` taken apart before it is unescaped, as in Combined."""
    request = fields.pop("request", None)
    texts = {name: None if raw is None else read_text(raw) for name, raw in fields.items()}
    if request is not None:
        texts["http_request_method"], texts["url_original"] = split_request(request)
    return texts


def _read_load_balancer(fields: dict[str, bytes | None]) -> Texts:
    """Its request line holds a URL that it made from what the client sent: `GET https://...`."""
    method, url = split_request(fields.pop("request") or b"")
    fields["source_ip"] = strip_port(fields["source_ip"] or b"")
    texts = read_fields(fields)
    if method in (None, "-"):  # `- http://host:80- -`: the request was not understood
        return texts
    return {**texts, "http_request_method": method, "url_full": url}


def _text_format(
    *parts: bytes,
    adjust: Callable[[dict[str, bytes | None]], Texts] = read_fields,
    category: EventCategory = EventCategory.WEB,
) -> TextFormat:
    pattern = re.compile(b"".join(parts), re.DOTALL)
    return TextFormat(pattern, tuple(pattern.groupindex), adjust, category)


ELB = _text_format(
    rb"(?:(?:https?|h2|grpcs|wss?) )?(?P<timestamp>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z) [\w/-]+ ",
    rb"(?P<source_ip>[0-9A-Fa-f.:\[\]]+:\d+) \S+ [-\d.]+ [-\d.]+ [-\d.]+ ",
    rb"(?P<http_response_status_code>\d{3}|-) \S+ \d+ (?P<http_response_body_bytes>\d+) ",
    rb'"(?P<request>', _REQUEST_TO_VERSION, rb')"',
    rb'(?: "(?P<user_agent_original>', _QUOTED, rb"(?=", _AGENT_ENDS, rb")|.*)",
    rb'(?:" \S+ \S+(?: \S+ "[^"]*" "(?P<url_domain>[^"]*)" .*)?)?)?',
    adjust=_read_load_balancer,
)  # fmt: skip
"""
Application and classic load balancers.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/ (access logs)
"""

S3 = _text_format(
    rb"[0-9a-f]{64} (?!\d+\.\d+\.\d+\.\d+ )(?P<url_domain>[\w.-]+) ",
    rb"\[(?P<timestamp>", _ACCESS_TIME, rb")\] ",
    rb"(?P<source_ip>", _ADDRESS, rb"|-) (?P<user_name>\S+) \S+ \S+ \S+ ",
    rb'(?:"(?P<request>', _REQUEST, rb')"|-) (?P<http_response_status_code>\d{3}|-) \S+ ',
    rb"(?P<http_response_body_bytes>\d+|-) \S+ \S+ \S+ ",
    rb'(?:(?:"(?P<http_request_referrer>', _QUOTED, rb')"|-) ',
    rb'(?:"(?P<user_agent_original>', _QUOTED, rb')"|-)(?: .*)?|(?:- )?".*)',
)  # fmt: skip
"""
Amazon S3 server access logs; the user is an AWS principal and the domain the bucket.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
"""

NGINX_PROXY_MANAGER = _text_format(
    rb"\[(?P<timestamp>", _ACCESS_TIME, rb")\] (?:[-A-Z]+ [-0-9.,: ]+ )?",
    rb"(?P<http_response_status_code>\d{3}) - (?P<http_request_method>\S+) \S+ ",
    rb'(?P<url_domain>\S+) "(?P<url_original>', _QUOTED, rb')" ',
    rb"\[Client (?P<source_ip>[^\]\s]+)\] \[Length (?P<http_response_body_bytes>\d+)\] ",
    rb"\[Gzip [^\]\s]*\] (?:\[Sent-to [^\]\s]*\] )?",
    rb'"(?P<user_agent_original>', _QUOTED, rb')" "(?P<http_request_referrer>', _QUOTED, rb')"',
)  # fmt: skip
"""
Its `proxy` and `standard` log formats.

Source: https://github.com/NginxProxyManager/nginx-proxy-manager, nginx.conf (log_format)
"""

HOST_FIRST = _text_format(
    rb"\[(?P<timestamp>", _ACCESS_TIME, rb")\] (?P<url_domain>\S+) (?P<source_ip>", _ADDRESS,
    rb') [\d.]+ "(?P<request>', _QUOTED, rb')" (?P<http_response_status_code>\d{3}) ',
    rb"(?P<http_response_body_bytes>\d+) \d+ (?P<http_request_referrer>\S+) ",
    rb"(?P<user_agent_original>.*)",
)  # fmt: skip
"""`[time] host client seconds "request" status bytes length referrer agent`, met behind nginx."""

APACHE_SSL_REQUEST = _text_format(
    rb"\[(?P<timestamp>", _ACCESS_TIME, rb")\] (?P<source_ip>", _ADDRESS, rb") \S+ \S+ ",
    rb'"(?P<request>', _QUOTED, rb')" (?P<http_response_body_bytes>\d+|-)',
    category=EventCategory.WEB_ERROR,
)  # fmt: skip
"""
`ssl_request_log`, which repeats what `ssl_access_log` beside it has.

Source: https://github.com/apache/httpd, docs/conf/extra/httpd-ssl.conf.in (CustomLog)
"""

ZORAXY = _text_format(
    rb"(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d )?\[(?P<timestamp>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.\d+\] ",
    rb"\[router:[^\]]*\] \[origin:(?P<url_domain>[^\]\s]*)\] \[client: (?P<source_ip>[^\]\s]+)\] ",
    rb"\[useragent: (?P<user_agent_original>.*)\] (?P<http_request_method>[A-Z-]+) ",
    rb"(?P<url_original>\S+) (?P<http_response_status_code>\d{3})",
)  # fmt: skip
"""Zoraxy, a reverse proxy; its agent is not escaped, so method, path and status are the last."""


def pass_over(_line: bytes, _context: Context) -> Parsed:
    """
    What AWS writes that is no request: connections, which stand beside the requests, and the line
    with which a load balancer tries whether it may write.
    """
    return ()


def refuse_envoy(_line: bytes, _context: Context) -> Parsed:
    """Envoy's default text format; it is told why it cannot be used."""
    return _NO_PEER
