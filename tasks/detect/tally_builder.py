"""Counting the events of a batch, one by one or by blocks of lines."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from tasks.collect.formats.rewriting import Rewrite
from tasks.collect.lines import Block
from tasks.collect.reader import BlockCount
from tasks.detect.addressed import Addressed
from tasks.detect.columns import Columns, columns_of
from tasks.detect.engine import Engine
from tasks.detect.excerpts import LINE_CHARACTERS, excerpt, find_focus
from tasks.detect.judge import Judge
from tasks.detect.judged import Counters, Judged, hash_line, lowest
from tasks.detect.rules import MAX_DISTINCT_VALUES, RuleSet
from tasks.detect.samples import ORDINARY, ORDINARY_SAMPLES, sample_limits, sample_shares
from tasks.detect.tally import COUNTS, SAMPLES, VALUES, WrittenTally
from tasks.model.events import Event

_MOST_ENTRIES: Final = 50_000
"""Places and combinations of counters that are counted one by one before they are written."""
_LAST_MINUTE: Final = 2**31 - 1


class TallyBuilder:
    """
    Counts the events of one batch.

    Memory is bounded: what has been counted is written again and again. Parts add up as tallies do.
    """

    def __init__(self, rules: RuleSet, *, is_compiled: bool = True) -> None:
        """No extent is counted yet; the result is the same whether the engine *is_compiled*."""
        self._match = rules.signature_set.match
        self.judge = Judge(rules, self.combine).judge
        self._limits = sample_limits(rules)
        self._shares = sample_shares(rules)
        self._combinations: dict[tuple[str, ...], Counters] = {}
        self._counts: dict[tuple[int, str, int, str], int] = {}
        self._values: dict[tuple[int, str, int, str], set[int]] = {}
        self._samples: dict[tuple[int, str, int, str], dict[int, _Sample]] = {}
        self._engine = Engine(rules, self) if is_compiled else None
        self._written = WrittenTally.of(())
        self._written_extents: set[int] = set()

    def sink(self, extent: int) -> "ExtentSink":
        """
        What counts events under this extent ordinal.

        It counts an event as often as it is called with it.
        """
        return ExtentSink(self, self._engine, extent)

    def drop(self, extent: int) -> None:
        """What was counted under this extent so far is forgotten."""
        for counted in (self._counts, self._values, self._samples):
            for place in [place for place in counted if place[0] == extent]:
                del counted[place]
        if self._engine is not None:
            self._engine.drop(extent)
        if extent in self._written_extents:
            self._written_extents.remove(extent)
            self._written = self._written.only(self._written_extents)

    @property
    def slowed_by(self) -> str:
        """Why many lines were counted one by one; empty where they were not."""
        return self._engine.slowed_by if self._engine else ""

    def write(self) -> WrittenTally:
        """The tally of everything counted so far."""
        self.spill()
        if self._engine is not None:
            self._engine.spill()
        return self._written

    def spill(self) -> None:
        """Everything counted one by one so far is written."""
        rows: tuple[list[tuple[Any, ...]], ...] = (
            [(*place, count) for place, count in self._counts.items()],
            [(*place, value) for place, hashes in self._values.items() for value in lowest(hashes)],
            [
                (*place[:3], s.line_hash, s.line_number, s.text, s.judged.counters.text)
                for place, kept in self._samples.items()
                for s in kept.values()
            ],
        )
        for counted in (self._counts, self._values, self._samples):
            counted.clear()
        self.write_columns(*map(_columns_of_rows, (COUNTS, VALUES, SAMPLES), rows))

    def write_columns(self, *tables: Columns) -> None:
        """Also what these say: counts, values and samples."""
        extents = np.concatenate([np.asarray(table["extent"]) for table in tables])
        self._written_extents.update(np.unique(extents).tolist())
        self._written.add(*tables)

    def count(self, extent: int, event: Event, line_number: int, line: bytes) -> None:
        """One event, its line and the 1-based number of that, whatever they are."""
        judged = self.judge(event)
        counters = judged.counters
        place = (extent, event.source_ip, min(event.timestamp // 60, _LAST_MINUTE))
        for counter, value in judged.values:
            self._add_value((*place, counter), value or 0)
        key = (*place, counters.text)
        self._counts[key] = self._counts.get(key, 0) + 1
        line_hash = hash_line(line)
        if not line_hash % counters.share:
            sample = _Sample(event, line_number, line, line_hash, judged)
            for slot, limit in counters.slots:
                self._add_sample((*place, slot), limit, sample)
        if len(self._counts) + len(self._samples) >= _MOST_ENTRIES:
            self.spill()

    def sample_text(self, event: Event, line: bytes, judged: Judged) -> str:
        """How *line* is kept."""
        is_cut = len(line) > LINE_CHARACTERS
        return excerpt(line, find_focus(event, self._match) if is_cut and judged.is_hit else None)

    def combine(self, marks: tuple[str, ...]) -> Counters:
        """The counters that are named by an activity and rules."""
        known = self._combinations.get(marks)
        if known is None:
            evidence = [m for m in marks if m in self._limits]
            slots = tuple((m, self._limits[m]) for m in evidence)
            known = self._combinations[marks] = Counters(
                text=" ".join(filter(None, marks)),
                slots=slots or ((ORDINARY, ORDINARY_SAMPLES),),
                share=min((self._shares[m] for m in evidence), default=self._shares[ORDINARY]),
            )
        return known

    def _add_value(self, key: tuple[int, str, int, str], value_hash: int) -> None:
        hashes = self._values.setdefault(key, set())
        hashes.add(value_hash)
        if len(hashes) >= 4 * MAX_DISTINCT_VALUES:
            self._values[key] = lowest(hashes)

    def _add_sample(self, key: tuple[int, str, int, str], limit: int, sample: "_Sample") -> None:
        kept = self._samples.setdefault(key, {})
        same = kept.get(sample.line_hash)
        if same is not None:
            same.line_number = min(same.line_number, sample.line_number)
        elif len(kept) < limit or sample.line_hash < max(kept):
            sample.settle(self.sample_text)
            kept[sample.line_hash] = sample
            if len(kept) > limit:
                del kept[max(kept)]


class ExtentSink:
    """Counts the events of one extent, line by line or by blocks of lines."""

    def __init__(self, builder: TallyBuilder, engine: "Engine | None", extent: int) -> None:
        self._builder = builder
        self._engine = engine
        self._extent = extent

    def __call__(self, event: Event, line_number: int, line: bytes) -> None:
        """Count one event; also takes the 1-based number and the bytes of its line."""
        self._builder.count(self._extent, event, line_number, line)

    def count_block(
        self,
        block: Block,
        rewrite: Rewrite,
        lines_before: int,
        since: int,
        until: int,
    ) -> BlockCount:
        """Count those lines of *block* that the engine is sure of; see BlockSink."""
        if self._engine is None:
            return BlockCount.nothing(block, lines_before)
        return self._engine.count_block(self._extent, block, rewrite, lines_before, since, until)


class _Sample:
    """A line that may be kept; its text is made only once it is."""

    __slots__ = ("_event", "_line", "judged", "line_hash", "line_number", "text")

    def __init__(
        self, event: Event, line_number: int, line: bytes, line_hash: int, judged: Judged
    ) -> None:
        self._event: Event | None = event
        self._line = line
        self.line_number = line_number
        self.line_hash = line_hash
        self.judged = judged
        self.text = ""

    def settle(self, text_of: Callable[[Event, bytes, Judged], str]) -> None:
        """The text is there; line and event are let go of."""
        if self._event is not None:
            self.text = text_of(self._event, self._line, self.judged)
            self._event, self._line = None, b""


def _columns_of_rows(schema: pl.Schema, rows: Sequence[tuple[Any, ...]]) -> Columns:
    """The columns of these rows, each row once. Neighbours are alike, which compresses well."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    table = pl.DataFrame(dict(zip(schema, columns, strict=True)), schema=schema).unique()
    (counters,) = (name for name in schema if name.startswith("counter"))
    place = ["source_ip", "minute", counters, "extent"]
    # whatever hash and number say is said before the line could
    order = [*place, *(name for name in schema if name not in {*place, "line"})]
    return columns_of(Addressed.of(table.sort(*order)))
