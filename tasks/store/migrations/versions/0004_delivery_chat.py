"""In which chat an alert stands, so that what follows it can refer to it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column, if a process that was killed here has not."""
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("deliveries")}
    if "chat_id" not in columns:
        op.add_column("deliveries", sa.Column("chat_id", sa.String(length=64)))
