"""
W3C extended log files (IIS, CloudFront standard logs), and what has their field names.

Which fields a line has is said by the last `#Fields:` line before it. It is the state of an
object; a file that is continued is searched for it from its start (tasks/collect/reader.py).
Times are UTC, but for `date-local` and `time-local`.

Source: https://www.w3.org/TR/WD-logfile.html,
https://learn.microsoft.com/windows/win32/http/w3c-logging,
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html,
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/real-time-logs.html
"""

import html
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from tasks.collect.formats.fields import IMPOSSIBLE_TIME, Parsed
from tasks.collect.formats.request import Context, build_request
from tasks.collect.lines import Block
from tasks.model.events import Unparsed

DIRECTIVE = b"#Fields:"
_CLOUDFRONT = (
    "date", "time", "x-edge-location", "sc-bytes", "c-ip", "cs-method", "cs(Host)", "cs-uri-stem",
    "sc-status", "cs(Referer)", "cs(User-Agent)", "cs-uri-query", "cs(Cookie)",
    "x-edge-result-type", "x-edge-request-id", "x-host-header", "cs-protocol", "cs-bytes",
    "time-taken", "x-forwarded-for", "ssl-protocol", "ssl-cipher", "x-edge-response-result-type",
    "cs-protocol-version", "fle-status", "fle-encrypted-fields", "c-port", "time-to-first-byte",
    "x-edge-detailed-result-type", "sc-content-type", "sc-content-len", "sc-range-start",
    "sc-range-end",
)  # fmt: skip
"""The fields of version 1.0; later ones are only ever added at the end."""
_CLOUDFRONT_AT_LEAST = 12
_EDGE = re.compile(rb"[A-Z]{3}\d")
"""How the third value of CloudFront begins."""
_REAL_TIME = (
    "timestamp", "c-ip", "time-to-first-byte", "sc-status", "sc-bytes", "cs-method", "cs-protocol",
    "cs-host", "cs-uri", "cs-bytes", "x-edge-location", "x-edge-request-id", "x-host-header",
    "time-taken", "cs-protocol-version", "c-ip-version", "cs-user-agent", "cs-referer", "cs-cookie",
    "cs-uri-query", "x-edge-response-result-type", "x-forwarded-for",
)  # fmt: skip
"""The first fields of CloudFront's real-time logs; their stem is a whole URI."""
_IIS = re.compile(
    rb"(\S+) (\S+) (?P<site>W3SVC\d+ )?[0-9A-Fa-f.:%]+ ([A-Z_]+) (/\S*) (\S+) \d+ (\S+) "
    rb"([0-9A-Fa-f.:]+(?:%\w+)?) (\S+) (?(site)|(?:(\S+) )?)(\d{3}) \d+ \d+(?(site)| \d+) *"
)
"""What IIS 6 and later ones write unless they are told to write other fields."""
_OF_IIS = (
    "date", "time", "s-sitename", "cs-method", "cs-uri-stem", "cs-uri-query", "cs-username", "c-ip",
    "cs(User-Agent)", "cs(Referer)", "sc-status",
)  # fmt: skip
_FTP = "x-fullpath"
"""Only the FTP service of IIS has it, whose commands are no web requests."""
_LONGEST_DIRECTIVE = 64 * 1024
_DATE = re.compile(rb"\d{4}-\d\d-\d\d")
_TIME = re.compile(rb"\d\d:\d\d:\d\d(?:\.\d+)?")
_NAMES: Mapping[str, str] = {
    "c-ip": "source_ip",
    "x-forwarded-for": "forwarded_for",
    "cs(x-forwarded-for)": "forwarded_for",
    "cs-username": "user_name",
    "cs-method": "http_request_method",
    "cs-uri": "url_original",
    "cs-uri-stem": "url_path",
    "cs-uri-query": "url_query",
    "cs(host)": "url_domain",
    "cs-host": "url_domain",
    "x-host-header": "url_domain",
    "sc-status": "http_response_status_code",
    "sc-bytes": "http_response_body_bytes",
    "cs(referer)": "http_request_referrer",
    "cs-referer": "http_request_referrer",
    "csreferer": "http_request_referrer",
    "cs(user-agent)": "user_agent_original",
    "cs-user-agent": "user_agent_original",
    "csuser-agent": "user_agent_original",
}
_OF_REQUESTS = (
    "http_request_method",
    "url_original",
    "url_path",
    "url_query",
    "user_agent_original",
    "http_response_status_code",
)
_NO_FIELDS = Unparsed(
    "it has none of the known formats, or is a W3C line without a #Fields line before it"
)
_OTHER_FIELDS = Unparsed("it has not the fields that the last #Fields line before it names")
_TOO_FEW_FIELDS = Unparsed("date, time and c-ip are not logged; turn them on at the server")
_STRING = re.compile(rb'(?:(?<= )|^)(?:"(?:[^"]|"")*+"|[^" ][^ ]*)(?= |$)')
_EVENT_DATA = re.compile(rb'<Data Name="([^"<>]{1,40})">([^<]*)</Data>')


class FieldsSearch:
    """Finds the last complete `#Fields:` line in the bytes that it is given, in their order."""

    def __init__(self) -> None:
        self.line = b""
        """Empty while there is none."""
        self._rest = b"\n"

    def add(self, data: bytes) -> None:
        """Look into more bytes."""
        data = self._rest + data
        end = data.rfind(b"\n")
        start = data.rfind(b"\n" + DIRECTIVE, 0, end)
        if start >= 0:
            self.line = data[start + 1 : data.index(b"\n", start + 1)]
        self._rest = data[end : end + _LONGEST_DIRECTIVE]


class W3CLines:
    """Reads the W3C lines of one object; remembers what its last `#Fields:` line said."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._is_ftp = False

    @property
    def has_fields(self) -> bool:
        """Whether a `#Fields:` line was read."""
        return bool(self._names)

    @property
    def fields(self) -> tuple[str, ...]:
        """What each value of a line is: `date`, `time`, a field of requests, or nothing."""
        return tuple(
            name if name in ("date", "time") else _NAMES.get(name.lower(), "")
            for name in self._names
            if not self._is_ftp
        )

    def end_of_directives(self, block: Block) -> int:
        """Where the last `#Fields:` line of *block* ends, which has complete lines; or 0."""
        if not self._names and block[:1] != b"#":
            return 0
        lines = bytes(block)
        at = lines.rfind(b"\n" + DIRECTIVE) + 1
        return lines.index(b"\n", at) + 1 if at or lines.startswith(DIRECTIVE) else 0

    def read_directive(self, line: bytes) -> None:
        """Take a line that starts with `#`; all but `#Fields:` say nothing that is needed."""
        if line.startswith(DIRECTIVE):
            self._names = tuple(line[len(DIRECTIVE) :].decode("latin-1").split())
            self._is_ftp = _FTP in self._names

    def parse(self, line: bytes, context: Context) -> Parsed:
        """The request that *line* logs, whatever its other formats may be."""
        separator = b"\t" if b"\t" in line else b" "
        values = line.rstrip(b" ").split(separator)
        names: Sequence[str] = self._names
        if not names and len(values) >= _CLOUDFRONT_AT_LEAST and _EDGE.match(values[2]):
            names = _CLOUDFRONT[: len(values)]
            values = values[: len(names)]  # fields that are newer
        elif not names and (iis := _IIS.fullmatch(line)):
            names, values = _OF_IIS, [value or b"-" for value in iis.groups()]
        if not names:
            return _NO_FIELDS
        if self._is_ftp:
            return ()
        if len(names) != len(values):  # IIS writes no blanks within fields, Advanced Logging does
            values = [_read_string(value) for value in _STRING.findall(line)]
        if len(names) != len(values):
            return _OTHER_FIELDS
        record = dict(zip(names, values, strict=True))
        return parse_record(record, context, is_url_encoded=separator == b"\t")


def parse_record(
    record: Mapping[str, bytes],
    context: Context,
    *,
    is_url_encoded: bool,
) -> Parsed:
    """
    The request that W3C fields describe.

    Args:
        record: Values by field name.
        context: The clock that understands its time, and the proxies that are trusted.
        is_url_encoded: CloudFront writes headers with `%20`, IIS with `+` for blanks.
    """
    zone = b"Z" if "date" in record else b""
    date = record.get("date") or record.get("date-local", b"")
    time = record.get("time") or record.get("time-local", b"")
    epoch = record.get("timestamp(ms)") or record.get("timestamp")
    if _DATE.fullmatch(date) and _TIME.fullmatch(time):
        timestamp = context.clock.read_iso_time(date + b"T" + time[:5], time[6:8], zone)
    elif epoch is not None:
        timestamp = context.clock.read_time(epoch)
    else:
        return _TOO_FEW_FIELDS
    if timestamp is None:
        return IMPOSSIBLE_TIME
    if "c-ip" not in record:
        return _TOO_FEW_FIELDS
    texts = _read_texts(record, is_url_encoded=is_url_encoded)
    # Windows logs idle connections, too, of which it knows the client and nothing else
    says_something = texts.get("source_ip") and any(map(texts.get, _OF_REQUESTS))
    return build_request(texts, context, timestamp) if says_something else ()


def _read_texts(record: Mapping[str, bytes], *, is_url_encoded: bool) -> dict[str, str | None]:
    texts: dict[str, str | None] = {}
    for name, value in record.items():
        field = _NAMES.get(name.lower())
        if field is not None and texts.get(field) is None:
            texts[field] = _read_value(value)
    for header in ("user_agent_original", "http_request_referrer", "forwarded_for"):
        texts[header] = _decode_header(texts.get(header), is_url_encoded=is_url_encoded)
    return texts


def _read_string(value: bytes) -> bytes:
    return value[1:-1].replace(b'""', b'"') if value.startswith(b'"') else value


def parse_iis_event(line: bytes, context: Context) -> Parsed | None:
    """The request in an event of the Windows event log that IIS logs to, exported as XML."""
    if b"Microsoft-Windows-IIS-Logging" not in line:
        return None
    pairs = ((name.decode("latin-1"), value) for name, value in _EVENT_DATA.findall(line))
    record = {
        name: html.unescape(value.decode("utf-8", "backslashreplace")).encode("utf-8", "replace")
        for name, value in pairs
    }
    return parse_record(record, context, is_url_encoded=False)


def parse_real_time(line: bytes, context: Context) -> Parsed:
    """The request in a line of CloudFront's real-time logs that has all their fields."""
    record = dict(zip(_REAL_TIME, line.split(b"\t"), strict=False))
    return parse_record(record, context, is_url_encoded=True)


def _read_value(value: bytes) -> str | None:
    """Nothing is escaped with a backslash here, so none is taken for an escape."""
    return None if value in (b"-", b"") else value.decode("utf-8", "backslashreplace")


def _decode_header(text: str | None, *, is_url_encoded: bool) -> str | None:
    if text is None:
        return None
    return unquote(text, errors="backslashreplace") if is_url_encoded else text.replace("+", " ")
