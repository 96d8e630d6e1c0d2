"""Whatever the database says comes out in our words: what to do, and no secret and no log line."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from traceback import format_exception

import pytest
from sqlalchemy import insert, make_url, select, text, update

from tasks.model.errors import ConfigurationError, PermanentError, TransientError
from tasks.store import engine as engines
from tasks.store.engine import transaction
from tasks.store.schema import open_database
from tasks.store.tables import searches
from tests.bare_scans import NOW
from tests.servers.mariadb import PASSWORD, running_mariadb

SECRET_LINE = "GET /?password=hunter2"


def row(key: str, query: str = "x") -> dict:
    return {"query_sha256": key, "query": query, "results": [], "searched_at": NOW}


def put(connection, key: str, query: str = "x") -> None:
    connection.execute(insert(searches), row(key, query))


def is_ours(error: BaseException) -> bool:
    """What is shown of it has no password, no statement and no parameters."""
    shown = "".join(format_exception(error))
    return not any(secret in shown for secret in (PASSWORD, "hunter2", "INSERT", "p%40ss"))


def test_a_refused_row_is_permanent_and_nothing_of_it_is_told(engine):
    """A duplicate key is a bug: the statement holds log lines, and is not shown."""
    with transaction(engine) as connection:
        put(connection, "1")

    with pytest.raises(PermanentError) as caught, transaction(engine) as connection:
        put(connection, "1", SECRET_LINE)

    assert is_ours(caught.value)
    assert not isinstance(caught.value, ConfigurationError)


def test_a_transaction_that_fails_leaves_nothing(engine):
    """All or nothing."""
    with pytest.raises(PermanentError), transaction(engine) as connection:
        connection.execute(insert(searches), [row("1"), row("2"), row("1")])

    with transaction(engine) as connection:
        assert connection.execute(select(searches)).all() == []


def test_a_deadlock_is_transient(mariadb_url):
    """Two transactions that wait for each other: one goes through, the other is told to repeat."""
    engine = open_database(mariadb_url)
    with transaction(engine) as connection:
        put(connection, "a")
        put(connection, "b")
    meeting = Barrier(2)

    def cross(first: str, second: str) -> TransientError | None:
        try:
            with transaction(engine) as connection:
                touch = update(searches).values(query=SECRET_LINE)
                connection.execute(touch.where(searches.c.query_sha256 == first))
                meeting.wait(20)
                connection.execute(touch.where(searches.c.query_sha256 == second))
        except TransientError as error:
            return error
        return None

    with ThreadPoolExecutor(2) as threads:
        failures = [e for e in threads.map(cross, "ab", "ba") if e is not None]
    engine.dispose()

    assert len(failures) == 1
    assert "1213" in str(failures[0])
    assert is_ours(failures[0])


def test_a_lock_that_is_not_freed_is_transient(mariadb_url):
    """Waiting for a row for too long is not a bug of the waiting one."""
    engine = open_database(mariadb_url)
    with transaction(engine) as connection:
        put(connection, "a")
    touch = update(searches).values(query=SECRET_LINE)

    def wait_for_it() -> None:
        with transaction(engine) as waiting:
            waiting.execute(text("SET innodb_lock_wait_timeout = 1"))
            waiting.execute(touch)

    with transaction(engine) as holder:
        holder.execute(touch)
        with pytest.raises(TransientError, match="1205") as caught:
            wait_for_it()
    engine.dispose()

    assert is_ours(caught.value)


def test_a_server_that_is_gone_is_transient_and_back_when_it_is():
    """Killed within a transaction, refused while it is away, and used again without a restart."""
    with running_mariadb() as server:
        url = server.new_database()
        engine = open_database(url)

        def lose_the_connection() -> None:
            with transaction(engine) as connection:
                put(connection, "a", SECRET_LINE)
                server.execute(f"KILL {connection.scalar(text('SELECT CONNECTION_ID()'))}")
                put(connection, "b", SECRET_LINE)

        with pytest.raises(TransientError) as within:
            lose_the_connection()
        with transaction(engine) as connection:
            assert connection.execute(select(searches)).all() == []
    with pytest.raises(TransientError) as after, transaction(engine):
        pytest.fail("there is no server")
    engine.dispose()

    assert is_ours(within.value)
    assert is_ours(after.value)
    assert "check that it runs" in str(after.value)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"password": "hunter2"}, "refused the user or password"),
        ({"username": "nobody"}, "refused the user or password"),
        ({"database": "middlewatch_not_there"}, "does not know this database: create it"),
        ({"database": "mysql"}, "may not use this database"),
    ],
)
def test_what_the_user_has_to_change_is_a_configuration_error(mariadb, mariadb_url, wrong, told):
    """The sentence says what to do, and shows no password."""
    url = make_url(mariadb_url).set(**wrong).render_as_string(hide_password=False)

    with pytest.raises(ConfigurationError, match=told) as caught:
        open_database(url)

    assert is_ours(caught.value)


@pytest.mark.parametrize(
    "url", ["", "hunter2", "postgresql://u:hunter2@h/d", "mysql+mysqldb://u:hunter2@h/d", "x://"]
)
def test_a_url_that_is_not_ours_is_a_configuration_error(url):
    """It says which URLs are, and does not repeat this one."""
    with pytest.raises(ConfigurationError, match="MIDDLEWATCH_DATABASE_URL") as caught:
        open_database(url)

    assert is_ours(caught.value)


def test_a_file_that_is_no_database_is_a_configuration_error(tmp_path):
    """It is named, and left alone."""
    file = tmp_path / "notes.txt"
    file.write_text("These are notes, and not a database." * 100)

    with pytest.raises(ConfigurationError, match=r"notes\.txt"):
        open_database(f"sqlite:///{file}")
    assert file.read_text().startswith("These are notes")


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path):
    """A file is where the folder should be."""
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="cannot be made"):
        open_database(f"sqlite:///{tmp_path / 'file' / 'x.db'}")


def test_a_sqlite_file_that_is_busy_for_too_long_is_transient(tmp_path, monkeypatch):
    """Another process writes."""
    monkeypatch.setattr(engines, "SQLITE_BUSY_SECONDS", 0.2)
    engine = open_database(f"sqlite:///{tmp_path / 'x.db'}")

    with (
        transaction(engine) as connection,
        pytest.raises(TransientError, match="locked"),
        transaction(engine),
    ):
        put(connection, "1")
    engine.dispose()


def test_a_password_in_the_query_of_the_url_is_not_told():
    """The driver takes it from there, too."""
    url = "mysql+pymysql://127.0.0.1:1/logs?user=me&password=hunter2"

    with pytest.raises(TransientError) as caught:
        open_database(url)

    assert is_ours(caught.value)
    assert "mysql+pymysql://127.0.0.1:1/logs" in str(caught.value)


def test_the_end_of_a_password_with_an_at_sign_is_not_told_as_the_host():
    """It is said how to write it."""
    url = "mysql+pymysql://me:pass@hunter2@127.0.0.1:1/logs"

    with pytest.raises(ConfigurationError, match="%40") as caught:
        open_database(url)

    assert is_ours(caught.value)
