"""Tables as columns of numbers and of texts, and how these are stored."""

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from struct import Struct
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl
import zstandard
from xxhash import xxh3_64_digest

from tasks.detect.addressed import Addressed

Numbers = npt.NDArray[Any]
"""Integers of any width."""
Rows = npt.NDArray[np.intp]
Sizes = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

END_OF_TEXT: Final = 2
"""Bytes that end a text: a carriage return and a line feed, so that texts may end with either."""
_FEW: Final = 1000
"""Texts; fewer are sooner cut out than Polars has begun to read, as is a third of them."""

IsWanted = Callable[[pl.Series], pl.Series]
"""Says of names whether rows about them are wanted."""


class Named(NamedTuple):
    """A column with few texts: for each row the number of one."""

    numbers: Numbers
    texts: pl.Series
    """In order, each once; some may be no row's."""

    @classmethod
    def of(cls, column: pl.Series) -> Self:
        """A column of categories; by which number each goes in this process is forgotten."""
        known = column.unique().sort()
        numbers = column.to_physical().to_numpy()
        ranks = np.zeros(int(numbers.max(initial=0)) + 1, np.uint32)
        ranks[known.to_physical().to_numpy()] = np.arange(known.len(), dtype=np.uint32)
        return cls(ranks[numbers], known.cast(pl.String))


class Texts(NamedTuple):
    """A column of texts, one after the other, each with its end; of size 0 is what is none."""

    sizes: Sizes
    joined: Bytes

    @classmethod
    def of(cls, texts: pl.Series) -> Self:
        """These, or null where there is none."""
        joined = (texts + "\r\n").str.join().item().encode()
        sizes = (texts.str.len_bytes() + END_OF_TEXT).fill_null(0).cast(pl.Int32)
        return cls(sizes.to_numpy(), np.frombuffer(joined, np.uint8))

    def read(self, rows: Rows | None = None) -> pl.Series:
        """The texts, or those in *rows*."""
        wanted: Any = slice(None) if rows is None else rows
        if len(self.sizes[wanted]) > max(_FEW, len(self.sizes) // 3):
            lines = read_texts(self.joined)
            if lines.len() == np.count_nonzero(self.sizes) == len(self.sizes):
                return lines if rows is None else lines.gather(rows)
        ends = self.sizes.cumsum(dtype=np.int64)
        places = zip(ends[wanted].tolist(), self.sizes[wanted].tolist(), strict=True)
        data = self.joined.tobytes()
        texts = [
            data[end - size : end - END_OF_TEXT].decode() if size else None for end, size in places
        ]
        return pl.Series(texts, dtype=pl.String)


def read_texts(texts: Bytes) -> pl.Series:
    """The texts without line feeds that are one after the other, each with its end."""
    if not len(texts):
        return pl.Series(dtype=pl.String)
    return pl.read_lines(BytesIO(texts.data)).to_series()


Column = Numbers | Named | Texts
Columns = Mapping[str, Column]
"""All of the same height; `ip` is Named."""


def columns_of(table: Addressed) -> Columns:
    """The columns of a table, by name; each IP is there once."""
    canonical = table.canonical()
    columns: dict[str, Column] = {}
    for column in canonical.rows.get_columns():
        if column.name == "ip":
            columns["ip"] = Named(column.to_numpy(), canonical.names)
        elif column.dtype == pl.Categorical:
            columns[column.name] = Named.of(column)
        elif column.dtype == pl.String:
            columns[column.name] = Texts.of(column)
        else:
            columns[column.name] = column.to_numpy()
    return columns


# parts

_DIGEST_BYTES: Final = 8
_COUNT: Final = Struct("<I")
_NUMBERS: Final = Struct("<BBQ")
"""Bytes of each, whether each is added to the one before, and what is added to all."""
_LEVEL: Final = 1
"""Of zstd. 3 takes a third more time for a tenth less."""
_DTYPES: Final[Mapping[pl.DataType, type[np.integer[Any]]]] = {
    pl.UInt32(): np.uint32,
    pl.UInt64(): np.uint64,
    pl.Int32(): np.int32,
    pl.Int64(): np.int64,
}


def encode(
    header: bytes, columns: Columns, max_bytes: int, piece_rows: int = 500_000
) -> Iterator[bytes]:
    """
    Parts of at most *max_bytes*, or of one row; each starts with *header*.

    The same content gives the same bytes: what the numbers in a part are follows from the texts in
    that part. What it is about comes first.

    Args:
        piece_rows: That many rows nearly always fit; what does not fit is encoded twice.
    """
    height = min(map(_height_of, columns.values()))
    for first in range(0, height, piece_rows):
        rows = slice(first, min(first + piece_rows, height))
        yield from _encode(header, columns, rows, max_bytes)


def decode(
    body: bytes,
    schema: pl.Schema,
    is_wanted: IsWanted | None = None,
    *,
    is_light: bool = False,
) -> Addressed:
    """
    The table that was encoded as *body*, which is a part without its header.

    Args:
        schema: Of its rows; its columns in the order in which they were encoded.
        is_wanted: Of what is not, no row is made.
        is_light: In the place of each text is its row in the part.

    Raises:
        ValueError: It is damaged.
    """
    reader = _Reader(body)
    names, ips = reader.read_texts().read(), reader.read_numbers(np.uint32)
    rows = None if is_wanted is None else is_wanted(names).to_numpy()[ips].nonzero()[0]
    own: Any = slice(None) if rows is None else rows
    columns = []
    for name, kind in schema.items():
        if name == "ip":
            column = pl.Series(ips[own])
        elif kind == pl.Categorical:
            known = reader.read_texts().read().cast(kind)
            column = known.gather(reader.read_numbers(np.uint32)[own])
        elif kind == pl.String and is_light:
            reader.pass_texts()
            column = pl.Series(np.arange(len(ips), dtype=np.uint32)[own])
        elif kind == pl.String:
            column = reader.read_texts().read(rows)
        else:
            column = pl.Series(reader.read_numbers(_DTYPES[kind])[own])
        columns.append(column.alias(name))
    return Addressed(pl.DataFrame(columns), names)


def decode_texts(body: bytes, schema: pl.Schema, wanted: str, rows: Rows) -> pl.Series:
    """What the column of texts that is *wanted* says in these rows; the others are passed over."""
    reader = _Reader(body)
    reader.pass_texts()
    for name, kind in schema.items():
        if name == wanted:
            break
        if kind == pl.Categorical:
            reader.pass_texts()
        reader.pass_numbers()
    return reader.read_texts().read(rows)


def _encode(header: bytes, columns: Columns, rows: slice, max_bytes: int) -> Iterator[bytes]:
    writer = _Writer()
    for _, column in sorted(columns.items(), key=lambda named: named[0] != "ip"):
        writer.write(column, rows)
    content = b"".join(writer.pieces)
    part = header + xxh3_64_digest(content) + content
    height = rows.stop - rows.start
    if len(part) <= max_bytes or height == 1:
        yield part
        return
    step = -(-height // min(height, len(part) // max_bytes + 2))
    for first in range(rows.start, rows.stop, step):
        some = slice(first, min(first + step, rows.stop))
        yield from _encode(header, columns, some, max_bytes)


def _height_of(column: Column) -> int:
    return len(column[0] if isinstance(column, tuple) else column)


class _Writer:
    """What is written, column by column."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._compress = zstandard.ZstdCompressor(_LEVEL).compress

    def write(self, column: Column, rows: slice) -> None:
        """These rows of a column."""
        if isinstance(column, Named):
            numbers = column.numbers[rows]
            is_used = np.zeros(column.texts.len(), np.bool_)
            is_used[numbers] = True
            self._write_texts(Texts.of(column.texts.filter(pl.Series(is_used))))
            ranks = is_used.cumsum(dtype=np.uint32) - np.uint32(1)
            self._write_numbers(ranks[numbers])
        elif isinstance(column, Texts):
            start = int(column.sizes[: rows.start].sum(dtype=np.int64))
            sizes = column.sizes[rows]
            size = int(sizes.sum(dtype=np.int64))
            self._write_texts(Texts(sizes, column.joined[start : start + size]))
        else:
            self._write_numbers(column[rows])

    def _write_texts(self, texts: Texts) -> None:
        self._write_numbers(texts.sizes)
        self._write_compressed(texts.joined)

    def _write_numbers(self, numbers: Numbers) -> None:
        self.pieces.append(_COUNT.pack(len(numbers)))
        if not len(numbers):
            return
        is_ascending = bool((numbers[1:] >= numbers[:-1]).all())
        least = numbers[0] if is_ascending else numbers.min()
        # differences are right modulo 2 ** 64, whatever is subtracted
        narrow = numbers - least
        if is_ascending:
            narrow[1:] -= narrow[:-1].copy()
        narrow = narrow.view(f"u{narrow.itemsize}")
        width = _width_of(int(narrow.max()))
        self.pieces.append(_NUMBERS.pack(width, is_ascending, int(least) % 2**64))
        if width:
            self._write_compressed(narrow.astype(f"<u{width}"))

    def _write_compressed(self, data: Numbers) -> None:
        compressed = self._compress(data.data)
        self.pieces += (_COUNT.pack(len(compressed)), compressed)


class _Reader:
    """Reads what a _Writer wrote, from first to last."""

    def __init__(self, body: bytes) -> None:
        self._content = memoryview(body)[_DIGEST_BYTES:]
        if xxh3_64_digest(self._content) != body[:_DIGEST_BYTES]:
            raise ValueError("its bytes are not those that were written")
        self._at = 0
        self._decompress = zstandard.ZstdDecompressor().decompress

    def read_texts(self) -> Texts:
        sizes = self.read_numbers(np.int32)
        return Texts(sizes, np.frombuffer(self._read_compressed(), np.uint8))

    def pass_texts(self) -> None:
        self.pass_numbers()
        self._pass_compressed()

    def pass_numbers(self) -> None:
        if self._read(_COUNT) != (0,) and self._read(_NUMBERS)[0]:
            self._pass_compressed()

    def _pass_compressed(self) -> None:
        (size,) = self._read(_COUNT)
        self._at += size

    def read_numbers(self, dtype: type[np.integer[Any]]) -> Numbers:
        (count,) = self._read(_COUNT)
        if not count:
            return np.empty(0, dtype)
        width, is_ascending, least = self._read(_NUMBERS)
        base = np.array(least, np.uint64).astype(dtype)
        if not width:
            return np.full(count, base)
        narrow = np.frombuffer(self._read_compressed(), f"<u{width}")
        numbers = narrow.cumsum(dtype=dtype) if is_ascending else narrow.astype(dtype)
        numbers += base
        return numbers

    def _read_compressed(self) -> bytes:
        (size,) = self._read(_COUNT)
        self._at += size
        return self._decompress(self._content[self._at - size : self._at])

    def _read(self, form: Struct) -> tuple[Any, ...]:
        self._at += form.size
        return form.unpack_from(self._content, self._at - form.size)


def _width_of(most: int) -> int:
    """Bytes of a number that can be so large."""
    return next(width for width in (0, 1, 2, 4, 8) if most < 1 << 8 * width)
