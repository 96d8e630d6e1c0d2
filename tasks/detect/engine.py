"""
Counting by columns: regular access lines, a block at a time, a few hundred times a second each.

What a line counts for is a function of its method, status, request, referrer and user agent, and
the values of these repeat. So `kernel` numbers the distinct texts of a block, and each is looked
at once. A text is *clean* when it is proven that no signature hits it: its views are known without
`decode` (`kernel.reduce_text`), and the patterns, joined into one per field, find nothing in them.
Lines of clean texts are settled by method and status alone, unless a rule has to look closer. All
others are judged one by one by TallyBuilder.judge, which remembers nothing and knows everything;
what it said of the same texts is remembered here.

Everything that is refused, in lines or in rules, goes the exact way line by line, which defines
the result. tests/property/test_engine.py holds the one against the other.
"""

import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import re2

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.parser import parse_line
from tasks.collect.reader import NEVER, BlockCount
from tasks.detect.judged import Judged, hash_value
from tasks.detect.packed import COUNTER_BITS, IP_BITS, MINUTE_BITS, PackedCounts, Words, pack
from tasks.detect.rules import Rule, RuleSet
from tasks.detect.selections import Clause, Test
from tasks.model.errors import PermanentError
from tasks.model.events import Event, EventCategory, Unparsed

if TYPE_CHECKING:
    from tasks.detect.tally import TallyBuilder

Rows = npt.NDArray[np.int32]
"""Numbers of rows, or one number per row."""
Lines = npt.NDArray[np.int32]
Line = npt.NDArray[np.int32]
Text = npt.NDArray[np.uint8]

_TEXT_COLUMNS: Final = (
    "url_original",
    "url_path",
    "url_query",
    "http_request_referrer",
    "user_agent_original",
)
_OF_STATUS_LINE: Final = frozenset(("category", "http_request_method", "http_response_status_code"))
_ABSENT: Final = frozenset(("event_action", "event_outcome", "is_invalid_user", "url_domain"))
"""What no regular line has."""
_KNOWN_FIELDS: Final = _OF_STATUS_LINE | _ABSENT | set(_TEXT_COLUMNS)

_REGULAR: Final = Event(timestamp=0, source_ip="", category=EventCategory.WEB)

_COLD_BYTES: Final = 4 * 1024**2
"""Less than that is counted sooner than the kernel is loaded."""
_TEXT_SLOTS: Final = 1 << 19
_ARENA_BYTES: Final = 24 * 1024**2
_COUNT_SLOTS: Final = 1 << 17
_MIN_LINE_BYTES: Final = 48
_MAX_METHODS: Final = 64
_MAX_FACTS: Final = 24
_MAX_COUNTERS: Final = 1 << COUNTER_BITS
_MAX_IPS: Final = 1 << (IP_BITS - 1)
_OUTCOME_SLOTS: Final = 1 << 17
_MAX_OUTCOMES: Final = 1 << 17
_GROUP: Final = 64
_PATTERN_BYTES: Final = 16 * 1024**2
_NOT_ASCII = re.compile(r"[^\x00-\x7f]|\\x\{|\\x[89a-fA-F]|\\[pPC]")
_COUNTED = re.compile(
    r"\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\{(?P<least>\d+),(?P<most>\d*)\}", re.DOTALL
)
"""Escapes and classes are passed over: what looks like a count there is none."""
_EXACT_COUNT: Final = 3
_OPEN: Final = -2
"""In the table of counters by method and status: a rule looks closer."""
_UNKNOWN: Final = -1

_CLOCK: Final = ObjectClock(datetime(2100, 1, 1, tzinfo=UTC))
"""Access lines state their year and zone, so any clock reads them alike."""


def open_engine(rules: RuleSet, builder: "TallyBuilder") -> "Engine | None":
    """An engine for *rules*, or None where they look at what it does not."""
    return Engine(rules, builder) if _is_within_reach(rules) else None


@cache
def load_kernel() -> Any:  # noqa: ANN401 -- a module, or None
    """The compiled kernel, or None on a platform that has no compiler or nowhere to keep code."""
    try:
        from tasks.detect import kernel  # noqa: PLC0415
    except (ImportError, OSError, RuntimeError):
        return None
    return kernel


def _is_within_reach(rules: RuleSet) -> bool:
    fields = {name for s in rules.signatures for name in s.fields if name != "user_name"}
    return fields | _fields_of(rules.rules) <= _KNOWN_FIELDS


class Engine:
    """Counts blocks of lines for one TallyBuilder."""

    def __init__(self, rules: RuleSet, builder: "TallyBuilder") -> None:
        self._rules = rules
        self._builder = builder
        self._seen_bytes = 0
        self._columns: _Columns | None = None

    def count_block(
        self, extent: int, block: bytes, lines_before: int, since: int, until: int
    ) -> BlockCount:
        """Count the regular lines of *block*; the others are refused."""
        self._seen_bytes += len(block)
        if self._columns is None:
            is_warm = "tasks.detect.kernel" in sys.modules
            if not is_warm and self._seen_bytes < _COLD_BYTES:
                return BlockCount.nothing(block, lines_before)
            if load_kernel() is None:
                return BlockCount.nothing(block, lines_before)
            self._columns = _Columns(self._rules, self._builder, load_kernel())
        return self._columns.count_block(extent, block, lines_before, since, until)

    def flush_samples(self) -> None:
        """All samples are with the builder."""
        if self._columns is not None:
            self._columns.flush_samples()

    def drop(self, extent: int) -> None:
        """No line of this extent is counted."""
        if self._columns is not None:
            self._columns.drop(extent)

    def unite(self, counts: pl.DataFrame) -> pl.DataFrame:
        """
        All counts, with those in *counts*, each IP, minute and combination once and in order.

        Minutes in *counts* can be packed.
        """
        return counts if self._columns is None else self._columns.unite(counts)


class _Outcomes:
    """What lines can count for, numbered; the same counters with other values are another."""

    def __init__(self) -> None:
        self.judged: list[Judged] = []
        self.counters: list[str] = []
        self.counters_of = np.zeros(_MAX_OUTCOMES, np.uint32)
        self.share_masks = np.zeros(_MAX_OUTCOMES, np.uint64)
        self.limits = np.zeros(_MAX_OUTCOMES, np.int64)
        self.has_values = np.zeros(_MAX_OUTCOMES, np.bool_)
        self._numbers: dict[Judged, int] = {}
        self._counter_numbers: dict[str, int] = {}

    @property
    def is_full(self) -> bool:
        return 2 * len(self.judged) > _MAX_OUTCOMES

    def number(self, judged: "Judged") -> int:
        found = self._numbers.get(judged)
        if found is not None:
            return found
        number = self._numbers[judged] = len(self.judged)
        self.judged.append(judged)
        counters = judged.counters
        self.counters_of[number] = self._number_counters(counters.text)
        self.share_masks[number] = counters.share - 1
        self.limits[number] = max(limit for _, limit in counters.slots)
        self.has_values[number] = bool(judged.values)
        return number

    def _number_counters(self, text: str) -> int:
        if text not in self._counter_numbers:
            if len(self.counters) >= _MAX_COUNTERS:
                raise PermanentError(
                    f"More than {_MAX_COUNTERS} combinations of rules select lines of one batch; "
                    "give the rules file fewer rules."
                )
            self._counter_numbers[text] = len(self.counters)
            self.counters.append(text)
        return self._counter_numbers[text]

    def forget(self) -> None:
        """Outcomes are numbered anew, counters stay."""
        self.judged.clear()
        self._numbers.clear()


class _Columns:
    """The state of an engine that has work: tables that the kernel fills, and what they mean."""

    def __init__(self, rules: RuleSet, builder: "TallyBuilder", kernel: Any) -> None:  # noqa: ANN401
        self._k = kernel
        self._builder = builder
        self._prover = prover_of(rules)
        self._rules_without_hits = tuple(r for r in rules.rules if not r.is_signature)
        looks = _fields_of(rules.rules)
        self._sees_referrer = "http_request_referrer" in looks
        self._sees_agent = "user_agent_original" in looks
        of_texts = _fields_of(self._rules_without_hits) & set(_TEXT_COLUMNS)
        self._path_tests = _path_tests(self._rules_without_hits)
        self._sees_path_only = of_texts <= {"url_path"} and len(self._path_tests) <= _MAX_FACTS
        self._accepts_users = not any("user_name" in s.fields for s in rules.signatures)
        self._seed = np.uint64(secrets.randbits(64))

        self._extent = -1
        self._state = np.zeros(kernel.STATE_SIZE, np.int64)
        self._ip_slots = np.full(1 << 16, -1, np.int32)
        self._ip_keys = np.zeros((1 << 15, 2), np.uint64)
        self._ip_names: list[str] = []
        self._text_slots = np.zeros(_TEXT_SLOTS, np.uint64)
        self._texts = np.zeros((_TEXT_SLOTS // 2, 4), np.int32)
        self._text_methods = np.zeros(_TEXT_SLOTS // 2, np.int32)
        self._text_paths = np.zeros(_TEXT_SLOTS // 2, np.int32)
        self._path_facts = np.full(_TEXT_SLOTS // 2, -1, np.int32)
        self._path_hashes: dict[int, int] = {}
        self._arena = np.zeros(_ARENA_BYTES + kernel.PADDING, np.uint8)
        self._methods = np.zeros(_MAX_METHODS, np.uint64)
        self._method_count = np.zeros(1, np.int64)
        self._known = np.full((_MAX_METHODS, kernel.NO_STATUS + 1), _UNKNOWN, np.int32)
        self._outcomes = _Outcomes()
        self._outcome_keys = np.zeros(_OUTCOME_SLOTS, np.uint64)
        self._key_outcomes = np.full(_OUTCOME_SLOTS, -1, np.int32)
        self._known_keys = 0
        self._keys = np.zeros(_COUNT_SLOTS, np.uint64)
        self._counts = np.zeros(_COUNT_SLOTS, np.uint32)
        self._used = np.zeros(1, np.int64)
        self._packed = PackedCounts()
        self._samples: dict[int, list[tuple[Any, ...]]] = {}
        self._buffer = np.empty(0, np.uint8)

    def count_block(
        self, extent: int, block: bytes, lines_before: int, since: int, until: int
    ) -> BlockCount:
        k, state = self._k, self._state
        if extent != self._extent:
            self._drain()
            self._extent = extent
        data = self._load(block)
        room = len(block) // _MIN_LINE_BYTES + 64
        lines = np.empty((room, k.LINE_COLUMNS), np.int32)
        hashes = np.empty(room, np.uint64)
        refused = np.empty((room, 3), np.int32)
        state[k.S_POSITION], state[k.S_COUNT], state[k.S_MINUTE] = 0, 0, -1
        state[k.S_FIRST], state[k.S_LAST] = NEVER, -1
        irregular: list[tuple[int, bytes]] = []
        while True:
            state[k.S_LINES] = state[k.S_REFUSED] = 0
            self._make_room()
            first_text = int(state[k.S_TEXTS])
            k.scan_lines(
                data, len(block), since, until, self._accepts_users, self._seed, state,
                lines, hashes, refused, self._ip_slots, self._ip_keys,
                self._text_slots, self._texts, self._arena,
            )  # fmt: skip
            found = refused[: state[k.S_REFUSED]].tolist()
            irregular += ((lines_before + n, block[start:stop]) for start, stop, n in found)
            self._prove(first_text)
            rows = int(state[k.S_LINES])
            self._count(block, lines[:rows], hashes[:rows], lines_before)
            if state[k.S_POSITION] >= len(block):
                break
        irregular.sort()
        return BlockCount(
            int(state[k.S_COUNT]), irregular, int(state[k.S_FIRST]), int(state[k.S_LAST])
        )

    def _load(self, block: bytes) -> Any:  # noqa: ANN401
        size = len(block) + self._k.PADDING
        if self._buffer.size < size:
            self._buffer = np.zeros(size, np.uint8)
        self._buffer[: len(block)] = np.frombuffer(block, np.uint8)
        return self._buffer

    def _make_room(self) -> None:
        """Tables that are half full grow, or begin again."""
        k, state = self._k, self._state
        if (
            4 * state[k.S_TEXTS] > self._text_slots.size
            or 2 * state[k.S_ARENA] > self._arena.size
            or self._outcomes.is_full
        ):
            self._text_slots.fill(0)
            state[k.S_TEXTS] = state[k.S_ARENA] = 0
            self._key_outcomes.fill(-1)
            self._known_keys = 0
            self._known.fill(_UNKNOWN)
            self._path_facts.fill(-1)
            self._path_hashes.clear()
            self._outcomes.forget()
        ips = int(state[k.S_IPS])
        if ips > _MAX_IPS:
            self._drain()
            self._builder.add_counts(self._packed.pop_table(self._names(), self._outcomes.counters))
            self._ip_slots.fill(-1)
            self._ip_names.clear()
            state[k.S_IPS] = 0
        elif 4 * ips > self._ip_slots.size:
            self._ip_slots = np.full(4 * self._ip_slots.size, -1, np.int32)
            self._ip_keys = np.concatenate(
                [
                    self._ip_keys,
                    np.zeros((self._ip_slots.size // 2 - len(self._ip_keys), 2), np.uint64),
                ]
            )
            k.regrow_ips(self._ip_slots, self._ip_keys, ips)

    # texts

    def _prove(self, first: int) -> None:
        """Every new text is clean or dirty."""
        k = self._k
        count = int(self._state[k.S_TEXTS])
        if count == first:
            return
        texts = self._texts
        size = int(self._state[k.S_ARENA] - texts[first, 0])
        room = 2 * size + 2 * (count - first) + 2 * k.MAX_TEXT + 64
        buffers = [np.empty(room, np.uint8) for _ in _TEXT_COLUMNS]
        ends = np.zeros((count - first, len(_TEXT_COLUMNS)), np.int64)
        k.reduce_texts(
            first, count, self._seed, self._state, self._text_slots,
            texts, self._arena, self._methods, self._method_count,
            *buffers, ends, self._text_methods, self._text_paths,
        )  # fmt: skip
        states = texts[first:count, 3]
        states[states == k.NEW] = k.CLEAN
        for column, name in enumerate(_TEXT_COLUMNS):
            dirty = self._prover.find(name, buffers[column], ends[:, column])
            if dirty:
                states[dirty] = k.DIRTY

    # lines

    def _count(self, block: bytes, lines: Lines, hashes: Words, lines_before: int) -> None:  # noqa: ANN401
        k, rows = self._k, len(lines)
        if not rows:
            return
        outcomes, kinds = np.empty(rows, np.int32), self._outcomes
        self._settle(block, lines, outcomes)
        row = 0
        while row < rows:
            row = k.count_lines(
                row, rows, lines, outcomes, kinds.counters_of, self._keys, self._counts, self._used
            )
            if row < rows:
                self._drain()
        samples, valued = np.empty(rows, np.int32), np.empty(rows, np.int32)
        found, others = k.choose_lines(
            rows, outcomes, hashes, kinds.share_masks, kinds.has_values, samples, valued
        )
        self._keep_values(lines, outcomes, valued[:others])
        self._keep_samples(block, lines, hashes, outcomes, samples[:found], lines_before)

    def _settle(self, block: bytes, lines: Lines, outcomes: Rows) -> None:  # noqa: ANN401
        """Find the outcome of every line, and learn those that are new."""
        k, rows = self._k, len(lines)
        keys, unsettled = np.empty(rows, np.uint64), np.empty(rows, np.int32)
        left = k.settle_lines(
            rows, lines, self._texts, self._text_methods, self._text_paths,
            self._path_facts, self._sees_path_only, self._sees_referrer, self._sees_agent, self._known,
            self._outcome_keys, self._key_outcomes, keys, outcomes, unsettled,
        )  # fmt: skip
        learnt: dict[int, int] = {}
        for row, key in zip(
            unsettled[:left].tolist(), keys[unsettled[:left]].tolist(), strict=True
        ):
            key = key or self._look_at_path(lines[row])
            if key not in learnt:
                learnt[key] = self._learn(block, lines[row], key)
            outcomes[row] = learnt[key]

    def _look_at_path(self, line: Line) -> int:
        """Learn what the rules ask of the path of a line, and return its key then."""
        k = self._k
        request = line[k.REQUEST]
        path = self._text_paths[request]
        facts = self._path_facts[path]
        if facts < 0:
            text = self._path_of(path)
            facts = sum(test.accepts(text) << bit for bit, test in enumerate(self._path_tests))
            self._path_facts[path] = facts
        return int(k.key_of_facts(facts, self._text_methods[request], line[k.STATUS]))

    def _path_of(self, path: int) -> str:
        start, length = self._texts[path, :2]
        return self._arena[start : start + length].tobytes().partition(b" ")[2].decode()

    def _learn(self, block: bytes, line: Line, key: int) -> int:
        """The outcome of lines with this *key*, of which *line* is one."""
        k = self._k
        known = int(k.outcome_of(np.uint64(key), self._outcome_keys, self._key_outcomes))
        if known >= 0:
            return known
        (event,) = self._parse(block[line[k.START] : line[k.END]])
        method, status = self._text_methods[line[k.REQUEST]], line[k.STATUS]
        is_clean = self._is_clean(line)
        if is_clean and self._known[method, status] == _UNKNOWN:
            self._known[method, status] = self._decide(event)
        judged = self._builder.judge(event, may_hit=not is_clean)
        if is_clean and self._sees_path_only:
            judged = replace(judged, values=tuple((counter, None) for counter, _ in judged.values))
        outcome = self._outcomes.number(judged)
        if 2 * self._known_keys < len(self._outcome_keys):
            k.learn_outcome(np.uint64(key), outcome, self._outcome_keys, self._key_outcomes)
            self._known_keys += 1
        return outcome

    def _is_clean(self, line: Line) -> bool:
        k = self._k
        texts = (number for number in line[[k.REQUEST, k.REFERRER, k.AGENT]] if number >= 0)
        return all(self._texts[number, 3] == k.CLEAN for number in texts)

    @staticmethod
    def _parse(line: bytes) -> tuple[Event, ...]:
        parsed = parse_line(line, _CLOCK)
        if isinstance(parsed, Unparsed):
            raise AssertionError(f"the kernel took a line that is not regular: {line!r}")
        return parsed

    def _decide(self, event: Event) -> int:
        """The outcome of clean texts with this method and status, if no rule looks closer."""
        if not all(_is_decided(rule, event) for rule in self._rules_without_hits):
            return _OPEN
        return self._outcomes.number(self._builder.judge(event, may_hit=False))

    # results

    def _keep_values(self, lines: Lines, outcomes: Rows, rows: Rows) -> None:
        k, names, extent = self._k, self._names(), self._extent
        places = lines[rows][:, [k.IP, k.MINUTE, k.REQUEST]].tolist()
        for (ip, minute, request), outcome in zip(places, outcomes[rows].tolist(), strict=True):
            for counter, value in self._outcomes.judged[outcome].values:
                value = self._hash_path(request) if value is None else value
                self._builder.add_value((extent, names[ip], minute, counter), value)

    def _hash_path(self, request: int) -> int:
        path = int(self._text_paths[request])
        found = self._path_hashes.get(path)
        if found is None:
            found = self._path_hashes[path] = hash_value(self._path_of(path))
        return found

    def _keep_samples(
        self,
        block: bytes,
        lines: Lines,
        hashes: Words,
        outcomes: Rows,
        rows: Rows,
        lines_before: int,  # noqa: ANN401
    ) -> None:
        if 8 * len(rows) > len(lines):
            rows = self._lowest(lines, hashes, outcomes, rows)
        k, names = self._k, self._names()
        kept = self._samples.setdefault(self._extent, [])
        chosen = lines[rows][:, [k.START, k.END, k.IP, k.MINUTE, k.NUMBER]].tolist()
        counters, counters_of = self._outcomes.counters, self._outcomes.counters_of
        for (start, end, ip, minute, number), line_hash, counter in zip(
            chosen, hashes[rows].tolist(), counters_of[outcomes[rows]].tolist(), strict=True
        ):
            line = block[start:end]
            text = (
                line.decode("ascii") if len(line) <= 2000 and line.isascii() else self._text(line)
            )
            kept.append(
                (names[ip], minute, line_hash, lines_before + number, text, counters[counter])
            )

    def _text(self, line: bytes) -> str:
        (event,) = self._parse(line)
        return self._builder.sample_text(event, line, self._builder.judge(event))

    def _lowest(self, lines: Lines, hashes: Words, outcomes: Rows, rows: Rows) -> Any:  # noqa: ANN401
        """Those *rows* that can be kept at all: the lowest hashes per IP, minute and counters."""
        k = self._k
        place = (lines[rows, k.IP].astype(np.int64) << 27 | lines[rows, k.MINUTE]) << 13
        place |= self._outcomes.counters_of[outcomes[rows]]
        order = np.lexsort((lines[rows, k.NUMBER], hashes[rows], place))
        rows, place = rows[order], place[order]
        is_same = (place[1:] == place[:-1]) & (hashes[rows][1:] == hashes[rows][:-1])
        is_first = np.concatenate(([True], ~is_same))
        rows, place = rows[is_first], place[is_first]
        starts = np.concatenate(([True], place[1:] != place[:-1])).nonzero()[0]
        rank = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
        return rows[rank < self._outcomes.limits[outcomes[rows]]]

    def _drain(self) -> None:
        used = self._counts.nonzero()[0]
        if len(used):
            self._packed.add(self._extent, self._keys[used], self._counts[used])
            self._counts.fill(0)
            self._used[0] = 0

    def drop(self, extent: int) -> None:
        self._drain()
        self._packed.drop(extent)
        self._samples.pop(extent, None)

    def flush_samples(self) -> None:
        for extent, rows in self._samples.items():
            self._builder.add_samples((extent, *row) for row in rows)
        self._samples.clear()

    def unite(self, counts: pl.DataFrame) -> pl.DataFrame:
        self._drain()
        ips, ip_numbers = _number(self._names(), counts["source_ip"])
        texts = self._outcomes.counters
        counters, counter_numbers = _number(texts, counts["counters"].cast(pl.String))
        keys = pack(ip_numbers, counts["minute"], counter_numbers)
        for extent in counts["extent"].unique():
            mine = (counts["extent"] == extent).to_numpy()
            self._packed.add(extent, keys[mine], counts["count"].to_numpy()[mine])
        return counts if self._packed.is_empty else self._packed.pop_table(ips, counters)

    def _names(self) -> list[str]:
        """Canonical text of every numbered address."""
        names, count = self._ip_names, int(self._state[self._k.S_IPS])
        if len(names) < count:
            names += map(_name_of, *self._ip_keys[len(names) : count].T.tolist())
        return names


def _name_of(high: int, low: int) -> str:
    if high == 0 and low >> 32 == 0xFFFF:
        return f"{low >> 24 & 255}.{low >> 16 & 255}.{low >> 8 & 255}.{low & 255}"
    return str(IPv6Address(high << 64 | low))


def _number(known: Sequence[str], more: pl.Series) -> tuple[list[str], list[int]]:
    """*known* and what else is in *more*, and the number therein of each of *more*."""
    names = [*known, *more.unique()]
    numbers = {name: number for number, name in enumerate(names)}
    return names, [numbers[name] for name in more]


def _path_tests(rules: Sequence[Rule]) -> tuple[Test, ...]:
    """What *rules* ask of the path of a regular line."""
    clauses = (c for rule in rules for c in rule.selection.clauses if _can_select(c))
    return tuple(test for c in clauses for test in c.tests if test.field == "url_path")


def _fields_of(rules: Sequence[Rule]) -> set[str]:
    """What *rules* look at in a regular line: nothing, if they are about other lines."""
    fields = set()
    for rule in rules:
        clauses = [c for c in rule.selection.clauses if _can_select(c)]
        fields |= {test.field for clause in clauses for test in clause.tests}
        if clauses and rule.field is not None:
            fields.add(rule.field)
    return fields


def _can_select(clause: Clause) -> bool:
    """Whether *clause* can select a regular line at all."""
    return all(t.holds(_REGULAR) for t in clause.tests if t.field in _ABSENT | {"category"})


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


# proving that no signature hits


@lru_cache(maxsize=4)
def prover_of(rules: RuleSet) -> "Prover":
    """The prover of *rules*, compiled once."""
    return Prover(rules)


class Prover:
    """
    Finds texts that a signature may hit: all patterns of a field as one, over many texts at once.

    Texts are in Latin-1, one byte for any letter beyond ASCII, and end with a line feed. A pattern
    may match across a line feed: then it finds too much, never too little.
    """

    def __init__(self, rules: RuleSet) -> None:
        self._patterns = {name: self._compile(rules, name) for name in _TEXT_COLUMNS}

    @staticmethod
    def _compile(rules: RuleSet, name: str) -> Any:  # noqa: ANN401 -- google-re2 publishes no types
        patterns = [widen(s.pattern) for s in rules.signatures if name in s.fields]
        if not patterns:
            return None
        options = re2.Options()
        options.log_errors = False
        options.never_capture = True
        options.max_mem = _PATTERN_BYTES
        options.encoding = re2.Options.Encoding.LATIN1
        if any(_NOT_ASCII.search(p.replace("\\\\", "")) for p in patterns):
            return re2.compile(b"(?s).", options)
        return re2.compile("|".join(f"(?m:{p})" for p in patterns).encode(), options)

    def find(self, name: str, buffer: Any, ends: Any) -> list[int]:  # noqa: ANN401
        """The positions of the texts of field *name* that a signature may hit."""
        pattern, size = self._patterns[name], int(ends[-1])
        if pattern is None or not size:
            return []
        text = buffer[:size].tobytes()
        found = []
        for start, stop in _groups(ends):
            at = start
            # a group bounds how far a pattern that matches across texts can run
            while at < stop and (match := pattern.search(text, at, stop)):
                number = int(np.searchsorted(ends, match.start(), side="right"))
                found.append(number)
                at = int(ends[number])
        return found


def _groups(ends: Any) -> Iterator[tuple[int, int]]:  # noqa: ANN401
    start = 0
    for stop in [*ends[_GROUP - 1 :: _GROUP].tolist(), int(ends[-1])]:
        if stop > start:
            yield start, stop
        start = stop


def widen(pattern: str) -> str:
    r"""
    *pattern* with counted repetitions made endless: what it matches, and more.

    The automaton of all patterns has to remember how far each count has come; without counts it
    is small and fast.

    >>> widen(r"=[^&{0,9}]{0,40}x{3}\{1,2}")
    '=[^&{0,9}]*x{3}\\{1,2}'
    """
    return _COUNTED.sub(_widen, pattern)


def _widen(found: re.Match[str]) -> str:
    least, most = found["least"], found["most"]
    if least is None or (most and int(most) <= _EXACT_COUNT):
        return found[0]
    return "*" if int(least) == 0 else "+"
