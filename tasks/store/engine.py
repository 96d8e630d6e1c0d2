"""One way to the database: engines, transactions, upserts, and errors said in our words."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from ssl import SSLEOFError, SSLError, SSLZeroReturnError
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, Engine, Executable, Table, create_engine, event, make_url
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from tasks.model.errors import ConfigurationError, PermanentError, TransientError
from tasks.store import tls

Transaction = Connection
"""What is written through it is committed together, or not at all."""

T = TypeVar("T")

MAX_IN = 900
"""Old SQLite takes 999 variables in a statement."""
SQLITE_BUSY_SECONDS = 30
MYSQL_CONNECT_SECONDS = 5
MYSQL_ANSWER_SECONDS = 60
INSISTENCE_SECONDS = (0.5, 1, 2, 4, 8)
MYSQL_TRANSIENT = frozenset(
    {1040, 1053, 1158, 1159, 1160, 1161, 1205, 1213, 1290, 1317, 1836, 1927}
    | {2002, 2003, 2006, 2013, 2055}
)
"""Too many connections, shutdown, network, lock wait, deadlock, fail-over, gone away."""
MYSQL_CONFIGURATION = {
    1044: "may not use this database: grant the user all privileges on it",
    1045: "refused the user or password: set MIDDLEWATCH_DATABASE_URL right",
    1049: "does not know this database: create it, with character set utf8mb4",
    1142: "refused a statement: grant the user all privileges on the database",
    1698: "refused the user or password: set MIDDLEWATCH_DATABASE_URL right",
    2026: "has no TLS, which the ssl_ parameters of MIDDLEWATCH_DATABASE_URL ask for: turn it on "
    "there, or leave them out",
}
PARAMETERS: dict[str, frozenset[str]] = {
    "sqlite": frozenset(),
    "mysql": tls.PARAMETERS | {"charset", "password", "unix_socket", "user"},
}
"""What may follow the question mark of a URL, by backend; the driver would take much more."""


def engine_for(url: str) -> Engine:
    """
    The one engine of this process for *url*.

    Raises:
        ConfigurationError: The URL is not one of a supported database.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite":
        return _mysql_engine(parsed)
    if parsed.database and parsed.database != ":memory:":
        parsed = parsed.set(database=str(Path(parsed.database).absolute()))
    return _sqlite_engine(parsed)


def _parse(url: str) -> URL:
    parsed = None
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError, TypeError):
        parsed = None
    if parsed is not None and parsed.drivername in {"mysql", "mariadb"}:
        parsed = parsed.set(drivername=f"{parsed.drivername}+pymysql")
    known = {"sqlite", "sqlite+pysqlite", "mysql+pymysql", "mariadb+pymysql"}
    if parsed is None or parsed.drivername not in known:
        raise ConfigurationError(
            "MIDDLEWATCH_DATABASE_URL is not a URL of a supported database: use "
            "sqlite:///PATH or mysql+pymysql://USER:PASSWORD@HOST/DATABASE."
        )
    if "@" in (parsed.host or ""):  # the end of a password, which would pass for the host
        raise ConfigurationError(
            "MIDDLEWATCH_DATABASE_URL has more than one @: write those of the user and the "
            "password as %40."
        )
    _check_parameters(parsed)
    return parsed


def _check_parameters(url: URL) -> None:
    known = PARAMETERS["sqlite" if url.get_backend_name() == "sqlite" else "mysql"]
    if url.query.keys() <= known and all(isinstance(v, str) for v in url.query.values()):
        return
    what = f"takes {', '.join(sorted(known))}, each once" if known else "takes no parameter"
    # not which one: it may be what follows an & in a password
    raise ConfigurationError(
        f"MIDDLEWATCH_DATABASE_URL has a parameter that is not known or comes twice: after its "
        f"question mark a {url.get_backend_name()} URL {what}."
    )


def name_for_people(engine: Engine) -> str:
    """Which database it is, without what opens it: a query may hold a password, too."""
    return engine.url.set(query={}).render_as_string(hide_password=True)


class UnreadableJSON:
    """In place of a column that holds no JSON: who wants to make sense of it finds that out."""


def _read_json(text: str) -> Any:  # noqa: ANN401 -- any JSON
    for loads in (orjson.loads, json.loads):  # which alone reads half a surrogate of old
        with suppress(ValueError):
            return loads(text)
    return UnreadableJSON()  # one row's trouble is not that of all that are read with it


def _write_json(value: Any) -> str:  # noqa: ANN401 -- anything of ours
    """Dataclasses, their tuples, enumerations and times included."""
    try:
        return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
    except orjson.JSONEncodeError:  # half a surrogate, which MariaDB does not take in any form
        text = json.dumps(value, default=_simplify, ensure_ascii=False)
        return text.encode(errors="replace").decode()


def _simplify(value: Any) -> Any:  # noqa: ANN401 -- what json does not know
    fields = getattr(value, "__dataclass_fields__", None)
    return {f: getattr(value, f) for f in fields} if fields else value.isoformat()


@cache
def _mysql_engine(url: URL) -> Engine:
    context = tls.open_context({k: v for k, v in url.query.items() if isinstance(v, str)})
    return create_engine(
        url.difference_update_query(tls.PARAMETERS),
        hide_parameters=True,
        json_deserializer=_read_json,
        json_serializer=_write_json,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_recycle=1800,
        pool_size=10,
        max_overflow=20,
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": MYSQL_CONNECT_SECONDS,
            "read_timeout": MYSQL_ANSWER_SECONDS,
            "write_timeout": MYSQL_ANSWER_SECONDS,
            "init_command": "SET time_zone='+00:00'",
            **({"ssl": context} if context else {}),
        },
    )


@cache
def _sqlite_engine(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        folder = Path(url.database).parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it will hold log lines
        except OSError as error:
            reason = error.strerror
        else:
            reason = None
        if reason:
            raise ConfigurationError(
                f"The folder {folder} for the SQLite database cannot be made ({reason}): "
                "set MIDDLEWATCH_DATABASE_URL to a place that can be written."
            )
    engine = create_engine(
        url,
        hide_parameters=True,
        json_deserializer=_read_json,
        json_serializer=_write_json,
        connect_args={"timeout": SQLITE_BUSY_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:  # noqa: ANN401 -- a DB-API connection
        # the driver would begin late and upgrade its lock, which fails under two writers
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """
    Everything inside is committed, or nothing.

    Raises:
        TransientError: Deadlock, lock wait, lost connection...: repeat the whole transaction.
        ConfigurationError: Refused user, unknown database, read-only file.
        PermanentError: Anything else that the database refuses.
    """
    with translated(engine), engine.begin() as connection:
        yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Errors of the driver come out as ours, without the statement and its parameters."""
    failure: DBAPIError | None = None
    try:
        yield
    except DBAPIError as error:
        failure = error
    if failure is not None:
        raise _in_our_words(failure, engine) from None


def _in_our_words(error: DBAPIError, engine: Engine) -> Exception:
    """The driver's error without parameters: they are log lines of attackers."""
    cause = error.orig
    arguments = getattr(cause, "args", ())
    where = name_for_people(engine)
    if engine.dialect.name == "sqlite":
        text = str(arguments[0]) if arguments else type(cause).__name__
        if "locked" in text or "busy" in text or "disk I/O" in text or "full" in text:
            return TransientError(f"The database {where} cannot be written now: {text}.")
        if "unable to open" in text or "readonly" in text or "not a database" in text:
            return ConfigurationError(
                f"The database {where} cannot be used ({text}): check MIDDLEWATCH_DATABASE_URL "
                "and the rights of the file and its folder."
            )
        return PermanentError(f"The database {where} refused a statement: {text}.")
    refusal = getattr(cause, "original_exception", None)
    if isinstance(refusal, SSLError) and not isinstance(refusal, SSLEOFError | SSLZeroReturnError):
        return ConfigurationError(f"The database {where} {tls.explain_refusal(refusal)}.")
    code = arguments[0] if arguments and isinstance(arguments[0], int) else 0
    if code in MYSQL_CONFIGURATION:
        return ConfigurationError(f"The database {where} {MYSQL_CONFIGURATION[code]}.")
    if code in MYSQL_TRANSIENT or error.connection_invalidated:
        return TransientError(
            f"The database {where} cannot be reached or is busy (MySQL error {code}): "
            "check that it runs; the next run takes up what is left."
        )
    return PermanentError(
        f"The database {where} refused a statement (MySQL error {code}, {type(cause).__name__})."
    )


def insist(do: Callable[[], T]) -> T:
    """
    What *do* returns; while the database is busy or away for some seconds, it is done again.

    For what has to be on record outside of tasks, which Prefect repeats.

    Raises:
        TransientError: The database took longer.
    """
    for seconds in INSISTENCE_SECONDS:
        try:
            return do()
        except TransientError:
            time.sleep(seconds)
    return do()


def upsert(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, keep: set[str]
) -> None:
    """
    Insert *rows*, or update the rows with the same primary key.

    Args:
        keep: Columns that an existing row does not change. With all columns but the key in it,
            existing rows stay as they are.
    """
    if not rows:
        return
    keys = [c.name for c in table.primary_key]
    changing = tuple(c for c in rows[0] if c not in keep and c not in keys)
    ordered = sorted(rows, key=lambda row: [row[k] for k in keys])  # same order, no deadlocks
    connection.execute(_upsert_statement(connection.dialect.name, table, changing), ordered)


@cache
def _upsert_statement(dialect: str, table: Table, changing: tuple[str, ...]) -> Executable:
    keys = [c.name for c in table.primary_key]
    if dialect in {"mysql", "mariadb"}:
        into = mysql.insert(table)
        changes = {c: into.inserted[c] for c in changing} or {keys[0]: table.c[keys[0]]}
        return into.on_duplicate_key_update(changes)
    insert = sqlite.insert(table)
    if not changing:
        return insert.on_conflict_do_nothing(index_elements=keys)
    changes = {c: insert.excluded[c] for c in changing}
    return insert.on_conflict_do_update(index_elements=keys, set_=changes)


def chunks(values: Sequence[T], size: int = MAX_IN) -> Iterator[Sequence[T]]:
    """Cut *values* so that each part fits into one IN (...), or has at most *size*."""
    return (values[i : i + size] for i in range(0, len(values), size))
