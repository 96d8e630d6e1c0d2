"""Files and S3 objects that are broken, hostile, denied or gone; all others are counted."""

import gzip
import os
import re
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.collect import directory, s3
from tasks.collect.directory import Directory, _FilePart
from tasks.model.runs import RunState
from tasks.store.ledger import MAX_ATTEMPTS
from tests import scans
from tests.scans import attack, scan

GOOD = "45.89.23.9"
BAD = "45.89.23.13"


@pytest.fixture
def logs(database, tmp_path):
    return scans.write_logs(tmp_path / "logs", {"good.log": attack(GOOD)})


def packed(line: str) -> bytes:
    return gzip.compress(line.encode() * 1000)


class Denied:
    """Module os, for somebody who may not open a path."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: str, flags: int) -> int:
        if path == self._path:
            raise PermissionError(13, "Permission denied", path)
        return os.open(path, flags)


def make_device(path: Path) -> int:
    """One that never ends, where that is allowed; how many were made."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        return 0
    return 1


def skipped_or_quarantined(url):
    return {(key, state) for key, state, _ in scans.objects(url) if state != "done"}


def check_good_one(url):
    assert GOOD in scans.found(url)
    assert BAD not in scans.found(url)
    assert all(scans.coverages(url))


def test_half_a_gzip_waits_and_is_set_aside_in_the_end(database, logs):
    """Nothing of it counts; after the fifth run it is out of the way; whole again, it counts."""
    path = logs / "bad.log.gz"
    path.write_bytes(packed(attack(BAD))[:-20])

    first = scan(logs)
    later = [scan(logs) for _ in range(MAX_ATTEMPTS)]

    assert first.state is RunState.INCOMPLETE
    assert any("ends too early" in failure for failure in first.failures)
    check_good_one(database)
    assert skipped_or_quarantined(database) == {("bad.log.gz", "quarantined")}
    assert later[-1].coverage.quarantined == 1
    assert later[-1].state is RunState.DONE


def test_a_bomb_is_set_aside_at_once(database, logs):
    """Ten gigabytes in ten megabytes: the run takes seconds, and nothing of it counts."""
    block = gzip.compress(bytes(16 << 20))
    (logs / "bomb.gz").write_bytes(packed(attack(BAD)) + block * 640)
    began_at = time.monotonic()

    summary = scan(logs)

    assert time.monotonic() - began_at < 60
    assert [q.object_key for q in summary.quarantined] == ["bomb.gz"]
    assert "MIDDLEWATCH_MAX_COMPRESSION_RATIO" in summary.quarantined[0].reason
    check_good_one(database)


def test_what_is_no_file_is_not_opened(database, logs):
    """A FIFO would never end and a device neither; an empty file is done."""
    os.mkfifo(logs / "fifo.log")
    (logs / "null.log").symlink_to("/dev/zero")
    devices = make_device(logs / "zero.log")
    (logs / "empty.log").write_bytes(b"")
    (logs / "a-directory.log").mkdir()

    summary = scan(logs)

    assert summary.state is RunState.DONE
    assert summary.coverage.listed == 4 + devices
    assert summary.coverage.skipped == 2 + devices
    check_good_one(database)


def test_a_file_that_may_not_be_read_is_named(database, logs, monkeypatch):
    """The others are counted; when it may be read, it is."""
    path = scans.write_logs(logs, {"denied.log": attack(BAD)}) / "denied.log"
    path.chmod(0)
    with monkeypatch.context() as patch:
        if os.geteuid() == 0:  # root may read everything
            patch.setattr(directory, "os", Denied(path))
        first = scan(logs)
    path.chmod(0o644)
    second = scan(logs)

    assert "denied.log" in " ".join(first.failures)
    assert second.state is RunState.DONE
    assert {GOOD, BAD} == set(scans.found(database))


@pytest.mark.matrix
def test_a_line_of_every_sort_of_rubbish_is_counted_as_a_line(database, logs):
    """Control characters, NULs, broken UTF-8, ten megabytes without an end: lines, not errors."""
    rubbish = [
        b"\x00x" * 100,
        b"\x1b[2J\x07",
        b"\xff\xfe\xfa",
        b"A" * 10_000_000,
        b"' OR 1=1; --",
        b"<b>",
    ]
    (logs / "rubbish.log").write_bytes(b"\n".join(rubbish) + b"\n" + attack(BAD).encode())

    summary = scan(logs)

    assert (summary.lines, summary.lines_unparsed) == (len(rubbish) + 2, len(rubbish))
    assert {GOOD, BAD} == set(scans.found(database))


# S3


@pytest.fixture
def bucket(database, moto_s3):
    moto_s3.create_bucket(
        Bucket="logs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    for name, ip in (("good.log", GOOD), ("other.log", BAD)):
        moto_s3.put_object(Bucket="logs", Key=name, Body=attack(ip).encode())
    return moto_s3


@pytest.fixture
def faulty(bucket, moto_server, environ):
    """S3 behind a gateway that answers some requests by itself."""
    from tests.servers.gateway import Gateway

    with Gateway(moto_server) as gateway:
        environ(AWS_ENDPOINT_URL_S3=gateway.url)
        yield gateway


READS_ONE = re.compile(r"GET /logs/other\.log")
S3_ERRORS = {
    "slow down": (503, "SlowDown"),
    "internal error": (500, "InternalError"),
    "denied": (403, "AccessDenied"),
    "gone": (404, "NoSuchKey"),
}


@pytest.mark.parametrize(
    "fault",
    [pytest.param(f, marks=() if f == "denied" else pytest.mark.matrix) for f in S3_ERRORS],
)
def test_one_key_cannot_be_read(database, faulty, fault):
    """The run is Incomplete and names it; the next one reads it, and only it."""
    faulty.refuse(READS_ONE, *S3_ERRORS[fault])

    first = scan("s3://logs")
    faulty.heal()
    second = scan("s3://logs")

    assert first.state is RunState.INCOMPLETE
    assert first.coverage.holds
    assert "other.log" in " ".join(first.failures) or "Batch" in " ".join(first.failures)
    assert second.state is RunState.DONE
    assert {GOOD, BAD} == set(scans.found(database))
    assert sorted(scans.objects(database)) == [("good.log", "done", 1), ("other.log", "done", 1)]


@pytest.mark.matrix
def test_slow_down_for_a_moment_is_waited_out(database, faulty):
    """Twice 503: the same run reads it."""
    faulty.refuse(READS_ONE, 503, "SlowDown", times=2)

    assert scan("s3://logs").state is RunState.DONE
    assert {GOOD, BAD} == set(scans.found(database))


def test_one_owner_tries_a_request_again(database, faulty):
    """A key that never answers is asked for four times in a run, and the other one once."""
    faulty.refuse(READS_ONE, 503, "SlowDown")

    scan("s3://logs")

    read = [r for r in faulty.requests if r.startswith("GET /logs/") and "list-type" not in r]
    assert sorted(r.split("?")[0] for r in read) == [
        "GET /logs/good.log",
        *["GET /logs/other.log"] * 4,
    ]


@pytest.mark.matrix
def test_a_listing_that_fails_keeps_nobody_else_waiting(database, faulty):
    """The run says so; the next one lists."""
    faulty.refuse(re.compile(r"GET /logs/?\?"), 503, "SlowDown")

    first = scan("s3://logs")
    faulty.heal()
    second = scan("s3://logs")

    assert first.state is RunState.INCOMPLETE
    assert second.coverage.done == 2


def test_an_object_that_is_overwritten_between_listing_and_reading(database, bucket, faulty):
    """What was listed is gone; the next run reads what is there now, once."""
    new = attack(BAD) * 3
    faulty.before(
        READS_ONE, lambda: bucket.put_object(Bucket="logs", Key="other.log", Body=new.encode())
    )

    first = scan("s3://logs")
    second = scan("s3://logs")

    assert first.coverage.holds
    assert second.state is RunState.DONE
    lines = [
        n for key, state, n in scans.objects(database) if (key, state) == ("other.log", "done")
    ]
    assert lines == [3]


# what S3 has besides logs


@pytest.mark.matrix
def test_odd_objects_take_nothing_else_with_them(database, bucket):
    """A key that looks like a directory and an empty object are done; a bomb and half a gzip not."""
    odd = {
        "archive/": b"",
        "empty.log": b"",
        "half.log.gz": packed(attack(BAD))[:-20],
        "bomb.log.gz": gzip.compress(bytes(256 << 20)),
    }
    for key, body in odd.items():
        bucket.put_object(Bucket="logs", Key=key, Body=body)

    first = scan("s3://logs")
    later = [scan("s3://logs") for _ in range(MAX_ATTEMPTS)]

    assert [q.object_key for q in first.quarantined] == ["bomb.log.gz"]
    assert any("half.log.gz" in failure for failure in first.failures)
    assert later[-1].state is RunState.DONE
    assert later[-1].coverage.quarantined == 2
    assert {GOOD, BAD} == set(scans.found(database))
    assert all(scans.coverages(database))
    states = {key: state for key, state, _ in scans.objects(database)}
    assert states == {
        "archive/": "done",
        "bomb.log.gz": "quarantined",
        "empty.log": "done",
        "good.log": "done",
        "half.log.gz": "quarantined",
        "other.log": "done",
    }


@pytest.mark.matrix
def test_a_store_that_never_answers_is_given_up(database, faulty, monkeypatch):
    """One key hangs: the run ends, names it, and has counted the others."""
    monkeypatch.setattr(s3, "_READ_SECONDS", 0.5)
    never = threading.Event()
    faulty.refuse(READS_ONE, 503, "SlowDown", before=lambda: never.wait(30))

    first = scan("s3://logs")
    never.set()
    faulty.heal()
    second = scan("s3://logs")

    assert first.state is RunState.INCOMPLETE
    assert "other.log" in " ".join(first.failures)
    assert first.coverage.done == 1
    assert (second.state, second.coverage.done) == (RunState.DONE, 1)
    assert {GOOD, BAD} == set(scans.found(database))


@pytest.mark.parametrize("what", ["object", pytest.param("listing", marks=pytest.mark.matrix)])
def test_an_answer_that_comes_a_byte_at_a_time_is_given_up(database, faulty, monkeypatch, what):
    """No single wait is long, and no answer comes to an end: the run does, and the next one reads."""
    monkeypatch.setattr(s3, "_READ_SECONDS", 1)
    monkeypatch.setattr(s3, "_ANSWER_SECONDS", 2)
    monkeypatch.setattr(s3, "_SLOWEST_BYTES_PER_SECOND", 1 << 40)
    faulty.trickling = READS_ONE if what == "object" else re.compile(r"GET /logs/?\?")
    began_at = time.monotonic()

    first = scan("s3://logs")
    faulty.heal()
    second = scan("s3://logs")

    assert time.monotonic() - began_at < 60
    assert first.state is RunState.INCOMPLETE
    assert second.state is RunState.DONE
    assert {GOOD, BAD} == set(scans.found(database))
    assert all(scans.coverages(database))


# files that change


@pytest.fixture
def while_reading(monkeypatch):
    """Do something when the first bytes of a file have been read."""

    def when_begun(do):
        read, once = _FilePart.readinto, iter([do])

        def readinto(part, buffer):
            count = read(part, buffer)
            for one in once:
                one()
            return count

        monkeypatch.setattr(_FilePart, "readinto", readinto)

    return when_begun


@pytest.mark.parametrize("left", [0, 40])
def test_a_file_that_shrinks_while_it_is_read(database, logs, while_reading, left):
    """Nothing of it is counted in this run; the next one counts what is left of it."""
    path = scans.write_logs(logs, {"a-shrinking.log": attack(BAD) * 5000}) / "a-shrinking.log"
    while_reading(lambda: os.truncate(path, left and len(attack(BAD)) * left))

    first = scan(logs)
    second = scan(logs)

    assert first.state is RunState.INCOMPLETE
    assert "a-shrinking.log" in " ".join(first.failures)
    assert first.coverage.holds
    assert second.state is RunState.DONE
    assert all(scans.coverages(database))
    lines = {key: n for key, state, n in scans.objects(database) if state == "done" and n}
    assert lines == {"good.log": 1} | ({"a-shrinking.log": left} if left else {})


def test_a_file_that_becomes_a_fifo_before_it_is_read(database, logs, monkeypatch):
    """It is not waited for; the others are counted."""
    path = scans.write_logs(logs, {"a.log": attack(BAD)}) / "a.log"
    opened = Directory.open

    def swap(directory, log_object):
        if log_object.object_key == "a.log" and path.is_file():
            path.unlink()
            os.mkfifo(path)
        return opened(directory, log_object)

    monkeypatch.setattr(Directory, "open", swap)

    summary = scan(logs)

    assert "a.log" in " ".join(summary.failures)
    check_good_one(database)
