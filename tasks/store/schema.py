"""The schema is brought to the newest revision, once per process and database."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from tasks.model.errors import ConfigurationError
from tasks.store.engine import engine_for, name_for_people, transaction
from tasks.store.locks import database_lock


def open_database(url: str) -> Engine:
    """
    The engine for *url*, with the schema up to date.

    Raises:
        ConfigurationError: The database cannot be used, or a newer Middlewatch has migrated it.
        TransientError: It cannot be reached.
    """
    engine = engine_for(url)
    _bring_up_to_date(engine)
    return engine


@cache
def _bring_up_to_date(engine: Engine) -> None:
    if _revision(engine) != _head():
        with database_lock(engine, "migration"):
            _upgrade(engine)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


def _head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _revision(engine: Engine) -> str | None:
    with transaction(engine) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _upgrade(engine: Engine) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    revision = _revision(engine)
    if revision is not None and revision not in known:
        raise ConfigurationError(
            f"The database {name_for_people(engine)} was migrated by a "
            f"newer Middlewatch (revision {revision}): update this checkout."
        )
    config = _config()
    with transaction(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
