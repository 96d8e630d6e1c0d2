"""Tables whose rows number their source IPs, and how such tables are stored."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final, Self

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
        return self.filter(is_wanted.gather(self.rows["ip"]))

    def named(self) -> pl.DataFrame:
        """The rows with `source_ip` instead of `ip`, and with `address` where there are members."""
        number = self.rows["ip"]
        columns = [self.names.gather(number).alias("source_ip")]
        if self.members is not None:
            columns.append(self.members.gather(number).alias("address"))
        return self.rows.drop("ip").with_columns(columns)

    def canonical(self) -> Self:
        """The same with each name once, in the order of the texts."""
        if (self.names.head(-1) < self.names.tail(-1)).all():
            return self
        names, numbers = _number(self.names)
        ip = numbers.gather(self.rows["ip"]).alias("ip")
        return replace(self, rows=self.rows.with_columns(ip), names=names)

    @classmethod
    def of(cls, named: pl.DataFrame) -> Self:
        """These rows, of which source_ip is a text; names are in order, each once."""
        names, numbers = _number(named["source_ip"])
        columns = (c if c != "source_ip" else numbers.alias("ip") for c in named.columns)
        return cls(named.select(*columns), names)

    @classmethod
    def united(cls, pieces: Iterable[Self], empty: Self) -> Self:
        """All rows of *pieces* in their order; none of them is of networks."""
        some = [piece for piece in pieces if piece.height]
        if len(some) < 2:
            return some[0] if some else empty
        rows, offset = [], 0
        for piece in some:
            rows.append(piece.rows.with_columns((pl.col("ip") + offset).cast(pl.UInt32)))
            offset += piece.names.len()
        return cls(pl.concat(rows), pl.concat([piece.names for piece in some]))


def _number(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The distinct *texts* in order, and where in them each of *texts* is."""
    names = texts.unique().sort()
    known = pl.DataFrame({"text": names}).with_row_index("number")
    wanted = pl.DataFrame({"text": texts})
    return names, wanted.join(known, on="text", how="left", maintain_order="left")["number"]


# parts


def numbered(schema: pl.Schema) -> pl.Schema:
    """The same with numbers in the place of source IPs."""
    return pl.Schema(("ip", pl.UInt32()) if n == "source_ip" else (n, k) for n, k in schema.items())


def encode(
    header: bytes, table: Addressed, max_bytes: int, piece_rows: int = 500_000
) -> Iterator[bytes]:
    """
    Parts of at most *max_bytes*, or of one row; each starts with *header*.

    The same content gives the same bytes, as long as *table* is canonical: what the numbers in a
    part are follows from the texts in that part.

    Args:
        piece_rows: That many rows nearly always fit; what does not fit is encoded twice.
    """
    for rows in table.rows.iter_slices(piece_rows):
        yield from _encode(header, replace(table, rows=rows), max_bytes)


def _encode(header: bytes, table: Addressed, max_bytes: int) -> Iterator[bytes]:
    if not table.height:
        return
    file = BytesIO()
    file.write(header)
    for frame in _to_frames(table):
        content = BytesIO()
        frame.write_parquet(content, compression="zstd", statistics=False)
        file.write(content.tell().to_bytes(_SIZE_BYTES, "little"))
        file.write(content.getbuffer())
    size = file.tell()
    if size <= max_bytes or table.height == 1:
        yield file.getvalue()
        return
    pieces = min(table.height, size // max_bytes + 2)
    for rows in table.rows.iter_slices(-(-table.height // pieces)):
        yield from _encode(header, replace(table, rows=rows), max_bytes)


def decode(body: bytes, schema: pl.Schema) -> Addressed:
    """
    The table that was encoded as *body*, which is a part without its header.

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


def _to_frames(table: Addressed) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Names, texts of categories, and rows that are numbers of both: only what is used."""
    rows = table.rows
    used = rows["ip"].unique().sort()
    numbers = _ranks(used, table.names.len()).gather(rows["ip"]).alias("ip")
    columns, texts = [numbers], pl.Series("text", [], dtype=pl.String)
    for column in rows.columns:
        if rows.schema[column] == pl.Categorical:
            # not by the number that a category has in this process
            number = rows[column].to_physical()
            firsts = rows.select(column).unique()
            texts = firsts[column].cast(pl.String).sort().rename("text")
            in_order = firsts.with_columns(text=pl.col(column).cast(pl.String)).sort("text")
            known = in_order[column].to_physical()
            columns.append(_ranks(known, int(number.max()) + 1).gather(number).alias(column))  # type: ignore[arg-type]  # an integer
    names = table.names.gather(used).rename("name")
    return names.to_frame(), texts.to_frame(), rows.with_columns(columns)


def _ranks(known: pl.Series, size: int) -> pl.Series:
    """For each number below *size* its position in *known*, where it is there."""
    ranks = pl.zeros(size, dtype=pl.UInt32, eager=True)
    return ranks.scatter(known, pl.int_range(known.len(), dtype=pl.UInt32, eager=True))


def _read_frames(body: bytes) -> Iterator[pl.DataFrame]:
    at = 0
    for _ in range(3):
        start = at + _SIZE_BYTES
        at = start + int.from_bytes(body[at:start], "little")
        if at > len(body):
            raise ValueError("it ends too early")
        yield pl.read_parquet(body[start:at])
