"""One judge of a namespace at a time, and no lock outlives its holder."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.model.errors import TransientError
from tasks.store.locks import database_lock

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
