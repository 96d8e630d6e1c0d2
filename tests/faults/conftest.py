"""The servers and the database of the end-to-end tests; every fault is injected through them."""

import pytest

pytest.register_assert_rewrite("tests.faults.invariants")

from tests.e2e.conftest import (  # noqa: E402, F401 -- fixtures
    bedrock,
    database,
    environ,
    mariadb_database,
    quick_retries,
    tavily,
    telegram,
)
