"""The servers and the database of the end-to-end tests; every fault is injected through them."""

import pytest

from tests.e2e.conftest import (  # noqa: F401 -- fixtures
    bedrock,
    database,
    environ,
    mariadb_database,
    quick_retries,
    tavily,
    telegram,
)
from tests.faults.invariants import Truth
from tests.scans import scan


@pytest.fixture
def truth(database, logs, tmp_path, environ):  # noqa: F811 -- fixtures are asked for by name
    """What a run that nothing disturbs comes to, of the *logs* of the module."""
    url = f"sqlite:///{tmp_path / 'undisturbed.db'}"
    environ(MIDDLEWATCH_DATABASE_URL=url)
    scan(logs)
    environ(MIDDLEWATCH_DATABASE_URL=database)
    return Truth.of(url)
