"""A directory of logs and a ledger that forgets nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.collect.source import Source, open_source
from tasks.model.objects import Location
from tests.ledgers import MemoryLedger


def make_line(number: int) -> bytes:
    """A Combined line that no other line equals."""
    return (
        f"192.0.2.{number % 250} - - [22/Feb/2026:22:10:01 +0000] "
        f'"GET /{number:06} HTTP/1.1" 200 1 "-" "curl"'
    ).encode()


def make_lines(*numbers: int) -> bytes:
    """Those lines, each with its line feed."""
    return b"".join(make_line(number) + b"\n" for number in numbers)


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    path = tmp_path / "logs"
    path.mkdir()
    return path


@pytest.fixture
def source(logs: Path) -> Source:
    return open_source(Location(str(logs)))


@pytest.fixture
def lines() -> Callable[..., bytes]:
    return make_lines


@pytest.fixture
def line() -> Callable[[int], bytes]:
    return make_line
