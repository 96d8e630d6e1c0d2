"""A database that is slow, locked, cut off or gone in the middle; nothing is lost or doubled."""

import os
import random
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from contextvars import copy_context
from datetime import datetime, timedelta

import pymysql
import pytest
from sqlalchemy import make_url

from flows import closing as closing_stage
from flows import lifecycle, telling
from tasks.model.errors import MiddlewatchError, TransientError
from tasks.model.objects import digest
from tasks.model.runs import RunSummary
from tasks.notify import task as notify
from tasks.research import task as research
from tasks.store import locks
from tasks.store import task as store
from tasks.store.deliveries import Outbox
from tasks.store.engine import engine_for
from tasks.triage import task as triage
from tests import scans
from tests.conftest import ROOT
from tests.faults.disturbances import now_and_then, run_until_it_works
from tests.faults.invariants import check
from tests.scans import attack, scan
from tests.servers import bedrock as model
from tests.servers import telegram as chat
from tests.servers.proxy import Proxy

ATTACKERS = [f"45.89.23.{n}" for n in range(1, 7)]


@pytest.fixture
def logs(tmp_path):
    files = {f"web/{n:02}.log": attack(ip) for n, ip in enumerate(ATTACKERS)}
    return scans.write_logs(scans.seed_like(tmp_path / "logs"), files)


@pytest.fixture
def proxy(truth, mariadb, mariadb_url, environ):
    """MariaDB behind a proxy, from now on the database."""
    with Proxy(mariadb.port) as proxy:
        url = make_url(mariadb_url).set(port=proxy.port).render_as_string(hide_password=False)
        environ(MIDDLEWATCH_DATABASE_URL=url)
        yield proxy
        engine_for(url).dispose()


def at_first(do, then):
    """A model that does something before its first answer."""
    once = threading.Lock()

    def answer(call):
        if once.acquire(blocking=False):
            do()
        return then(call)

    return answer


def check_whole(url, truth, logs, telegram, **expected):
    scan(logs)
    assert scan(logs).is_idle
    check(url, truth, telegram, secrets=("p@ss:w/rd%", telegram.token), **expected)


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=pytest.mark.matrix if n else ()) for n in range(8)]
)
def test_connections_that_break(proxy, truth, mariadb_url, logs, bedrock, telegram, seed):
    """At random moments, also between a statement and its commit."""
    with now_and_then(proxy.cut, seed):
        run_until_it_works(logs)

    check_whole(mariadb_url, truth, logs, telegram, repeats=1)


def test_gone_while_the_model_thinks(proxy, truth, mariadb_url, logs, bedrock, telegram):
    """The run cannot even say that it failed; the next one does all that is left."""

    def vanish():
        proxy.is_refusing = True
        proxy.cut()

    bedrock.judge_everyone(at_first(vanish, model.true_positive()))
    outcome = run_until_it_works(logs)
    proxy.is_refusing = False

    assert isinstance(outcome, MiddlewatchError)
    assert "cannot be reached" in str(outcome)
    check_whole(mariadb_url, truth, logs, telegram)


@pytest.mark.matrix
def test_killed_connections(proxy, truth, mariadb, mariadb_url, logs, bedrock, telegram):
    """An administrator kills them all while alerts are sent: the tasks are retried."""

    def kill_all():
        mine = "SELECT id FROM information_schema.processlist WHERE user = 'middlewatch'"
        for (number,) in mariadb.execute(mine):
            with suppress(pymysql.MySQLError):  # it may have ended by itself
                mariadb.execute(f"KILL {number}")

    bedrock.judge_everyone(at_first(kill_all, model.true_positive()))
    scan(logs)

    check_whole(mariadb_url, truth, logs, telegram)


@pytest.mark.matrix
def test_slow_commits(proxy, truth, mariadb_url, logs, bedrock, telegram):
    """Every packet takes its time; the run takes longer."""
    proxy.delay_seconds = 0.02
    scan(logs)
    proxy.delay_seconds = 0

    check_whole(mariadb_url, truth, logs, telegram)


@pytest.mark.matrix
def test_lock_wait_timeout(proxy, truth, mariadb, mariadb_url, logs, bedrock, telegram):
    """Somebody keeps all incidents locked for longer than the server lets others wait."""
    name = mariadb_url.rpartition("/")[2]
    other = pymysql.connect(unix_socket=str(mariadb.socket), user="root", database=name)
    mariadb.execute("SET GLOBAL innodb_lock_wait_timeout = 1")

    def lock_for_a_while():
        other.cursor().execute("SELECT id FROM incidents FOR UPDATE")
        threading.Timer(4, other.rollback).start()

    bedrock.judge_everyone(at_first(lock_for_a_while, model.true_positive()))
    try:
        scan(logs)
    finally:
        mariadb.execute("SET GLOBAL innodb_lock_wait_timeout = 50")
    time.sleep(4)
    other.close()

    check_whole(mariadb_url, truth, logs, telegram)


def test_a_sqlite_file_that_others_write(truth, database, logs, bedrock, telegram):
    """Somebody has it locked again and again: everybody waits for his turn."""
    path = database.removeprefix("sqlite:///")
    engine_for(database).connect().close()  # the file is there

    def lock():
        with closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(0.2)
            other.execute("ROLLBACK")

    with now_and_then(lock, seed=1):
        scan(logs)

    check_whole(database, truth, logs, telegram)


def test_two_scans_at_once(truth, database, logs, bedrock, telegram, tmp_path):
    """One waits for the other, and finds nothing left to do."""
    command = [sys.executable, "-m", "flows.scan", str(logs)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    scans_at_once = [
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]

    assert [process.wait(120) for process in scans_at_once] == [0, 0]
    done = [n for (n,) in scans.rows(database, "SELECT objects_done FROM runs")]
    assert sorted(done) == [0, len(truth.objects)]
    check_whole(database, truth, logs, telegram)


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.matrix) for n in (1, 2))])
def test_a_mariadb_that_is_killed_and_started_again(
    truth, mariadb, mariadb_database, logs, bedrock, telegram, seed
):
    """SIGKILL in the middle of transactions, back after seconds: committed is committed."""

    def crash():
        time.sleep(random.Random(seed).uniform(0, 1))
        mariadb.kill()
        time.sleep(2)
        mariadb.start()

    crashing = threading.Thread(target=crash)
    bedrock.judge_everyone(at_first(crashing.start, model.true_positive()))
    run_until_it_works(logs)
    crashing.join()

    check_whole(mariadb_database, truth, logs, telegram, repeats=1)


def test_a_busy_database_where_a_run_begins_and_ends(
    truth, proxy, mariadb_url, logs, bedrock, telegram, monkeypatch
):
    """Each write outside of tasks meets a lost connection first: the run does not fail for it."""
    met = []

    def lose_first(module, name):
        write = getattr(module, name)

        def lost_once(*args, **kwargs):
            if name not in met:
                met.append(name)
                proxy.cut()
                raise TransientError("The connection was lost.")
            return write(*args, **kwargs)

        monkeypatch.setattr(module, name, lost_once)

    outside = ["open_database", "open_namespace", "open_run", "load_conclusions", "close_run"]
    for module in (lifecycle, closing_stage):
        for name in outside:
            if hasattr(module, name):
                lose_first(module, name)
    lose_first(Outbox, "held_back")

    summary = scan(logs)

    assert sorted(met) == sorted([*outside, "held_back"])
    assert summary.failures == ()
    check_whole(mariadb_url, truth, logs, telegram)


@pytest.mark.matrix
def test_a_deadlock(truth, mariadb, mariadb_database, logs, bedrock, telegram, monkeypatch):
    """MySQL error 1213 while verdicts are written: the transaction is repeated, and nothing lost."""
    monkeypatch.setattr(telling, "MAX_SINGLE_RECORDS", 0)  # all in one transaction
    name = mariadb_database.rpartition("/")[2]
    other = pymysql.connect(unix_socket=str(mariadb.socket), user="root", database=name)
    deadlocks = "SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'"
    before = int(mariadb.execute(deadlocks)[0][1])

    def cross():
        """Hold the last row, and want the first one when the run wants the last."""
        cursor = other.cursor()
        cursor.execute("CREATE TEMPORARY TABLE heavy (n INT) ENGINE=InnoDB")
        cursor.executemany("INSERT INTO heavy VALUES (%s)", [(n,) for n in range(1000)])
        cursor.execute("SELECT id FROM incidents ORDER BY id")
        ids = [i for (i,) in cursor.fetchall()]
        row = "SELECT id FROM incidents WHERE id = %s FOR UPDATE"
        cursor.execute(row, (ids[-1],))
        waits = """SELECT 1 FROM information_schema.innodb_trx
                   WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE '%FROM incidents%'"""
        deadline = time.monotonic() + 60
        while not mariadb.execute(waits) and time.monotonic() < deadline:
            time.sleep(0.02)
        cursor.execute(row, (ids[0],))
        other.rollback()

    crossing = threading.Thread(target=cross)
    bedrock.judge_everyone(at_first(crossing.start, model.delayed(1, model.true_positive())))
    summary = scan(logs)
    crossing.join()
    other.close()

    assert int(mariadb.execute(deadlocks)[0][1]) > before
    assert summary.failures == ()
    check_whole(mariadb_database, truth, logs, telegram)


def test_a_run_whose_lock_is_lost_does_not_work_beside_its_successor(
    truth, mariadb, mariadb_database, logs, bedrock, telegram, monkeypatch
):
    """GET_LOCK goes with its connection; who was taken for dead writes nothing more."""
    monkeypatch.setattr(locks, "KEEP_SECONDS", 600)  # it is not taken anew before somebody has it
    context = copy_context()  # in which Prefect finds its server

    def overtake():
        key = f"middlewatch-{digest(mariadb_database.rpartition('/')[2], 'live')[:40]}"
        [(holder,)] = mariadb.execute(f"SELECT IS_USED_LOCK('{key}')")
        mariadb.execute(f"KILL {holder}")
        bedrock.judge_everyone(model.true_positive())
        overtaking.append(context.run(scan, logs))

    overtaking: list[RunSummary] = []
    bedrock.judge_everyone(at_first(overtake, model.true_positive()))
    slow = run_until_it_works(logs)

    assert [summary.failures for summary in overtaking] == [()]
    assert isinstance(slow, MiddlewatchError)
    assert "took this one for dead" in str(slow)
    check_whole(mariadb_database, truth, logs, telegram)


@pytest.mark.parametrize(
    "kib",
    [pytest.param(n, marks=() if n == 200 else pytest.mark.matrix) for n in (4, 60, 200, 280)],
)
def test_a_disk_that_is_full(truth, database, logs, bedrock, telegram, tmp_path, kib):
    """The kernel refuses more bytes at some moment: the run says so, the next one has room."""
    process = subprocess.run(
        [sys.executable, "-m", "flows.scan", str(logs)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (kib * 1024, kib * 1024)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert process.returncode == 1, process.stdout
    assert "cannot be written now" in process.stdout + process.stderr
    check_whole(database, truth, logs, telegram, repeats=1)


@pytest.mark.parametrize("hours", [-25, pytest.param(25, marks=pytest.mark.matrix)])
def test_a_clock_that_is_set(truth, database, logs, bedrock, telegram, monkeypatch, hours):
    """By more than a day in the middle of a run, and back before the next one."""
    is_wrong = threading.Event()

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(hours=hours if is_wrong.is_set() else 0)

    for module in (lifecycle, closing_stage, notify, research, store, triage):
        monkeypatch.setattr(module, "datetime", Clock)
    bedrock.judge_everyone(at_first(is_wrong.set, model.true_positive()))
    telegram.script(chat.drop_connection(is_delivered=True))
    state, _ = scans.final_state(logs)
    is_wrong.clear()

    assert state == "FAILED Incomplete"
    check_whole(database, truth, logs, telegram, repeats=1)
    [(started, finished)] = scans.rows(
        database, "SELECT started_at, finished_at FROM runs WHERE state = 'incomplete'"
    )
    assert (finished < started) == (hours < 0)
