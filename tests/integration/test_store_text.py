"""Logs are written by attackers: whatever text they hold comes back as it was."""

import itertools
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import JSON, String, Text, delete, select
from sqlalchemy.exc import StatementError

from tasks.model.incidents import EvidenceLine
from tasks.store.engine import transaction, upsert
from tasks.store.tables import UtcDateTime, metadata, runs, suspect_hours

HOSTILE = [
    "😀 👩‍👩‍👧 \U0001f3f4",
    "a\x00b",
    "'; DROP TABLE incidents; -- \" ` \\' \\",
    "\x1b[2J\x1b]0;title\x07",
    "\u202egnp.exe\u2066",
    "%s %(x)s :name {0} ${jndi:ldap://x}",
    "  trailing blanks \t\r\n ",
    "ключ 漢字 e\u0301 \ufeff \uffff",
]
PLAIN = {"BIGINT": 1, "INTEGER": 1, "BOOLEAN": True, "NUMERIC": 1, "BLOB": b"\x00\xff"}


def value_of(column, hostile: str):
    """Something hostile in every column that takes text, something plain in the others."""
    if isinstance(column.type, JSON):
        return {hostile: [hostile, None, {"line": hostile}]}
    if isinstance(column.type, UtcDateTime):
        return datetime(2026, 2, 22, 22, 10, 1, 123456, tzinfo=UTC)
    if isinstance(column.type, String | Text):
        return hostile[: getattr(column.type, "length", None)]
    name = column.type.__visit_name__.upper()
    return PLAIN["BLOB" if "BINARY" in name else name.replace("BIG_INTEGER", "BIGINT")]


def test_every_column_gives_back_what_it_was_given(engine):
    """Written, and written again by an upsert, any text is what it was."""
    for table, hostile in itertools.product(metadata.sorted_tables, HOSTILE):
        row = {column.name: value_of(column, hostile) for column in table.columns}
        with transaction(engine) as connection:
            for _ in range(2):
                upsert(connection, table, [row], keep=set())
            (found,) = connection.execute(select(table)).mappings()
            connection.execute(delete(table))

        assert dict(found) == row, table.name


def test_half_a_surrogate_in_json_is_a_question_mark(engine):
    """What no database takes for text costs one character and not the row."""
    line = EvidenceLine("caf\udce9 😀.log", 1, "GET /", ("rule",))
    row = {"namespace": "live", "source_ip": "192.0.2.1", "hour": 1, "payload": [line]}
    with transaction(engine) as connection:
        upsert(connection, suspect_hours, [row], keep=set())
        found = connection.scalar(select(suspect_hours.c.payload))

    assert found == [{**asdict(line), "object_key": "caf? 😀.log", "rule_ids": ["rule"]}]


def test_text_that_differs_in_blanks_case_or_accents_differs(engine):
    """No collation makes two keys one."""
    names = ["a", "A", "á", "a\u0301", "ａ"]
    row = {"flow_run_id": None, "kind": "scan", "namespace": "live", "source": "x", "state": "done"}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with transaction(engine) as connection:
        upsert(connection, runs, [{**row, "id": n, "started_at": now} for n in names], keep=set())
        found = set(connection.scalars(select(runs.c.id)))

    assert found == set(names)


def test_times_are_utc_whatever_their_zone(engine):
    """A time with another offset is converted."""
    there = datetime(2026, 2, 22, 22, 10, 1, 1, tzinfo=timezone(timedelta(hours=3)))
    row = {
        "id": "1", "kind": "scan", "namespace": "live", "source": "x", "state": "done",
        "started_at": there,
    }  # fmt: skip
    with transaction(engine) as connection:
        upsert(connection, runs, [row], keep=set())
        found = connection.scalar(select(runs.c.started_at))

    assert found == there
    assert found is not None
    assert found.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(engine):
    """Nobody could tell later what it meant."""
    naive = {
        "id": "1", "kind": "scan", "namespace": "live", "source": "x", "state": "done",
        "started_at": datetime(2026, 2, 22),  # noqa: DTZ001 -- that is the point
    }  # fmt: skip

    with transaction(engine) as connection, pytest.raises(StatementError, match="naive"):
        upsert(connection, runs, [naive], keep=set())
