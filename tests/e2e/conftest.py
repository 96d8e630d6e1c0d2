"""Flows against a Prefect API, a database, and stand-ins for everything outside."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows import judging
from tasks.notify import task as notify
from tasks.research import task as research
from tasks.settings import settings
from tests.servers.bedrock import BedrockServer
from tests.servers.tavily import TavilyServer
from tests.servers.telegram import TelegramServer

CHAT = "-1001234567890"


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set environment variables for this process and its children."""

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    return set_variables


@pytest.fixture
def database(prefect_api: str, tmp_path: Path, environ: Callable[..., None]) -> str:
    """The URL of an empty SQLite database, where runs are judged by rules and told to nobody."""
    url = f"sqlite:///{tmp_path / 'state' / 'middlewatch.db'}"
    environ(MIDDLEWATCH_DATABASE_URL=url, MIDDLEWATCH_ANALYST="rules")
    return url


@pytest.fixture
def mariadb_database(
    database: str, mariadb_url: str, environ: Callable[..., None]
) -> Iterator[str]:
    """The URL of an empty MariaDB database, else as *database*."""
    from tasks.store.engine import engine_for

    environ(MIDDLEWATCH_DATABASE_URL=mariadb_url)
    yield mariadb_url
    engine_for(mariadb_url).dispose()


@pytest.fixture
def bedrock(environ: Callable[..., None]) -> Iterator[BedrockServer]:
    """A model that is asked."""
    with BedrockServer() as server:
        environ(**server.environment, MIDDLEWATCH_ANALYST="bedrock")
        yield server
    assert server.refused == []


@pytest.fixture
def tavily(environ: Callable[..., None]) -> Iterator[TavilyServer]:
    """A web that is searched."""
    with TavilyServer() as server:
        environ(**server.environment)
        yield server
    assert server.refused == []


@pytest.fixture
def telegram(environ: Callable[..., None]) -> Iterator[TelegramServer]:
    """A chat that is told."""
    with TelegramServer() as server:
        environ(TELEGRAM_API_URL=server.url, TELEGRAM_BOT_TOKEN=server.token, TELEGRAM_CHAT_ID=CHAT)
        yield server


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many retries as ever, without the wait."""
    for module, name in (
        (judging, "triage_suspect"),
        (notify, "deliver_alert"),
        (notify, "deliver_digest"),
        (research, "research_suspect"),
    ):
        task = getattr(module, name)
        quick = task.with_options(retry_delay_seconds=0.05, retry_jitter_factor=0.1)
        monkeypatch.setattr(module, name, quick)
