"""Alembic's entry: runs on the connection that tasks.store.schema hands over."""

from alembic import context

from tasks.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot ALTER
)
with context.begin_transaction():
    context.run_migrations()
