"""Every promise of the store is kept by both databases."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tasks.store.schema import open_database
from tests.bare_scans import Scans


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path) -> str:
    """The URL of an empty database."""
    if request.param == "mariadb":
        return request.getfixturevalue("mariadb_url")
    return f"sqlite:///{tmp_path / 'middlewatch.db'}"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database with all tables."""
    engine = open_database(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def scans(engine: Engine) -> Scans:
    """Scans of that database without Prefect."""
    return Scans(engine)
