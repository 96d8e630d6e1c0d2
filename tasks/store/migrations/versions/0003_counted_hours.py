"""Counted hours, and what rules with long windows say of them."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"

MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
LONG_BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    """Create both tables, as far as a process that was killed here has not."""
    op.create_table(
        "counted_hours",
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("payload", LONG_BLOB, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "hour", "part"),
        if_not_exists=True,
        **MYSQL,
    )
    op.create_table(
        "slow_suspect_hours",
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("source_ip", sa.String(length=64), nullable=False),
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "source_ip", "hour"),
        if_not_exists=True,
        **MYSQL,
    )
    indexes = sa.inspect(op.get_bind()).get_indexes("slow_suspect_hours")
    if "ix_slow_suspect_hours_hour" not in {index["name"] for index in indexes}:
        op.create_index("ix_slow_suspect_hours_hour", "slow_suspect_hours", ["namespace", "hour"])
