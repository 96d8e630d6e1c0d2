"""Batches counted by processes of their own: whatever ends one, each is counted once, and none stays."""

import os
import signal
import time
from functools import partial

import polars as pl
import pytest

from flows import counting
from tasks.collect.batches import make_batches
from tasks.detect import apart
from tasks.detect.task import tally_batch
from tests import scans
from tests.faults.invariants import check
from tests.processes import children, is_alive, start
from tests.scans import address, attack, scan

SOON_SECONDS = 60

DYING = """
import os, signal
from functools import partial
from multiprocessing.connection import Connection
from tasks.detect import apart

left = [int(os.environ["DIES_BEFORE"])]

def or_die(send, *arguments):
    if left[0] == 0 and len(os.listdir(os.environ["DIED"])) < int(os.environ["DEATHS"]):
        open(os.path.join(os.environ["DIED"], str(os.getpid())), "x")
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    send(*arguments)

send = Connection.send
Connection.send = lambda self, message: or_die(send, self, message)
apart.send_handle = partial(or_die, apart.send_handle)
apart.work()
"""
"""A worker that may die before it says what a batch came to, and before it shows where that is."""

STUCK = "import time; from tasks.detect import apart; apart._do = lambda *_: time.sleep(600); apart.work()"

COMMAND = f"""
import typer
from flows import scan
from tasks.detect import apart

apart.LARGE_BYTES = 1
apart._WORK = {STUCK!r}
typer.run(scan.main)
"""


@pytest.fixture
def logs(tmp_path):
    files = {f"web/{n:02}.log": attack(address(n)) for n in range(1, 7)}
    return scans.write_logs(scans.seed_like(tmp_path / "logs"), files)


@pytest.fixture
def counted_apart(truth, monkeypatch):
    """A worker for each object; once the undisturbed run is through."""
    quick = tally_batch.with_options(retry_delay_seconds=0.05, retry_jitter_factor=0.1)
    monkeypatch.setattr(counting, "tally_batch", quick)
    monkeypatch.setattr(counting, "make_batches", partial(make_batches, max_objects=1))
    monkeypatch.setattr(apart, "LARGE_BYTES", 1)


@pytest.fixture
def dying(tmp_path, counted_apart, monkeypatch, environ):
    """Some workers die before a message of theirs; gives who has died."""
    died = tmp_path / "died"
    died.mkdir()

    def die(deaths: int, before: int):
        monkeypatch.setattr(apart, "_WORK", DYING)
        environ(DIES_BEFORE=str(before), DIED=str(died), DEATHS=str(deaths))
        return died

    return die


def counting_for(process: int) -> set[int]:
    return {pid for pid, args in children(process).items() if "apart" in args}


def test_counted_apart(database, truth, logs, counted_apart, monkeypatch):
    """The same as by threads, and no worker is left when the rules are held against it."""
    started = []
    begin = apart._Worker.__init__

    def start_and_tell(self, batch):
        started.append(batch)
        begin(self, batch)

    monkeypatch.setattr(apart._Worker, "__init__", start_and_tell)
    monkeypatch.setattr(apart, "MOST_BATCHES", 100)  # on one core, one would be replaced

    summary = scan(logs)

    assert 1 <= len(started) <= pl.thread_pool_size()
    assert counting_for(os.getpid()) == set()
    assert summary.failures == ()
    check(database, truth)


@pytest.mark.parametrize(
    "before", [0, 3, *(pytest.param(n, marks=pytest.mark.matrix) for n in (1, 2, 6))]
)
def test_a_worker_is_killed(database, truth, logs, dying, before):
    """As by a system without memory: before, between and after the parts of a tally."""
    died = dying(1, before)

    summary = scan(logs)

    assert len(list(died.iterdir())) == 1
    assert summary.failures == ()
    assert counting_for(os.getpid()) == set()
    check(database, truth)


def test_workers_are_killed_again_and_again(database, truth, logs, dying):
    """What is given up is named, the others are counted, and the next run finishes."""
    dying(7, 1)

    summary = scan(logs)
    again = scan(logs)

    assert summary.coverage.holds
    for failure in summary.failures:
        assert "came to its end (SIGKILL): nothing of the batch is on record" in failure
    assert again.failures == ()
    assert scan(logs).is_idle
    check(database, truth)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGKILL, -9),
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.matrix),
    ],
)
def test_a_run_ends_while_others_count_for_it(database, truth, logs, tmp_path, number, code):
    """Ctrl-C goes to everything in the terminal; no worker survives, and none says a word."""
    with start("-c", COMMAND, str(logs), cwd=tmp_path, start_new_session=True) as process:
        deadline = time.monotonic() + SOON_SECONDS
        while not (workers := counting_for(process.pid)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1)
        os.killpg(process.pid, number)
        output, complaint = process.communicate(timeout=SOON_SECONDS)

    assert (process.returncode, output) == (code, "")
    told = "It was stopped before its end; the next run takes up what it left.\n"
    assert complaint.endswith("" if number == signal.SIGKILL else told)
    assert "Traceback" not in complaint
    deadline = time.monotonic() + SOON_SECONDS
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert scan(logs).failures == ()
    assert scan(logs).is_idle
    check(database, truth)
