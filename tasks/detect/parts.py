"""Parts of a tally as they are stored, on disk once they are many."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from tempfile import SpooledTemporaryFile, gettempdir
from typing import IO, Final, Self
from weakref import finalize

from tasks.model.errors import TransientError
from tasks.model.parts import Part

_MOST_IN_MEMORY: Final = 1024**2

Place = tuple[int, int, int]
"""First and last minute of a part, and its size in bytes."""


class Parts:
    """
    Parts in the order in which they were added; they can be gone through again and again.

    Raises:
        TransientError: There is no room for them, or was none once: what is there is not whole.
    """

    def __init__(
        self,
        parts: Iterable[Part] = (),
        *,
        file: IO[bytes] | None = None,
        places: Iterable[Place] = (),
    ) -> None:
        """These are there so far, or those in *file*, which is closed in the end."""
        # the file has no name: it is gone with the process, whatever ends that
        self._file = file or SpooledTemporaryFile(_MOST_IN_MEMORY)  # noqa: SIM115 -- closed below
        finalize(self, _close, self._file)
        self._places = list(places)
        self._failure: TransientError | None = None
        self.extend(parts)

    def share(self) -> tuple[int, Sequence[Place]]:
        """The descriptor of a file, and what is where in it: another process can open() that."""
        with self._whole():
            # also few are on disk then
            descriptor = self._file.fileno()
            self._file.flush()
        return descriptor, self._places

    @classmethod
    def open(cls, descriptor: int, places: Sequence[Place]) -> Self:
        """What another process shares; the descriptor is this one's own."""
        return cls(file=os.fdopen(descriptor, "r+b"), places=places)

    def extend(self, parts: Iterable[Part]) -> None:
        """These are there, too."""
        for part in parts:
            with self._whole():
                self._file.seek(sum(size for _, _, size in self._places))
                self._file.write(part.payload)
                self._file.flush()
            self._places.append((part.first_minute, part.last_minute, len(part.payload)))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)

    def __iter__(self) -> Iterator[Part]:
        """All parts, one in memory at a time."""
        start = 0
        for first, last, size in self._places:
            with self._whole():
                self._file.seek(start)
                payload = self._file.read(size)
            yield Part(first, last, payload)
            start += size

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """After a failure, what was written before is lost, too: a spooled file moves to disk."""
        if self._failure is None:
            try:
                yield
            except OSError as error:
                self._failure = TransientError(
                    f"What is counted finds no room in {gettempdir()} ({error.strerror}): make"
                    " room there, or set TMPDIR to a directory that has more."
                )
        if self._failure is not None:
            raise self._failure from None


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # of what is not asked for any more
        file.close()
