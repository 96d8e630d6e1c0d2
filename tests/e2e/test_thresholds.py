"""Thresholds of one run: what it finds with them is told, and no other run takes it back."""

from datetime import timedelta

import pytest

from tests import scans
from tests.scans import START, flood, request, scan

VISITOR = "198.51.100.9"
LOW = {"http-request-volume": {"threshold": 300}}
HIGH = {"http-request-volume": {"threshold": 100_000}}


def more(number):
    """Some more lines of the same address in the same hour."""
    return request(VISITOR, f"/page/{number}", START + timedelta(minutes=number))


def record(url):
    """What is on record of the address: id, status and findings."""
    return scans.rows(url, "SELECT id, status, findings FROM incidents")


def test_what_a_low_threshold_found_stays_found(database, telegram, tmp_path):
    """Default runs touch the same hour, and then low ones again: one incident, told once."""
    logs = scans.write_logs(tmp_path / "logs", {"a.log": flood(VISITOR)})
    scan(logs, thresholds=LOW)
    [(incident_id, status, _)] = record(database)

    listed = [{"rule": "http-request-volume", "threshold": 300}]
    for number, thresholds in enumerate((None, LOW, HIGH, listed, None), start=1):
        scans.write_logs(logs, {f"{number}.log": more(number)})
        scan(logs, thresholds=thresholds)

    [(same, still, _)] = record(database)
    assert (same, still) == (incident_id, status) == (incident_id, "confirmed")
    assert len(telegram.messages) == 1


def test_a_high_threshold_takes_nothing_back(database, telegram, tmp_path):
    """What the rules have found is not undone by a run that looks away."""
    logs = scans.write_logs(tmp_path / "logs", {"a.log": flood(VISITOR, 3500)})
    scan(logs)
    scans.write_logs(logs, {"b.log": more(1)})

    scan(logs, thresholds=HIGH)

    [(_, status, _)] = record(database)
    assert status == "confirmed"
    assert len(telegram.messages) == 1


@pytest.mark.parametrize("thresholds", [None, LOW])
def test_evidence_that_was_replaced_is_taken_back_by_the_same_rules(
    database, moto_s3, tmp_path, thresholds
):
    """An object that was overwritten counts no more; that is no matter of thresholds."""
    moto_s3.create_bucket(
        Bucket="logs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    moto_s3.put_object(Bucket="logs", Key="a.log", Body=flood(VISITOR, 3500).encode())
    scan("s3://logs", thresholds=thresholds)
    moto_s3.put_object(Bucket="logs", Key="a.log", Body=more(1).encode())

    scan("s3://logs", thresholds=thresholds)

    [(_, status, _)] = record(database)
    assert status == "closed"


@pytest.mark.parametrize("threshold", [10, 25])
def test_the_lowest_of_thresholds_still_has_evidence(database, tmp_path, threshold):
    """A hundred addresses just above it: nobody is accused without a line."""
    ips = [f"198.51.100.{n}" for n in range(1, 101)]
    lines = "".join(flood(ip, threshold + 1) for ip in ips)
    logs = scans.write_logs(tmp_path / "logs", {"a.log": lines})

    scan(logs, thresholds={"http-request-volume": {"threshold": threshold}})

    found = scans.rows(database, "SELECT source_ip, evidence FROM incidents")
    assert len(found) == len(ips)
    assert [ip for ip, evidence in found if len(str(evidence)) < 50] == []
