"""Parts of a tally as they are stored, on disk once they are many."""

from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import Final
from weakref import finalize

from tasks.model.parts import Part

_MOST_IN_MEMORY: Final = 1024**2


class Parts:
    """Parts in the order in which they were added; they can be gone through again and again."""

    def __init__(self, parts: Iterable[Part] = ()) -> None:
        """These are there so far."""
        # the file has no name: it is gone with the process, whatever ends that
        self._file = SpooledTemporaryFile(_MOST_IN_MEMORY)  # noqa: SIM115 -- closed below
        finalize(self, self._file.close)
        self._places: list[tuple[int, int, int]] = []
        """First and last minute, and size."""
        self.extend(parts)

    def extend(self, parts: Iterable[Part]) -> None:
        """These are there, too."""
        self._file.seek(sum(size for _, _, size in self._places))
        for part in parts:
            self._file.write(part.payload)
            self._places.append((part.first_minute, part.last_minute, len(part.payload)))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)

    def __iter__(self) -> Iterator[Part]:
        """All parts, one in memory at a time."""
        start = 0
        for first, last, size in self._places:
            self._file.seek(start)
            yield Part(first, last, self._file.read(size))
            start += size
