"""Budgets, verdicts that alike suspects share, and deliveries that nobody confirmed."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
UTC_DATETIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    """Create what is new, as far as a process that was killed here has not."""
    op.create_table(
        "budgets",
        sa.Column("scope", sa.String(length=80), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Numeric(precision=14, scale=6), nullable=False),
        sa.Column("updated_at", UTC_DATETIME, nullable=False),
        sa.PrimaryKeyConstraint("scope"),
        if_not_exists=True,
        **MYSQL,
    )
    op.create_table(
        "shared_verdicts",
        sa.Column("likeness", sa.String(length=64), nullable=False),
        sa.Column("judgement", sa.JSON(), nullable=False),
        sa.Column("judged_at", UTC_DATETIME, nullable=False),
        sa.PrimaryKeyConstraint("likeness"),
        if_not_exists=True,
        **MYSQL,
    )
    _add_column(
        "deliveries",
        sa.Column("unconfirmed", sa.Integer(), nullable=False, server_default="0"),
    )
    _add_column("deliveries", sa.Column("not_before", UTC_DATETIME, nullable=True))


def _add_column(table: str, column: sa.Column[Any]) -> None:
    existing = {c["name"] for c in sa.inspect(op.get_bind()).get_columns(table)}
    if column.name not in existing:
        op.add_column(table, column)
