"""One judge of a namespace at a time, and no lock outlives its holder."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.model.errors import PermanentError, TransientError
from tasks.model.objects import digest
from tasks.model.runs import Run, RunKind
from tasks.store import locks
from tasks.store.engine import engine_for
from tasks.store.locks import database_lock
from tasks.store.runs import in_charge, open_run

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from tasks.store.locks import database_lock
from tasks.store.schema import open_database
with database_lock(open_database(sys.argv[1]), "judging live"):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def other_process(url: str) -> Iterator[subprocess.Popen]:
    """Another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_lock_keeps_other_processes_out_until_its_holder_is_killed(engine, database_url):
    """SIGKILL frees it at once; other names were free all the time."""
    with other_process(database_url) as process:
        with (
            pytest.raises(TransientError, match=r"busy with 'judging live' .* for 1 s"),
            database_lock(engine, "judging live", wait_seconds=1),
        ):
            pytest.fail("two hold the lock")
        with database_lock(engine, "judging last-year", wait_seconds=1):
            pass

        process.kill()
        process.wait()
        with database_lock(engine, "judging live", wait_seconds=5):
            pass


def test_a_lock_is_free_again_after_its_block(engine):
    """Also when the block failed."""
    with pytest.raises(ZeroDivisionError), database_lock(engine, "judging live"):
        raise ZeroDivisionError

    with database_lock(engine, "judging live", wait_seconds=1):
        pass


def test_a_lock_whose_connection_is_killed_is_taken_anew(mariadb, mariadb_url, monkeypatch):
    """Within seconds nobody else can have it again, unless somebody was faster."""
    monkeypatch.setattr(locks, "KEEP_SECONDS", 0.1)
    engine = engine_for(mariadb_url)
    key = f"middlewatch-{digest(mariadb_url.rpartition('/')[2], 'judging live')[:40]}"

    def holder():
        return mariadb.execute(f"SELECT IS_USED_LOCK('{key}')")[0][0]

    with database_lock(engine, "judging live"):
        first = holder()
        mariadb.execute(f"KILL {first}")
        deadline = time.monotonic() + 20
        while holder() in (None, first) and time.monotonic() < deadline:
            time.sleep(0.05)

        assert holder() not in (None, first)
    assert holder() is None
    engine.dispose()


def test_who_was_taken_for_dead_is_not_in_charge(engine):
    """A run that began meanwhile marks it; its own transactions find out."""
    for name in ("first", "second"):
        run = Run(name, name, RunKind.SCAN, "live", "file:///logs", datetime.now(UTC))
        open_run(engine, run, None)

    with in_charge(engine, "second"):
        pass
    with pytest.raises(PermanentError, match="took this one for dead"), in_charge(engine, "first"):
        pytest.fail("two are in charge")
