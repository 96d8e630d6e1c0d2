"""Tallies: mergeable, order-free counts per source IP and minute. No rule is judged here."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from tasks.detect.addressed import Addressed, decode_parquet, numbered
from tasks.detect.columns import Columns, IsWanted, Rows, columns_of, decode, decode_texts, encode
from tasks.detect.parts import Parts
from tasks.model.errors import PermanentError
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

_MAGIC: Final = b"MWT3"
_PARQUET_MAGIC: Final = b"MWT2"
_FIRST_MAGIC: Final = b"MWT1"
"""Of parts in Parquet, and of those with a text in every row; they are still read."""
_KINDS: Final = {b"C": COUNTS, b"V": VALUES, b"S": SAMPLES}
_PIECE_ROWS: Final = {b"C": 500_000, b"V": 200_000, b"S": 40_000}
"""Rows that nearly always fit into one part; what does not fit is encoded twice."""
_MAX_BYTES: Final = 4 * 1024**2


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
