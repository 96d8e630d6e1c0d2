"""Files and S3 objects that are broken, hostile, denied or gone; all others are counted."""

import gzip
import os
import re
import time

import pytest

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
    (logs / "empty.log").write_bytes(b"")
    (logs / "a-directory.log").mkdir()

    summary = scan(logs)

    assert summary.state is RunState.DONE
    assert summary.coverage.listed == 4
    assert summary.coverage.skipped == 2
    check_good_one(database)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(database, logs):
    """The others are counted; when it may be read, it is."""
    path = scans.write_logs(logs, {"denied.log": attack(BAD)}) / "denied.log"
    path.chmod(0)

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
