"""Bytes into lines, in bounded memory, with what is needed to go on from there later."""

import mmap
from collections.abc import Callable, Iterator

from tasks.collect.streams import TAIL_BYTES

Block = bytes | memoryview
"""Complete lines, each with its line feed."""

MAX_LINE_BYTES = 1024 * 1024
"""A longer line is one line, of which little more is kept for the next read."""
_KEPT_BYTES = MAX_LINE_BYTES + 2
"""Tells that a line is too long, also where a carriage return is taken off its end."""
PADDING = 64
"""Bytes after a block that may be read and never matter."""
_CHUNK_BYTES = 2 * 1024 * 1024
_PIECE_BYTES = 256 * 1024
"""Is still in the processor's cache when it is put behind the others."""


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
        return (split_lines(bytes(block)) for block in self.blocks())

    def blocks(self) -> Iterator[memoryview]:
        """
        Complete lines with their line feeds; *offset* and *tail* are those at their end.

        The next block is where this one is. PADDING bytes after it can be read.
        """
        # not a bytearray: of a small object, nothing but its own bytes is touched
        size = _CHUNK_BYTES + _KEPT_BYTES + PADDING
        room = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE)
        view = memoryview(room)
        while True:
            held = len(self.unfinished)
            room[:held] = self.unfinished
            stop = held + self._read_chunk(view[held : held + _CHUNK_BYTES])
            if stop == held:
                return
            feed = room.rfind(b"\n", held, stop) + 1
            self._go_on(view[held:stop], feed - held if feed else 0)
            if not feed:
                self.unfinished = bytes(view[: min(stop, _KEPT_BYTES)])
                continue
            self.unfinished = bytes(view[feed : min(stop, feed + _KEPT_BYTES)])
            too_many = room.find(b"\n", held, stop) - _KEPT_BYTES
            if too_many > 0:
                view[_KEPT_BYTES : feed - too_many] = view[_KEPT_BYTES + too_many : feed]
                feed -= too_many
            yield view[:feed]

    def _go_on(self, chunk: memoryview, feed: int) -> None:
        """*chunk* was read, in which complete lines end at *feed*, if any do."""
        if feed:
            self.offset = self.end + feed
            before = self.last + bytes(chunk[max(0, feed - TAIL_BYTES) : feed])
            self.tail = before[-TAIL_BYTES:]
        self.end += len(chunk)
        self.last = (self.last + bytes(chunk[-TAIL_BYTES:]))[-TAIL_BYTES:]

    def _read_chunk(self, room: memoryview) -> int:
        """How much of *room* was filled; less only at the end, as small reads make small blocks."""
        size = 0
        while size < len(room) and (piece := self._read(min(_PIECE_BYTES, len(room) - size))):
            room[size : size + len(piece)] = piece
            size += len(piece)
        return size


def split_lines(block: bytes) -> list[bytes]:
    """The lines of a block of complete lines."""
    lines = block[:-1].split(b"\n")
    return [line.removesuffix(b"\r") for line in lines] if b"\r" in block else lines
