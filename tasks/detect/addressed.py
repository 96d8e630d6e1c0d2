"""Tables whose rows number their source IPs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import polars as pl

_SIZE_BYTES: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Addressed:
    """
    Rows about source IPs, with the text of each source IP in another place.

    There are far fewer source IPs than rows, so what has to be asked of a text is asked of *names*.
    """

    rows: pl.DataFrame
    """The column `ip` holds positions in *names*."""
    names: pl.Series
    """Source IPs. Some may have no row, and some may be here more than once."""
    members: pl.Series | None = None
    """Where names are of networks: the address in it that each position stands for, or null."""

    @property
    def height(self) -> int:
        """How many rows there are."""
        return self.rows.height

    def filter(self, wanted: pl.Expr | pl.Series) -> Self:
        """Only these rows."""
        return replace(self, rows=self.rows.filter(wanted))

    def only(self, is_wanted: pl.Series) -> Self:
        """Only rows of those names of which *is_wanted* says so."""
        own = np.flatnonzero(is_wanted.to_numpy()[self.rows["ip"].to_numpy()])
        return replace(self, rows=self.rows[own])

    def within(self, minutes: tuple[int, int]) -> Self:
        """Only rows of these minutes, half-open; nearly always those are all, or none."""
        if not self.height:
            return self
        own = self.rows["minute"].to_numpy()
        first, last = own.min(), own.max()
        if minutes[0] <= first and last < minutes[1]:
            return self
        if last < minutes[0] or minutes[1] <= first:
            return replace(self, rows=self.rows.clear())
        return self.filter(pl.Series((own >= minutes[0]) & (own < minutes[1])))

    def named(self) -> pl.DataFrame:
        """The rows with `source_ip` instead of `ip`, and with `address` where there are members."""
        number = self.rows["ip"]
        columns = [self.names.gather(number).alias("source_ip")]
        if self.members is not None:
            columns.append(self.members.gather(number).alias("address"))
        return self.rows.drop("ip").with_columns(columns)

    def compact(self) -> Self:
        """The same without names that have no row."""
        ips = self.rows["ip"].to_numpy()
        is_used = np.zeros(self.names.len(), np.bool_)
        is_used[ips] = True
        ranks, used = is_used.cumsum(dtype=np.uint32) - np.uint32(1), is_used.nonzero()[0]
        members = None if self.members is None else self.members.gather(used)
        rows = self.rows.with_columns(ip=ranks[ips])
        return replace(self, rows=rows, names=self.names.gather(used), members=members)

    def canonical(self) -> Self:
        """The same with each name once, in the order of the texts; members are forgotten."""
        if (self.names.head(-1) < self.names.tail(-1)).all():
            return replace(self, members=None)
        names, numbers = number_names(self.names)
        ip = numbers.gather(self.rows["ip"])
        return replace(self, rows=self.rows.with_columns(ip), names=names, members=None)

    @classmethod
    def of(cls, named: pl.DataFrame) -> Self:
        """These rows, of which source_ip is a text; names are in order, each once."""
        names, numbers = number_names(named["source_ip"])
        return cls(named.select(c if c != "source_ip" else numbers for c in named.columns), names)

    @classmethod
    def nothing(cls, schema: pl.Schema) -> Self:
        """No rows of *schema*, which has a source_ip; made without a thread of Polars."""
        columns = {
            "ip" if name == "source_ip" else name: pl.UInt32() if name == "source_ip" else kind
            for name, kind in schema.items()
        }
        return cls(pl.Schema(columns).to_frame(), pl.Series("source_ip", [], dtype=pl.String))

    @classmethod
    def united(cls, pieces: Iterable[Self], empty: Self) -> Self:
        """All rows of *pieces*, in their order."""
        some = [piece for piece in pieces if piece.height]
        if len(some) < 2:
            return some[0] if some else empty
        rows, offset = [], 0
        for piece in some:
            rows.append(piece.rows.with_columns((pl.col("ip") + offset).cast(pl.UInt32)))
            offset += piece.names.len()
        members = None
        if any(piece.members is not None for piece in some):
            members = pl.concat(
                [_nothing(p.names) if p.members is None else p.members for p in some]
            )
        return cls(pl.concat(rows), pl.concat([piece.names for piece in some]), members)


def hash_names(names: pl.Series) -> pl.Series:
    """`ip_hash`: what stands for source IPs where their texts would take too long."""
    return names.hash().alias("ip_hash")


def number_names(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The distinct *texts* in order, and as `ip` where in them each of *texts* is."""
    names = texts.unique().sort()
    return names, find_names(names, texts)


def find_names(names: pl.Series, wanted: pl.Series) -> pl.Series:
    """As `ip` where in *names*, of which no two are alike, each of *wanted* is, or null."""
    known = pl.DataFrame({"text": names}).with_row_index("ip")
    texts = pl.DataFrame({"text": wanted})
    return texts.join(known, on="text", how="left", maintain_order="left")["ip"]


def texts_of(column: pl.Series) -> dict[int, str]:
    """The texts in a column of categories, by the number that each has in this process."""
    numbers = column.to_physical().to_numpy()
    found = np.full(int(numbers.max(initial=0)) + 1, -1)
    found[numbers] = np.arange(len(numbers))
    known = np.flatnonzero(found >= 0)
    return dict(zip(known.tolist(), column.gather(found[known]).cast(pl.String), strict=True))


def recode(column: pl.Series, name: Callable[[str], str]) -> pl.Series:
    """A column of categories with each of them called what *name* says."""
    texts = texts_of(column)
    new = pl.Series(column.name, list(map(name, texts.values())), dtype=column.dtype)
    ranks = _ranks(pl.Series(list(texts), dtype=pl.UInt32), max(texts, default=0) + 1)
    return new.gather(ranks.gather(column.to_physical()))


def _nothing(names: pl.Series) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, names.len())


# parts


def numbered(schema: pl.Schema) -> pl.Schema:
    """The same with numbers in the place of source IPs."""
    return pl.Schema(("ip", pl.UInt32()) if n == "source_ip" else (n, k) for n, k in schema.items())


def decode_parquet(body: bytes, schema: pl.Schema) -> Addressed:
    """
    The table that was encoded as *body*, as parts were before they had columns of their own.

    Args:
        schema: Of its rows.

    Raises:
        ValueError, PolarsError: It is damaged.
    """
    names, texts, rows = _read_frames(body)
    columns = []
    for column, kind in schema.items():
        if kind == pl.Categorical:
            known = texts["text"].cast(kind)
            columns.append(known.gather(rows[column]).alias(column))
    named = names["name"]
    if rows.height and rows["ip"].max() >= named.len():  # type: ignore[operator]  # integers
        raise ValueError("it lacks a source IP")
    return Addressed(rows.with_columns(columns).select(schema.names()).cast(schema), named)


def _ranks(known: pl.Series, size: int) -> pl.Series:
    """As `ip` for each number below *size* its position in *known*, where it is there."""
    ranks = pl.zeros(size, dtype=pl.UInt32, eager=True).alias("ip")
    return ranks.scatter(known, pl.int_range(known.len(), dtype=pl.UInt32, eager=True))


def _read_frames(body: bytes) -> Iterator[pl.DataFrame]:
    at = 0
    for _ in range(3):
        start = at + _SIZE_BYTES
        at = start + int.from_bytes(body[at:start], "little")
        if at > len(body):
            raise ValueError("it ends too early")
        yield pl.read_parquet(body[start:at])
