"""Incidents as they come to the analyst, to test triage and research with."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.model.incidents import (
    Activity,
    EvidenceLine,
    Family,
    Finding,
    Incident,
    Severity,
    Status,
    rate,
)

START = datetime(2026, 2, 22, 19, 12, tzinfo=UTC)
ATTACKER = "203.0.113.9"
SQL_LINE = (
    f"{ATTACKER} - - [22/Feb/2026:22:12:45 +0300] \"GET /login.php?user=admin' AND (SELECT 1 FROM"
    ' (SELECT(SLEEP(5)))a)-- HTTP/1.1" 200 512 "-" "Mozilla/5.0"'
)


def make_finding(**fields: Any) -> Finding:
    """A signature finding of SQL injection; *fields* replace its parts."""
    values: dict[str, Any] = {
        "rule_id": "sql-injection",
        "rule_version": 1,
        "rule_title": "SQL injection in requests",
        "family": Family.SQL_INJECTION,
        "severity": Severity.HIGH,
        "techniques": ("T1190",),
        "is_signature": True,
        "timespan_seconds": 600,
        "threshold": 1,
        "count": 3,
        "event_count": 5,
        "window_start": START,
        "first_seen": START,
        "last_seen": START + timedelta(minutes=4),
    }
    return Finding(**(values | fields))


def make_volume_finding(family: Family, count: int, threshold: int, **fields: Any) -> Finding:
    """A finding that stands on a count alone."""
    values = {
        "rule_id": "counted",
        "rule_title": "Counted events",
        "family": family,
        "severity": Severity.MEDIUM,
        "techniques": (),
        "is_signature": False,
        "threshold": threshold,
        "count": count,
        "event_count": count,
    }
    return make_finding(**(values | fields))


def make_incident(
    *findings: Finding, lines: Sequence[str] = (SQL_LINE,), **fields: Any
) -> Incident:
    """An incident of these findings (default: one of SQL injection) with these log lines."""
    findings = findings or (make_finding(),)
    evidence = tuple(
        EvidenceLine("access.log", n, line, (findings[0].rule_id,))
        for n, line in enumerate(lines, start=1)
    )
    values: dict[str, Any] = {
        "id": "incident-1",
        "namespace": "live",
        "source_ip": ATTACKER,
        "family": findings[0].family,
        "severity": rate(findings),
        "status": Status.SUSPECTED,
        "first_seen": START,
        "last_seen": START + timedelta(minutes=4),
        "activity": Activity(8, {"2xx": 5, "4xx": 3}),
        "findings": findings,
        "evidence": evidence,
    }
    return Incident(**(values | fields))
