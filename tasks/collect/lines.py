"""Bytes into lines, in bounded memory, with what is needed to go on from there later."""

from collections.abc import Callable, Iterator

from tasks.collect.streams import TAIL_BYTES

MAX_LINE_BYTES = 1024 * 1024
"""A longer line is one line, of which only this much and one byte more is kept."""
_CHUNK_BYTES = 1024 * 1024


class LineReader:
    """
    Reads the complete lines of a stream; what follows the last line feed is *unfinished*.

    Only a line feed ends a line; a carriage return before it is not part of the line.
    """

    def __init__(self, read: Callable[[int], bytes], offset: int = 0, tail: bytes = b"") -> None:
        """Go on at *offset*, a start of line, which the bytes *tail* precede."""
        self._read = read
        self.offset = offset
        """End of the last complete line."""
        self.end = offset
        """End of what was read."""
        self.tail = tail[-TAIL_BYTES:]
        """The bytes before *offset*, up to TAIL_BYTES."""
        self.last = self.tail
        """The bytes before *end*, up to TAIL_BYTES."""
        self.unfinished = b""
        """What follows *offset*, cut like any line."""

    def __iter__(self) -> Iterator[list[bytes]]:
        """The lines of blocks()."""
        return map(split_lines, self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """Complete lines with their line feeds; *offset* and *tail* are those at their end."""
        while chunk := self._read_chunk():
            feed = chunk.rfind(b"\n") + 1
            block = b""
            if feed:
                first = chunk.find(b"\n")
                line = _join(self.unfinished, chunk[:first])
                block = b"".join((line, memoryview(chunk)[first:feed]))
                self.unfinished = _join(b"", chunk[feed:])
                self.offset = self.end + feed
                self.tail = (self.last + chunk[max(0, feed - TAIL_BYTES) : feed])[-TAIL_BYTES:]
            else:
                self.unfinished = _join(self.unfinished, chunk)
            self.end += len(chunk)
            self.last = (self.last + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]
            if block:
                yield block

    def _read_chunk(self) -> bytes:
        """What can be read at once, up to _CHUNK_BYTES: small reads make small blocks."""
        pieces, left = [], _CHUNK_BYTES
        while left > 0 and (piece := self._read(left)):
            pieces.append(piece)
            left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def split_lines(block: bytes) -> list[bytes]:
    """The lines of a block of complete lines."""
    lines = block[:-1].split(b"\n")
    return [line.removesuffix(b"\r") for line in lines] if b"\r" in block else lines


def _join(start: bytes, more: bytes) -> bytes:
    return start + more[: max(0, MAX_LINE_BYTES + 1 - len(start))]
