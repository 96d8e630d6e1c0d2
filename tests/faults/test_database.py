"""A database that is slow, locked, cut off or gone in the middle; nothing is lost or doubled."""

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress

import pymysql
import pytest
from sqlalchemy import make_url

from tasks.model.errors import MiddlewatchError
from tasks.store.engine import engine_for
from tests import scans
from tests.conftest import ROOT
from tests.faults.invariants import Truth, check
from tests.scans import attack, scan
from tests.servers import bedrock as model
from tests.servers.proxy import Proxy

ATTACKERS = [f"45.89.23.{n}" for n in range(1, 7)]


@pytest.fixture
def logs(tmp_path):
    files = {f"web/{n:02}.log": attack(ip) for n, ip in enumerate(ATTACKERS)}
    return scans.write_logs(scans.seed_like(tmp_path / "logs"), files)


@pytest.fixture
def truth(database, logs, tmp_path, environ):
    url = f"sqlite:///{tmp_path / 'undisturbed.db'}"
    environ(MIDDLEWATCH_DATABASE_URL=url)
    scan(logs)
    environ(MIDDLEWATCH_DATABASE_URL=database)
    return Truth.of(url)


@pytest.fixture
def proxy(truth, mariadb, mariadb_url, environ):
    """MariaDB behind a proxy, from now on the database."""
    with Proxy(mariadb.port) as proxy:
        url = make_url(mariadb_url).set(port=proxy.port).render_as_string(hide_password=False)
        environ(MIDDLEWATCH_DATABASE_URL=url)
        yield proxy
        engine_for(url).dispose()


def run_until_it_works(logs):
    """A scan that may end in any way of ours, and one more that nothing disturbs."""
    try:
        return scan(logs)
    except MiddlewatchError as error:
        return error


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


@contextmanager
def now_and_then(do, seed, longest_pause=0.6):
    """Do it at random moments for as long as it takes."""
    is_over = threading.Event()
    moments = random.Random(seed)

    def repeat():
        while not is_over.wait(moments.uniform(0.05, longest_pause)):
            do()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


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
