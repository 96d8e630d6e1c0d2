"""Parts of a tally as they are stored, on disk once they are many."""

from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import Final
from weakref import finalize

_MOST_IN_MEMORY: Final = 8 * 1024**2


class Parts:
    """Parts in the order in which they were added; they can be gone through again and again."""

    def __init__(self, parts: Iterable[bytes] = ()) -> None:
        """These are there so far."""
        # the file has no name: it is gone with the process, whatever ends that
        self._file = SpooledTemporaryFile(_MOST_IN_MEMORY)  # noqa: SIM115 -- closed below
        finalize(self, self._file.close)
        self._sizes: list[int] = []
        self.extend(parts)

    def extend(self, parts: Iterable[bytes]) -> None:
        """These are there, too."""
        self._file.seek(sum(self._sizes))
        for part in parts:
            self._file.write(part)
            self._sizes.append(len(part))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._sizes)

    def __iter__(self) -> Iterator[bytes]:
        """All parts, one in memory at a time."""
        start = 0
        for size in self._sizes:
            self._file.seek(start)
            yield self._file.read(size)
            start += size
