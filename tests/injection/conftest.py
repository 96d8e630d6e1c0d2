"""The servers and the database of the end-to-end tests, and the sum of what was tried."""

import pytest

from tests.e2e.conftest import (  # noqa: F401 -- fixtures
    bedrock,
    database,
    environ,
    quick_retries,
    tavily,
    telegram,
)

SUMS: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the README publishes is printed."""
    if SUMS:
        terminalreporter.section("hostile input")
        for line in SUMS:
            terminalreporter.write_line(line)
