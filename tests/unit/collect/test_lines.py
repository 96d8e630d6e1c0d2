"""Lines come out whole, in order, and in bounded memory."""

import io

from hypothesis import given
from hypothesis import strategies as st

from tasks.collect.lines import MAX_LINE_BYTES, LineReader


def in_pieces(data: bytes, size: int):
    stream = io.BytesIO(data)
    return lambda most: stream.read(min(size, most))


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\r", b""))), st.integers(1, 50))
def test_any_pieces(parts, size):
    """However the bytes arrive, the lines are those between the line feeds."""
    data = b"\n".join(parts)
    reader = LineReader(in_pieces(data, size))
    lines = [line for block in reader for line in block]

    *complete, rest = data.split(b"\n")
    assert lines == complete
    assert reader.unfinished == rest
    assert reader.offset == len(data) - len(rest)
    assert reader.end == len(data)
    assert reader.tail == data[: reader.offset][-4096:]
    assert reader.last == data[-4096:]


def test_carriage_returns():
    """A carriage return before the line feed is not part of the line, one elsewhere is."""
    reader = LineReader(in_pieces(b"a\r\nb\rc\n", 100))

    assert list(reader) == [[b"a", b"b\rc"]]


def test_tail_spans_the_earlier_read():
    """The tail reaches back over the place where reading began."""
    reader = LineReader(in_pieces(b"cd\n", 100), offset=3, tail=b"ab\n")
    list(reader)

    assert (reader.offset, reader.tail) == (6, b"ab\ncd\n")


def test_endless_line():
    """Of a line without end no more is kept than tells that it is too long."""
    reader = LineReader(in_pieces(b"x" * (3 * MAX_LINE_BYTES) + b"\nshort\n", 100_000))
    longest, short = [line for block in reader for line in block]

    assert MAX_LINE_BYTES < len(longest) < MAX_LINE_BYTES + 5
    assert short == b"short"
    assert reader.offset == 3 * MAX_LINE_BYTES + 7
