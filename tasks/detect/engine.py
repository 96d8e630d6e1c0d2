"""
Counting by columns: regular access lines, thousands at a time.

What a line counts for is a function of its method, status, request, referrer and user agent, and
most of these come again and again. So `kernel` numbers the distinct texts of a block, and each of
them is put into a class once: texts that the same signatures hit and the rules' own tests find
alike. A line is then a few small numbers (classes, method, status), and lines with the same ones
have the same outcome, which is found out once, by TallyBuilder.judge.

Nearly all texts are *clean*: it is proven that no signature hits them. Their views are known
without `decode` (`kernel.reduce_text`), and the patterns of all signatures, joined into one per
field, find nothing in them. Only the others are looked at signature by signature.

What is refused, a line or a text, goes the exact way line by line, which defines the result.
tests/property/test_engine.py holds the one against the other.
"""

import os
import re
import secrets
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import re2

from tasks.collect.formats.access import parse_access
from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.fields import read_text
from tasks.collect.formats.request import split_request, split_target
from tasks.collect.formats.rewriting import Rewrite, Rewritten
from tasks.collect.reader import NEVER, BlockCount
from tasks.detect.addressed import Addressed
from tasks.detect.judged import Counters, Judged, hash_value
from tasks.detect.packed import (
    COUNTER_BITS,
    END_OF_TEXT,
    Names,
    PackedCounts,
    PackedSamples,
    PackedValues,
    Sampled,
    Sizes,
    Slots,
    Words,
    join_texts,
    order_addresses,
    pack,
    read_texts,
)
from tasks.detect.rules import Rule, RuleSet
from tasks.detect.selections import Clause, Test, ask_all
from tasks.detect.signatures import compile_filter
from tasks.model.events import Event, EventCategory

if TYPE_CHECKING:
    from tasks.detect.tally import TallyBuilder

Rows = npt.NDArray[np.int32]
"""Numbers of rows, or one number per row."""
Lines = npt.NDArray[np.int32]
Line = npt.NDArray[np.int32]
Text = npt.NDArray[np.uint8]
Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]
"""Counts, values and samples with the texts of source IPs."""
Numbered = tuple[Addressed, Addressed, Addressed]
"""The same as a tally has them."""
Ends = npt.NDArray[np.int64]

_OF_STATUS_LINE: Final = frozenset(("category", "http_request_method", "http_response_status_code"))
_ABSENT: Final = frozenset(
    ("event_action", "event_outcome", "is_invalid_user", "url_domain", "user_name")
)
"""What no regular line has; one with a user name is refused where that could matter."""
_TESTED: Final = frozenset(("url_path", "http_request_referrer", "user_agent_original"))
"""Texts that rules may ask for by themselves."""
_VALUES: Final = frozenset(("url_path", "url_original"))
"""What may be the value of a value_count rule."""
_SIGNED: Final = frozenset(
    ("url_original", "url_path", "url_query", "http_request_referrer", "user_agent_original")
)
"""What signatures may look at; and at user names."""
_REGULAR: Final = Event(timestamp=0, source_ip="", category=EventCategory.WEB)

_COLD_BYTES: Final = 15 * 64 * 1024
"""
Less than that is counted sooner than the kernel is loaded. A full block is more: the end of its
last line comes with the next one, so that it has less than 1 MiB.
"""
_COMPILING: Final = 32
"""Times as long as loading it takes to compile it, once on every machine."""
_REQUEST_SLOTS: Final = 1 << 18
_PATH_SLOTS: Final = 1 << 17
_OTHER_SLOTS: Final = 1 << 16
_MEAN_BYTES: Final = 96
"""Of the arena of a text, and of all texts together in a full table."""
_COUNT_SLOTS: Final = 1 << 17
_OUTCOME_SLOTS: Final = 1 << 16
_MAX_OUTCOMES: Final = 1 << 15
_FULL_SLOTS: Final = 1 << 14
_FULL_HASHES: Final = 4
"""As many samples as a counter has; where one has more, no line is passed over early."""
_MIN_LINE_BYTES: Final = 48
_MAX_METHODS: Final = 64
MAX_COUNTERS: Final = 1 << COUNTER_BITS
_MAX_IPS: Final = 1 << 18
_MOST_BYTES: Final = 12 * 1024**2
"""Of results; more are written."""
_SHORT: Final = 2000
"""Lines up to that are kept as they are."""
_MAX_FACTS: Final = 12
_PATTERN_BYTES: Final = 5 * 1024**2
_TOGETHER: Final = 7
"""
Signatures that are searched for as one: fewer mean more searches, more mean more states, which are
made while texts are read that are all different.
"""
_NOT_ASCII = re.compile(r"[^\x00-\x7f]|\\x\{|\\x[89a-fA-F]|\\[pPC]")
_COUNTED = re.compile(
    r"\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\{(?P<least>\d+),(?P<most>\d*)\}"
    r"|(?P<letter>[^\x00-\x7f])",
    re.DOTALL,
)
"""Escapes and classes are passed over: what looks like a count there is none."""
_EXACT_COUNT: Final = 3
_CLASSES_SHIFT: Final = 28
"""Of a key, what is above that are classes: zero where all texts are clean."""
_OPEN: Final = -2
"""In the table of outcomes by method and status: a rule looks closer."""
_UNKNOWN: Final = -1
_ANYWHERE: Final = re2._Anchor.UNANCHORED  # noqa: SLF001 -- the module has no other name for it
_MAPPED: Final = 0xFFFF << 32
"""How the kernel has IPv4 addresses: as they are mapped into IPv6."""

_CLOCK: Final = ObjectClock(datetime(2100, 1, 1, tzinfo=UTC))
"""Access lines state their year and zone, so any clock reads them alike."""


def load_kernel() -> Any:  # noqa: ANN401 -- a module
    """
    The compiled kernel.

    Raises:
        ImportError, OSError, RuntimeError: There is no compiler, or nowhere to keep code.
    """
    from tasks.detect import compiled, kernel

    compiled.load_quickly()
    return kernel


class Engine:
    """Counts blocks of lines for one TallyBuilder."""

    def __init__(self, rules: RuleSet, builder: "TallyBuilder") -> None:
        self._rules = rules
        self._builder = builder
        clauses = (c for rule in rules.rules for c in rule.selection.clauses)
        self._looks_at_hosts = any(t.field == "url_domain" for c in clauses for t in c.tests)
        self._seen_bytes = 0
        self._columns: _Columns | None = None
        self._is_off = not _is_within_reach(rules)
        self._slowed_by = "a rule looks at a field that is not in columns" if self._is_off else ""

    def count_block(
        self,
        extent: int,
        block: bytes,
        rewrite: Rewrite,
        lines_before: int,
        since: int,
        until: int,
    ) -> BlockCount:
        """Count the regular lines of *block*; the others are refused."""
        self._seen_bytes += len(block)
        columns = self._columns or self._open_columns()
        if columns is None:
            return BlockCount.nothing(block, lines_before)
        rewritten = None if self._looks_at_hosts else rewrite(block)
        source = _Source(block, rewritten, lines_before)
        return columns.count_block(extent, source, since, until)

    @property
    def slowed_by(self) -> str:
        """Why many lines were counted one by one; empty where they were not."""
        return self._slowed_by if self._seen_bytes >= _COLD_BYTES else ""

    def _open_columns(self) -> "_Columns | None":
        is_warm = "tasks.detect.kernel" in sys.modules
        if self._is_off or (not is_warm and self._seen_bytes < _cold_bytes()):
            return None
        try:
            self._columns = _Columns(self._rules, self._builder, load_kernel())
        except (ImportError, OSError, RuntimeError) as error:
            self._is_off = True
            self._slowed_by = f"the compiled part cannot be loaded ({type(error).__name__})"
        return self._columns

    def drop(self, extent: int) -> None:
        """No line of this extent is counted."""
        if self._columns is not None:
            self._columns.drop(extent)

    def unite(self, tables: Tables) -> Numbered | None:
        """
        All that was counted, with what is in *tables*, reduced and in order; None: it is nothing.

        Minutes in *tables* can be packed.
        """
        return None if self._columns is None else self._columns.unite(tables)


class _Source:
    """A block and the access lines in it, which are counted by their number in the block."""

    def __init__(self, block: bytes, rewritten: Rewritten | None, lines_before: int) -> None:
        self.text = rewritten.block if rewritten else block
        """Access lines, each with its line feed."""
        self._rewritten = rewritten
        self._before = lines_before

    def number(self, row: int) -> int:
        """The number of the *row*-th access line in its object."""
        if self._rewritten is None:
            return self._before + row
        return self._before + int(self._rewritten.places[row - 1, 2])

    def line(self, row: int, start: int, stop: int) -> bytes:
        """The *row*-th access line, which is text[start:stop], as it was written."""
        return self._rewritten.line(row - 1) if self._rewritten else self.text[start:stop]

    def numbers(self, rows: Rows) -> Ends:
        """The numbers of these access lines in their object."""
        numbers = self._rewritten.places[rows - 1, 2] if self._rewritten else rows
        return self._before + numbers.astype(np.int64)

    def places(self, rows: Rows, starts: Rows, stops: Rows) -> tuple[Text, Rows, Rows]:
        """Where these access lines, which are in the text there, are as they were written."""
        if self._rewritten is None:
            return np.frombuffer(self.text, np.uint8), starts, stops
        places = self._rewritten.places[rows - 1]
        return self._rewritten.data, places[:, 0], places[:, 1]

    def hashes(self, rows: Rows, kernel: Any) -> Words | None:  # noqa: ANN401 -- a module
        """The hashes of these access lines as they were written, where the text is another."""
        if self._rewritten is None:
            return None
        hashes = np.empty(len(rows), np.uint64)
        kernel.hash_lines(self._rewritten.data, self._rewritten.places, rows, hashes)
        return hashes

    @property
    def others(self) -> Sequence[tuple[int, bytes]]:
        """Number and bytes of the lines that are no access lines."""
        others = self._rewritten.others if self._rewritten else ()
        return [(self._before + number, line) for number, line in others]


class _Outcomes:
    """What lines can count for, numbered."""

    def __init__(self, fields: Mapping[str, str | None]) -> None:
        """Values of counters are what *fields* says."""
        self.judged: list[Judged] = []
        self.counters: dict[str, int] = {}
        """Numbers of combinations, by text."""
        self.counters_of = np.zeros(_MAX_OUTCOMES, np.uint32)
        self.share_masks = np.zeros(_MAX_OUTCOMES, np.uint64)
        self.limits = np.zeros(_MAX_OUTCOMES, np.int64)
        self.has_values = np.zeros(_MAX_OUTCOMES, np.bool_)
        self.value_counters: dict[str, int] = {}
        """Numbers of counters of values."""
        self.value_ends = np.zeros(_MAX_OUTCOMES, np.int32)
        """Where the values of each outcome end in the next two."""
        self.values = np.empty(0, np.uint64)
        self.of_paths = np.empty(0, np.bool_)
        self._fields = fields
        self._numbers: dict[Judged, int] = {}
        self._slots_of: list[list[int]] = []
        self._slots: dict[tuple[str, int], int] = {}

    @property
    def is_full(self) -> bool:
        return 2 * len(self.judged) > _MAX_OUTCOMES

    @property
    def slots(self) -> Slots:
        """In which slots lines compete, by combination of counters."""
        ends = np.cumsum([len(slots) for slots in self._slots_of], dtype=np.int32)
        numbers = np.array([slot for slots in self._slots_of for slot in slots], np.int32)
        return Slots(ends, numbers, np.array([limit for _, limit in self._slots], np.int32))

    def number(self, judged: Judged) -> int:
        """The number of lines that count like that, whatever their values are."""
        judged = replace(judged, values=tuple((counter, None) for counter, _ in judged.values))
        found = self._numbers.get(judged)
        if found is not None:
            return found
        number = self._numbers[judged] = len(self.judged)
        self.judged.append(judged)
        counters = judged.counters
        self.counters_of[number] = self.number_counters(counters)
        self.share_masks[number] = counters.share - 1
        self.limits[number] = max(limit for _, limit in counters.slots)
        names = [counter for counter, _ in judged.values]
        self.has_values[number] = bool(names)
        self.values = np.append(self.values, np.array(self.number_values(names), np.uint64))
        self.of_paths = np.append(self.of_paths, [self._fields[n] == "url_path" for n in names])
        self.of_paths = self.of_paths.astype(np.bool_)
        self.value_ends[number] = len(self.values)
        return number

    def number_counters(self, counters: Counters) -> int:
        """The number of a combination."""
        found = self.counters.get(counters.text)
        if found is not None:
            return found
        slots = self._slots
        self._slots_of.append([slots.setdefault(slot, len(slots)) for slot in counters.slots])
        return self.counters.setdefault(counters.text, len(self.counters))

    def number_values(self, names: Iterable[str]) -> list[int]:
        """The numbers of these counters of values."""
        numbers = self.value_counters
        return [numbers.setdefault(name, len(numbers)) for name in names]

    def forget_counters(self) -> None:
        """Combinations are numbered anew."""
        self.counters.clear()
        self._slots_of.clear()

    def forget(self) -> None:
        """Outcomes are numbered anew, counters stay."""
        self.judged.clear()
        self._numbers.clear()
        self.values, self.of_paths = self.values[:0], self.of_paths[:0]


@cache
def _cold_bytes() -> int:
    """From how many bytes on the kernel is worth loading."""
    index = f"kernel.scan_lines-*.py{sys.version_info.major}{sys.version_info.minor}.nbi"
    # where Numba keeps what it has compiled
    kept = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(kept) if kept else Path(__file__).with_name("__pycache__")
    return _COLD_BYTES if any(folder.rglob(index)) else _COLD_BYTES * _COMPILING


class _Columns:
    """The state of an engine that has work: tables that the kernel fills, and what they mean."""

    def __init__(self, rules: RuleSet, builder: "TallyBuilder", kernel: Any) -> None:  # noqa: ANN401
        from tasks.detect import kept

        self._k, self._kept = kernel, kept
        self._builder = builder
        self._classifier = _Classifier(rules, kernel)
        self._rules_without_hits = tuple(r for r in rules.rules if not r.is_signature)
        self._users = _users_taken(rules, kernel)
        self._seed = np.uint64(secrets.randbits(64))

        self._extent = -1
        self._state = np.zeros(kernel.STATE_SIZE, np.int64)
        self._ip_slots = np.full(1 << 16, -1, np.int32)
        self._ip_keys = np.zeros((1 << 15, 2), np.uint64)
        self._requests = _make_texts(kernel, _REQUEST_SLOTS)
        self._paths = _make_texts(kernel, _PATH_SLOTS)
        self._others = _make_texts(kernel, _OTHER_SLOTS)
        self._methods = np.zeros(_MAX_METHODS, np.uint64)
        self._method_count = np.zeros(1, np.int64)

        self._known = np.full((_MAX_METHODS, kernel.NO_STATUS + 1), _UNKNOWN, np.int32)
        self._outcomes = _Outcomes({r.counter: r.field for r in rules.rules})
        self._outcome_keys = np.zeros(_OUTCOME_SLOTS, np.uint64)
        self._key_outcomes = np.full(_OUTCOME_SLOTS, -1, np.int32)
        self._known_keys = 0

        self._keys = np.zeros(_COUNT_SLOTS, np.uint64)
        self._counts = np.zeros(_COUNT_SLOTS, np.uint32)
        self._used = np.zeros(1, np.int64)
        self._packed = PackedCounts()
        self._values = PackedValues()
        self._path_hashes = np.zeros(len(self._paths.records), np.uint64)
        self._target_hashes = np.zeros(len(self._requests.records), np.uint64)
        self._odd_hashes = np.zeros(len(self._requests.records), np.uint64)
        """Of paths of requests without a plain one."""
        self._samples = PackedSamples(kept, lambda: self._outcomes.slots)
        self._full_keys = np.zeros(_FULL_SLOTS, np.uint64)
        self._full_counts = np.zeros(_FULL_SLOTS, np.int32)
        self._full_hashes = np.zeros((_FULL_SLOTS, _FULL_HASHES), np.uint64)
        self._buffer = np.empty(0, np.uint8)

    def count_block(self, extent: int, source: _Source, since: int, until: int) -> BlockCount:
        k, state = self._k, self._state
        if extent != self._extent:
            self._drain()
            self._extent = extent
            self._full_counts.fill(0)
        block = source.text
        data = self._load(block)
        room = len(block) // _MIN_LINE_BYTES + 64
        lines = np.empty((room, k.LINE_COLUMNS), np.int32)
        words = np.empty((room, k.WORD_COLUMNS), np.uint64)
        refused = np.empty((room, 3), np.int32)
        state[k.S_POSITION], state[k.S_COUNT], state[k.S_MINUTE] = 0, 0, -1
        state[k.S_FIRST], state[k.S_LAST] = NEVER, -1
        refused_lines = list(source.others)
        while state[k.S_POSITION] < len(block):
            state[k.S_LINES] = state[k.S_REFUSED] = 0
            self._make_room()
            first_request, first_path = int(self._requests.size[0]), int(self._paths.size[0])
            first_other = int(self._others.size[0])
            k.scan_lines(
                data, len(block), since, until, self._users, self._seed, state,
                lines, words, refused, self._ip_slots, self._ip_keys, self._requests, self._others,
            )  # fmt: skip
            found = refused[: state[k.S_REFUSED]].tolist()
            refused_lines += ((source.number(n), source.line(n, a, b)) for a, b, n in found)
            self._prove(first_request, first_path, first_other)
            rows = int(state[k.S_LINES])
            hashes = source.hashes(lines[:rows, k.NUMBER].copy(), k)
            hashes = words[:rows, k.OF_LINE].copy() if hashes is None else hashes
            # each of them may be a combination of its own; a block of usual lines is one part
            some = min(MAX_COUNTERS, _MAX_OUTCOMES) * 3 // 4
            for start in range(0, rows, some):
                part = slice(start, min(start + some, rows))
                self._make_room_for_outcomes(part.stop - start)
                self._count(source, lines[part], hashes[part])
        self._make_room_for_results()
        if source.others:
            refused_lines.sort()
        count = int(state[k.S_COUNT]) + len(source.others)
        return BlockCount(count, refused_lines, int(state[k.S_FIRST]), int(state[k.S_LAST]))

    def _load(self, block: bytes) -> Text:
        size = len(block) + self._k.PADDING
        if self._buffer.size < size:
            self._buffer = np.zeros(size, np.uint8)
        self._buffer[: len(block)] = np.frombuffer(block, np.uint8)
        return self._buffer

    # tables

    def _make_room(self) -> None:
        """Tables that are nearly full grow, or begin again."""
        k, state = self._k, self._state
        must_forget = self._outcomes.is_full or self._classifier.is_full
        if must_forget or _is_nearly_full(self._others, k):
            _empty(self._others)
        if must_forget or _is_nearly_full(self._paths, k):
            _empty(self._paths)
            self._path_hashes.fill(0)
            self._empty_requests()
        if _is_nearly_full(self._requests, k):
            self._empty_requests()
        if must_forget:
            self._classifier.forget()
            self._forget_outcomes()
        if state[k.S_IPS] > _MAX_IPS:
            self._builder.spill()
            self._ip_slots.fill(-1)
            self._full_counts.fill(0)
            state[k.S_IPS] = 0
        self._make_room_for_ips(int(state[k.S_IPS]))

    def _make_room_for_outcomes(self, more: int) -> None:
        """So many *more* can be numbered."""
        outcomes = self._outcomes
        if len(outcomes.counters) + more > MAX_COUNTERS:
            self._builder.spill()
            outcomes.forget_counters()
            self._full_counts.fill(0)
            self._forget_outcomes()
        elif len(outcomes.judged) + more > _MAX_OUTCOMES:
            self._forget_outcomes()

    def _forget_outcomes(self) -> None:
        self._outcomes.forget()
        self._known.fill(_UNKNOWN)
        self._key_outcomes.fill(-1)
        self._known_keys = 0

    def _empty_requests(self) -> None:
        _empty(self._requests)
        self._target_hashes.fill(0)
        self._odd_hashes.fill(0)

    def _make_room_for_ips(self, more: int) -> None:
        """A fourth of the slots, at most, will be taken with so many *more*."""
        ips, slots = int(self._state[self._k.S_IPS]), self._ip_slots.size
        while 2 * (ips + more) > slots:
            slots *= 4
        if slots > self._ip_slots.size:
            self._ip_slots = np.full(slots, -1, np.int32)
            rows = np.zeros((slots // 2 - len(self._ip_keys), 2), np.uint64)
            self._ip_keys = np.concatenate([self._ip_keys, rows])
            self._k.regrow_ips(self._ip_slots, self._ip_keys, self._state)

    # texts

    def _prove(self, first_request: int, first_path: int, first_other: int) -> None:
        """Every new text has a class."""
        if self._requests.size[0] > first_request:
            self._prove_requests(first_request, first_path)
        if self._others.size[0] > first_other:
            self._prove_others(first_other)

    def _prove_requests(self, first: int, first_path: int) -> None:
        k, requests = self._k, self._requests
        count, size = int(requests.size[0]), _room(requests, first, k)
        target, query = np.empty(size, np.uint8), np.empty(size, np.uint8)
        ends = np.zeros((count - first, 2), np.int64)
        reduced = k.reduce_requests(
            first, self._seed, requests, self._paths, self._methods, self._method_count,
            target, query, ends,
        )  # fmt: skip
        requests.records[reduced:count, k.CLASS] = k.UNIQUE
        ends = ends[: reduced - first]
        if self._paths.size[0] > first_path:
            self._prove_paths(first_path)
        k.spread_classes(first, reduced, requests, self._paths)
        unread = set(self._unread(requests, first))
        hits: dict[int, list[int]] = defaultdict(list)
        for name, views in (
            ("url_original", Views(target, ends[:, 0])),
            ("url_query", Views(query, ends[:, 1])),
        ):
            for row, found in self._classifier.prover.hits(name, views):
                if found is None:
                    unread.add(first + row)
                else:
                    hits[first + row] += found
        if hits:
            records = requests.records[list(hits)]
            path_classes = self._paths.records[records[:, k.PATH], k.CLASS].tolist()
            classes = map(self._classifier.of_hits, hits.values(), path_classes)
            requests.records[list(hits), k.CLASS] = list(classes)
        for number in unread:
            self._classify_request(number)

    def _prove_paths(self, first: int) -> None:
        k, paths, classifier = self._k, self._paths, self._classifier
        buffer = np.empty(_room(paths, first, k), np.uint8)
        ends = np.zeros(int(paths.size[0]) - first, np.int64)
        k.reduce_paths(first, paths, buffer, ends)
        unread, views = self._unread(paths, first), Views(buffer, ends)
        for row, hits in classifier.prover.hits("url_path", views):
            if hits is None:
                unread.append(first + row)
            else:
                paths.records[first + row, k.CLASS] = classifier.of_hits(hits)
        for number in unread:
            found = classifier.match("url_path", self._path_of(number))
            paths.records[number, k.CLASS] = classifier.of_hits(found)

    def _prove_others(self, first: int) -> None:
        k, others, classifier = self._k, self._others, self._classifier
        size = _room(others, first, k)
        referrer, agent = np.empty(size, np.uint8), np.empty(size, np.uint8)
        ends = np.zeros((int(others.size[0]) - first, 2), np.int64)
        k.reduce_others(first, others, referrer, agent, ends)
        if classifier.asks_others:
            others.records[first : others.size[0], k.CLASS] = k.DIRTY
        for name, views in (
            ("http_request_referrer", Views(referrer, ends[:, 0])),
            ("user_agent_original", Views(agent, ends[:, 1])),
        ):
            dirty = list(classifier.prover.find(name, views))
            others.records[[first + row for row in dirty], k.CLASS] = k.DIRTY
        for number in self._unread(others, first):
            text = read_text(_bytes_of(others, number, k))
            is_referrer = others.records[number, k.KIND] == k.KIND_REFERRER
            classify = classifier.of_referrer if is_referrer else classifier.of_agent
            others.records[number, k.CLASS] = classify(text)

    def _unread(self, texts: Any, first: int) -> list[int]:  # noqa: ANN401 -- kernel.Texts
        """Texts from *first* on of which nothing is known yet."""
        classes = texts.records[first : texts.size[0], self._k.CLASS]
        return (first + (classes == self._k.DIRTY).nonzero()[0]).tolist()  # type: ignore[no-any-return]

    def _classify_request(self, number: int) -> None:
        k, record = self._k, self._requests.records[number]
        path = int(record[k.PATH])
        path_class = None if path < 0 else int(self._paths.records[path, k.CLASS])
        request = _bytes_of(self._requests, number, k)
        record[k.CLASS] = self._classifier.of_request(request, path_class)

    # lines

    def _count(self, source: _Source, lines: Lines, hashes: Words) -> None:
        k, rows = self._k, len(lines)
        if not rows:
            return
        outcomes, kinds = np.empty(rows, np.int32), self._outcomes
        self._settle(source, lines, outcomes)
        row = 0
        while row < rows:
            row = k.count_lines(
                row, rows, lines, outcomes, kinds.counters_of, self._keys, self._counts, self._used
            )
            if row < rows:
                self._drain()
        samples, valued = np.empty(rows, np.int32), np.empty(rows, np.int32)
        found, others = self._kept.choose_lines(
            rows, lines, outcomes, hashes,
            kinds.counters_of, kinds.share_masks, kinds.limits, kinds.has_values,
            self._full_keys, self._full_counts, self._full_hashes, samples, valued,
        )  # fmt: skip
        if others:
            self._keep_values(lines, outcomes, valued[:others])
        if found:
            self._keep_samples(source, lines, hashes, outcomes, samples[:found])

    def _settle(self, source: _Source, lines: Lines, outcomes: Rows) -> None:
        """Find the outcome of every line, and learn those that are new."""
        k, rows = self._k, len(lines)
        keys, unsettled = np.empty(rows, np.uint64), np.empty(rows, np.int32)

        def settle() -> int:
            return int(
                k.settle_lines(
                    rows, lines, self._requests, self._paths, self._others,
                    self._classifier.no_referrer, self._classifier.no_agent, self._known,
                    self._outcome_keys, self._key_outcomes, keys, outcomes, unsettled,
                )
            )  # fmt: skip

        left = settle()
        if self._look_at_paths(lines, unsettled[:left], keys):
            left = settle()
        learnt: dict[int, int] = {}
        for row, key in zip(
            unsettled[:left].tolist(), keys[unsettled[:left]].tolist(), strict=True
        ):
            if key not in learnt or not key:
                learnt[key] = self._learn(source, lines[row], key)
            outcomes[row] = learnt[key]

    def _look_at_paths(self, lines: Lines, rows: Rows, keys: Words) -> bool:
        """Ask of the paths of these lines what the rules ask; whether there was a new one."""
        k, records = self._k, self._paths.records
        paths = self._requests.records[lines[rows[keys[rows] == 0], k.REQUEST], k.PATH]
        paths = np.unique(paths[paths >= 0])
        paths = paths[records[paths, k.FACTS] < 0]
        ask = self._classifier.facts_of
        records[paths, k.FACTS] = [ask(text) for text in self._paths_of(paths)]
        return len(paths) > 0

    def _paths_of(self, paths: Rows) -> list[str]:
        """The texts of these paths, in ascending order."""
        if not len(paths):
            return []
        k, records = self._k, self._paths.records
        places = records[paths][:, [k.OFFSET, k.LENGTH]]
        first, stop = int(places[0, 0]), int(places[-1].sum())
        arena = self._paths.arena[first:stop].tobytes()
        starts = places[:, 0] - first
        return [
            arena[start:end].decode()
            for start, end in zip(starts.tolist(), (starts + places[:, 1]).tolist(), strict=True)
        ]

    def _path_of(self, path: int) -> str:
        return _bytes_of(self._paths, path, self._k).decode()

    def _learn(self, source: _Source, line: Line, key: int) -> int:
        """The outcome of lines with this *key*, of which *line* is one."""
        k = self._k
        known = int(k.outcome_of(np.uint64(key), self._outcome_keys, self._key_outcomes))
        if key and known >= 0:
            return known
        event = _parse(source.text[line[k.START] : line[k.END]])
        hits = self._classifier.hits_of(key) if key else None
        outcome = self._outcomes.number(self._builder.judge(event, hits))
        if key and 2 * self._known_keys < len(self._outcome_keys):
            k.learn_outcome(np.uint64(key), outcome, self._outcome_keys, self._key_outcomes)
            self._known_keys += 1
        method, status = self._requests.records[line[k.REQUEST], k.METHOD], line[k.STATUS]
        if key and not key >> _CLASSES_SHIFT and self._known[method, status] == _UNKNOWN:
            is_decided = all(_is_decided(rule, event) for rule in self._rules_without_hits)
            self._known[method, status] = outcome if is_decided else _OPEN
        return outcome

    # results

    def _keep_values(self, lines: Lines, outcomes: Rows, rows: Rows) -> None:
        kinds = self._outcomes
        ends = kinds.value_ends[outcomes[rows]]
        starts = np.where(outcomes[rows], kinds.value_ends[outcomes[rows] - 1], 0)
        room = int((ends - starts).sum())
        keys, hashes = np.empty(room, np.uint64), np.empty(room, np.uint64)
        unknown = np.empty((room, 3), np.int32)
        _, left = self._kept.list_values(
            lines, rows, outcomes, kinds.value_ends, kinds.values, kinds.of_paths,
            self._requests.records, self._requests.arena, self._paths.records, self._paths.arena,
            self._path_hashes, self._target_hashes, self._odd_hashes, keys, hashes, unknown,
        )  # fmt: skip
        for place, request, of_path in unknown[:left].tolist():
            hashes[place] = self._hash_value(request, of_path=bool(of_path))
        self._values.add(self._extent, keys, hashes)

    def _hash_value(self, request: int, *, of_path: bool) -> int:
        """The hash of the target or the path of a request, remembered."""
        remembered = self._odd_hashes if of_path else self._target_hashes
        if not remembered[request]:
            _, text = split_request(_bytes_of(self._requests, request, self._k))
            text = split_target(text)[0] if of_path else text
            remembered[request] = hash_value(text or "")
        return int(remembered[request])

    def _keep_samples(
        self, source: _Source, lines: Lines, hashes: Words, outcomes: Rows, rows: Rows
    ) -> None:
        k = self._k
        order, sizes, texts = self._texts_of(source, lines[rows])
        rows = rows[order]
        counters = self._outcomes.counters_of[outcomes[rows]]
        extents = np.full(len(rows), self._extent, np.uint32)
        keys = pack(lines[rows, k.IP], lines[rows, k.MINUTE], counters)
        numbers = source.numbers(lines[rows, k.NUMBER])
        self._samples.add(Sampled(extents, keys, hashes[rows], numbers, sizes, texts))

    def _texts_of(self, source: _Source, lines: Lines) -> tuple[Ends, Sizes, Text]:
        """How these lines are kept: an order of them, and in that their sizes and texts."""
        k = self._k
        data, starts, stops = source.places(*lines.T[[k.NUMBER, k.START, k.END]])
        sizes = np.empty(len(lines), np.int32)
        texts = np.empty(int((stops - starts).sum()) + END_OF_TEXT * len(lines), np.uint8)
        texts = texts[: self._kept.copy_texts(data, starts, stops, _SHORT, texts, sizes)]
        others = (sizes < 0).nonzero()[0]
        if not len(others):
            return np.arange(len(lines)), sizes, texts
        spelled = [
            self._text_of(source.line(number, start, stop), source.text[start:stop])
            for start, stop, number in lines[others][:, [k.START, k.END, k.NUMBER]].tolist()
        ]
        sizes_of_others, texts_of_others = join_texts(spelled)
        copied = (sizes >= 0).nonzero()[0]
        return (
            np.append(copied, others),
            np.append(sizes[copied], sizes_of_others),
            np.append(texts, texts_of_others),
        )

    def _text_of(self, line: bytes, access_line: bytes) -> bytes:
        if len(line) <= _SHORT and line.isascii():
            return line
        event = _parse(access_line)
        return self._builder.sample_text(event, line, self._builder.judge(event)).encode()

    def _make_room_for_results(self) -> None:
        results = (self._packed, self._values, self._samples)
        if sum(result.size for result in results) > _MOST_BYTES:
            for result in results:
                result.compact()
            if 2 * sum(result.size for result in results) > _MOST_BYTES:
                self._builder.spill()

    def _drain(self) -> None:
        used = self._counts.nonzero()[0]
        if len(used):
            self._packed.add(self._extent, self._keys[used], self._counts[used])
            self._counts.fill(0)
            self._used[0] = 0

    def drop(self, extent: int) -> None:
        self._drain()
        # the number may be given again, and what is full then is another place
        self._full_counts.fill(0)
        self._packed.drop(extent)
        self._values.drop(extent)
        self._samples.drop(extent)

    def unite(self, tables: Tables) -> Numbered:
        """All that was counted, with what is in *tables*; none is left here."""
        counts, values, samples = tables
        names = counts["source_ip"].unique()
        ips = self._number_names(names)
        combinations = counts["counters"].cast(pl.String).unique()
        counters = [
            self._outcomes.number_counters(self._builder.counters_of(text)) for text in combinations
        ]
        value_counters = values["counter"].cast(pl.String).unique()
        value_numbers = self._outcomes.number_values(value_counters)
        self._packed.add_each(
            counts["extent"].to_numpy(),
            _pack_rows(counts, (names, ips), "counters", (combinations, counters)),
            counts["count"].to_numpy(),
        )
        self._values.add(
            values["extent"].to_numpy(),
            _pack_rows(values, (names, ips), "counter", (value_counters, value_numbers)),
            values["value_hash"].to_numpy(),
        )
        self._samples.add(
            Sampled(
                samples["extent"].to_numpy(),
                _pack_rows(samples, (names, ips), "counters", (combinations, counters)),
                samples["line_hash"].to_numpy(),
                samples["line_number"].to_numpy(),
                *join_texts([line.encode() for line in samples["line"]]),
            )
        )
        return self._pop_tables()

    def _pop_tables(self) -> Numbered:
        self._drain()
        ips = self._names()
        counters = Names.of(pl.Series(list(self._outcomes.counters), dtype=pl.String))
        of_values = Names.of(pl.Series(list(self._outcomes.value_counters), dtype=pl.String))
        counts = self._packed.pop_table(ips, counters)
        return (
            counts,
            self._values.pop_table(ips, of_values),
            self._samples.pop_table(ips, counters),
        )

    def _number_names(self, names: pl.Series) -> Ends:
        """The numbers of addresses by their canonical texts."""
        values = [int(ip_address(name)) for name in names]
        low = (1 << 64) - 1
        addresses = [
            (0, value | _MAPPED) if ":" not in name else (value >> 64, value & low)
            for name, value in zip(names, values, strict=True)
        ]
        numbers = np.empty(len(addresses), np.int64)
        self._make_room_for_ips(len(addresses))
        self._k.number_ips(
            np.array(addresses, np.uint64).reshape(-1, 2),
            self._ip_slots, self._ip_keys, self._state, numbers,
        )  # fmt: skip
        return numbers

    def _names(self) -> Names:
        """Canonical texts of the addresses that have counts."""
        there = self._packed.ips(int(self._state[self._k.S_IPS]))
        addresses = self._ip_keys[: len(there)][there]
        texts = np.empty(len(addresses) * self._kept.MAX_NAME, np.uint8)
        size = self._kept.write_names(addresses, texts)
        names = Names.of(read_texts(texts[:size]), order_addresses(addresses))
        ranks = np.zeros(len(there), np.uint64)
        ranks[there] = names.ranks
        return Names(names.texts, ranks)


def _parse(line: bytes) -> Event:
    parsed = parse_access(line, _CLOCK)
    if not isinstance(parsed, tuple):
        raise AssertionError(f"the kernel took a line that is not regular: {line!r}")  # noqa: TRY004
    return parsed[0]


def _make_texts(kernel: Any, slots: int) -> Any:  # noqa: ANN401 -- kernel.Texts
    return kernel.Texts(
        slots=np.zeros(slots, np.uint64),
        records=np.zeros((slots // 2, kernel.TEXT_COLUMNS), np.int32),
        arena=np.zeros(slots // 2 * _MEAN_BYTES + 8 * kernel.MAX_LINE, np.uint8),
        size=np.zeros(2, np.int64),
    )


def _is_nearly_full(texts: Any, kernel: Any) -> bool:  # noqa: ANN401 -- kernel.Texts
    count, size = texts.size.tolist()
    margin = max(len(texts.arena) // 8, 4 * kernel.MAX_LINE)
    return bool(5 * count > 2 * len(texts.slots) or size + margin > len(texts.arena))


def _empty(texts: Any) -> None:  # noqa: ANN401 -- kernel.Texts
    texts.slots.fill(0)
    texts.size.fill(0)


def _room(texts: Any, first: int, kernel: Any) -> int:  # noqa: ANN401 -- kernel.Texts
    """Bytes that the views of the texts from *first* on can have."""
    count, size = texts.size.tolist()
    return int(kernel.VIEWS * (size - texts.records[first, kernel.OFFSET] + count - first) + 64)


def _bytes_of(texts: Any, number: int, kernel: Any) -> bytes:  # noqa: ANN401 -- kernel.Texts
    start, length = texts.records[number, : kernel.KIND].tolist()
    return texts.arena[start : start + length].tobytes()  # type: ignore[no-any-return]


def _pack_rows(
    table: pl.DataFrame,
    ips: tuple[pl.Series, Ends],
    name: str,
    counters: tuple[pl.Series, Sequence[int]],
) -> Words:
    """The keys of rows whose addresses, and the counters in column *name*, have numbers."""
    ip = table["source_ip"].replace_strict(*ips, return_dtype=pl.UInt64)
    counter = table[name].cast(pl.String).replace_strict(*counters, return_dtype=pl.UInt64)
    return pack(ip.to_numpy(), table["minute"].to_numpy(), counter.to_numpy())


# rules


def _is_within_reach(rules: RuleSet) -> bool:
    """Whether what *rules* look at in a regular line is what the engine looks at."""
    selecting = [r for r in rules.rules if any(_can_select(c) for c in r.selection.clauses)]
    values = {r.field for r in selecting if r.type == "value_count"} - {"user_name"}
    signed = {name for s in rules.signatures for name in s.fields if name != "user_name"}
    tested = {test.field for test in _tests(rules)}
    known = _OF_STATUS_LINE | _ABSENT | _TESTED
    paths = len(_tests(rules, "url_path"))
    return all((tested <= known, values <= _VALUES, signed <= _SIGNED, paths <= _MAX_FACTS))


def _tests(rules: RuleSet, field: str | None = None) -> tuple[Test, ...]:
    """What *rules* ask of regular lines, or of one field of them."""
    clauses = (c for rule in rules.rules for c in rule.selection.clauses if _can_select(c))
    tests = (t for c in clauses for t in c.tests if field is None or t.field == field)
    return tuple(dict.fromkeys(tests))


def _can_select(clause: Clause, *, has_user: bool = False) -> bool:
    """Whether *clause* can select a regular line at all, or one with any user name."""
    known = {*_ABSENT, "category"} - ({"user_name"} if has_user else set())
    return all(t.holds(_REGULAR) for t in clause.tests if t.field in known)


def _users_taken(rules: RuleSet, kernel: Any) -> npt.NDArray[np.uint8]:  # noqa: ANN401 -- a module
    """By status: which user names a line can have that the kernel takes."""
    is_signed = any("user_name" in s.fields for s in rules.signatures)
    clauses = [
        clause
        for rule in rules.rules
        for clause in rule.selection.clauses
        if rule.field == "user_name" or any(t.field == "user_name" for t in clause.tests)
    ]
    asking = [c for c in clauses if _can_select(c, has_user=True)]
    tests = [[t for t in c.tests if t.field == "http_response_status_code"] for c in asking]
    statuses: list[int | None] = [*range(kernel.NO_STATUS), None]
    matters = np.array([any(all(t.accepts(s) for t in some) for some in tests) for s in statuses])
    most = kernel.PLAIN_USERS if is_signed else kernel.ALL_USERS
    taken: Text = np.where(matters, kernel.NO_USERS, most).astype(np.uint8)
    return taken


def _is_decided(rule: Rule, event: Event) -> bool:
    """Whether method and status alone say if *rule* counts an event without hits."""
    is_open = False
    for clause in rule.selection.clauses:
        known = [t for t in clause.tests if t.field in _OF_STATUS_LINE | _ABSENT]
        if clause.signature_ids is None and all(test.holds(event) for test in known):
            if len(known) == len(clause.tests) and rule.type == "event_count":
                return True
            is_open = True
    return not is_open


# classes of texts


_Matcher = Callable[[str], tuple[int, ...]]


class _Classifier:
    """Puts texts that no outcome can tell apart into one class."""

    def __init__(self, rules: RuleSet, kernel: Any) -> None:  # noqa: ANN401 -- a module
        self._k = kernel
        self._matchers: dict[str, _Matcher] = dict(rules.signature_set.matchers)
        self.facts_of = ask_all(_tests(rules, "url_path"))
        """What the rules ask of a path, a bit for each answer."""
        referrer_tests = _tests(rules, "http_request_referrer")
        agent_tests = _tests(rules, "user_agent_original")
        self._ask_referrer, self._ask_agent = ask_all(referrer_tests), ask_all(agent_tests)
        self.asks_others = bool(referrer_tests or agent_tests)
        self.prover = prover_of(rules)
        self.forget()

    def forget(self) -> None:
        """Classes are numbered anew."""
        self._requests: dict[Hashable, int] = {}
        self._others: dict[Hashable, int] = {}
        self._hits: dict[int, tuple[int, ...]] = {self._k.CLEAN: ()}
        self._hits_of_others = dict(self._hits)
        clean_request: Hashable = ()
        clean_other = ((), 0)
        self._requests[clean_request] = self._others[clean_other] = self._k.CLEAN
        self.no_referrer = self.of_referrer(None)
        self.no_agent = self.of_agent(None)

    @property
    def is_full(self) -> bool:
        """Whether many more texts will have no class."""
        k = self._k
        is_full: bool = len(self._requests) > k.MAX_REQUEST_CLASS
        return is_full or len(self._others) > int(k.MAX_OTHER_CLASS)

    def of_hits(self, hits: Iterable[int], path_class: int = 0) -> int:
        """The class of a path or of a plain request, by its hits and the class of its path."""
        if path_class == self._k.UNIQUE:
            return path_class
        key = tuple(sorted({*hits, *self._hits[path_class]}))
        number = self._number(self._requests, key, self._k.MAX_REQUEST_CLASS)
        if number >= 0:
            self._hits[number] = key
        return number

    def of_request(self, request: bytes, path_class: int | None) -> int:
        """
        The class of a request.

        Args:
            request: As it is in the log.
            path_class: That of its path, where the kernel knows its method and its path.
        """
        method, target = split_request(request)
        path, query = split_target(target)
        hits = {*self.match("url_original", target), *self.match("url_query", query)}
        if path_class is not None:
            return self.of_hits(hits, path_class)
        hits.update(self.match("url_path", path))
        key = (tuple(sorted(hits)), method, target is None, self.facts_of(path))
        number = self._number(self._requests, key, self._k.MAX_REQUEST_CLASS)
        self._hits[number] = key[0]
        return number

    def of_referrer(self, text: str | None) -> int:
        """The class of a referrer."""
        return self._of_other(self.match("http_request_referrer", text), self._ask_referrer(text))

    def of_agent(self, text: str | None) -> int:
        """The class of a user agent."""
        return self._of_other(self.match("user_agent_original", text), self._ask_agent(text))

    def _of_other(self, hits: tuple[int, ...], facts: int) -> int:
        number = self._number(self._others, (hits, facts), self._k.MAX_OTHER_CLASS)
        self._hits_of_others[number] = hits
        return number

    def hits_of(self, key: int) -> tuple[int, ...]:
        """The signatures that hit lines with this *key*, which is not 0, ascending."""
        classes, most = key >> _CLASSES_SHIFT, int(self._k.MAX_OTHER_CLASS)
        others, bits = self._hits_of_others, most.bit_length()
        of_texts = (
            self._hits[classes >> 2 * bits],
            others[classes >> bits & most],
            others[classes & most],
        )
        return tuple(sorted({hit for hits in of_texts for hit in hits}))

    def match(self, field: str, text: str | None) -> tuple[int, ...]:
        """The signatures that hit a text."""
        match = self._matchers.get(field)
        return match(text) if match and text else ()

    def _number(self, classes: dict[Hashable, int], key: Hashable, most: int) -> int:
        if key not in classes:
            if len(classes) > most:
                return int(self._k.UNIQUE)
            classes[key] = len(classes)
        return classes[key]


# proving that no signature hits


@lru_cache(maxsize=4)
def prover_of(rules: RuleSet) -> "Prover":
    """The prover of *rules*, compiled once."""
    return Prover(rules)


class Prover:
    """
    Finds texts that a signature may hit: all patterns of a field as one, over many texts at once.

    Texts are in Latin-1, one byte for any letter beyond ASCII, and end with a line feed.
    """

    def __init__(self, rules: RuleSet) -> None:
        self._groups = {name: list(_group(rules, name)) for name in sorted(_SIGNED)}

    def hits(self, name: str, views: "Views") -> Iterator[tuple[int, list[int] | None]]:
        """
        The texts of field *name* that a signature may hit, and the indexes of those that do.

        These are None for a text with letters beyond ASCII: decode.view has to see it.
        """
        for number, groups in self.find(name, views).items():
            text = views.text(number)
            # without such letters, what the kernel wrote is what decode.view says
            is_known = text.isascii()
            yield number, [hit for g in groups for hit in g.match(text)] if is_known else None

    def find(self, name: str, views: "Views") -> "dict[int, list[_Group]]":
        """The texts of field *name* that a signature may hit, by position, and which may."""
        found: dict[int, list[_Group]] = defaultdict(list)
        for group in self._groups[name]:
            for number in views.search(group.pattern):
                found[number].append(group)
        return found


@dataclass(frozen=True, slots=True)
class _Group:
    """Signatures that are searched for as one."""

    pattern: Any
    """Matches where one of them does, and more."""
    match: Callable[[bytes], list[int]]
    """The indexes of those that hit a text with these views, joined."""


def _group(rules: RuleSet, name: str) -> Iterator[_Group]:
    signed = [(index, s) for index, s in enumerate(rules.signatures) if name in s.fields]
    count = -(-len(signed) // _TOGETHER)
    # the next are often alike, and their states would multiply
    for some in (signed[number::count] for number in range(count)):
        patterns = [s.pattern for _, s in some]
        yield _Group(_compile_wide(patterns), _matching(patterns, [index for index, _ in some]))


def _compile_wide(patterns: Sequence[str]) -> Any:  # noqa: ANN401 -- google-re2 publishes no types
    wide = [widen(pattern) for pattern in patterns]
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.never_nl = True
    options.max_mem = _PATTERN_BYTES
    options.encoding = re2.Options.Encoding.LATIN1
    if any(_NOT_ASCII.search(p.replace("\\\\", "")) for p in wide):
        return re2.compile(b"(?s).", options)
    return re2.compile("|".join(f"(?m:{p})" for p in wide).encode(), options)


def _matching(patterns: Sequence[str], indexes: Sequence[int]) -> Callable[[bytes], list[int]]:
    # compiled when it is needed: most texts are clean
    open_filter = cache(lambda: compile_filter(patterns))
    return lambda views: [indexes[i] for i in open_filter().Match(views) or ()]


class Views:
    """The views of many texts of one field, each view with its line feed."""

    def __init__(self, buffer: Text, ends: Ends) -> None:
        """The views of each text are in *buffer* from the end of those before it to their own."""
        self._ends = ends.tolist()
        self._views = buffer[: self._ends[-1]].tobytes() if self._ends else b""

    def text(self, number: int) -> bytes:
        """The views of one text, joined."""
        start = self._ends[number - 1] if number else 0
        return self._views[start : max(start, self._ends[number] - 1)]

    def search(self, pattern: Any) -> Iterator[int]:  # noqa: ANN401 -- google-re2 publishes no types
        """The positions of the texts with a match."""
        # not pattern.search, which makes objects for twice as long as it searches
        search = pattern._regexp.Match  # noqa: SLF001
        views, ends = self._views, self._ends
        number = at = 0
        while at < len(views):
            ((start, _),) = search(_ANYWHERE, views, at, len(views))
            if start < 0:
                return
            number = bisect_right(ends, start, number)
            yield number
            at = ends[number]


def widen(pattern: str) -> str:
    r"""
    *pattern* with counted repetitions made endless, and any letter beyond ASCII for each.

    It matches what *pattern* does, and more.

    The automaton of all patterns has to remember how far each count has come; without counts it
    is small and fast.

    >>> widen(r"=[^&{0,9}]{0,40}x{3}\{1,2}")
    '=[^&{0,9}]*x{3}\\{1,2}'
    """
    return _COUNTED.sub(_widen, pattern)


def _widen(found: re.Match[str]) -> str:
    if found["letter"]:
        return r"[^\x00-\x7f]"
    least, most = found["least"], found["most"]
    if least is None or (most and int(most) <= _EXACT_COUNT):
        return found[0]
    return "*" if int(least) == 0 else "+"
