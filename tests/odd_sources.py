"""Sources that another process can be handed, each odd in its own way."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NoReturn

from tasks.model.errors import TransientError
from tasks.model.objects import Batch, LogObject, Plan


@dataclass
class Shelf:
    """Objects in memory."""

    objects: Mapping[str, bytes] = field(default_factory=dict)
    uri: str = "s3://shelf"

    def plan(self, ledger) -> Plan:
        raise NotImplementedError

    @contextmanager
    def open(self, log_object: LogObject) -> Iterator[BinaryIO]:
        yield BytesIO(self.objects[log_object.object_key])

    def batch(self, number: int = 1) -> Batch:
        """All of them."""
        now = datetime(2026, 2, 23, tzinfo=UTC)
        return Batch(
            number,
            tuple(LogObject(self.uri, k, "v", len(v), now) for k, v in self.objects.items()),
        )


@dataclass
class Throttled(Shelf):
    """A store that says "slow down" for every object."""

    def open(self, log_object: LogObject) -> NoReturn:
        raise TransientError("S3 answers 503.", retry_after_seconds=7, was_retried=True)


@dataclass
class Stuck(Shelf):
    """A store that never answers; a file says that it was asked."""

    asked: str = ""

    @contextmanager
    def open(self, log_object: LogObject) -> Iterator[BinaryIO]:
        Path(self.asked).touch()
        time.sleep(60)
        yield BytesIO()
