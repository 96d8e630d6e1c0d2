"""
Batches counted apart: in processes of their own, as many at a time as there are cores.

Threads wait for each other wherever Python itself is at work; processes do not. A worker ends with
the process that started it, whatever ends that; one that was stopped, when it is let go on. One
that is ended by others takes its own batch with it and no other.
"""

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import tzinfo
from functools import cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from threading import BoundedSemaphore, Thread
from typing import Final

import polars as pl

from tasks.collect.compression import Limits
from tasks.collect.formats.configuration import load_formats
from tasks.collect.formats.forwarded import Network
from tasks.collect.source import Source
from tasks.detect.counting import Counted, count_batch, explain_unexpected
from tasks.detect.parts import Parts
from tasks.detect.rules import Override, load_rules, with_thresholds
from tasks.detect.tally import WrittenTally
from tasks.model.errors import MiddlewatchError, PermanentError, TransientError
from tasks.model.objects import Batch, EventRange

LARGE_BYTES: Final = 256 * 1024**2
"""
As stored. A worker takes half a second to start; from so much on, cores that do not wait for each
other save more where logs are compressed, and at three times as much where they are not. And what
evaluates then has none of the memory that counting takes.
"""
MOST_BATCHES: Final = 8
"""What allocators keep grows with each batch; a worker that counted so many is replaced."""
_PATIENCE_SECONDS: Final = 1
_ROOT: Final = Path(__file__).parents[2]
_WORK: Final = "from tasks.detect.apart import work; work()"


@dataclass(frozen=True, slots=True)
class Errand:
    """A batch and how to count it, in words that another process understands."""

    source: Source
    batch: Batch
    zone: tzinfo
    rules_file: Path | None = None
    thresholds: Mapping[str, Override] | None = None
    event_range: EventRange | None = None
    limits: Limits | None = None
    formats_file: Path | None = None
    trusted_proxies: Sequence[Network] = ()
    is_last_attempt: bool = False

    def run(self) -> Counted:
        """
        What the batch comes to, in whatever process.

        Raises:
            TransientError: The source cannot be read now.
            ConfigurationError: Rules or formats make no sense.
        """
        rules = with_thresholds(load_rules(self.rules_file), self.thresholds or {})
        formats = load_formats(self.formats_file, self.trusted_proxies)
        return count_batch(
            self.source,
            self.batch,
            rules,
            self.zone,
            self.event_range,
            self.limits,
            choose_format=formats.choose,
            is_last_attempt=self.is_last_attempt,
        )


def is_large(batches: Iterable[Batch]) -> bool:
    """Whether to count these batches apart is worth its while."""
    return sum(batch.size_bytes for batch in batches) >= LARGE_BYTES


class Workers:
    """Processes that count, each of them one batch at a time."""

    def __init__(self, most: int) -> None:
        """None is started before there is something to count apart."""
        self._seats = BoundedSemaphore(most)
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()

    def run(self, errand: Errand, *, is_apart: bool) -> Counted:
        """
        What the batch comes to, as soon as a core is free; the same in this process or *apart*.

        Raises:
            TransientError: The source cannot be read now, or the worker came to its end.
        """
        with self._seats:
            return self._run_apart(errand) if is_apart else errand.run()

    def end(self) -> None:
        """Those that have nothing to do are gone, with their memory."""
        with suppress(IndexError):
            while True:
                self._idle.pop().end()

    def kill(self) -> None:
        """All are gone, also in the middle of a batch: nobody waits for it any more."""
        started = *self._idle, *self._busy
        for worker in started:
            worker.kill()
        for worker in started:
            worker.wait(_PATIENCE_SECONDS)

    def _run_apart(self, errand: Errand) -> Counted:
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker(errand.batch)
        self._busy.add(worker)
        try:
            counted = worker.run(errand)
        except BaseException:
            worker.end()
            raise
        finally:
            self._busy.discard(worker)
        if worker.batches < MOST_BATCHES:
            self._idle.append(worker)
        else:
            worker.end()
        return counted


@cache
def workers() -> Workers:
    """As many as there are cores for this process, by its affinity and the quota of its group."""
    found = Workers(pl.thread_pool_size())
    atexit.register(found.kill)
    return found


class _Worker:
    """A process that counts, as seen from the one that started it."""

    def __init__(self, batch: Batch) -> None:
        self.batches = 0
        self._connection, theirs = Pipe()
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _WORK, str(theirs.fileno())],
                    env=os.environ | {"PYTHONPATH": path},
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the run, which ends its workers
                )
        except OSError as error:
            self._connection.close()
            reason = (error.strerror or type(error).__name__).lower()
            raise TransientError(
                f"No process could be started to count batch {batch.number} in ({reason}): see "
                "that the system has memory and room for processes."
            ) from None

    def run(self, errand: Errand) -> Counted:
        """What the batch comes to; after an error nobody knows what the worker is at."""
        try:
            self._connection.send(errand)
        except OSError:
            raise self._lost(errand.batch) from None

        try:
            outcome = self._connection.recv()
            if isinstance(outcome, MiddlewatchError):
                raise outcome
            results, left_out, slowed_by, places = outcome
            parts = Parts.open(recv_handle(self._connection), places)
        except (EOFError, OSError):
            raise self._lost(errand.batch) from None
        except RuntimeError:  # the descriptor was sent, and there is no room for it here
            raise TransientError(
                f"What was counted of batch {errand.batch.number} cannot be opened: let this user "
                "have more open files (ulimit -n)."
            ) from None
        self.batches += 1
        return Counted(results, WrittenTally(parts), left_out, slowed_by)

    def kill(self) -> None:
        """It is to end at once, whatever it is at."""
        self._process.kill()

    def wait(self, seconds: float) -> None:
        """It is gone, if it ended in time: one that waits for a dead disk does not."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def end(self) -> None:
        """It is gone, and so is what it was asked by."""
        self.kill()
        self._process.communicate()
        self._connection.close()

    def _lost(self, batch: Batch) -> TransientError:
        code = self._process.wait()
        how = _name_signal(-code) if code < 0 else f"exit code {code}"
        return TransientError(
            f"The process that counted batch {batch.number} came to its end ({how}): nothing of "
            "the batch is on record; if memory ran out, give the system more, or this fewer cores."
        )


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # those between SIGRTMIN and SIGRTMAX have no name
        return f"signal {number}"


def work() -> None:
    """In a worker: one batch after the other is counted, until the other process is gone."""
    Thread(target=_end_with_parent, daemon=True).start()
    parent = Connection(int(sys.argv[1]))
    with suppress(EOFError, ConnectionError):
        while True:
            _do(parent.recv(), parent)
    os._exit(0)


def _do(errand: Errand, parent: Connection) -> None:
    try:
        counted = errand.run()
        # what is counted is read where it is: it may be more than memory has room for
        descriptor, places = counted.tally.parts.share()
    except MiddlewatchError as error:
        parent.send(error)
    except Exception as error:  # noqa: BLE001 -- its text may hold a piece of a log line
        parent.send(PermanentError(explain_unexpected(error)))
    else:
        parent.send((counted.results, counted.left_out, counted.slowed_by, places))
        send_handle(parent, descriptor, os.getppid())


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(0)
