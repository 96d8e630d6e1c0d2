"""First schema: ledger, tallies, suspects, incidents, outbox, runs."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
UTC_DATETIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
LONG_BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def _create_table(name: str, *parts: sa.schema.SchemaItem) -> None:
    # MySQL commits each of these statements by itself: the next process goes on where one died
    op.create_table(name, *parts, if_not_exists=True, **MYSQL)


def _create_index(name: str, table: str, columns: list[str]) -> None:
    existing = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}
    if name not in existing:
        op.create_index(name, table, columns)


def upgrade() -> None:
    """Create all tables, as far as a process that was killed here has not."""
    _create_table(
        "deliveries",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("incident_id", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.String(length=64), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("alert", sa.JSON(), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", UTC_DATETIME, nullable=False),
        sa.Column("updated_at", UTC_DATETIME, nullable=False),
        sa.Column("sent_at", UTC_DATETIME, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    _create_index("ix_deliveries_incident_id", "deliveries", ["incident_id"])
    _create_index("ix_deliveries_state", "deliveries", ["namespace", "state"])
    _create_table(
        "file_streams",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("source_sha256", sa.String(length=64), nullable=False),
        sa.Column("stream_id", sa.String(length=64), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("inode", sa.Numeric(precision=20, scale=0), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("modified_ns", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("line_count", sa.BigInteger(), nullable=False),
        sa.Column("head_bytes", sa.Integer(), nullable=False),
        sa.Column("head_sha256", sa.String(length=64), nullable=False),
        sa.Column("tail_bytes", sa.Integer(), nullable=False),
        sa.Column("tail_sha256", sa.String(length=64), nullable=False),
        sa.Column("unfinished_id", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    _create_index("ix_file_streams_source", "file_streams", ["namespace", "source_sha256"])
    _create_table(
        "incidents",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("source_ip", sa.String(length=64), nullable=False),
        sa.Column("family", sa.String(length=32), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attack_type", sa.String(length=200), nullable=True),
        sa.Column("confidence", sa.String(length=8), nullable=True),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("recommended_action", sa.Text(), nullable=True),
        sa.Column("analyst", sa.String(length=16), nullable=True),
        sa.Column("analyst_reason", sa.Text(), nullable=True),
        sa.Column("model_id", sa.String(length=256), nullable=True),
        sa.Column("prompt_sha256", sa.String(length=64), nullable=True),
        sa.Column("llm_input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("llm_output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("llm_cost_usd", sa.Numeric(precision=12, scale=6), nullable=False),
        sa.Column("first_seen", UTC_DATETIME, nullable=False),
        sa.Column("last_seen", UTC_DATETIME, nullable=False),
        sa.Column("request_count", sa.BigInteger(), nullable=False),
        sa.Column("activity", sa.JSON(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("techniques", sa.JSON(), nullable=False),
        sa.Column("research", sa.JSON(), nullable=True),
        sa.Column("verdict", sa.JSON(), nullable=True),
        sa.Column("judged_kind", sa.JSON(), nullable=True),
        sa.Column("needs_judgement", sa.Boolean(), nullable=False),
        sa.Column("merged_into", sa.String(length=64), nullable=True),
        sa.Column("closed_reason", sa.Text(), nullable=True),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", UTC_DATETIME, nullable=False),
        sa.Column("updated_at", UTC_DATETIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    _create_index("ix_incidents_last_seen", "incidents", ["namespace", "last_seen"])
    _create_index("ix_incidents_needs_judgement", "incidents", ["namespace", "needs_judgement"])
    _create_index("ix_incidents_source_ip", "incidents", ["namespace", "source_ip"])
    _create_table(
        "log_objects",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=1100), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("lines_unparsed", sa.BigInteger(), nullable=False),
        sa.Column("unparsed", sa.JSON(), nullable=True),
        sa.Column("first_event_at", UTC_DATETIME, nullable=True),
        sa.Column("last_event_at", UTC_DATETIME, nullable=True),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("recorded_at", UTC_DATETIME, nullable=False),
        sa.Column("segment_id", sa.String(length=64), nullable=True),
        sa.Column("extent", sa.Integer(), nullable=True),
        sa.Column("superseded_by", sa.String(length=64), nullable=True),
        sa.Column("needs_evaluation", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    _create_index("ix_log_objects_key_sha256", "log_objects", ["key_sha256"])
    _create_index(
        "ix_log_objects_needs_evaluation", "log_objects", ["namespace", "needs_evaluation"]
    )
    _create_index("ix_log_objects_segment_id", "log_objects", ["segment_id"])
    _create_index("ix_log_objects_state", "log_objects", ["namespace", "state"])
    _create_table(
        "namespaces",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("created_at", UTC_DATETIME, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    _create_table(
        "runs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("flow_run_id", sa.String(length=36), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("started_at", UTC_DATETIME, nullable=False),
        sa.Column("finished_at", UTC_DATETIME, nullable=True),
        sa.Column("objects_listed", sa.Integer(), nullable=False),
        sa.Column("objects_done", sa.Integer(), nullable=False),
        sa.Column("objects_unchanged", sa.Integer(), nullable=False),
        sa.Column("objects_quarantined", sa.Integer(), nullable=False),
        sa.Column("objects_skipped", sa.Integer(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("lines_unparsed", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("suspects", sa.Integer(), nullable=False),
        sa.Column("incidents", sa.Integer(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("searches", sa.Integer(), nullable=False),
        sa.Column("llm_calls", sa.Integer(), nullable=False),
        sa.Column("llm_input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("llm_output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("llm_cost_usd", sa.Numeric(precision=12, scale=6), nullable=False),
        sa.Column("error", LONG_TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    _create_index("ix_runs_namespace_started_at", "runs", ["namespace", "started_at"])
    _create_table(
        "searches",
        sa.Column("query_sha256", sa.String(length=64), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.Column("searched_at", UTC_DATETIME, nullable=False),
        sa.PrimaryKeyConstraint("query_sha256"),
    )
    _create_table(
        "suspect_hours",
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("source_ip", sa.String(length=64), nullable=False),
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "source_ip", "hour"),
    )
    _create_index("ix_suspect_hours_hour", "suspect_hours", ["namespace", "hour"])
    _create_table(
        "tally_segments",
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("segment_id", sa.String(length=64), nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first_minute", sa.Integer(), nullable=False),
        sa.Column("last_minute", sa.Integer(), nullable=False),
        sa.Column("payload", LONG_BLOB, nullable=False),
        sa.Column("recorded_at", UTC_DATETIME, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "segment_id", "part"),
    )
    _create_index(
        "ix_tally_segments_minutes", "tally_segments", ["namespace", "last_minute", "first_minute"]
    )
