"""A scan of a bucket: every object version once, whatever its key and whenever it comes."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.model.objects import Coverage
from tests import scans
from tests.scans import address, scan

ODD_KEYS = (
    "logs/with space.log",
    "logs/plus+plus.log",
    "logs/percent%20encoded%2F.log",
    "logs/naïve-日志-🦉.log",
    "logs/a/../b.log",
    "logs//double.log",
    "logs/quote'\"&<>.log",
)


@pytest.fixture
def put(moto_s3):
    """Write an object of the bucket."""
    moto_s3.create_bucket(
        Bucket="acme-logs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )

    def put_object(key, content):
        moto_s3.put_object(Bucket="acme-logs", Key=key, Body=content.encode())

    return put_object


def test_1500_objects_are_counted_once_and_what_is_new_later_is_found(database, put):
    """Several pages, odd keys, a key that sorts before all others, and an overwritten object."""
    with ThreadPoolExecutor(4) as threads:
        for number in range(1493):
            line = scans.request(f"192.0.2.{number % 250}", f"/page/{number}")
            threads.submit(put, f"logs/2026/02/22/{number:05}.log", line)
    for number, key in enumerate(ODD_KEYS, start=101):
        put(key, scans.attack(address(number)))
    put("elsewhere/other.log", scans.attack("198.51.100.9"))

    first = scan("s3://acme-logs/logs/")
    second = scan("s3://acme-logs/logs/")
    put("logs/0-late-with-an-earlier-name.log", scans.attack("198.51.100.10"))
    third = scan("s3://acme-logs/logs/")

    assert first.coverage == Coverage(1500, 1500)
    assert second.is_idle
    assert second.coverage == Coverage(1500, unchanged=1500)
    assert third.coverage == Coverage(1501, done=1, unchanged=1500)
    ledger = Counter(key for key, state, _ in scans.objects(database) if state == "done")
    assert len(ledger) == 1501
    assert set(ledger.values()) == {1}
    assert set(ODD_KEYS) < set(ledger)
    assert set(scans.found(database)) == {address(n) for n in (10, *range(101, 108))}
    assert all(scans.coverages(database))


def test_an_overwritten_object_replaces_what_it_counted(database, put):
    """Its first attacker is closed, its second one found, and the ledger says which version counts."""
    put("a.log", scans.attack("198.51.100.1") + scans.attack("198.51.100.2"))
    scan("s3://acme-logs")
    put("a.log", scans.attack("198.51.100.2") + scans.attack("198.51.100.3"))

    summary = scan("s3://acme-logs")

    assert summary.coverage == Coverage(1, done=1)
    assert set(scans.found(database)) == {"198.51.100.2", "198.51.100.3"}
    statuses = dict(scans.rows(database, "SELECT source_ip, status FROM incidents"))
    assert statuses["198.51.100.1"] == "closed"
    assert [state for _, state, _ in scans.objects(database)] == ["done", "skipped"]
    counts = dict(scans.rows(database, "SELECT source_ip, request_count FROM incidents"))
    assert counts["198.51.100.2"] == 1
