"""The migrations make the tables that queries expect, on any server."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, text

from tasks.model.errors import ConfigurationError
from tasks.store import schema
from tasks.store.engine import engine_for, transaction
from tasks.store.schema import open_database
from tasks.store.tables import metadata

ROOT = Path(__file__).parents[2]


def differences(engine) -> list:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, metadata)


def test_migrations_from_blank_make_the_tables_of_the_queries(engine):
    """No table, column, type or index differs."""
    assert differences(engine) == []


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005"])
def test_a_database_of_an_earlier_version_is_brought_up_to_date(database_url, revision):
    """From each revision that was ever released, with nothing left to do afterwards."""
    engine = engine_for(database_url)
    config = schema._config()
    with transaction(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    open_database(database_url)

    assert differences(engine) == []
    engine.dispose()


def test_a_latin1_server_gets_utf8mb4_tables(mariadb):
    """The character set of the database does not matter: every text column takes any text."""
    url = mariadb.new_database("latin1")
    engine = open_database(url)
    engine.dispose()

    collations = mariadb.execute(
        "SELECT table_name, column_name, collation_name FROM information_schema.columns "
        f"WHERE table_schema = '{url.rpartition('/')[2]}' AND collation_name IS NOT NULL "
        "AND table_name <> 'alembic_version'"
    )
    assert {c for *_, c in collations} == {"utf8mb4_bin"}
    mariadb.drop_database(url)


def test_opening_a_database_again_changes_nothing(engine, database_url):
    """The same engine comes back, and the database is asked for its revision at most."""
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    schema._bring_up_to_date.cache_clear()

    assert open_database(database_url) is engine
    assert not [s for s in statements if s.startswith(("CREATE", "ALTER", "INSERT", "UPDATE"))]


def test_a_database_that_is_open_is_not_asked_again(engine, database_url):
    """Every task opens the database: that must cost nothing."""
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    assert open_database(database_url) is engine
    assert statements == []


def test_a_relative_path_means_the_directory_of_the_moment(tmp_path, monkeypatch):
    """Two working directories have two databases."""
    engines = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        engines.append(open_database("sqlite:///.middlewatch/middlewatch.db"))
        assert (tmp_path / name / ".middlewatch" / "middlewatch.db").exists()
    for engine in engines:
        engine.dispose()

    assert engines[0] is not engines[1]


def test_a_database_of_a_newer_middlewatch_is_refused(engine, database_url):
    """It is told what to do, and nothing is changed."""
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    schema._bring_up_to_date.cache_clear()

    with pytest.raises(ConfigurationError, match=r"newer Middlewatch \(revision 9999\): update"):
        open_database(database_url)
    assert differences(engine) == []


def test_processes_that_open_a_blank_database_at_once_all_succeed(database_url):
    """One of them migrates, the others wait for it."""
    program = "import sys; from tasks.store.schema import open_database; open_database(sys.argv[1])"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, database_url],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    told = [process.communicate(timeout=60)[1] for process in processes]

    assert [p.returncode for p in processes] == [0] * 4, told
    engine = open_database(database_url)
    assert differences(engine) == []
    engine.dispose()
