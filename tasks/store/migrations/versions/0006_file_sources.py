"""Which directories were read, so that one in or around another is known to hold the same files."""

from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    """Create the table and fill it, if a process that was killed here has not."""
    op.create_table(
        "file_sources",
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("source_sha256", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "source_sha256"),
        if_not_exists=True,
        **MYSQL,
    )
    connection = op.get_bind()
    read = sa.text("SELECT DISTINCT namespace, source FROM log_objects WHERE source LIKE 'file:%'")
    known = sa.text("SELECT namespace, source FROM file_sources")
    add = sa.text("INSERT INTO file_sources VALUES (:namespace, :sha256, :source)")
    rows = {tuple(row) for row in connection.execute(read)}
    for namespace, source in sorted(rows - {tuple(row) for row in connection.execute(known)}):
        values = {"namespace": namespace, "sha256": _digest(source), "source": source}
        connection.execute(add, values)


def _digest(text: str) -> str:
    return sha256(f"{len(text)}:{text}".encode("utf-8", "surrogatepass")).hexdigest()
