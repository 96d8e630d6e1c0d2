"""
Counting the lines of a block by their columns.

What a line counts for is a function of its method, status, request, referrer and user agent, and
most of these come again and again. So `scanning_kernel` numbers the distinct texts of a block, and
each of them is put into a class once (`classes`): texts that the same signatures hit and the rules'
own tests find alike. A line is then a few small numbers (classes, method, status), and lines with
the same ones have the same outcome, which is found out once, by TallyBuilder.judge.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.collect.formats.access import parse_access
from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.rewriting import Rewritten
from tasks.collect.kernel import PADDING
from tasks.collect.lines import Block
from tasks.collect.reader import NEVER, BlockCount
from tasks.detect import numbering_kernel as numbering
from tasks.detect import sampling_kernel as sampling
from tasks.detect import scanning_kernel as scanning
from tasks.detect import settling_kernel as settling
from tasks.detect.access_lines import AccessLines
from tasks.detect.columns import END_OF_TEXT, Texts
from tasks.detect.excerpts import LINE_CHARACTERS
from tasks.detect.numbered_texts import NumberedTexts
from tasks.detect.outcomes import MAX_OUTCOMES, Outcomes
from tasks.detect.packed import (
    Names,
    PackedSamples,
    Sampled,
    Sizes,
    Words,
    name_addresses,
    pack,
    packed_counts,
    packed_values,
)
from tasks.detect.regular import is_decided, users_taken
from tasks.detect.rules import RuleSet
from tasks.model.events import Event

if TYPE_CHECKING:
    from tasks.detect.tally_builder import TallyBuilder

Rows = npt.NDArray[np.int32]
"""Numbers of rows, or one number per row."""
Lines = npt.NDArray[np.int32]
Line = npt.NDArray[np.int32]
Text = npt.NDArray[np.uint8]
Ends = npt.NDArray[np.int64]

_COUNT_SLOTS: Final = 1 << 17
_OUTCOME_SLOTS: Final = 1 << 16
_FULL_SLOTS: Final = 1 << 14
_FULL_HASHES: Final = 4
"""As many samples as a counter has; where one has more, no line is passed over early."""
MAX_COUNTERS: Final = 1 << settling.COUNTER_BITS
_MAX_IPS: Final = 1 << 18
_MOST_BYTES: Final = 12 * 1024**2
"""Of results; more are written."""
_OPEN: Final = -2
"""In the table of outcomes by method and status: a rule looks closer."""
_UNKNOWN: Final = -1

_CLOCK: Final = ObjectClock(datetime(2100, 1, 1, tzinfo=UTC))
"""Access lines state their year and zone, so any clock reads them alike."""


class BlockCounter:
    """The state of an engine that has work: tables that the kernel fills, and what they mean."""

    def __init__(self, rules: RuleSet, builder: "TallyBuilder") -> None:
        self._builder = builder
        self._texts = texts = NumberedTexts(rules)
        self._rules_without_hits = tuple(r for r in rules.rules if not r.is_signature)
        self._users = users_taken(rules, scanning)

        self._extent = -1
        self._state = np.zeros(scanning.STATE_SIZE, np.int64)
        self._ip_slots = np.full(1 << 16, -1, np.int32)
        self._ip_keys = np.zeros((1 << 15, 2), np.uint64)
        self._known = np.full((len(texts.methods), scanning.NO_STATUS + 1), _UNKNOWN, np.int32)
        self._outcomes = outcomes = Outcomes({r.counter: r.field for r in rules.rules})
        self._outcome_keys = np.zeros(_OUTCOME_SLOTS, np.uint64)
        self._key_outcomes = np.full(_OUTCOME_SLOTS, -1, np.int32)
        self._known_keys = 0

        self._keys = np.zeros(_COUNT_SLOTS, np.uint64)
        self._counts = np.zeros(_COUNT_SLOTS, np.uint32)
        self._used = np.zeros(1, np.int64)
        self._packed = packed_counts()
        self._values = packed_values()
        self._samples = PackedSamples(lambda: outcomes.slots)
        self._full_keys = np.zeros(_FULL_SLOTS, np.uint64)
        self._full_counts = np.zeros(_FULL_SLOTS, np.int32)
        self._full_hashes = np.zeros((_FULL_SLOTS, _FULL_HASHES), np.uint64)
        self._buffer = np.empty(0, np.uint8)
        self._lines, self._refused = np.empty((0, 0), np.int32), np.empty((0, 0), np.int32)
        self._words = np.empty((0, 0), np.uint64)

    def count_block(
        self,
        extent: int,
        block: Block,
        rewritten: Rewritten | None,
        lines_before: int,
        since: int,
        until: int,
    ) -> BlockCount:
        """Count the regular lines of *block*; the others are refused."""
        source = AccessLines(block, rewritten, lines_before)
        state = self._state
        if extent != self._extent:
            self._drain()
            self._extent = extent
            self._full_counts.fill(0)
        block = source.text
        data = self._load(block)
        lines, words, refused = self._rows(len(block) // scanning.MIN_LINE + 64)
        state[scanning.S_POSITION], state[scanning.S_COUNT], state[scanning.S_MINUTE] = 0, 0, -1
        state[scanning.S_FIRST], state[scanning.S_LAST] = NEVER, -1
        refused_lines = list(source.others)
        while state[scanning.S_POSITION] < len(block):
            state[scanning.S_LINES] = state[scanning.S_REFUSED] = 0
            self._make_room()
            known = self._texts.count
            scanning.scan_lines(
                data, len(block), since, until, self._users, self._texts.seed, state,
                lines, words, refused, self._ip_slots, self._ip_keys,
                self._texts.requests, self._texts.others,
            )  # fmt: skip
            found = refused[: state[scanning.S_REFUSED]].tolist()
            refused_lines += ((source.number(n), source.line(n, a, b)) for a, b, n in found)
            self._texts.classify(*known)
            rows = int(state[scanning.S_LINES])
            hashes = source.hashes(lines[:rows, scanning.NUMBER].copy())
            hashes = words[:rows, scanning.OF_LINE].copy() if hashes is None else hashes
            self._count(source, lines[:rows], hashes)
        self._make_room_for_results()
        if source.others:
            refused_lines.sort()
        count = int(state[scanning.S_COUNT]) + len(source.others)
        return BlockCount(
            count, refused_lines, int(state[scanning.S_FIRST]), int(state[scanning.S_LAST])
        )

    def _load(self, block: Block) -> Text:
        """The bytes of *block*, after which others can be read."""
        if isinstance(block, memoryview):
            return np.frombuffer(block, np.uint8)
        size = len(block) + PADDING
        if self._buffer.size < size:
            self._buffer = np.zeros(size, np.uint8)
        self._buffer[: len(block)] = np.frombuffer(block, np.uint8)
        return self._buffer

    def _rows(self, room: int) -> tuple[Lines, Words, Lines]:
        """Tables for so many lines, of which nothing is kept but what is written."""
        if self._lines.shape[0] < room:
            self._lines = np.empty((room, scanning.LINE_COLUMNS), np.int32)
            self._words = np.empty((room, scanning.WORD_COLUMNS), np.uint64)
            self._refused = np.empty((room, 3), np.int32)
        return self._lines, self._words, self._refused

    # tables

    def _make_room(self) -> None:
        """Tables that are nearly full grow, or begin again."""
        state = self._state
        if self._texts.make_room(must_forget=self._outcomes.is_full):
            self._forget_outcomes()
        if state[scanning.S_IPS] > _MAX_IPS:
            self.spill()
            self._ip_slots.fill(-1)
            self._full_counts.fill(0)
            state[scanning.S_IPS] = 0
        self._make_room_for_ips(int(state[scanning.S_IPS]))

    def _make_room_for_outcomes(self, more: int) -> bool:
        """So many *more* can be numbered; says whether none has a number any more."""
        outcomes = self._outcomes
        if len(outcomes.counters) + more > MAX_COUNTERS:
            self.spill()
            outcomes.forget_counters()
            self._full_counts.fill(0)
        elif len(outcomes.judged) + more <= MAX_OUTCOMES:
            return False
        self._forget_outcomes()
        return True

    def _forget_outcomes(self) -> None:
        self._outcomes.forget()
        self._known.fill(_UNKNOWN)
        self._key_outcomes.fill(-1)
        self._known_keys = 0

    def _make_room_for_ips(self, more: int) -> None:
        """A fourth of the slots, at most, will be taken with so many *more*."""
        ips, slots = int(self._state[scanning.S_IPS]), self._ip_slots.size
        while 2 * (ips + more) > slots:
            slots *= 4
        if slots > self._ip_slots.size:
            self._ip_slots = np.full(slots, -1, np.int32)
            rows = np.zeros((slots // 2 - len(self._ip_keys), 2), np.uint64)
            self._ip_keys = np.concatenate([self._ip_keys, rows])
            scanning.regrow_ips(self._ip_slots, self._ip_keys, self._state)

    # lines

    def _count(self, source: AccessLines, lines: Lines, hashes: Words) -> None:
        rows = len(lines)
        if not rows:
            return
        outcomes, kinds = np.empty(rows, np.int32), self._outcomes
        keys, unsettled = self._settle(lines, outcomes)
        # each of them may be a combination of its own; of usual lines there are few
        if len(unsettled) > min(MAX_COUNTERS, MAX_OUTCOMES) * 3 // 4:
            for half in (slice(rows // 2), slice(rows // 2, rows)):
                self._count(source, lines[half], hashes[half])
            return
        if self._make_room_for_outcomes(len(unsettled)):
            self._count(source, lines, hashes)
            return
        learnt: dict[int, int] = {}
        for row, key in zip(unsettled.tolist(), keys[unsettled].tolist(), strict=True):
            if key not in learnt or not key:
                learnt[key] = self._learn(source, lines[row], key)
            outcomes[row] = learnt[key]
        row = 0
        while row < rows:
            row = settling.count_lines(
                row, rows, lines, outcomes, kinds.counters_of, self._keys, self._counts, self._used
            )
            if row < rows:
                self._drain()
        samples, valued = np.empty(rows, np.int32), np.empty(rows, np.int32)
        found, others = sampling.choose_lines(
            rows, lines, outcomes, hashes,
            kinds.counters_of, kinds.share_masks, kinds.limits, kinds.has_values,
            self._full_keys, self._full_counts, self._full_hashes, samples, valued,
        )  # fmt: skip
        if others:
            self._keep_values(lines, outcomes, valued[:others])
        if found:
            self._keep_samples(source, lines, hashes, outcomes, samples[:found])

    def _settle(self, lines: Lines, outcomes: Rows) -> tuple[Words, Rows]:
        """Find the outcome of every line; the keys of lines, and the rows of those without one."""
        rows = len(lines)
        keys, unsettled = np.empty(rows, np.uint64), np.arange(rows, dtype=np.int32)
        texts = self._texts

        def settle(left: int) -> int:
            return int(
                settling.settle_lines(
                    unsettled[:left], lines, *texts.tables, texts.classifier.no_referrer,
                    texts.classifier.no_agent, self._known,
                    self._outcome_keys, self._key_outcomes, keys, outcomes,
                )
            )  # fmt: skip

        left = settle(rows)
        unclear = unsettled[:left][keys[unsettled[:left]] == 0]
        if texts.look_at_paths(lines[unclear, scanning.REQUEST]):
            left = settle(left)
        return keys, unsettled[:left]

    def _learn(self, source: AccessLines, line: Line, key: int) -> int:
        """The outcome of lines with this *key*, of which *line* is one."""
        known = int(settling.outcome_of(np.uint64(key), self._outcome_keys, self._key_outcomes))
        if key and known >= 0:
            return known
        event = _parse(bytes(source.text[line[scanning.START] : line[scanning.END]]))
        hits = self._texts.classifier.hits_of(key) if key else None
        outcome = self._outcomes.number(self._builder.judge(event, hits))
        if key and 2 * self._known_keys < len(self._outcome_keys):
            settling.learn_outcome(np.uint64(key), outcome, self._outcome_keys, self._key_outcomes)
            self._known_keys += 1
        method, status = (
            self._texts.requests.records[line[scanning.REQUEST], numbering.METHOD],
            line[scanning.STATUS],
        )
        if key and not key >> settling.CLASSES_SHIFT and self._known[method, status] == _UNKNOWN:
            is_known = all(is_decided(rule, event) for rule in self._rules_without_hits)
            self._known[method, status] = outcome if is_known else _OPEN
        return outcome

    # results

    def _keep_values(self, lines: Lines, outcomes: Rows, rows: Rows) -> None:
        kinds = self._outcomes
        ends = kinds.value_ends[outcomes[rows]]
        counts = ends - np.where(outcomes[rows], kinds.value_ends[outcomes[rows] - 1], 0)
        lines = lines[np.repeat(rows, counts)]
        # each value of a line is one after the other
        values = np.repeat(ends - counts.cumsum(), counts) + np.arange(len(lines))
        requests, of_paths = lines[:, scanning.REQUEST], kinds.of_paths[values]
        hashes = self._texts.hash_values(requests, of_paths)
        keys = pack(lines[:, scanning.IP], lines[:, scanning.MINUTE], kinds.values[values])
        self._values.add(self._extent, keys, hashes)

    def _keep_samples(
        self, source: AccessLines, lines: Lines, hashes: Words, outcomes: Rows, rows: Rows
    ) -> None:
        order, sizes, texts = self._texts_of(source, lines[rows])
        rows = rows[order]
        counters = self._outcomes.counters_of[outcomes[rows]]
        extents = np.full(len(rows), self._extent, np.uint32)
        keys = pack(lines[rows, scanning.IP], lines[rows, scanning.MINUTE], counters)
        numbers = source.numbers(lines[rows, scanning.NUMBER])
        self._samples.add(Sampled(extents, keys, hashes[rows], numbers, sizes, texts))

    def _texts_of(self, source: AccessLines, lines: Lines) -> tuple[Ends, Sizes, Text]:
        """How these lines are kept: an order of them, and in that their sizes and texts."""
        data, starts, stops = source.places(
            *lines.T[[scanning.NUMBER, scanning.START, scanning.END]]
        )
        sizes = np.empty(len(lines), np.int32)
        texts = np.empty(int((stops - starts).sum()) + END_OF_TEXT * len(lines), np.uint8)
        texts = texts[: sampling.copy_texts(data, starts, stops, LINE_CHARACTERS, texts, sizes)]
        others = (sizes < 0).nonzero()[0]
        if not len(others):
            return np.arange(len(lines)), sizes, texts
        spelled = [
            self._text_of(source.line(number, start, stop), bytes(source.text[start:stop]))
            for start, stop, number in lines[others][
                :, [scanning.START, scanning.END, scanning.NUMBER]
            ].tolist()
        ]
        more = Texts.of(pl.Series(spelled, dtype=pl.String))
        copied = (sizes >= 0).nonzero()[0]
        return (
            np.append(copied, others),
            np.append(sizes[copied], more.sizes),
            np.append(texts, more.joined),
        )

    def _text_of(self, line: bytes, access_line: bytes) -> str:
        if len(line) <= LINE_CHARACTERS and line.isascii():
            return line.decode()
        event = _parse(access_line)
        return self._builder.sample_text(event, line, self._builder.judge(event))

    def _make_room_for_results(self) -> None:
        results = (self._packed, self._values, self._samples)
        if sum(result.size for result in results) > _MOST_BYTES:
            for result in results:
                result.compact()
            if 2 * sum(result.size for result in results) > _MOST_BYTES:
                self.spill()

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

    def spill(self) -> None:
        """Everything counted so far is written; none is left here."""
        self._drain()
        ips = self._names()
        counters = Names.of(pl.Series(list(self._outcomes.counters), dtype=pl.String))
        of_values = Names.of(pl.Series(list(self._outcomes.value_counters), dtype=pl.String))
        self._builder.write_columns(
            self._packed.pop(ips, counters),
            self._values.pop(ips, of_values),
            self._samples.pop(ips, counters),
        )

    def _names(self) -> Names:
        """Canonical texts of the addresses that have counts."""
        there = self._packed.ips(int(self._state[scanning.S_IPS]))
        addresses = self._ip_keys[: len(there)][there]
        names = Names.of(name_addresses(addresses))
        ranks = np.zeros(len(there), np.uint64)
        ranks[there] = names.ranks
        return Names(names.texts, ranks)


def _parse(line: bytes) -> Event:
    parsed = parse_access(line, _CLOCK)
    if not isinstance(parsed, tuple):
        raise AssertionError(f"the kernel took a line that is not regular: {line!r}")  # noqa: TRY004
    return parsed[0]
