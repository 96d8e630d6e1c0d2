"""Bytes into lines, in bounded memory, with what is needed to go on from there later."""

from collections.abc import Callable, Iterator

from tasks.collect.streams import TAIL_BYTES

MAX_LINE_BYTES = 1024 * 1024
"""A longer line is one line, of which only this much and one byte more is kept."""
_CHUNK_BYTES = 256 * 1024


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
        """Blocks of complete lines; *offset* and *tail* are those at the end of the block."""
        while chunk := self._read(_CHUNK_BYTES):
            feed = chunk.rfind(b"\n") + 1
            block = self._cut(chunk, feed)
            if feed:
                self.offset = self.end + feed
                self.tail = (self.last + chunk[max(0, feed - TAIL_BYTES) : feed])[-TAIL_BYTES:]
            self.end += len(chunk)
            self.last = (self.last + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]
            if block:
                yield block

    def _cut(self, chunk: bytes, feed: int) -> list[bytes]:
        if not feed:
            self.unfinished = _join(self.unfinished, chunk)
            return []
        lines = chunk[: feed - 1].split(b"\n")
        lines[0] = _join(self.unfinished, lines[0])
        self.unfinished = chunk[feed:]
        if b"\r" in chunk:
            lines = [line.removesuffix(b"\r") for line in lines]
        return lines


def _join(start: bytes, more: bytes) -> bytes:
    return start + more[: max(0, MAX_LINE_BYTES + 1 - len(start))]
