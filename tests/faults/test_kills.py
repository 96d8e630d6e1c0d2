"""SIGKILL wherever it hurts: the next run finds everything whole, and tells nobody a third time."""

import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from tests import scans
from tests.faults.invariants import check
from tests.processes import start
from tests.scans import address, attack, scan

ATTACKERS = [address(n) for n in range(1, 7)]
STEPS = range(1, 9)
"""There are six attackers here and three in the seed-like logs; the last step is the eighth."""
PAUSES = [0.05 * n for n in range(20)]
"""Seconds after the run's first row, about to its end."""


Moment = Callable[["Seen"], bool]


@pytest.fixture
def logs(tmp_path):
    files = {f"web/{n:02}.log": attack(ip) for n, ip in enumerate(ATTACKERS)}
    return scans.write_logs(scans.seed_like(tmp_path / "logs"), files)


@pytest.fixture
def kill_when(tmp_path, logs, database, bedrock, telegram):
    """Run a scan in a process of its own until a moment comes, and kill it there."""

    def kill(has_come: Moment, pause: float = 0) -> bool:
        process = start(
            *("-m", "flows.scan", str(logs)),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        seen = Seen(database.removeprefix("sqlite:///"), bedrock, telegram)
        deadline = time.monotonic() + 90
        while process.poll() is None and time.monotonic() < deadline and not has_come(seen):
            time.sleep(0.001)
        time.sleep(pause)
        was_running = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        return was_running

    return kill


class Seen:
    """What can be seen of a run from outside while it works."""

    def __init__(self, path: str, bedrock, telegram) -> None:
        self._path = path
        self.bedrock = bedrock
        self.telegram = telegram

    def rows(self, sql: str) -> int:
        """How many there are; none while there is no database yet."""
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as connection:
                return int(connection.execute(f"SELECT count(*) FROM {sql}").fetchone()[0])
        except sqlite3.Error:
            return 0


def reached(sql: str, number: int = 1) -> Moment:
    """So many rows are there."""
    return lambda seen: seen.rows(sql) >= number


def called(number: int) -> Moment:
    """The model was asked so often."""
    return lambda seen: len(seen.bedrock.calls) >= number


def told(number: int) -> Moment:
    """So many messages are out."""
    return lambda seen: len(seen.telegram.messages) >= number


MOMENTS: dict[str, Moment] = {
    "the run is on record": reached("runs"),
    "the first file is counted": reached("log_objects WHERE state = 'done'"),
    "the incidents are on record": reached("incidents"),
    "the alerts are on record": reached("deliveries"),
    "the attempts are on record": reached("deliveries WHERE attempts > 0"),
    "the run is closed": reached("runs WHERE finished_at IS NOT NULL"),
    **{f"call {n} is made": called(n) for n in STEPS},
    **{f"call {n} is booked": reached(f"budgets WHERE calls >= {n}") for n in STEPS},
    **{f"alert {n} is sent": told(n) for n in STEPS},
    **{f"delivery {n} is on record": reached("deliveries WHERE state = 'sent'", n) for n in STEPS},
    **{
        f"verdict {n} is on record": reached("incidents WHERE status = 'confirmed'", n)
        for n in STEPS
    },
}
FEW = {"the incidents are on record", "call 3 is made", "alert 2 is sent", "verdict 4 is on record"}


def check_after_kill(url, logs, truth, telegram):
    """The next run does what is left, the one after it has nothing to do."""
    summary = scan(logs)
    again = scan(logs)

    assert summary.coverage.holds
    assert again.is_idle
    check(url, truth, telegram, repeats=1, secrets=(telegram.token, "wJalrXUtnFEMI"))
    states = {state for (state,) in scans.rows(url, "SELECT state FROM runs")}
    assert states <= {"crashed", "done"}


@pytest.mark.parametrize(
    "moment",
    [pytest.param(m, marks=() if m in FEW else pytest.mark.matrix) for m in MOMENTS],
)
def test_killed_when(truth, database, logs, telegram, kill_when, moment):
    """Between this write and the next one."""
    kill_when(MOMENTS[moment])

    check_after_kill(database, logs, truth, telegram)


@pytest.mark.matrix
@pytest.mark.parametrize("pause", PAUSES)
def test_killed_after(truth, database, logs, telegram, kill_when, pause):
    """So many seconds after its first row."""
    kill_when(MOMENTS["the run is on record"], pause)

    check_after_kill(database, logs, truth, telegram)


@pytest.mark.matrix
def test_killed_again_and_again(truth, database, logs, telegram, kill_when):
    """Every run dies a little later than the one before; the last one finishes."""
    for moment in ("the first file is counted", "call 2 is made", "verdict 1 is on record"):
        kill_when(MOMENTS[moment])

    scan(logs)
    check(database, truth, telegram, repeats=3)
