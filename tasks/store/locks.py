"""Locks that a killed process cannot keep: one judge of a namespace at a time."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from tasks.model.errors import TransientError
from tasks.model.objects import digest
from tasks.store.engine import translated

WAIT_SECONDS = 600
IDLE_SECONDS = 120
"""A MySQL server frees the lock of a host that vanished after this long without a sign."""


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
    with translated(engine):
        connection = engine.connect()
        connection.detach()  # its session settings and its lock must not return to the pool
        connection.execute(text(f"SET SESSION wait_timeout={IDLE_SECONDS}"))
        acquired = _acquire(connection, key, wait_seconds)
    if not acquired:
        connection.close()
        raise _busy(name, wait_seconds)
    done = Event()
    keeper = Thread(target=_keep_alive, args=(connection, done), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
        with suppress(DBAPIError):  # a lost connection has lost the lock, too
            connection.close()


def _acquire(connection: Connection, key: str, wait_seconds: float) -> bool:
    """Ask in short steps: the driver gives up on any answer that takes longer than a minute."""
    remaining = wait_seconds
    while True:
        step = min(10.0, remaining)
        if connection.scalar(text("SELECT GET_LOCK(:key, :step)"), {"key": key, "step": step}):
            return True
        remaining -= step
        if remaining <= 0:
            return False


def _keep_alive(connection: Connection, done: Event) -> None:
    with suppress(DBAPIError):
        while not done.wait(IDLE_SECONDS / 4):
            connection.execute(text("SELECT 1"))
