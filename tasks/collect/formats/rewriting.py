"""
Regular lines of other formats, rewritten as Combined lines of which `parse_access` says the same.

The engine counts Combined lines many at a time. A line of JSON or W3C is rewritten where that is
cheap and beyond doubt; all others are left to their own format. Size, virtual host and what the
server gives as its reason are not kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, Final
from urllib.parse import unquote

import orjson

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.forwarded import TrustedProxies
from tasks.collect.formats.json_lines import JsonFields, find_layout, read_text
from tasks.collect.formats.w3c import W3CLines, read_w3c_time
from tasks.collect.lines import split_lines

_MAX_PLANS: Final = 1000
_MAX_TIMES: Final = 10_000
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
_NOTHING: Final = ("-", "")
_MAX_METHOD: Final = 40
_DEPTH: Final = 4
"""Of the deepest object that a field map looks into."""
_JSON_FIELDS: Final = (
    "source_ip", "user_name", "timestamp", "http_request_method", "url_original", "request",
    "http_response_status_code", "http_request_referrer", "user_agent_original",
)  # fmt: skip
_W3C_FIELDS: Final = (
    "date", "time", "source_ip", "user_name", "http_request_method", "url_path", "url_query",
    "http_response_status_code", "http_request_referrer", "user_agent_original",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The lines of a block, those that were rewritten and the others."""

    block: bytes
    """Combined lines, each with its line feed."""
    numbers: Sequence[int]
    """Of the lines in *block*: what their 1-based numbers were."""
    lines: Sequence[bytes]
    """The lines in *block*, as they were."""
    others: Sequence[tuple[int, bytes]]
    """Number and bytes of the lines that were not rewritten."""


Rewrite = Callable[[bytes], Rewritten | None]
"""What becomes of complete lines; None where they begin with one that is not rewritten."""


class Rewriter:
    """Rewrites the lines of one object."""

    def __init__(self, clock: ObjectClock, proxies: TrustedProxies, w3c: W3CLines) -> None:
        """Lines of W3C have the fields that *w3c* names at the time."""
        self._clock = clock
        self._proxies = proxies
        self._w3c = w3c
        self._plans: dict[Any, _JsonPlan | None] = {}
        self._times: dict[object, str] = {}

    def rewrite(self, block: bytes) -> Rewritten | None:
        """What becomes of complete lines; None where they begin with one that is not rewritten."""
        if block[:1] == b"{":
            return _rewrite_each(split_lines(block), self._rewrite_json)
        plan = self._plan_w3c() if self._w3c.has_fields and block[:1].isdigit() else None
        return _rewrite_each(split_lines(block), plan) if plan else None

    # JSON

    def _rewrite_json(self, line: bytes) -> str | None:
        try:
            record = orjson.loads(line) if line[:1] == b"{" else None
        except orjson.JSONDecodeError:
            return None
        if record is None:
            return None
        # how an object is read follows from its keys alone
        shape = _shape_of(record, _DEPTH)
        if shape not in self._plans:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            self._plans[shape] = self._plan_json(record)
        plan = self._plans[shape]
        texts = plan.read(record) if plan else None
        if texts is None:
            return None
        client, user, time, method, target, request, status, referrer, agent = texts
        if target is not None:
            request = f"{method} {target} HTTP/1.1" if method and _is_method(method) else None
        spelled = self._times.get(time) or self._remember(time, self._clock.read_time, time)
        return _spell(client, user, spelled, request, status, referrer, agent)

    def _plan_json(self, record: dict[str, Any]) -> "_JsonPlan | None":
        layout = find_layout(record)
        if layout is None or not isinstance(layout.parse, JsonFields):
            return None
        places = layout.parse.find_places(record)
        if "url_original" in places:
            places.pop("request", None)
        elif "http_request_method" in places:
            return None  # who is right where it is not that of the request is for the format
        is_forwarded = "forwarded_for" in places and self._proxies.are_known
        if is_forwarded or "event_reason" in places:
            return None
        return _JsonPlan([places.get(name, []) for name in _JSON_FIELDS])

    # W3C

    def _plan_w3c(self) -> Callable[[bytes], str | None] | None:
        """How lines with the current fields are rewritten, if they can be."""
        fields = self._w3c.fields
        known = [f for f in fields if f in _W3C_FIELDS]
        is_clear = fields[:2] == ("date", "time") and len(set(known)) == len(known)
        is_forwarded = "forwarded_for" in fields and self._proxies.are_known
        if not is_clear or is_forwarded or "url_original" in fields:
            return None
        # what is not logged is past the end, where there is a `-`
        pick = itemgetter(*[fields.index(f) if f in fields else len(fields) for f in _W3C_FIELDS])
        read_time = partial(read_w3c_time, self._clock)

        def rewrite(line: bytes) -> str | None:
            if not line.isascii() or b'"' in line:
                return None
            text = line.decode("ascii").rstrip(" ")
            separator = "\t" if "\t" in text else " "
            values = text.split(separator)
            if len(values) != len(fields):
                return None
            values.append("-")
            date, time, client, user, method, path, query, status, referrer, agent = pick(values)
            if path in _NOTHING or not _is_method(method):
                return None
            if query not in _NOTHING:
                query = query.removeprefix("?")
                path = f"{path}?{query}" if query else path
            if separator == " ":
                referrer, agent = referrer.replace("+", " "), agent.replace("+", " ")
            else:
                referrer, agent = _unquote(referrer), _unquote(agent)
            key = date, time
            spelled = self._times.get(key) or self._remember(key, read_time, date, time)
            request = f"{method} {path} HTTP/1.1"
            return _spell(client, user, spelled, request, status, referrer, agent)

        return rewrite

    def _remember(
        self, key: object, read: Callable[..., int | None], *texts: str | None
    ) -> str | None:
        """How the time that *texts* are is spelled, if they are one."""
        timestamp = read(*[(text or "").encode() for text in texts])
        if timestamp is None:
            return None
        if len(self._times) >= _MAX_TIMES:
            self._times.clear()
        spelled = self._times[key] = _spell_second(timestamp)
        return spelled


class _JsonPlan:
    """Where objects with certain keys have the texts of _JSON_FIELDS."""

    def __init__(self, places: Sequence[Sequence[tuple[str, ...]]]) -> None:
        self._paths = [some[0] if some else () for some in places]
        self._is_only = [len(some) <= 1 for some in places]

    def read(self, record: dict[str, Any]) -> list[str | None] | None:
        """The texts; None where a second place would have to be asked."""
        texts: list[str | None] = []
        for path, is_only in zip(self._paths, self._is_only, strict=True):
            value: Any = record if path else None
            for key in path:
                value = value[key]
            is_text = type(value) is str and value not in _NOTHING
            text = value if is_text else read_text(value)
            if text is None and not is_only:
                return None
            texts.append(text)
        return texts


def _shape_of(record: dict[str, Any], depth: int) -> tuple[Any, ...]:
    """The keys of *record* and of the objects in it."""
    if not depth:
        return ()
    inner = [(k, _shape_of(v, depth - 1)) for k, v in record.items() if type(v) is dict]
    return (*record, *inner) if inner else tuple(record)


def _is_method(text: str) -> bool:
    """Whether the format of access lines takes it for one; what is longer, it takes for a path."""
    return text.isalpha() and len(text) <= _MAX_METHOD


def _spell(
    client: str | None,
    user: str | None,
    time: str | None,
    request: str | None,
    status: str | None,
    referrer: str | None,
    agent: str | None,
) -> str | None:
    """The line that says so; None where anything of it is odd."""
    user = user or "-"
    if client is None or time is None or request in (None, *_NOTHING) or status is None:
        return None
    if len(status) != 3 or not "100" <= status <= "999" or " " in client or " " in user:
        return None
    line = f'{client} - {user} [{time}] "{request}" {status} - "{referrer or "-"}" "{agent or "-"}"'
    is_plain = line.isascii() and line.isprintable() and "\\" not in line
    return line if is_plain and line.count('"') == 6 and status.isdigit() else None


@lru_cache(maxsize=_MAX_TIMES)
def _spell_second(timestamp: int) -> str:
    time = datetime.fromtimestamp(timestamp, UTC)
    return f"{time:%d}/{_MONTHS[time.month - 1]}/{time:%Y:%H:%M:%S} +0000"


@lru_cache(maxsize=_MAX_TIMES)
def _unquote(text: str) -> str:
    """*text* percent-decoded; a `-` that was encoded is one that no Combined line can say."""
    decoded = unquote(text, errors="backslashreplace")
    return '"' if decoded in _NOTHING and decoded != text else decoded


def _rewrite_each(lines: Sequence[bytes], rewrite: Callable[[bytes], str | None]) -> Rewritten:
    texts, numbers, kept, others = [], [], [], []
    for number, line in enumerate(lines, start=1):
        text = rewrite(line)
        if text is None:
            others.append((number, line))
        else:
            texts.append(text)
            numbers.append(number)
            kept.append(line)
    texts.append("")
    return Rewritten("\n".join(texts).encode("ascii"), numbers, kept, others)
