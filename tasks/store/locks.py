"""Locks that a killed process cannot keep: one judge of a namespace at a time."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from tasks.model.errors import TransientError
from tasks.model.objects import digest
from tasks.store.engine import translated

WAIT_SECONDS = 600
IDLE_SECONDS = 120
"""A MySQL server frees the lock of a host that vanished after this long without a sign."""
KEEP_SECONDS = 10


@contextmanager
def database_lock(
    engine: Engine, name: str, *, wait_seconds: float = WAIT_SECONDS
) -> Iterator[None]:
    """
    Nobody else on this database is inside the same *name*.

    The lock is a file lock beside a SQLite file and a named lock on MySQL: both are freed by the
    system when their process dies.

    Raises:
        TransientError: Another process kept it for *wait_seconds*.
    """
    if engine.dialect.name == "sqlite":
        with _file_lock(engine, name, wait_seconds):
            yield
    else:
        with _named_lock(engine, name, wait_seconds):
            yield


def _busy(name: str, wait_seconds: float) -> TransientError:
    return TransientError(
        f"Another run has been busy with '{name}' on this database for {wait_seconds:.0f} s: "
        "the next run takes up what is left."
    )


@contextmanager
def _file_lock(engine: Engine, name: str, wait_seconds: float) -> Iterator[None]:
    database = engine.url.database
    if not database or database == ":memory:":
        yield  # no other process can see a database in memory
        return
    lock = FileLock(Path(f"{database}.{digest(name)[:12]}.lock"), timeout=wait_seconds)
    try:
        lock.acquire()
    except Timeout:
        raise _busy(name, wait_seconds) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _named_lock(engine: Engine, name: str, wait_seconds: float) -> Iterator[None]:
    key = f"middlewatch-{digest(str(engine.url.database), name)[:40]}"  # MySQL allows 64
    lock = _NamedLock(engine, key)
    with translated(engine):
        is_mine = lock.wait(wait_seconds)
    if not is_mine:
        lock.release()
        raise _busy(name, wait_seconds)
    done = Event()
    keeper = Thread(target=lock.keep, args=(done,), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
        lock.release()


class _NamedLock:
    """
    A lock of a MySQL server on a connection of its own, which it takes anew when that is lost.

    In the meantime another run may have had it: see check_in_charge in runs.py.
    """

    def __init__(self, engine: Engine, key: str) -> None:
        self._engine = engine
        self._key = key
        self._connection: Connection | None = None

    def wait(self, seconds: float) -> bool:
        """Ask in short steps: the driver gives up on any answer that takes longer than a minute."""
        deadline = monotonic() + seconds
        while True:
            step = max(0.0, min(10.0, deadline - monotonic()))
            try:
                if self._take(step):
                    return True
            except DBAPIError:
                self.release()
                if monotonic() + KEEP_SECONDS > deadline:
                    raise
                sleep(1)
            if monotonic() >= deadline:
                return False

    def keep(self, done: Event) -> None:
        """It is taken anew whenever its connection was lost, as long as it takes."""
        while not done.wait(KEEP_SECONDS):
            try:
                if self._connection is None:
                    self._take(0)
                else:
                    self._connection.execute(text("SELECT 1"))
            except DBAPIError:
                self.release()

    def release(self) -> None:
        """And its connection with it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(DBAPIError):  # a lost connection has lost the lock, too
                connection.close()

    def _take(self, seconds: float) -> bool:
        if self._connection is None:
            self._connection = self._engine.connect()
            # its session settings and its lock must not return to the pool
            self._connection.detach()
            self._connection.execute(text(f"SET SESSION wait_timeout={IDLE_SECONDS}"))
        asked = {"key": self._key, "step": seconds}
        return bool(self._connection.scalar(text("SELECT GET_LOCK(:key, :step)"), asked))
