"""The schema is the one of tasks/store/tables.py, however often its making was interrupted."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event

from tasks.store.engine import engine_for
from tasks.store.schema import open_database
from tasks.store.tables import metadata


class KilledError(Exception):
    """The process is gone."""


def test_a_migration_that_died_after_each_of_its_statements_is_finished(database_url):
    """MySQL keeps what was created before, so the next process goes on from there."""
    engine = engine_for(database_url)
    done = set()

    def die_once_after_each(_connection, _cursor, statement, *_):
        is_change = statement.split()[0] in ("CREATE", "ALTER", "INSERT", "UPDATE")
        if is_change and statement not in done:
            done.add(statement)
            raise KilledError

    event.listen(engine, "after_cursor_execute", die_once_after_each)
    deaths = 0
    while deaths < 100:
        try:
            open_database(database_url)
            break
        except KilledError:
            deaths += 1

    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert differences == []
    assert deaths > len(metadata.tables)
