"""One line in, what it says out: the choice among the formats."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tasks.collect.formats import text, w3c
from tasks.collect.formats.access import parse_access
from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.container import unwrap_line
from tasks.collect.formats.error_log import parse_apache_error, parse_nginx_error
from tasks.collect.formats.fields import Parsed
from tasks.collect.formats.forwarded import TrustedProxies
from tasks.collect.formats.haproxy import parse_haproxy
from tasks.collect.formats.json_lines import parse_caddy_console, parse_json
from tasks.collect.formats.request import Context
from tasks.collect.formats.rewriting import Rewriter
from tasks.collect.formats.syslog import parse_rfc5424, parse_syslog
from tasks.collect.lines import Block
from tasks.model.events import Unparsed

Format = Callable[[bytes, Context], Parsed | None]
"""None where the line has another format."""


def _parse_plain_access(line: bytes, context: Context) -> Parsed | None:
    return parse_access(line, context.clock)


def _parse_quoted_access(line: bytes, context: Context) -> Parsed | None:
    """LiteSpeed writes a quote before the client and, in some versions, another one at the end."""
    inner = line[1:-1] if line.count(b'"') % 2 == 0 else line[1:]
    return parse_access(inner, context.clock)


_STARTS: Sequence[tuple[str, bytes, Format]] = (
    ("json", rb"\{", parse_json),
    ("nginx_error", rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[[a-z]+\] \d", parse_nginx_error),
    (
        "apache_error",
        (
            rb"\[[A-Z][a-z][a-z] [A-Z][a-z][a-z] "
            rb"|\[\d[^\] ]{9,19} [^\]]+\] \[\w*:\w+\] \[pid "
        ),
        parse_apache_error,
    ),
    ("zoraxy", rb"(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d )?\[\d{4}-\d\d-\d\d \d", text.ZORAXY.parse),
    (
        "classic_elb",
        rb"\d{4}-\d\d-\d\dT\S+ \S+ [0-9a-f.:\[\]]+:\d+ [0-9.:-]+ [-\d.]+ ",
        text.ELB.parse,
    ),
    ("aws_alb", rb"(?:https?|h2|grpcs|wss?) \d{4}-", text.ELB.parse),
    (
        "aws_connection",
        (
            rb"tls \d\.\d \d{4}-|\d{4}-\d\d-\d\dT[\d:.]+Z [0-9a-f.:]+ \d+ \d+ (?:TLSv[\d.]+|-) "
            rb"|Enable AccessLog for ELB: "
        ),
        text.pass_over,
    ),
    (
        "cloudfront_real_time",
        rb"\d{10}\.\d{3}\t[0-9a-f.:]+\t[\d.]+\t\d{3}\t\d+\t[A-Z]+\t(?:https?|wss?)\t",
        w3c.parse_real_time,
    ),
    ("caddy_console", rb"\d{4}/\d\d/\d\d [\d:.]+\t[A-Z]+\t", parse_caddy_console),
    ("s3", rb"[0-9a-f]{64} ", text.S3.parse),
    (
        "nginx_proxy_manager",
        rb"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\S+ \S+ (?:[-A-Z]+ [-0-9.,: ]+ )?\d{3} - ",
        text.NGINX_PROXY_MANAGER.parse,
    ),
    (
        "apache_ssl_request",
        rb"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\S+ \S+ [0-9A-Fa-f.:]+ (?:TLS|SSL)v",
        text.APACHE_SSL_REQUEST.parse,
    ),
    ("host_first", rb"\[\d\d/[A-Z][a-z][a-z]/\d{4}:", text.HOST_FIRST.parse),
    ("envoy", rb"\[\d{4}-\d\d-\d\dT[^\]\s]+\] \"", text.refuse_envoy),
    ("rfc5424", rb"(?:<\d{1,3}>)?1 \d{4}-", parse_rfc5424),
    ("haproxy", rb"(?:haproxy\[\d+\]: )?[0-9A-Fa-f:.]+:\d{1,5} \[\d\d/", parse_haproxy),
    ("iis_event", rb"<Event ", w3c.parse_iis_event),
    ("litespeed", rb'"', _parse_quoted_access),
)
_START = re.compile(b"|".join(b"(?P<%b>%b)" % (n.encode(), start) for n, start, _ in _STARTS))
_BY_START: Mapping[str, Format] = {name: parse for name, _, parse in _STARTS}
BUILT_IN: Mapping[str, Format] = {
    "access": _parse_plain_access,
    "syslog": parse_syslog,
    **_BY_START,
}
"""What a configuration can name, beside `w3c` and `auto`."""
AUTO = "auto"
W3C = "w3c"
_W3C_START = re.compile(rb"\d{4}-\d\d-\d\d[ \t]\d\d:\d\d:\d\d(?:\.\d+)?[ \t]")
_UNKNOWN = Unparsed("it has none of the known formats")
_OTHER_FORMAT = Unparsed("it has none of the formats that are configured for its object")
_PADDING = b"\0 \t\r\n\xef\xbb\xbf"
"""A byte order mark, and the NULs that a crash or a truncation under the writer leaves."""
_PADDING_STARTS = frozenset(_PADDING[i : i + 1] for i in range(len(_PADDING)))


@dataclass(frozen=True, slots=True)
class FormatChoice:
    """How the lines of one object are read."""

    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    formats: tuple[Format | str, ...] = (AUTO,)
    """Tried in this order: formats, AUTO for detection among the built-in ones, or W3C."""


ChooseFormat = Callable[[str], FormatChoice]
"""Says how the object with a key is read."""


class LineParser:
    """
    Parses the lines of one object, which may mix formats, in their order.

    What a line says never depends on the lines before it, but for lines of W3C extended files:
    they have the fields that the last `#Fields:` line before them names.
    """

    def __init__(self, clock: ObjectClock, choice: FormatChoice | None = None) -> None:
        choice = choice or FormatChoice()
        self._context = Context(clock, choice.proxies)
        self._w3c = w3c.W3CLines()
        self.rewrite = Rewriter(choice.proxies, self._w3c, is_utc=clock.is_utc).rewrite
        """Makes access lines of a block, where `takes_access_first`; see `rewriting`."""
        self._formats = [self._resolve(f) for f in choice.formats]
        self._unknown = _UNKNOWN if AUTO in choice.formats else _OTHER_FORMAT
        self._expects_access = self.takes_access_first = choice.formats[:1] == (AUTO,)
        """
        takes_access_first: whether a line that `parse_access` makes an event of is that event, so
        that a faster reader of such lines may take them past this parser.
        """

    def end_of_directives(self, block: Block) -> int:
        """How many bytes of *block* have to be parsed before the rest of it can be rewritten."""
        return self._w3c.end_of_directives(block)

    def read_directive(self, line: bytes) -> None:
        """Take a `#Fields:` line that stands before the lines that are to be parsed."""
        self._w3c.read_directive(line)

    def parse(self, line: bytes) -> Parsed:
        """
        The events of *line* (without its line feed), or why there are none; never raises.

        Empty for lines that are understood and say nothing that is counted: blank ones,
        comments and headers (`#`), and what other programs wrote to a syslog file.
        """
        if line[:1] in _PADDING_STARTS:
            line = line.strip(_PADDING)
        if self._expects_access and not _START.match(line):
            parsed = parse_access(line, self._context.clock)
            if isinstance(parsed, tuple):
                return parsed
            self._expects_access = False
        for parse in self._formats:
            parsed = parse(line, self._context)
            if parsed is not None:
                return parsed
        if line.startswith(b"#"):
            self._w3c.read_directive(line)
            return ()
        return () if not line else self._unknown

    def _resolve(self, name: Format | str) -> Format:
        if not isinstance(name, str):
            return name
        if name == AUTO:
            return self._detect
        return self._parse_w3c if name == W3C else BUILT_IN[name]

    def _detect(self, line: bytes, context: Context) -> Parsed | None:
        inner = unwrap_line(line)
        if inner is None:
            return self._detect_own(line, context)
        return self._detect_own(inner, context) if inner.strip() else ()

    def _detect_own(self, line: bytes, context: Context) -> Parsed | None:
        start = _START.match(line)
        parsed = _BY_START[start.lastgroup or ""](line, context) if start else None
        if parsed is not None:
            return parsed
        if _W3C_START.match(line):
            said = None if self._w3c.has_fields else parse_syslog(line, context)
            return self._w3c.parse(line, context) if said is None else said
        parsed = parse_access(line, context.clock)
        if parsed is not None:
            self._expects_access = self.takes_access_first
            return parsed
        parsed = parse_syslog(line, context)
        if parsed is None and self._w3c.has_fields and not line.startswith(b"#"):
            return self._parse_w3c(line, context)
        return parsed

    def _parse_w3c(self, line: bytes, context: Context) -> Parsed | None:
        return None if line.startswith(b"#") or not line else self._w3c.parse(line, context)


def parse_line(line: bytes, clock: ObjectClock) -> Parsed:
    """What a single line says; a LineParser does the same and is faster on many."""
    return LineParser(clock).parse(line)
