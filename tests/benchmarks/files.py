"""Files as a source, also for workers."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from typing import BinaryIO


class Files:
    """A source of files that do not change."""

    uri = "file:///benchmark"

    @contextmanager
    def open(self, log_object) -> Iterator[BinaryIO]:
        with FileIO(log_object.object_key) as file:
            yield file

    def plan(self, ledger):
        raise NotImplementedError
