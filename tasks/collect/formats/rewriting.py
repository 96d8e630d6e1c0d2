"""
Regular lines of other formats, rewritten as Combined lines of which `parse_access` says the same.

The engine counts Combined lines many at a time. `rewriting_kernel` rewrites a line that has one of
the `shapes`, or is an object of JSON, where that is beyond doubt; all others are left to their own
format. What an object of JSON says where follows from its keys alone: objects that have the same
of those that matter share a plan, which is made once from the layouts of `json_lines`. Size,
virtual host and what the server gives as its reason are not kept.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from tasks.collect.formats import shapes
from tasks.collect.formats.forwarded import TrustedProxies
from tasks.collect.formats.json_lines import LAYOUTS, JsonFields, find_layout
from tasks.collect.formats.json_lines import Path as Place
from tasks.collect.formats.w3c import W3CLines
from tasks.collect.lines import Block

_JSON_SLOTS: Final = {
    "source_ip": "CLIENT", "user_name": "USER", "timestamp": "TIME",
    "http_request_method": "METHOD", "url_original": "TARGET", "url_path": "PATH",
    "url_query": "QUERY", "request": "REQUEST", "http_response_status_code": "STATUS",
    "http_request_referrer": "REFERRER", "user_agent_original": "AGENT",
}  # fmt: skip
_W3C_FIELDS: Final = frozenset((*_JSON_SLOTS, "date", "time"))
_LOG: Final = frozenset(("log", "stream", "time"))
"""What Docker says of a line of a container."""
_LOG_SLOTS: Final = {"log": "LINE", "stream": "STREAM"}
_OBJECT = re.compile(rb"(?:\d{4}-\d\d-\d\dT\S+ std(?:out|err) F )?\{")
"""How objects of JSON begin, alone and as `shapes.OBJECT`."""
_LINES = re.compile(
    rb"(?:https?|h2|grpcs|wss?) \d{4}-|[0-9a-f]{64} |\d{4}-\d\d-\d\dT\S+ std(?:out|err) F "
    rb"|[0-9A-Fa-f:.]+:\d{1,5} \[\d\d/|[^\[]{1,200} haproxy\[|[^\[]{1,200} "
    rb"(?:nginx|httpd|apache2?)(?:\[\d+\])?: [0-9A-Fa-f.:]+ - "
)
"""How `shapes.lines` begin."""
_FIRST_LINES: Final = 9
_LOOKED_AT: Final = 64 * 1024
"""Bytes of a block among which they are looked for."""
_LINE_FEED: Final = 10
_KEY_SLOTS: Final = 1024
_WORTH_LOADING: Final = 1024**2
"""Bytes that take longer line by line than it takes to load what was compiled."""
_WORTH_COMPILING: Final = 32 * _WORTH_LOADING
_seen_bytes: Counter[str] = Counter()
"""By function of the kernel: what it could have rewritten, in all objects of this process."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The lines of a block, those that were rewritten and the others."""

    block: bytes
    """Combined lines, each with its line feed."""
    source: Block
    """All lines as they were."""
    data: npt.NDArray[np.uint8]
    """The same with some bytes after it, until the next block is rewritten."""
    places: npt.NDArray[np.int32]
    """By line of *block*: start and end in *source*, and what its 1-based number was."""
    others: Sequence[tuple[int, bytes]]
    """Number and bytes of the lines that were not rewritten."""

    def line(self, row: int) -> bytes:
        """The line that became the *row*-th, as it was."""
        start, stop, _ = self.places[row].tolist()
        return bytes(self.source[start:stop])


Rewrite = Callable[[Block], Rewritten | None]
"""What becomes of complete lines; None where the first ones are mostly not rewritten."""


class Rewriter:
    """Rewrites the lines of one object."""

    def __init__(self, proxies: TrustedProxies, w3c: W3CLines, *, is_utc: bool) -> None:
        """
        Lines of W3C have the fields that *w3c* names at the time.

        Args:
            is_utc: Whether times without an offset are UTC.
        """
        self._proxies = proxies
        self._is_utc = is_utc
        self._w3c = w3c
        self._plans: _JsonPlans | None = None
        self._data = np.empty(0, np.uint8)
        self._out = np.empty(0, np.uint8)

    def rewrite(self, block: Block) -> Rewritten | None:
        """What becomes of complete lines; None where the first ones are mostly not rewritten."""
        lines = bytes(block[:_LOOKED_AT]).split(b"\n", _FIRST_LINES)[:_FIRST_LINES]
        functions = Counter(map(self._choose_function, filter(None, lines)))
        function = functions.most_common(1)[0][0] if functions else None
        return None if function is None else self._rewrite(block, function)

    def _choose_function(self, line: bytes) -> str | None:
        """What rewrites lines that begin like this one."""
        if _OBJECT.match(line):
            return "rewrite_json"
        if _LINES.match(line) or (line[:4].isdigit() and self._is_w3c_clear()):
            return "rewrite_fields"
        return None

    def _rewrite(self, block: Block, function: str) -> Rewritten | None:
        _seen_bytes[function] += len(block)
        if _seen_bytes[function] < _worth_bytes(function):
            return None
        from tasks.collect import kernel as compiled
        from tasks.collect.formats import rewriting_kernel as kernel

        size = len(block)
        if self._data.size < size + compiled.PADDING:
            self._data = np.zeros(size + compiled.PADDING, np.uint8)
            # no line of a few bytes is rewritten
            self._out = np.empty(4 * size + 1024, np.uint8)
        self._data[:size] = np.frombuffer(block, np.uint8)
        self._data[size] = _LINE_FEED
        room = int(np.count_nonzero(self._data[:size] == _LINE_FEED)) + 1
        places, refused = np.empty((room, 3), np.int32), np.empty((room, 3), np.int32)
        state = np.zeros(kernel.STATE_SIZE, np.int64)
        if function == "rewrite_json":
            self._rewrite_json(kernel, size, state, places, refused)
        else:
            spans = np.zeros((kernel.SLOTS, 3), np.int64)
            shape = self._find_shape(kernel)
            kernel.rewrite_fields(self._data, size, shape, spans, state, self._out, places, refused)
        return Rewritten(
            self._out[: state[kernel.S_WRITTEN]].tobytes(),
            block,
            self._data,
            places[: state[kernel.S_ROWS]],
            [(n, bytes(block[a:b])) for a, b, n in refused[: state[kernel.S_REFUSED]].tolist()],
        )

    def _rewrite_json(
        self, kernel: "_Kernel", size: int, state: "_State", places: "_Places", refused: "_Places"
    ) -> None:
        if self._plans is None:
            self._plans = _JsonPlans(kernel, self._proxies)
        plans = self._plans
        while state[kernel.S_POSITION] < size:
            state[kernel.S_PLANS] = plans.count
            kernel.rewrite_json(
                self._data, size, plans.keys, plans.plans, plans.present, plans.scratch,
                _make_table(kernel, shapes.OBJECT), _make_table(kernel, shapes.TIME), state,
                self._out, places, refused,
            )  # fmt: skip
            if state[kernel.S_POSITION] < size:
                start = int(state[kernel.S_POSITION])
                rest = self._data[start:size].tobytes()
                plans.learn(orjson.loads(rest[rest.index(b"{") : rest.index(b"\n")]))

    def _find_shape(self, kernel: "_Kernel") -> Any:  # noqa: ANN401 -- kernel.Shape
        """That of the lines: of W3C where fields are known, all others have none."""
        if not self._is_w3c_clear():
            return _make_table(kernel, shapes.lines(is_utc=self._is_utc))
        slots = (_JSON_SLOTS.get(field) for field in self._w3c.fields[2:])
        return _make_table(kernel, shapes.words(tuple(slots)))

    def _is_w3c_clear(self) -> bool:
        """Whether there are fields of W3C, and lines that have them can be rewritten."""
        fields = self._w3c.fields
        known = [f for f in fields if f in _W3C_FIELDS]
        is_forwarded = "forwarded_for" in fields and self._proxies.are_known
        return (
            fields[:2] == ("date", "time")
            and len(set(known)) == len(known)
            and not is_forwarded
            and "url_original" not in fields
        )


_Kernel = Any
"""The module `rewriting_kernel`."""
_State = npt.NDArray[np.int64]
_Places = npt.NDArray[np.int32]


class _JsonPlans:
    """What objects with certain keys say where, as far as they have been seen."""

    def __init__(self, kernel: _Kernel, proxies: TrustedProxies) -> None:
        self._k = kernel
        self._proxies = proxies
        self.keys, self._numbers = _number_keys(kernel)
        words = len(self._numbers) // 64 + 1
        self.present = np.zeros(words, np.uint64)
        """The keys of the object that has no plan yet."""
        self.scratch = kernel.Scratch(
            spans=np.zeros((kernel.SLOTS, 3), np.int64),
            values=np.zeros((len(self._numbers), 3), np.int64),
            containers=np.zeros(kernel.MAX_DEPTH, np.int64),
        )
        most = kernel.MAX_PLANS
        self.plans = kernel.Plans(
            present=np.zeros((most, words), np.uint64),
            keys=np.full((most, kernel.SLOTS), -1, np.int64),
            is_only=np.ones((most, kernel.SLOTS), np.bool_),
            modes=np.zeros(most, np.int64),
        )
        self.count = 0

    def learn(self, record: dict[str, Any]) -> None:
        """Objects with the keys of *record* have a plan."""
        if self.count == self._k.MAX_PLANS:
            self.count = 0
        number, plans = self.count, self.plans
        places = self._find_places(record)
        slots = _JSON_SLOTS
        plans.modes[number] = self._choose_mode(places)
        if record.keys() >= _LOG:
            places, slots = {"log": [("log",)], "stream": [("stream",)]}, _LOG_SLOTS
            plans.modes[number] = self._k.OF_LOG
        plans.present[number] = self.present
        plans.keys[number], plans.is_only[number] = -1, True
        for field, slot in slots.items():
            if field in places:
                first, *more = places[field]
                plans.keys[number, getattr(self._k, slot)] = self._numbers[first]
                plans.is_only[number, getattr(self._k, slot)] = not more
        self.count += 1

    def _find_places(self, record: dict[str, Any]) -> dict[str, list[Place]]:
        layout = find_layout(record)
        if layout is None or not isinstance(layout.parse, JsonFields):
            return {}
        places = layout.parse.find_places(record)
        is_forwarded = "forwarded_for" in places and self._proxies.are_known
        return {} if is_forwarded or "event_reason" in places else places

    def _choose_mode(self, places: dict[str, list[Place]]) -> int:
        k = self._k
        if "http_request_method" not in places:
            # without it, who is right where there is a target, too, is for the format
            is_clear = "request" in places and "url_original" not in places
            return int(k.OF_REQUEST if is_clear else k.NO_MODE)
        if "url_original" in places:
            return int(k.OF_TARGET)
        is_clear = "url_path" in places and not places.keys() & {"request", "url_full"}
        return int(k.OF_PATH if is_clear else k.NO_MODE)


_make_table = lru_cache(maxsize=64)(shapes.make_table)


@lru_cache(maxsize=1)
def _number_keys(kernel: _Kernel) -> tuple[Any, dict[Place, int]]:
    """The keys that any layout looks for, and their numbers."""
    fields = (layout.parse.fields for layout in LAYOUTS if isinstance(layout.parse, JsonFields))
    places = [place for some in fields for each in some.values() for place in each]
    places += [place for layout in LAYOUTS for place in layout.marks]
    places += [(name,) for name in sorted(_LOG)]
    numbers: dict[Place, int] = {(): 0}
    for place in places:
        for depth in range(1, len(place) + 1):
            numbers.setdefault(place[:depth], len(numbers))
        numbers.setdefault((".".join(place),), len(numbers))
    texts = [place[-1].encode() if place else b"" for place in numbers]
    arena = np.frombuffer(b"".join(texts) + bytes(64), np.uint8).copy()
    records = np.zeros((len(numbers), kernel.KEY_COLUMNS), np.int64)
    keys = kernel.Keys(np.zeros(_KEY_SLOTS, np.int64), records, arena)
    start = 0
    for (place, number), text in zip(numbers.items(), texts, strict=True):
        parent = numbers[place[:-1]]
        records[number] = parent, start, len(text), 0
        records[parent, kernel.IS_PARENT] = 1
        start += len(text)
        if number:
            kernel.number_key(number, keys)
    return keys, numbers


def is_compiled(module: str, function: str) -> bool:
    """Whether Numba has kept a function of a module for this Python."""
    folder = os.environ.get("NUMBA_CACHE_DIR") or Path(module).with_name("__pycache__")
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    return any(Path(folder).rglob(f"{function}-*.{version}.nbi"))


@cache
def _worth_bytes(function: str) -> int:
    """From how many bytes on a function of the kernel is worth its time to load or compile."""
    is_kept = is_compiled(__file__, f"rewriting_kernel.{function}")
    return _WORTH_LOADING if is_kept else _WORTH_COMPILING
