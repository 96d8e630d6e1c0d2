"""Logs to scan, and what to look at after a scan."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from flows.command import outcome_of
from flows.scan import scan_logs
from tasks.model.runs import RunSummary

SQLI, TRAVERSAL, PROBER = "192.168.1.105", "45.89.23.12", "203.0.113.66"

MIXED = f"""\
127.0.0.1 - - [22/Feb/2026:22:10:01 +0300] "GET /assets/images/logo.png HTTP/1.1" 200 4523 "https://mysite.com/" "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
{SQLI} - - [22/Feb/2026:22:12:45 +0300] "GET /login.php?user=admin' AND (SELECT 1 FROM (SELECT(SLEEP(5)))a)-- HTTP/1.1" 200 512 "-" "Mozilla/5.0"
Feb 22 22:15:01 cloud-server sshd[1245]: Accepted password for developer from 192.168.1.20 port 54321 ssh2
Feb 22 22:18:33 my-server sshd[25341]: Failed password for invalid user admin from 103.45.12.8 port 56789 ssh2
{TRAVERSAL} - - [22/Feb/2026:22:25:40 +0300] "GET /../../../../etc/passwd HTTP/1.1" 403 162 "-" "curl/7.81.0"
"""
"""One file of a host that writes everything to one place."""

PROBED = (
    "/wp-login.php", "/.env", "/phpmyadmin/", "/shell?cmd=ls", "/../../../../etc/passwd",
    "/admin/", "/.git/config", "/backup.sql", "/config.php.bak", "/server-status",
    "/wp-admin/setup-config.php", "/xmlrpc.php", "/vendor/phpunit/phpunit/phpunit.xml",
    "/cgi-bin/test.cgi", "/.aws/credentials", "/id_rsa", "/db.zip", "/phpinfo.php",
    "/manager/html", "/solr/admin/",
)  # fmt: skip

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:135.0) Gecko/20100101 Firefox/135.0"
START = datetime(2026, 2, 22, 19, 30, tzinfo=UTC)


def request(
    source_ip: str, target: str, at: datetime = START, status: int = 200, agent: str = BROWSER
) -> str:
    """A line in Combined Log Format."""
    return f'{source_ip} - - [{at:%d/%b/%Y:%H:%M:%S +0000}] "GET {target} HTTP/1.1" {status} 512 "-" "{agent}"\n'


def attack(source_ip: str, at: datetime = START) -> str:
    """One SQL injection, which is enough for an incident."""
    return request(source_ip, "/item?id=1+UNION+ALL+SELECT+1,user,password+FROM+users--", at)


def attacks(count: int, at: datetime = START) -> str:
    """As many attackers, each with an address of its own."""
    return "".join(attack(address(n), at) for n in range(1, count + 1))


def address(number: int) -> str:
    """A documentation address."""
    return f"198.51.100.{number}"


def flood(source_ip: str, count: int = 700) -> str:
    """Many requests in one minute: counted evidence, without a signature."""
    return "".join(
        request(source_ip, f"/page/{n % 40}", START + timedelta(seconds=n * 59 // count))
        for n in range(count)
    )


def prober() -> str:
    """Twenty probes of one attacker."""
    return "".join(
        request(PROBER, target, START + timedelta(seconds=3 * n), 404, "curl/8.5.0")
        for n, target in enumerate(PROBED)
    )


def visitors() -> str:
    """Two people who read some pages."""
    pages = ("/", "/about", "/assets/site.css", "/assets/logo.png", "/blog/hello?page=2")
    return "".join(
        request(ip, page, START + timedelta(seconds=7 * n))
        for n, page in enumerate(pages)
        for ip in ("198.51.100.201", "198.51.100.202")
    )


def write_logs(directory: Path, files: dict[str, str]) -> Path:
    """The files are in the directory, which is returned."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return directory


def seed_like(directory: Path) -> Path:
    """The mixed file, the prober's log and the two visitors'."""
    return write_logs(
        directory,
        {"cloud/mixed.log": MIXED, "web/prober.log": prober(), "web/visitors.log": visitors()},
    )


def scan(source: object, **parameters: Any) -> RunSummary:
    """One scan in this process, to its summary."""
    outcome = outcome_of(scan_logs(str(source), **parameters, return_state=True))
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def final_state(source: object) -> tuple[str, str]:
    """How Prefect shows one scan in this process: the name and the message of its state."""
    state = scan_logs(str(source), return_state=True)
    return f"{state.type.value} {state.name}", str(state.message)


def rows(url: str, sql: str, **values: object) -> list[Any]:
    """What the database answers to a person who looks at it, as tuples."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), values)]
    finally:
        engine.dispose()


def write(url: str, sql: str, **values: object) -> None:
    """What somebody does to the database by hand."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text(sql), values)
    finally:
        engine.dispose()


def found(url: str, namespace: str = "live") -> dict[str, str]:
    """Address to family of the incidents that people are told of."""
    sql = """SELECT source_ip, family FROM incidents
             WHERE namespace = :namespace AND status IN ('confirmed', 'needs_review')"""
    return dict(rows(url, sql, namespace=namespace))


CONTENT = (
    "source_ip", "family", "severity", "status", "first_seen", "last_seen", "request_count",
    "activity", "findings", "evidence", "techniques", "attack_type", "confidence", "summary",
    "recommended_action",
)  # fmt: skip


def contents(url: str, namespace: str = "live") -> list[dict[str, Any]]:
    """Everything that the incidents say, without when and by which run it was written."""
    sql = f"SELECT {', '.join(CONTENT)} FROM incidents WHERE namespace = :namespace"
    told = [
        {name: _plain(value) for name, value in zip(CONTENT, row, strict=True)}
        for row in rows(url, sql, namespace=namespace)
    ]
    return sorted(told, key=lambda i: (i["source_ip"], i["first_seen"]))


def _plain(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("[", "{"):
        return json.loads(value)
    return value.isoformat(" ") if isinstance(value, datetime) else value


def objects(url: str, namespace: str = "live") -> list[tuple[Any, ...]]:
    """The ledger: key, state and lines of every object version."""
    sql = """SELECT object_key, state, `lines` FROM log_objects
             WHERE namespace = :namespace ORDER BY object_key, state"""
    return rows(url, sql, namespace=namespace)


def coverages(url: str) -> Iterable[bool]:
    """
    Whether the coverage equation holds, for each run that came to its end.

    What others committed is at most what they listed.
    """
    sql = """SELECT state, objects_listed, objects_done, objects_unchanged, objects_quarantined,
                    objects_skipped FROM runs"""
    return [
        _adds_up(row) if state in {"done", "incomplete"} else row[0] >= sum(row[1:])
        for state, *row in rows(url, sql)
    ]


def _adds_up(row: Sequence[int]) -> bool:
    return row[0] == sum(row[1:])
