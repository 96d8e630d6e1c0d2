"""Tallies: mergeable, order-free counts per source IP and minute. No rule is judged here."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from tasks.collect.formats.rewriting import Rewrite
from tasks.collect.lines import Block
from tasks.collect.reader import BlockCount
from tasks.detect.addressed import Addressed, decode_parquet, numbered
from tasks.detect.columns import Columns, IsWanted, Rows, columns_of, decode, decode_texts, encode
from tasks.detect.engine import Engine
from tasks.detect.judge import Judge
from tasks.detect.judged import Counters, Judged, hash_line, lowest
from tasks.detect.parts import Parts
from tasks.detect.rules import MAX_DISTINCT_VALUES, RuleSet
from tasks.detect.signatures import TEXT_FIELDS
from tasks.model.errors import PermanentError
from tasks.model.events import Event, EventCategory
from tasks.model.parts import Part

COUNTS: Final = pl.Schema(
    {
        "extent": pl.UInt32(),
        "source_ip": pl.String(),
        "minute": pl.Int32(),
        "counters": pl.Categorical(),
        "count": pl.UInt32(),
    }
)
"""
How many events of one IP and minute count for exactly this combination of counters.

`counters` names them with spaces between: the status class or login outcome first, then those of
the rules. A benign client costs one row per minute this way, and the sum of all its rows is all
that it did.
"""
VALUES: Final = pl.Schema(
    {
        "extent": pl.UInt32(),
        "source_ip": pl.String(),
        "minute": pl.Int32(),
        "counter": pl.Categorical(),
        "value_hash": pl.UInt64(),
    }
)
"""Distinct values of value_count rules: per minute, the lowest hashes only."""
SAMPLES: Final = pl.Schema(
    {
        "extent": pl.UInt32(),
        "source_ip": pl.String(),
        "minute": pl.Int32(),
        "line_hash": pl.UInt64(),
        "line_number": pl.Int64(),
        "line": pl.String(),
        "counters": pl.Categorical(),
    }
)
"""Lines kept as evidence; identical bytes are one sample, with the smallest line number."""

SIGNATURE_SAMPLES: Final = 4
RULE_SAMPLES: Final = 2
ORDINARY_SAMPLES: Final = 2
ORDINARY: Final = ""
"""The slot of lines that no rule takes for evidence."""
ORDINARY_SHARE: Final = 8
"""One of so many ordinary lines is a candidate; by its hash, so it is the same one everywhere."""

_MAGIC: Final = b"MWT3"
_PARQUET_MAGIC: Final = b"MWT2"
_FIRST_MAGIC: Final = b"MWT1"
"""Of parts in Parquet, and of those with a text in every row; they are still read."""
_KINDS: Final = {b"C": COUNTS, b"V": VALUES, b"S": SAMPLES}
_PIECE_ROWS: Final = {b"C": 500_000, b"V": 200_000, b"S": 40_000}
"""Rows that nearly always fit into one part; what does not fit is encoded twice."""
_MAX_BYTES: Final = 4 * 1024**2
_MOST_ENTRIES: Final = 50_000
"""Places and combinations of counters that are counted one by one before they are written."""
_LAST_MINUTE: Final = 2**31 - 1
_LINE_CHARACTERS: Final = 2000
_FOCUS_CHARACTERS: Final = 600
_DECODED_CHARACTERS: Final = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """
    What was counted of a batch: three columnar tables, by extent ordinal.

    They have the columns of COUNTS, VALUES and SAMPLES, but for `ip`, a number of one of the
    table's names, in the place of `source_ip`.

    Counts add up; values and samples are kept by lowest hash, and the lowest of a union are the
    lowest of the lowest. So however lines are cut into extents and tallies, together they say
    the same. An extent can be taken out again as if it had never been counted.
    """

    counts: Addressed
    values: Addressed
    samples: Addressed

    @property
    def tables(self) -> tuple[Addressed, Addressed, Addressed]:
        """In the order of the fields."""
        return self.counts, self.values, self.samples

    def only(self, extents: Collection[int]) -> Self:
        """Return what these extents contributed."""
        mine = pl.col("extent").is_in(list(extents))
        return type(self)(*(table.filter(mine) for table in self.tables))

    def within(self, minutes: tuple[int, int]) -> Self:
        """What happened in these minutes, half-open."""
        return type(self)(*(table.within(minutes) for table in self.tables))

    def to_payloads(self, max_bytes: int = _MAX_BYTES) -> list[bytes]:
        """
        The tally in parts of at most *max_bytes* (>= 64 KiB), in no particular order.

        The same content gives the same bytes. An empty tally has no parts.
        """
        return _to_payloads(map(columns_of, self.tables), max_bytes)

    @classmethod
    def from_payloads(
        cls,
        parts: Iterable[bytes],
        keep: Collection[int] | None = None,
        without: bytes = b"",
        is_wanted: IsWanted | None = None,
        *,
        is_light: bool = False,
    ) -> Self:
        """
        The tally that was written as *parts*; with *keep*, of these extents only.

        Args:
            without: Kinds of parts that are passed over: C(ounts), V(alues) or S(amples).
            is_wanted: Of what is not, no row is made.
            is_light: In the place of each line is its row in the part, for read_lines().

        Raises:
            PermanentError: A part is damaged, or from a newer Middlewatch.
        """
        tables: dict[bytes, list[Addressed]] = {kind: [] for kind in _KINDS}
        for part in parts:
            if without and part[len(_MAGIC) : len(_MAGIC) + 1] in without:
                continue
            kind, table = _decode(part, is_wanted, is_light=is_light)
            tables[kind].append(table)
        tally = cls(*(Addressed.united(tables[k], _NOTHING[k]) for k in _KINDS))
        return tally if keep is None else tally.only(keep)


def read_lines(part: bytes, rows: Rows) -> pl.Series:
    """The lines in these rows of a part with samples."""
    if part.startswith(_MAGIC):
        return decode_texts(part[len(_MAGIC) + 1 :], numbered(SAMPLES), "line", rows)
    return _decode(part, None)[1].rows["line"].gather(rows)


@dataclass(frozen=True, slots=True, eq=False)
class WrittenTally:
    """A tally as it is stored: in parts, of which few are in memory."""

    parts: Parts
    """Of Tally.to_payloads. What several of them say of one minute adds up."""

    @classmethod
    def of(cls, tallies: Iterable[Tally]) -> Self:
        """What all of these say."""
        written = cls(Parts())
        for tally in tallies:
            written.add(*map(columns_of, tally.tables))
        return written

    def add(self, *tables: Columns) -> None:
        """Also what these say: counts, values and samples."""
        minutes = np.concatenate([np.asarray(table["minute"]) for table in tables])
        if len(minutes):
            first, last = int(minutes.min()), int(minutes.max())
            self.parts.extend(Part(first, last, payload) for payload in _to_payloads(tables))

    def each(self) -> Iterator[Tally]:
        """The tally of each part."""
        return (Tally.from_payloads([part.payload]) for part in self.parts)

    def only(self, extents: Collection[int]) -> Self:
        """What these extents contributed."""
        return self.of(tally.only(extents) for tally in self.each())

    def read(self) -> Tally:
        """All of it."""
        return Tally.from_payloads(part.payload for part in self.parts)


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
        self.write_columns(*map(_columns_of_rows, _KINDS.values(), rows))

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
        is_cut = len(line) > _LINE_CHARACTERS
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


def sample_limits(rules: RuleSet) -> dict[str, int]:
    """
    How many lines are kept per IP, minute and counter, of counters whose lines are evidence.

    A rule that selects a plain page view counts volume: its lines say nothing one by one, and it
    is left out here. Ordinary lines stand for it.
    """
    return {
        rule.counter: SIGNATURE_SAMPLES if rule.is_signature else RULE_SAMPLES
        for rule in rules.rules
        if rule.is_signature or not rule.selects(_PAGE_VIEW, ())
    }


def sample_shares(rules: RuleSet) -> dict[str, int]:
    """
    One of how many lines of a counter may be kept: 1, 2, 4, ... up to ORDINARY_SHARE.

    Where many lines make a finding, one of several is enough to leave some of each finding, and
    clients that come nowhere near it leave few. A line of several counters goes by the smallest,
    and ordinary lines go by the smallest of the rules that they stand for.
    """
    shares = {
        rule.counter: 1
        if rule.is_signature or rule.after is not None
        else min(ORDINARY_SHARE, 1 << max(0, (rule.threshold // 8).bit_length() - 1))
        for rule in rules.rules
    }
    evident = sample_limits(rules)
    others = [share for counter, share in shares.items() if counter not in evident]
    return shares | {ORDINARY: min(others, default=ORDINARY_SHARE)}


def keep_lowest(
    samples: pl.DataFrame, limits: Mapping[str, int], place: Sequence[str]
) -> pl.DataFrame:
    """
    The samples that are among the lowest hashes of one of their slots, per *place*.

    Args:
        samples: Each line_hash once per place.
        limits: From sample_limits; a sample with none of these counters is ordinary.
    """
    crowd = samples.select(pl.len().over(place) > ORDINARY_SAMPLES).to_series()
    # no slot is smaller than that, so where there are no more all are kept
    crowded = samples.select(*place, "line_hash", "counters").filter(crowd)
    slots = (
        crowded.join(_slots_of(crowded["counters"].unique(), limits), on="counters")
        .filter(pl.col("line_hash").rank("ordinal").over(*place, "slot") <= pl.col("limit"))
        .select(*place, "line_hash")
    )
    lowest = samples.filter(crowd).join(slots, on=[*place, "line_hash"], how="semi")
    return pl.concat([samples.filter(~crowd), lowest])


def _slots_of(combinations: pl.Series, limits: Mapping[str, int]) -> pl.DataFrame:
    """Each of *combinations* with each of its slots and the limit of that."""
    named = (sorted(set(text.split(" ")) & limits.keys()) for text in combinations)
    slots = [[(slot, limits[slot]) for slot in some] for some in named]
    rows = [
        (number, slot, limit)
        for number, some in enumerate(slots)
        for slot, limit in some or [(ORDINARY, ORDINARY_SAMPLES)]
    ]
    table = pl.DataFrame(
        rows,
        schema={"number": pl.UInt32, "slot": pl.Categorical, "limit": pl.UInt32},
        orient="row",
    )
    return table.select(combinations.gather(table["number"]).alias("counters"), "slot", "limit")


def excerpt(line: bytes, focus: bytes | None = None) -> str:
    r"""
    *line* as text of about 2,000 characters, with *focus* in it if that is somewhere inside.

    Bytes that are not UTF-8 are written as `\xNN`; what is left out is shown as `[...]`.
    """
    if len(line) <= _LINE_CHARACTERS:
        return _shorten(_text(line))
    at = line.find(focus) if focus else -1
    if focus is None or at < 0:
        return _shorten(f"{_text(line[:1400])} [...] {_text(line[-500:])}")
    head, tail = line[: min(at, 800)], line[max(at + len(focus), len(line) - 300) :]
    return _shorten(f"{_text(head)} [...] {_text(focus)} [...] {_text(tail)}")


def find_focus(event: Event, match: Callable[[Event], Sequence[object]]) -> bytes | None:
    """The first piece of a long field of *event* that signatures hit by itself, if any."""
    nothing: dict[str, Any] = dict.fromkeys(TEXT_FIELDS)
    for name in TEXT_FIELDS:
        text = getattr(event, name) or ""
        for piece in _pieces(text):
            if match(replace(event, **{**nothing, name: piece})):
                return piece.encode("utf-8", "surrogateescape")
    return None


def _pieces(text: str) -> Iterator[str]:
    """Overlapping pieces of those parts of *text* that signatures see."""
    if len(text) > _FOCUS_CHARACTERS:
        ends = {0: text[:_DECODED_CHARACTERS]}
        ends[max(len(text) - _DECODED_CHARACTERS, 0)] = text[-_DECODED_CHARACTERS:]
        for end in ends.values():
            for start in range(0, len(end), _FOCUS_CHARACTERS // 2):
                yield end[start : start + _FOCUS_CHARACTERS]


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")


def _shorten(text: str) -> str:
    if len(text) <= _LINE_CHARACTERS:
        return text
    return f"{text[:1400]} [...] {text[-500:]}"


def _columns_of_rows(schema: pl.Schema, rows: Sequence[tuple[Any, ...]]) -> Columns:
    """The columns of these rows, each row once. Neighbours are alike, which compresses well."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    table = pl.DataFrame(dict(zip(schema, columns, strict=True)), schema=schema).unique()
    (counters,) = (name for name in schema if name.startswith("counter"))
    place = ["source_ip", "minute", counters, "extent"]
    # whatever hash and number say is said before the line could
    order = [*place, *(name for name in schema if name not in {*place, "line"})]
    return columns_of(Addressed.of(table.sort(*order)))


def _to_payloads(tables: Iterable[Columns], max_bytes: int = _MAX_BYTES) -> list[bytes]:
    return [
        part
        for kind, columns in zip(_KINDS, tables, strict=True)
        for part in encode(_MAGIC + kind, columns, max_bytes, _PIECE_ROWS[kind])
    ]


def _decode(
    part: bytes, is_wanted: IsWanted | None, *, is_light: bool = False
) -> tuple[bytes, Addressed]:
    magic, kind = part[: len(_MAGIC)], part[len(_MAGIC) : len(_MAGIC) + 1]
    if magic not in (_MAGIC, _PARQUET_MAGIC, _FIRST_MAGIC) or kind not in _KINDS:
        raise PermanentError(
            f"A tally segment in the database starts with {part[:5]!r}, which this version does "
            "not know; use the version of Middlewatch that wrote it, or a newer one."
        )
    schema, body = _KINDS[kind], part[len(_MAGIC) + 1 :]
    try:
        if magic == _MAGIC:
            return kind, decode(body, numbered(schema), is_wanted, is_light=is_light)
        if magic == _FIRST_MAGIC:
            rows = pl.read_parquet(body).select(schema.names())
            table = Addressed.of(rows.cast(schema))
        else:
            table = decode_parquet(body, numbered(schema))
        if is_light and "line" in schema:
            row = pl.int_range(pl.len(), dtype=pl.UInt32)
            table = replace(table, rows=table.rows.with_columns(line=row))
        return kind, table if is_wanted is None else table.only(is_wanted(table.names))
    except (ValueError, PolarsError) as error:
        reason = str(error).splitlines()[0]
    raise PermanentError(
        f"A tally segment in the database is damaged ({reason}); "
        "restore it from a backup, or scan its objects again in a new namespace."
    )


_NOTHING: Final = {kind: Addressed.nothing(schema) for kind, schema in _KINDS.items()}

_PAGE_VIEW: Final = Event(
    timestamp=0,
    source_ip="192.0.2.1",
    category=EventCategory.WEB,
    http_request_method="GET",
    url_original="/",
    url_path="/",
    http_response_status_code=200,
    http_response_body_bytes=5120,
    user_agent_original="Mozilla/5.0 (Windows NT 10.0; Win64; x64) Gecko/20100101 Firefox/140.0",
)
