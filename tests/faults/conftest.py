"""The servers and the database of the end-to-end tests; every fault is injected through them."""

from tests.e2e.conftest import (  # noqa: F401 -- fixtures
    bedrock,
    database,
    environ,
    mariadb_database,
    quick_retries,
    tavily,
    telegram,
)
