"""A backfill gives the incidents of a scan, in a namespace of its own, and disturbs nobody."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from flows import backfill as backfill_module
from flows import counting
from flows.backfill import backfill_logs
from flows.command import outcome_of
from tasks.detect.rules import Override
from tasks.model.errors import ConfigurationError, PermanentError
from tests import scans
from tests.conftest import ROOT
from tests.scans import START, attack, scan

DAY = timedelta(days=1)
RANGE = {"start": START - DAY, "end": START + DAY}


def backfill(source, name="last-year", **parameters):
    """One backfill in this process, to its summary."""
    outcome = outcome_of(
        backfill_logs(name=name, source=str(source), **(RANGE | parameters), return_state=True)
    )
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


@pytest.fixture
def logs(tmp_path):
    """Seed-like logs of some hosts, nothing outside of the range."""
    directory = scans.seed_like(tmp_path / "logs")
    year = {
        "cloud/mixed.log": "".join(
            line for line in scans.MIXED.splitlines(keepends=True) if "sshd" not in line
        )
    }  # fmt: skip -- the year of those lines is that of the file
    scans.write_logs(directory, year)
    flood = scans.flood("198.51.100.99", 3200).splitlines(keepends=True)
    parts = {f"web/flood-{n}.log": "".join(flood[n::4]) for n in range(4)}
    return scans.write_logs(directory, parts)


@pytest.fixture
def scanned(logs, tmp_path, environ, database):
    """What a scan of the same logs finds, in another database."""
    environ(MIDDLEWATCH_DATABASE_URL=f"sqlite:///{tmp_path / 'scanned.db'}")
    scan(logs)
    environ(MIDDLEWATCH_DATABASE_URL=database)
    incidents = scans.contents(f"sqlite:///{tmp_path / 'scanned.db'}")
    assert len(incidents) == 4
    return incidents


def test_three_shards_stopped_in_the_middle_give_the_incidents_of_a_scan(
    database, logs, scanned, telegram, monkeypatch
):
    """The second shard fails with the process; the same name goes on, and nobody is told."""
    count = counting.count_objects
    shards = []

    def count_but_die_in_the_second(*args):
        shards.append(args[2])
        if len(shards) == 2:
            raise PermanentError("The machine is gone.")
        count(*args)

    monkeypatch.setattr(backfill_module, "count_objects", count_but_die_in_the_second)
    with pytest.raises(PermanentError, match="The machine is gone"):
        backfill(logs, shards=3)
    monkeypatch.setattr(backfill_module, "count_objects", count)

    resumed = backfill(logs, shards=3)

    assert resumed.coverage.unchanged == len(shards[0]) > 0
    assert resumed.coverage.done == 7 - len(shards[0])
    assert scans.contents(database, "last-year") == scanned
    assert telegram.requests == []
    assert scans.rows(database, "SELECT * FROM deliveries") == []
    for table in ("incidents", "log_objects", "tally_segments", "suspect_hours"):
        assert scans.rows(database, f"SELECT 1 FROM {table} WHERE namespace = 'live'") == []


def test_live_and_a_backfill_do_not_see_each_other(database, logs, scanned):
    """The same objects are counted in both; each has its incidents and its own ledger."""
    scan(logs)
    live = scans.objects(database)

    summary = backfill(logs)

    assert summary.coverage.done == 7
    assert scans.objects(database) == live
    assert scans.contents(database) == scans.contents(database, "last-year") == scanned


def test_only_events_from_start_and_before_end_count(database, tmp_path):
    """An event at start does, one at end does not; the lines around are read and left out."""
    at = {
        "198.51.100.1": START - timedelta(seconds=1),
        "198.51.100.2": START,
        "198.51.100.3": START + DAY - timedelta(seconds=1),
        "198.51.100.4": START + DAY,
    }
    lines = "".join(attack(ip, when) for ip, when in at.items())
    logs = scans.write_logs(tmp_path / "logs", {"a.log": lines})

    summary = backfill(logs, start=START, end=START + DAY)

    assert set(scans.found(database, "last-year")) == {"198.51.100.2", "198.51.100.3"}
    assert summary.lines == 4


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"end": START}, r"'last-year' is already the name of a backfill with .*repeat exactly"),
        ({"thresholds": {"http-request-volume": Override(threshold=9)}}, "repeat exactly these"),
        ({"end": START - 2 * DAY}, "is empty: end must be later"),
        ({"name": "live"}, "'live' is the namespace of scheduled scans: choose another name"),
    ],
)
def test_a_name_stands_for_one_question(database, logs, other, sentence):
    """Another range or threshold under the same name, an empty range and the name of scans are refused."""
    backfill(logs)

    with pytest.raises(ConfigurationError, match=sentence):
        backfill(logs, **other)


def test_killed_and_started_again_it_is_complete(database, tmp_path, scanned, logs):
    """SIGKILL while it counts; the command resumes by its name and exits with 0."""
    command = [
        sys.executable, "-m", "flows.backfill", str(logs), "--start=2026-02-21",
        "--end=2026-02-24", "--shards=3",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL)
    name = "2026-02-21-to-2026-02-24"
    deadline = time.monotonic() + 60
    while not counted(database, name) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = counted(database, name)

    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert 0 < before
    assert len(scans.objects(database, name)) == 7
    assert scans.contents(database, name) == scanned
    assert datetime.now(UTC) > START


def counted(url, namespace):
    """How many objects the ledger has; none while there is no schema."""
    try:
        return len(scans.objects(url, namespace))
    except Exception:  # noqa: BLE001 -- no file, no table, or not yet migrated
        return 0


def test_what_a_backfill_found_without_telling_is_told_when_it_is_asked_to(
    logs, database, telegram
):
    """All of it, once, with the verdict on record; scans have nothing of the kind."""
    quiet = backfill(logs)
    told = backfill(logs, alert=True)
    again = backfill(logs, alert=True)

    assert quiet.deliveries == {}
    assert told.suspects == 0
    assert told.deliveries == {"sent": len(quiet.incidents)}
    texts = "".join(message.text for message in telegram.messages)
    for conclusion in quiet.incidents:
        assert conclusion.incident.source_ip in texts
        assert conclusion.judgement.verdict.summary[:60] in texts
    assert again.deliveries == {}
