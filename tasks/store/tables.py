"""The tables, as queries see them. The migrations are the only DDL; a test compares the two."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

metadata = MetaData()

MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
"""A server whose default is latin1 would make latin1 tables, which refuse most log lines."""


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python, naive UTC in the database; a naive value is refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Microseconds also on MySQL."""
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 -- SQLAlchemy's signature
        """Convert to UTC: the drivers drop the zone without converting."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value} has no place in the database")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 -- SQLAlchemy's signature
        """Give the zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


Digest = String(64)
LongText = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
LongBlob = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")

namespaces = Table(
    "namespaces",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    **MYSQL,
)
"""`live`, and one per backfill with the parameters that a resumption must repeat."""

runs = Table(
    "runs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("flow_run_id", String(36)),
    Column("kind", String(16), nullable=False),
    Column("namespace", String(64), nullable=False),
    Column("source", Text, nullable=False),
    Column("state", String(32), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("objects_listed", Integer, nullable=False, default=0),
    Column("objects_done", Integer, nullable=False, default=0),
    Column("objects_unchanged", Integer, nullable=False, default=0),
    Column("objects_quarantined", Integer, nullable=False, default=0),
    Column("objects_skipped", Integer, nullable=False, default=0),
    Column("lines", BigInteger, nullable=False, default=0),
    Column("lines_unparsed", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("suspects", Integer, nullable=False, default=0),
    Column("incidents", Integer, nullable=False, default=0),
    Column("deliveries", Integer, nullable=False, default=0),
    Column("searches", Integer, nullable=False, default=0),
    Column("llm_calls", Integer, nullable=False, default=0),
    Column("llm_input_tokens", BigInteger, nullable=False, default=0),
    Column("llm_output_tokens", BigInteger, nullable=False, default=0),
    Column("llm_cost_usd", Numeric(12, 6), nullable=False, default=0),
    Column("error", LongText),
    Index("ix_runs_namespace_started_at", "namespace", "started_at"),
    **MYSQL,
)

log_objects = Table(
    "log_objects",
    metadata,
    Column("id", Digest, primary_key=True),
    Column("namespace", String(64), nullable=False),
    Column("source", Text, nullable=False),
    Column("object_key", Text, nullable=False),
    Column("key_sha256", Digest, nullable=False),
    Column("version", String(1100), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False),
    Column("lines", BigInteger, nullable=False, default=0),
    Column("lines_unparsed", BigInteger, nullable=False, default=0),
    Column("unparsed", JSON),
    Column("first_event_at", UtcDateTime),
    Column("last_event_at", UtcDateTime),
    Column("run_id", String(36), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("segment_id", Digest),
    Column("extent", Integer),
    Column("superseded_by", Digest),
    Column("needs_evaluation", Boolean, nullable=False, default=False),
    Index("ix_log_objects_key_sha256", "key_sha256"),
    Index("ix_log_objects_needs_evaluation", "namespace", "needs_evaluation"),
    Index("ix_log_objects_segment_id", "segment_id"),
    Index("ix_log_objects_state", "namespace", "state"),
    **MYSQL,
)
"""The ledger. A row counts exactly when state is `done`; (segment_id, extent) is its tally."""

file_streams = Table(
    "file_streams",
    metadata,
    Column("id", Digest, primary_key=True),
    Column("namespace", String(64), nullable=False),
    Column("source_sha256", Digest, nullable=False),
    Column("stream_id", Digest, nullable=False),
    Column("object_key", Text, nullable=False),
    Column("inode", Numeric(20, 0), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("modified_ns", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("line_count", BigInteger, nullable=False),
    Column("head_bytes", Integer, nullable=False),
    Column("head_sha256", Digest, nullable=False),
    Column("tail_bytes", Integer, nullable=False),
    Column("tail_sha256", Digest, nullable=False),
    Column("unfinished_id", Digest),
    Index("ix_file_streams_source", "namespace", "source_sha256"),
    **MYSQL,
)
"""How far each growing file is read, wherever rotation has moved it."""

file_sources = Table(
    "file_sources",
    metadata,
    Column("namespace", String(64), primary_key=True),
    Column("source_sha256", Digest, primary_key=True),
    Column("source", Text, nullable=False),
    **MYSQL,
)
"""The directories that the streams were last read from."""

tally_segments = Table(
    "tally_segments",
    metadata,
    Column("namespace", String(64), primary_key=True),
    Column("segment_id", Digest, primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("first_minute", Integer, nullable=False),
    Column("last_minute", Integer, nullable=False),
    Column("payload", LongBlob, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Index("ix_tally_segments_minutes", "namespace", "last_minute", "first_minute"),
    **MYSQL,
)

suspect_hours = Table(
    "suspect_hours",
    metadata,
    Column("namespace", String(64), primary_key=True),
    Column("source_ip", String(64), primary_key=True),
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("payload", JSON, nullable=False),
    Index("ix_suspect_hours_hour", "namespace", "hour"),
    **MYSQL,
)
"""What the rules say of one IP in one hour: recomputed and replaced, never added to."""

slow_suspect_hours = Table(
    "slow_suspect_hours",
    metadata,
    Column("namespace", String(64), primary_key=True),
    Column("source_ip", String(64), primary_key=True),
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("payload", JSON, nullable=False),
    Index("ix_slow_suspect_hours_hour", "namespace", "hour"),
    **MYSQL,
)
"""The same of rules with long windows, which reach other hours than those with short ones."""

counted_hours = Table(
    "counted_hours",
    metadata,
    Column("namespace", String(64), primary_key=True),
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("payload", LongBlob, nullable=False),
    **MYSQL,
)
"""What rules with long windows need to know of an hour: made from its tallies and replaced."""

incidents = Table(
    "incidents",
    metadata,
    Column("id", Digest, primary_key=True),
    Column("namespace", String(64), nullable=False),
    Column("source_ip", String(64), nullable=False),
    Column("family", String(32), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("attack_type", String(200)),
    Column("confidence", String(8)),
    Column("summary", Text),
    Column("recommended_action", Text),
    Column("analyst", String(16)),
    Column("analyst_reason", Text),
    Column("model_id", String(256)),
    Column("prompt_sha256", Digest),
    Column("llm_input_tokens", BigInteger, nullable=False, default=0),
    Column("llm_output_tokens", BigInteger, nullable=False, default=0),
    Column("llm_cost_usd", Numeric(12, 6), nullable=False, default=0),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    Column("request_count", BigInteger, nullable=False),
    Column("activity", JSON, nullable=False),
    Column("findings", JSON, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("techniques", JSON, nullable=False),
    Column("research", JSON),
    Column("verdict", JSON),
    Column("judged_kind", JSON),
    Column("needs_judgement", Boolean, nullable=False),
    Column("merged_into", Digest),
    Column("closed_reason", Text),
    Column("run_id", String(36), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_incidents_source_ip", "namespace", "source_ip"),
    Index("ix_incidents_needs_judgement", "namespace", "needs_judgement"),
    Index("ix_incidents_last_seen", "namespace", "last_seen"),
    **MYSQL,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Digest, primary_key=True),
    Column("namespace", String(64), nullable=False),
    Column("incident_id", Digest, nullable=False),
    Column("channel", String(16), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("message_id", String(64)),
    Column("chat_id", String(64)),
    Column("error", Text),
    Column("alert", JSON, nullable=False),
    Column("run_id", String(36), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    Column("unconfirmed", Integer, nullable=False, default=0),
    Column("not_before", UtcDateTime),
    Index("ix_deliveries_state", "namespace", "state"),
    Index("ix_deliveries_incident_id", "incident_id"),
    **MYSQL,
)
"""The outbox: on record before the first attempt, with the message, so any run can send it."""

searches = Table(
    "searches",
    metadata,
    Column("query_sha256", Digest, primary_key=True),
    Column("query", Text, nullable=False),
    Column("results", JSON, nullable=False),
    Column("searched_at", UtcDateTime, nullable=False),
    **MYSQL,
)

budgets = Table(
    "budgets",
    metadata,
    Column("scope", String(80), primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_usd", Numeric(14, 6), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    **MYSQL,
)
"""What the model has taken, with what is booked for calls under way; `day:<date>`, `run:<id>`."""

outages = Table(
    "outages",
    metadata,
    Column("namespace", String(64), primary_key=True),
    Column("service", String(64), primary_key=True),
    Column("since", UtcDateTime, nullable=False),
    **MYSQL,
)
"""What did not work when it was needed last."""

shared_verdicts = Table(
    "shared_verdicts",
    metadata,
    Column("likeness", Digest, primary_key=True),
    Column("judgement", JSON, nullable=False),
    Column("judged_at", UtcDateTime, nullable=False),
    **MYSQL,
)
"""What the model said of evidence like that, for suspects that there is no call left for."""
