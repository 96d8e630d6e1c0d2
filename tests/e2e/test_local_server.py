"""A one-off run brings its own Prefect server, and leaves a whole history without a noise."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tasks.model.errors import ConfigurationError
from tests.conftest import ROOT

RUN = """
from flows.local_server import local_server
from prefect import flow, task
from prefect.futures import wait

@task
def double(number):
    return 2 * number

@flow
def doubles():
    wait(double.map(range(150)))
    return "done"

with local_server():
    print("server", flush=True)
    print(doubles(), flush=True)
    if {stay}:
        import time
        time.sleep(60)
"""


def start(home: Path, *, stay: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN.format(stay=stay)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        | {"PREFECT_HOME": str(home), "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def query(home: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(home / "prefect.db")) as connection:
        return connection.execute(sql).fetchall()


def test_two_first_runs_at_once_leave_their_whole_history_and_no_noise(tmp_path):
    both = [start(tmp_path), start(tmp_path)]
    printed = [run.communicate(timeout=180) for run in both]

    assert [("server\ndone\n", "")] * 2 == printed
    assert [(150, "COMPLETED"), (150, "COMPLETED")] == query(
        tmp_path, "SELECT count(*), state_type FROM task_run GROUP BY flow_run_id, state_type"
    )


def test_the_server_of_a_killed_run_does_not_outlive_it(tmp_path):
    run = start(tmp_path, stay=True)
    assert run.stdout
    assert "server\n" == run.stdout.readline()
    server = int(subprocess.check_output(["pgrep", "-P", str(run.pid)]))

    run.send_signal(signal.SIGKILL)
    run.communicate()

    deadline = time.monotonic() + 20
    while _alive(server) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(server)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_an_api_that_does_not_answer_is_named_in_one_sentence(monkeypatch):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.local_server import local_server

    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}),
        pytest.raises(ConfigurationError, match=r"http://127\.0\.0\.1:1/api does not answer"),
        local_server(),
    ):
        pass


def test_a_home_that_cannot_be_written_is_named_in_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    run = start(tmp_path / "file" / "prefect")

    _, complaint = run.communicate(timeout=180)

    assert run.returncode != 0
    assert f"ConfigurationError: Prefect cannot write to {tmp_path}/file/prefect" in complaint
