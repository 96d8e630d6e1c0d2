"""The access lines of a block, and where each of them comes from."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tasks.collect.formats.rewriting import Rewritten
from tasks.collect.lines import Block
from tasks.detect.scanning_kernel import hash_lines

Rows = npt.NDArray[np.int32]
Text = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


class AccessLines:
    """A block and the access lines in it, which are counted by their number in the block."""

    def __init__(self, block: Block, rewritten: Rewritten | None, lines_before: int) -> None:
        self.text = rewritten.block if rewritten else block
        """Access lines, each with its line feed."""
        self._rewritten = rewritten
        self._before = lines_before

    def number(self, row: int) -> int:
        """The number of the *row*-th access line in its object."""
        if self._rewritten is None:
            return self._before + row
        return self._before + int(self._rewritten.places[row - 1, 2])

    def line(self, row: int, start: int, stop: int) -> bytes:
        """The *row*-th access line, which is text[start:stop], as it was written."""
        return self._rewritten.line(row - 1) if self._rewritten else bytes(self.text[start:stop])

    def numbers(self, rows: Rows) -> Numbers:
        """The numbers of these access lines in their object."""
        numbers = self._rewritten.places[rows - 1, 2] if self._rewritten else rows
        return self._before + numbers.astype(np.int64)

    def places(self, rows: Rows, starts: Rows, stops: Rows) -> tuple[Text, Rows, Rows]:
        """Where these access lines, which are in the text there, are as they were written."""
        if self._rewritten is None:
            return np.frombuffer(self.text, np.uint8), starts, stops
        places = self._rewritten.places[rows - 1]
        return self._rewritten.data, places[:, 0], places[:, 1]

    def hashes(self, rows: Rows) -> Words | None:
        """The hashes of these access lines as they were written, where the text is another."""
        if self._rewritten is None:
            return None
        hashes = np.empty(len(rows), np.uint64)
        hash_lines(self._rewritten.data, self._rewritten.places, rows, hashes)
        return hashes

    @property
    def others(self) -> Sequence[tuple[int, bytes]]:
        """Number and bytes of the lines that are no access lines."""
        others = self._rewritten.others if self._rewritten else ()
        return [(self._before + number, line) for number, line in others]
