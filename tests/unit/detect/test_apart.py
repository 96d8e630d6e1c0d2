"""Counting in processes of their own comes to the same; what ends one takes only its batch."""

import gzip
import os
import pickle
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import boto3
import pytest

from tasks.collect.batches import make_batches
from tasks.collect.compression import Limits
from tasks.collect.credentials import Account
from tasks.collect.source import open_source
from tasks.detect import apart
from tasks.detect.apart import Errand, Workers
from tasks.detect.rules import Override, load_rules, with_thresholds
from tasks.detect.samples import sample_limits
from tasks.model.errors import ConfigurationError, PermanentError, TransientError
from tasks.model.objects import EventRange, Location
from tests import scans
from tests.counting import added_up
from tests.ledgers import MemoryLedger
from tests.odd_sources import Shelf, Stuck, Throttled
from tests.processes import children, is_alive, start

SOON_SECONDS = 20
FORMATS = """\
formats:
  - id: plain
    nginx: '$remote_addr [$time_local] "$request" $status'
objects:
  - pattern: "**/own.log"
    formats: plain
"""
OWN = b'198.51.100.9 [22/Feb/2026:19:30:00 +0000] "GET /.env HTTP/1.1" 404\n'
SHELF = Shelf({"a.log": scans.attack("198.51.100.7").encode()})


@pytest.fixture
def workers():
    """Two workers, which end with the test."""
    found = Workers(2)
    yield found
    found.end()


@contextmanager
def until(path: Path):
    """Wait for a file, which a process makes when it has come so far."""
    deadline = time.monotonic() + SOON_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield


def processes(parent: int | None = None) -> set[int]:
    """Those that count for a process: this one, if none is named."""
    started = children(parent or os.getpid())
    return {pid for pid, args in started.items() if apart._WORK in args}


def said(counted, thresholds=None):
    """All that was counted, in bytes; how it is cut into parts depends on what is compiled."""
    limits = sample_limits(with_thresholds(load_rules(), thresholds or {}))
    tally = added_up(counted.tally, limits)
    return counted.results, counted.left_out, counted.slowed_by, list(tally.to_payloads())


def test_a_batch_comes_to_the_same_here_and_apart(tmp_path, workers):
    """Byte for byte, with all that a batch can be counted by; also by a worker that is used to it."""
    logs = scans.seed_like(tmp_path / "logs")
    scans.write_logs(logs, {"web/flood.log": scans.flood("198.51.100.99", 30_000)})
    (logs / "web" / "own.log").write_bytes(OWN)
    half = gzip.compress(scans.flood("198.51.100.98").encode())[:-40]
    (logs / "web" / "broken.log.gz").write_bytes(half)
    formats = tmp_path / "formats.yml"
    formats.write_text(FORMATS)
    source = open_source(Location(str(logs)))
    (batch,) = make_batches(source.plan(MemoryLedger()).to_read)
    plain = Errand(source, batch, UTC)
    full = Errand(
        source,
        batch,
        ZoneInfo("Europe/Rome"),
        thresholds={"http-request-volume": Override(threshold=3)},
        event_range=EventRange(scans.START.replace(hour=0), scans.START.replace(hour=23)),
        limits=Limits(1 << 30, 100),
        formats_file=formats,
        is_last_attempt=True,
    )

    for errand in (plain, full, plain):
        here, there = (
            said(workers.run(errand, is_apart=is_apart), errand.thresholds)
            for is_apart in (False, True)
        )
        assert here == there
        assert len(here[0]) == 6
    assert len(processes()) == 1


def test_as_many_at_a_time_as_there_are_cores(workers):
    """Each worker serves again and again, and all of them are gone at the end."""
    errands = [Errand(SHELF, SHELF.batch(n), UTC) for n in range(12)]

    with ThreadPoolExecutor(12) as pool:
        counted = list(pool.map(lambda errand: workers.run(errand, is_apart=True), errands))
        found = processes()
    workers.end()

    assert all(said(c) == said(counted[0]) for c in counted)
    assert 1 <= len(found) <= 2
    assert processes() == set()


def test_what_is_small_is_counted_here():
    """A worker takes half a second to start; it is the work of a whole run that counts."""
    (small,) = make_batches(SHELF.batch().objects)
    half = replace(small, objects=(replace(small.objects[0], size_bytes=apart.LARGE_BYTES // 2),))

    assert not apart.is_large([])
    assert not apart.is_large([half, small])
    assert apart.is_large([half, half])


def test_our_own_errors_cross_over_with_all_they_say(tmp_path, workers):
    """Who catches them cannot tell where they were raised."""
    nowhere = Errand(SHELF, SHELF.batch(), UTC, rules_file=tmp_path / "nowhere.yml")
    throttled = Throttled(dict.fromkeys("abc", b"x"))

    with pytest.raises(ConfigurationError, match=r"nowhere\.yml"):
        workers.run(nowhere, is_apart=True)
    with pytest.raises(TransientError, match=r"^S3 answers 503\.$") as caught:
        workers.run(Errand(throttled, throttled.batch(), UTC), is_apart=True)
    assert (caught.value.retry_after_seconds, caught.value.was_retried) == (7, True)


def test_an_unexpected_error_says_where_and_not_what(workers, capfd):
    """Its text may hold a piece of a log line, and reaches neither us nor the terminal."""
    errand = Errand(SHELF, SHELF.batch(), UTC, thresholds={"http-request-volume": "GET /secret"})  # type: ignore[dict-item]

    with pytest.raises(PermanentError, match=r"AttributeError in rules\.py:\d+\)") as caught:
        workers.run(errand, is_apart=True)

    assert "secret" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGKILL, "SIGKILL"), (signal.SIGRTMIN + 1, f"signal {signal.SIGRTMIN + 1}")],
)
def test_a_worker_that_is_killed_takes_one_batch_with_it(tmp_path, workers, number, name):
    """It is counted again by another one, and the other batch does not notice."""
    asked = tmp_path / "asked"
    stuck = Stuck(SHELF.objects, asked=str(asked))
    with ThreadPoolExecutor() as pool:
        lost = pool.submit(workers.run, Errand(stuck, stuck.batch(3), UTC), is_apart=True)
        with until(asked):
            [doomed] = processes()
        other = workers.run(Errand(SHELF, SHELF.batch(4), UTC), is_apart=True)
        os.kill(doomed, number)
        with pytest.raises(TransientError, match=rf"batch 3 came to its end \({name}\): nothing"):
            lost.result(SOON_SECONDS)

    again = workers.run(Errand(SHELF, SHELF.batch(3), UTC), is_apart=True)

    assert doomed not in processes()
    assert said(again) == said(other)


def test_a_stopped_worker_is_killed_with_the_others(tmp_path, workers):
    """A run that ends leaves nobody behind, not even one that cannot notice."""
    asked = tmp_path / "asked"
    stuck = Stuck(SHELF.objects, asked=str(asked))
    workers.run(Errand(SHELF, SHELF.batch(), UTC), is_apart=True)
    with ThreadPoolExecutor() as pool:
        lost = pool.submit(workers.run, Errand(stuck, stuck.batch(), UTC), is_apart=True)
        with until(asked):
            [stopped] = processes()
        os.kill(stopped, signal.SIGSTOP)

        workers.kill()

        assert not is_alive(stopped)
        with pytest.raises(TransientError, match="SIGKILL"):
            lost.result(SOON_SECONDS)


def test_a_worker_is_replaced_before_it_has_grown_large(workers):
    """The next one starts with nothing, and what it counts is the same."""
    errand = Errand(SHELF, SHELF.batch(), UTC)
    counted, seen = [], []
    for _ in range(apart.MOST_BATCHES + 1):
        counted.append(said(workers.run(errand, is_apart=True)))
        seen.append(processes())

    assert [len(here) for here in seen] == [1] * (apart.MOST_BATCHES - 1) + [0, 1]
    assert len(set[int]().union(*seen)) == 2
    assert all(each == counted[0] for each in counted)


def test_a_worker_that_does_not_start_is_worth_another_attempt(workers, monkeypatch, capfd):
    """As when there is no room for a process, or it has no memory to start with."""
    errand = Errand(SHELF, SHELF.batch(), UTC)
    monkeypatch.setattr(apart, "_WORK", "raise SystemExit(3)")
    with pytest.raises(TransientError, match=r"\(exit code 3\)"):
        workers.run(errand, is_apart=True)

    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(TransientError, match=r"batch 1 in \(no such file or directory\)"):
        workers.run(errand, is_apart=True)


PARENT = """
import sys
from datetime import UTC
from tasks.detect.apart import Errand, Workers
from tests.odd_sources import Stuck

stuck = Stuck({"a.log": b"x"}, asked=sys.argv[1])
Workers(1).run(Errand(stuck, stuck.batch(), UTC), is_apart=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_ends_with_the_process_that_started_it(tmp_path, number):
    """Also in the middle of a batch, and however that process ended."""
    asked = tmp_path / "asked"
    with start("-c", PARENT, str(asked)) as parent:
        with until(asked):
            [worker] = processes(parent.pid)
        assert os.getsid(worker) == worker  # Ctrl-C in the parent's terminal is not for it
        parent.send_signal(number)

    deadline = time.monotonic() + SOON_SECONDS
    while is_alive(worker):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_bucket_crosses_over_with_the_keys_of_its_account_and_shows_them_nowhere(monkeypatch):
    """They were those of a block, which the other process cannot ask for."""
    from tasks.collect.pattern import Pattern
    from tasks.collect.s3 import Bucket

    account = Account(
        lambda: boto3.Session("AKIAIOSFODNN7EXAMPLE", "of-the-block", "token", "eu-west-1"),
        "http://127.0.0.1:9",
    )
    bucket = Bucket("s3://acme-logs/web/", Pattern("**/*.log"), account)
    _, arguments = bucket.__reduce__()

    there = pickle.loads(pickle.dumps(bucket))

    assert vars(there)["_session"].get_credentials().secret_key == "of-the-block"
    assert vars(there)["_session"].get_credentials().token == "token"
    assert vars(there)["_client"].meta.endpoint_url == "http://127.0.0.1:9"
    assert vars(there)["_client"].meta.region_name == "eu-west-1"
    assert [vars(there)[name] for name in ("_bucket", "_prefix", "_pattern", "uri")] == [
        vars(bucket)[name] for name in ("_bucket", "_prefix", "_pattern", "uri")
    ]
    assert not any(secret in repr(arguments) for secret in ("AKIA", "of-the-block", "token"))
    assert not any(secret in repr(Errand(there, SHELF.batch(), UTC)) for secret in ("AKIA", "of-"))
    assert pickle.loads(pickle.dumps(there)).uri == "s3://acme-logs"
