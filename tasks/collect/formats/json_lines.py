r"""
JSON objects, one a line: which keys of known writers mean what.

A layout is recognised by keys that only it has, never by what a client sent. A line of JSON that
fits no layout is unparsed; a field map in the formats file says how to read it.

Sources: https://caddyserver.com/docs/logging, https://doc.traefik.io/traefik/observe/logs-and-access-logs/,
https://docs.aws.amazon.com/waf/latest/developerguide/logging-fields.html,
https://docs.cloud.google.com/load-balancing/docs/https/https-logging-monitoring,
https://www.elastic.co/docs/reference/ecs
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tasks.collect.formats.fields import Parsed
from tasks.collect.formats.journal import parse_journal
from tasks.collect.formats.request import Context, build_request
from tasks.collect.formats.w3c import parse_record
from tasks.model.events import Unparsed

Record = Mapping[str, Any]
Path = tuple[str, ...]

_NO_LAYOUT = Unparsed(
    "it has none of the known formats of JSON; declare its fields in the formats file"
)
_RAW_ESCAPE = re.compile(r"((?<!\\)(?:\\\\)*)\\x([0-9A-Fa-f]{2})")
_CONSOLE = re.compile(rb"(\d{4}/\d\d/\d\d [\d:.]+)\t[A-Z]+\t([^\t]+)\t[^\t]*(?:\t(.*))?", re.DOTALL)
_MAX_ITEMS = 100
_ABSENT = object()


def read_json(line: bytes) -> Record | None:
    r"""
    The object that *line* holds; None when it holds none.

    What servers write that is no JSON is read all the same, or a client could hide its lines
    with one odd byte: bytes that are not UTF-8, control characters, and `\xNN`, which nginx
    writes unless its log_format says `escape=json`.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        record = _read_almost_json(line)
    return record if isinstance(record, dict) else None


def _read_almost_json(line: bytes) -> object:
    text = _RAW_ESCAPE.sub(_escape_as_json, line.decode("utf-8", "surrogateescape"))
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _escape_as_json(match: re.Match[str]) -> str:
    """Bytes above ASCII become the surrogates that `surrogateescape` stands for them with."""
    code = int(match[2], 16)
    return f"{match[1]}\\u{code if code < 128 else 0xDC00 + code:04x}"


def _is_nested(record: Record, path: Path) -> bool:
    value: object = record
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


def read_value(record: Record, path: Path) -> str | None:
    """The text at *path*; `-`, empty text and what is absent or no text are None."""
    return read_text(_find(record, path))


def _find(record: Record, path: Path) -> object:
    """What is at *path*, also where the writer has flattened it to one key with dots."""
    value: object = record.get(path[0], _ABSENT)
    if len(path) == 1:
        return value
    value = record
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return record.get(".".join(path), _ABSENT)
        value = value[key]
    return value


def read_text(value: object) -> str | None:
    """The text that a JSON value is; None for `-` and for what says nothing."""
    if type(value) is str:
        return None if value in ("-", "") else _make_encodable(value)
    if isinstance(value, list):
        items = (item for item in value[-_MAX_ITEMS:] if not isinstance(item, list))
        return ", ".join(filter(None, map(read_text, items))) or None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**20 else None
    return repr(value) if isinstance(value, float) else None


def _make_encodable(text: str) -> str:
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class JsonFields:
    """A field map: for every field of a request the places that may say it, best first."""

    fields: Mapping[str, Sequence[Path]]

    def __call__(self, record: Record, context: Context) -> Parsed:
        """The request that *record* describes."""
        texts = {}
        for field, paths in self.fields.items():
            for path in paths:
                text = read_text(_find(record, path))
                if text is not None:
                    texts[field] = text
                    break
        return build_request(texts, context)

    def find_places(self, record: Record) -> dict[str, list[Path]]:
        """By field: which of its places *record* has, whatever is there, spelled as it has them."""
        found = {
            field: [
                path if _is_nested(record, path) else (".".join(path),)
                for path in paths
                if _find(record, path) is not _ABSENT
            ]
            for field, paths in self.fields.items()
        }
        return {field: paths for field, paths in found.items() if paths}


@dataclass(frozen=True, slots=True)
class JsonLayout:
    """How one writer's objects are recognised and read."""

    id: str
    marks: tuple[Path, ...]
    """Places that all have to exist."""
    parse: Callable[[Record, Context], Parsed]

    def fits(self, record: Record) -> bool:
        """Whether *record* was written by this writer."""
        for path in self.marks:  # noqa: SIM110 -- a generator would take three times as long
            if _find(record, path) is _ABSENT:
                return False
        return True


def make_fields(**fields: str) -> JsonFields:
    """A field map from places written `a.b`, several of them with blanks between."""
    return JsonFields(
        {name: [tuple(p.split(".")) for p in places.split()] for name, places in fields.items()}
    )


_CADDY = make_fields(
    timestamp="ts",
    source_ip="request.remote_ip request.remote_addr",
    forwarded_for="request.headers.X-Forwarded-For",
    http_request_method="request.method",
    url_original="request.uri",
    url_domain="request.host",
    http_response_status_code="status",
    http_response_body_bytes="size",
    http_request_referrer="request.headers.Referer",
    user_agent_original="request.headers.User-Agent",
    user_name="user_id",
)
# ClientHost is X-Forwarded-For when the request has one, so the peer is ClientAddr.
_TRAEFIK = make_fields(
    timestamp="StartUTC time",
    source_ip="ClientAddr",
    forwarded_for="request_X-Forwarded-For ClientHost",
    http_request_method="RequestMethod",
    url_original="RequestPath",
    url_domain="RequestHost",
    http_response_status_code="DownstreamStatus",
    http_response_body_bytes="DownstreamContentSize",
    http_request_referrer="request_Referer",
    user_agent_original="request_User-Agent",
    user_name="ClientUsername",
)
_GOOGLE = make_fields(
    timestamp="timestamp",
    source_ip="httpRequest.remoteIp",
    http_request_method="httpRequest.requestMethod",
    url_full="httpRequest.requestUrl",
    http_response_status_code="httpRequest.status",
    http_response_body_bytes="httpRequest.responseSize",
    http_request_referrer="httpRequest.referer",
    user_agent_original="httpRequest.userAgent",
)
_ENVOY = make_fields(
    timestamp="start_time",
    source_ip="downstream_direct_remote_address",
    forwarded_for="x_forwarded_for",
    http_request_method="method",
    url_original="path x_envoy_origin_path",
    url_domain="authority",
    http_response_status_code="response_code",
    http_response_body_bytes="bytes_sent",
    user_agent_original="user_agent",
)
_ECS = make_fields(
    timestamp="@timestamp",
    source_ip="source.ip client.ip",
    http_request_method="http.request.method",
    url_original="url.original",
    url_path="url.path",
    url_query="url.query",
    url_domain="url.domain",
    http_response_status_code="http.response.status_code",
    http_response_body_bytes="http.response.body.bytes",
    http_request_referrer="http.request.referrer",
    user_agent_original="user_agent.original",
    user_name="user.name",
)
_FASTLY = make_fields(
    timestamp="timestamp",
    source_ip="client_ip",
    http_request_method="request_method",
    url_original="url",
    url_domain="host",
    http_response_status_code="response_status",
    http_response_body_bytes="response_body_size",
    http_request_referrer="request_referer",
    user_agent_original="request_user_agent",
)
# Logpush; the edge knows who spoke to it.
_CLOUDFLARE = make_fields(
    timestamp="EdgeStartTimestamp",
    source_ip="ClientIP",
    http_request_method="ClientRequestMethod",
    url_original="ClientRequestURI",
    url_path="ClientRequestPath",
    url_domain="ClientRequestHost",
    http_response_status_code="EdgeResponseStatus",
    http_response_body_bytes="EdgeResponseBytes",
    http_request_referrer="ClientRequestReferer",
    user_agent_original="ClientRequestUserAgent",
)
# nginx has no keys of its own: these are its variables, and the names that many give them.
_NGINX = make_fields(
    timestamp="time_iso8601 msec time_local @timestamp timestamp time ts",
    source_ip="remote_addr",
    forwarded_for="http_x_forwarded_for x_forwarded_for",
    request="request",
    http_request_method="request_method method",
    url_original="request_uri",
    url_full="url",
    url_path="uri path",
    url_query="args query_string query",
    url_domain="host server_name http_host",
    http_response_status_code="status status_code response",
    http_response_body_bytes="body_bytes_sent bytes_sent size bytes",
    http_request_referrer="http_referer http_referrer referer referrer",
    user_agent_original="http_user_agent user_agent agent",
    user_name="remote_user",
)

_NGINX_IP = JsonFields({**_NGINX.fields, "source_ip": [("remote_ip",)]})


def _parse_web_acl(record: Record, context: Context) -> Parsed:
    """One request that AWS WAF judged; a blocked one was answered 403 unless it says otherwise."""
    request = record["httpRequest"]
    texts: dict[str, str | None] = {
        field: read_value(record, path) for field, path in _WAF_FIELDS.items()
    }
    for header in _items(request.get("headers") if isinstance(request, dict) else None):
        field = _WAF_HEADERS.get(str(header.get("name")).lower())
        if field is not None and texts.get(field) is None:
            texts[field] = read_text(header.get("value"))
    if record.get("action") == "BLOCK":
        texts["http_response_status_code"] = texts["http_response_status_code"] or "403"
        texts["event_reason"] = read_value(record, ("terminatingRuleId",))
    return build_request(texts, context)


_WAF_FIELDS = {
    "timestamp": ("timestamp",),
    "source_ip": ("httpRequest", "clientIp"),
    "http_request_method": ("httpRequest", "httpMethod"),
    "url_path": ("httpRequest", "uri"),
    "url_query": ("httpRequest", "args"),
    "http_response_status_code": ("responseCodeSent",),
}
_WAF_HEADERS = {
    "host": "url_domain",
    "user-agent": "user_agent_original",
    "referer": "http_request_referrer",
    "x-forwarded-for": "forwarded_for",
}


def _items(value: object) -> Sequence[Record]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else ()


def _parse_cloudfront(record: Record, context: Context) -> Parsed:
    texts = ((name, read_text(value)) for name, value in record.items())
    fields = {name: text.encode() for name, text in texts if text is not None}
    if "cs-user-agent" in record:  # a real-time log, whose stem has the query, too
        fields["cs-uri"] = fields.pop("cs-uri-stem", b"-")
    return parse_record(fields, context, is_url_encoded=True)


def _say_nothing(_record: Record, _context: Context) -> Parsed:
    return ()


LAYOUTS = (
    JsonLayout("caddy", (("request", "uri"), ("request", "method"), ("status",)), _CADDY),
    JsonLayout("traefik", (("ClientAddr",), ("RequestMethod",)), _TRAEFIK),
    JsonLayout("aws_waf", (("webaclId",), ("httpRequest", "clientIp")), _parse_web_acl),
    JsonLayout("cloudfront", (("c-ip",), ("cs-method",)), _parse_cloudfront),
    JsonLayout("journald", (("__REALTIME_TIMESTAMP",), ("MESSAGE",)), parse_journal),
    JsonLayout("google", (("httpRequest", "remoteIp"), ("timestamp",)), _GOOGLE),
    JsonLayout("envoy", (("downstream_direct_remote_address",), ("response_code",)), _ENVOY),
    JsonLayout("ecs", (("@timestamp",), ("source", "ip"), ("url",)), _ECS),
    JsonLayout("ecs_client", (("@timestamp",), ("client", "ip"), ("url",)), _ECS),
    JsonLayout("cloudflare", (("ClientIP",), ("EdgeStartTimestamp",)), _CLOUDFLARE),
    JsonLayout("fastly", (("client_ip",), ("url",), ("request_method",)), _FASTLY),
    JsonLayout("nginx", (("remote_addr",), ("request",)), _NGINX),
    JsonLayout("nginx_uri", (("remote_addr",), ("request_uri",)), _NGINX),
    JsonLayout("nginx_path", (("remote_addr",), ("uri",)), _NGINX),
    JsonLayout("nginx_url", (("remote_addr",), ("url",), ("status",)), _NGINX),
    JsonLayout("nginx_ip", (("remote_ip",), ("request",), ("status",)), _NGINX_IP),
    JsonLayout("nginx_response", (("remote_ip",), ("request",), ("response",)), _NGINX_IP),
    JsonLayout("nginx_short", (("remote_addr",), ("path",), ("status",)), _NGINX),
    JsonLayout("caddy_other", (("level",), ("ts",), ("msg",)), _say_nothing),
    JsonLayout("traefik_other", (("level",), ("time",), ("message",)), _say_nothing),
)


def parse_json(line: bytes, context: Context) -> Parsed | None:
    """What a line of JSON says; None when it is none."""
    record = read_json(line)
    if record is None:
        return None
    layout = find_layout(record)
    return _NO_LAYOUT if layout is None else layout.parse(record, context)


def parse_caddy_console(line: bytes, context: Context) -> Parsed | None:
    """The same for what Caddy writes to a terminal: its time, in UTC, is before the object."""
    match = _CONSOLE.fullmatch(line)
    if match is None:
        return None
    time, logger, message = match.groups()
    if not logger.startswith(b"http.log."):
        return ()
    record = read_json(message or b"")
    return None if record is None else _CADDY({**record, "ts": f"{time.decode()}Z"}, context)


def find_layout(record: Record) -> JsonLayout | None:
    """Who has written *record*, as far as its keys tell."""
    return next((layout for layout in LAYOUTS if layout.fits(record)), None)


def parse_json_as(fields: JsonFields, line: bytes, context: Context) -> Parsed | None:
    """What a line of JSON says by the field map *fields*; None when it is no JSON."""
    record = read_json(line)
    return None if record is None else fields(record, context)
