"""What holds after any fault, once a run has gone through: checked the same way every time."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import create_engine, inspect, text

from tests import scans
from tests.servers.telegram import TelegramServer

FACTS = (
    "source_ip", "family", "first_seen", "last_seen", "request_count", "activity", "findings",
    "evidence", "techniques",
)  # fmt: skip
"""Of an incident, what no analyst has a say in."""


@dataclass(frozen=True)
class Truth:
    """What an undisturbed run comes to."""

    objects: list[tuple[Any, ...]]
    incidents: list[dict[str, Any]]

    @classmethod
    def of(cls, url: str) -> "Truth":
        return cls(scans.objects(url), facts(url))


def facts(url: str) -> list[dict[str, Any]]:
    """The incidents that count, without their verdicts."""
    open_ones = [i for i in scans.contents(url) if i["status"] != "closed"]
    return [{name: _to_the_second(incident[name]) for name in FACTS} for incident in open_ones]


def _to_the_second(value: Any) -> Any:
    """SQLite writes microseconds, MariaDB only where there are any."""
    return value.removesuffix(".000000") if isinstance(value, str) else value


def check(
    url: str,
    truth: Truth,
    telegram: TelegramServer | None = None,
    *,
    repeats: int = 0,
    secrets: tuple[str, ...] = (),
) -> None:
    """
    Everything is counted once, judged, recorded and told.

    Args:
        url: The database, after a run that nothing disturbed.
        truth: Of the same logs.
        telegram: Who was told; None where nobody was to be.
        repeats: How many times one alert may have been told over: crashes and lost answers.
        secrets: Nowhere in the database and in no message.
    """
    assert scans.objects(url) == truth.objects
    assert facts(url) == truth.incidents
    assert all(scans.coverages(url))
    assert scans.rows(url, "SELECT state FROM runs WHERE state = 'running'") == []
    unjudged = "SELECT source_ip FROM incidents WHERE needs_judgement OR status = 'suspected'"
    assert scans.rows(url, unjudged) == []
    if telegram is not None:
        check_told(url, telegram, repeats)
    stored = dump(url)
    for secret in secrets:
        assert secret not in stored
        assert telegram is None or all(secret not in m.text for m in telegram.messages)


def check_told(url: str, telegram: TelegramServer, repeats: int) -> None:
    """
    Whoever people are to be told of they were told of, and not more often than need be.

    Where repeats may be: what the chat took twice without our having it on record waits, and is
    told all the same.
    """
    done = "state = 'sent' OR unconfirmed > 1" if repeats else "state = 'sent'"
    alerted = "SELECT id FROM incidents WHERE status IN ('confirmed', 'needs_review')"
    delivered = f"SELECT incident_id FROM deliveries WHERE {done}"
    assert set(scans.rows(url, alerted)) <= set(scans.rows(url, delivered))
    assert scans.rows(url, f"SELECT id FROM deliveries WHERE NOT ({done})") == []
    told = Counter(
        source_ip
        for message in telegram.messages
        for source_ip in scans.found(url)
        if message.text.splitlines()[0].endswith(f"from {source_ip}")
    )
    for source_ip in scans.found(url):
        assert 1 <= told[source_ip] <= 1 + repeats, (source_ip, told[source_ip])


def dump(url: str) -> str:
    """Every row of every table."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            tables = inspect(connection).get_table_names()
            rows = {
                table: [tuple(row) for row in connection.execute(text(f"SELECT * FROM {table}"))]
                for table in tables
            }
    finally:
        engine.dispose()
    return json.dumps(rows, default=str)
