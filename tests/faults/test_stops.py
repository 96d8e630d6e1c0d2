"""Told to stop, cancelled, or without its Prefect server: it ends soon and says so; the next run finishes."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import cast
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.states import Cancelling, Completed, Running

from flows.local_server import ONE_RUN_ONLY
from flows.scan import scan_logs
from tasks.model.runs import Run, RunKind
from tasks.store.runs import open_run
from tasks.store.schema import open_database
from tests import scans
from tests.conftest import ROOT
from tests.faults.invariants import check
from tests.processes import children, start
from tests.scans import address, attack, scan
from tests.servers import bedrock as model

ATTACKERS = [address(n) for n in range(1, 5)]
SOON_SECONDS = 60
"""The model takes ten minutes; nobody waits for it."""


@pytest.fixture
def logs(tmp_path):
    files = {f"web/{n:02}.log": attack(ip) for n, ip in enumerate(ATTACKERS)}
    return scans.write_logs(tmp_path / "logs", files)


@pytest.fixture
def thinking(truth, bedrock):
    """A model that does not answer before it is told to; gives the wait for its first call."""
    bedrock.judge_everyone(model.delayed(600, model.true_positive()))

    def wait(process):
        deadline = time.monotonic() + 120
        while not bedrock.calls and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert bedrock.calls, process.communicate()
        bedrock.judge_everyone(model.true_positive())

    return wait


def command(logs, tmp_path, **variables):
    """`python -m flows.scan` as a person starts it; with *variables* on top of the environment."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    env = {name: value for name, value in environment.items() if value}
    return start("-m", "flows.scan", str(logs), cwd=tmp_path, env=env)


@contextmanager
def busy(tmp_path, program, *arguments):
    """A process that has said that it is busy."""
    with start("-c", program, *arguments, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "busy\n"
        yield process


def check_after(url, truth, logs, telegram, state):
    """The run is on record as what it was and did; the next one does the rest, once."""
    sql = "SELECT state, objects_listed, objects_done, `lines`, error FROM runs"
    [(*recorded, error)] = scans.rows(url, sql)
    assert recorded == [state, len(ATTACKERS), len(ATTACKERS), len(ATTACKERS)]
    assert "the next run" in error
    assert scan(logs).failures == ()
    assert scan(logs).is_idle
    check(url, truth, telegram, secrets=(telegram.token, "wJalrXUtnFEMI"))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.matrix),
    ],
)
def test_a_command_that_is_told_to_stop(
    database, truth, logs, thinking, telegram, tmp_path, number, code
):
    """One sentence, the exit code that shells know, and Prefect does not show it as running."""
    process = command(logs, tmp_path)
    thinking(process)
    process.send_signal(number)

    output, complaint = process.communicate(timeout=SOON_SECONDS)

    assert (process.returncode, output) == (code, "")
    assert complaint == "It was stopped before its end; the next run takes up what it left.\n"
    [(flow_run_id,)] = scans.rows(database, "SELECT flow_run_id FROM runs")
    check_after(database, truth, logs, telegram, "stopped")
    assert prefect_state(flow_run_id) == "Crashed"


BUSY = """
import sqlite3
import typer
from flows import scan

def evaluate(*_):
    print("busy", flush=True)  # from here on, in code that no signal interrupts
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    sqlite3.connect(":memory:").execute(count).fetchone()

scan.evaluate_rules = evaluate
typer.run(scan.main)
"""


def test_a_command_that_is_busy_when_it_is_told_to_stop(database, truth, logs, telegram, tmp_path):
    """It is on record as stopped, however long the flow takes to hear of it."""
    with busy(tmp_path, BUSY, str(logs)) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON_SECONDS) == 143

    check_after(database, truth, logs, telegram, "stopped")


DEAF = """
import sqlite3
from flows.command import run_once

def start():
    print("busy", flush=True)  # Python calls no handler in here
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    sqlite3.connect(":memory:").execute(count).fetchone()

run_once(start)
"""


def test_ctrl_c_has_its_exit_code_where_no_handler_is_called(database, tmp_path):
    """It was that of SIGTERM, where five seconds had not been enough for the handler."""
    with busy(tmp_path, DEAF) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(SOON_SECONDS) == 130


def prefect_state(flow_run_id):
    """How Prefect shows a run."""
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(str(flow_run_id))).state
    assert state is not None
    return state.name


@contextmanager
def other_server(tmp_path):
    """A Prefect server of its own, as one that somebody else runs; its process and its URL."""
    env = os.environ | ONE_RUN_ONLY | {"PREFECT_HOME": str(tmp_path / "other-prefect")}
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with start("-m", "flows.local_server", cwd=ROOT, env=env, **pipes) as server:
        try:
            assert server.stdout is not None
            yield server, server.stdout.readline().strip()
        finally:
            server.kill()


@pytest.mark.matrix
def test_a_command_whose_own_server_dies(database, truth, logs, thinking, telegram, tmp_path):
    """It ends in seconds, not after minutes of attempts to reach it."""
    home = str(tmp_path / "own-prefect")
    process = command(logs, tmp_path, PREFECT_API_URL="", PREFECT_HOME=home)
    thinking(process)
    [server] = [p for p, args in children(process.pid).items() if "local_server" in args]
    os.kill(server, signal.SIGKILL)

    output, complaint = process.communicate(timeout=SOON_SECONDS)

    assert (process.returncode, output) == (1, "")
    assert complaint.endswith("Prefect's server is gone; the next run takes up what is left.\n")
    check_after(database, truth, logs, telegram, "stopped")


@pytest.mark.matrix
def test_a_prefect_server_that_dies(database, truth, logs, bedrock, telegram, tmp_path):
    """The run ends as failed, after some minutes at most; nothing that it did is done again."""
    with other_server(tmp_path) as (server, url):
        bedrock.judge_everyone(model.delayed(2, model.true_positive()))
        process = command(logs, tmp_path, PREFECT_API_URL=url)
        while not bedrock.calls and process.poll() is None:
            time.sleep(0.01)
        server.kill()

        _, complaint = process.communicate(timeout=300)

    assert process.returncode == 1
    assert complaint.endswith("Prefect's server is gone; the next run takes up what is left.\n")
    check_after(database, truth, logs, telegram, "failed")


@pytest.mark.matrix
def test_a_run_that_is_cancelled_in_prefect(database, truth, logs, thinking, telegram, monkeypatch):
    """Prefect shows it as Cancelled, the database as stopped."""
    monkeypatch.chdir(ROOT)
    deployment = RunnerDeployment.from_entrypoint("flows/scan.py:scan_logs", name="cancelled")
    deployment.parameters = {"source": str(logs)}
    deployment_id = cast("UUID", deployment.apply())  # synchronous here
    with get_client(sync_client=True) as client:
        flow_run = client.create_flow_run_from_deployment(deployment_id)
        execute = ("-m", "prefect", "flow-run", "execute", str(flow_run.id))
        with start(*execute, cwd=ROOT, stderr=subprocess.STDOUT) as process:
            thinking(process)
            client.set_flow_run_state(flow_run.id, Cancelling())
            process.communicate(timeout=180)

    assert prefect_state(flow_run.id) == "Cancelled"
    check_after(database, truth, logs, telegram, "stopped")


def test_a_run_that_was_killed_is_not_running_for_ever(database, logs, tmp_path, bedrock):
    """The next run marks it as Crashed in Prefect; a final state stays as it is."""
    with get_client(sync_client=True) as client:
        killed = client.create_flow_run(scan_logs, state=Running())
        ended = client.create_flow_run(scan_logs, state=Completed())
    for name, flow_run_id in (("a", killed.id), ("b", ended.id), ("c", uuid4())):
        # as if each had been killed; of the last one, Prefect knows nothing
        run = Run(name, name, RunKind.SCAN, f"{name}-live", "file:///", datetime.now(UTC))
        open_run(open_database(database), run, str(flow_run_id))
    scans.write(database, "UPDATE runs SET namespace = 'live'")

    scan(logs)

    assert (prefect_state(killed.id), prefect_state(ended.id)) == ("Crashed", "Completed")
    states = scans.rows(database, "SELECT state FROM runs ORDER BY state")
    assert states == [("crashed",), ("crashed",), ("crashed",), ("done",)]
