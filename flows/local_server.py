"""
A Prefect API server for the time of one run, so that a one-off run leaves the same history.

Prefect's own temporary server is not used: it is stopped while it still records, which loses
the end of the history and prints tracebacks.
"""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import uvicorn
from filelock import FileLock
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_UI_URL,
    get_current_settings,
    temporary_settings,
)

from tasks.model.errors import ConfigurationError

START_SECONDS = 180
"""Longest wait for the server: its first start creates its database."""

STOP_SECONDS = 60
"""Longest wait for the server to record what the run told it."""

QUIET_CHECKS = 5
"""In a row, 50 ms apart: events that are on their way arrive within this time."""

ONE_RUN_ONLY = {
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_BLOCKS_REGISTER_ON_START": "false",
    # automations of a real server must not fire because a one-off run looked at its database
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    # when it stops, Prefect writes one more batch of task runs: all that is left must fit
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "1000",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "0",  # its console is a file
}


_own_server = threading.Event()
_to_tell: list[Callable[[], None]] = []


def is_one_off() -> bool:
    """Whether the API server ends with this process, so that links to it lead nowhere."""
    return _own_server.is_set()


@contextmanager
def local_server(when_lost: Callable[[], None] | None = None) -> Iterator[str]:
    """
    Give this process a Prefect API and yield its URL.

    A configured PREFECT_API_URL (environment or profile) is used as it is. Otherwise a server is
    started on a free loopback port with the user's own Prefect database, where `prefect server
    start` shows the run later, and is stopped once it has recorded everything. It cannot outlive
    this process, and any number of them can share the database.

    Args:
        when_lost: Called when the API is gone too early, perhaps in another thread.

    Raises:
        ConfigurationError: The configured API does not answer, or the server does not start.
    """
    if url := PREFECT_API_URL.value():
        _check(url)
        with _told(when_lost):
            yield url
        return

    settings = get_current_settings()
    log_path = settings.home / "middlewatch-server.log"
    with _opened(log_path) as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "flows.local_server"],
            cwd=Path(__file__).parents[1],
            env=os.environ | settings.to_environment_variables(exclude_unset=True) | ONE_RUN_ONLY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the run, which then still needs the server
        )
    with ExitStack() as stack:
        stack.callback(_stop, server)
        url = _announced_url(server)
        if not url:
            raise ConfigurationError(
                f"Prefect's API server did not start; see {log_path}, "
                "or set PREFECT_API_URL to the address of a running one."
            )
        stack.enter_context(_addresses(url))
        _own_server.set()
        stack.callback(_own_server.clear)
        stack.callback(_send_what_is_queued, server)
        stack.enter_context(_told(when_lost))
        is_over = threading.Event()
        stack.callback(is_over.set)
        threading.Thread(target=_watch, args=(server, is_over), daemon=True).start()
        yield url


def _opened(log_path: Path) -> BinaryIO:
    try:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        return log_path.open("ab")
    except OSError as error:
        raise ConfigurationError(
            f"Prefect cannot write to {log_path.parent} ({error.strerror}): set PREFECT_HOME to a"
            " directory of this user."
        ) from None


def _check(url: str) -> None:
    with get_client(sync_client=True) as client:
        problem = client.api_healthcheck()
    if problem:
        raise ConfigurationError(
            f"Prefect's API at {url} does not answer ({problem}): start that server, "
            "or unset PREFECT_API_URL to let the run bring its own."
        )


def _announced_url(server: subprocess.Popen[bytes]) -> str:
    """Wait for the server to print its URL; empty if it ended or took too long."""
    assert server.stdout  # noqa: S101 -- it was asked for
    timeout = threading.Timer(START_SECONDS, server.kill)
    timeout.start()
    try:
        return server.stdout.readline().decode().strip()
    finally:
        timeout.cancel()


@contextmanager
def _told(when_lost: Callable[[], None] | None) -> Iterator[None]:
    _to_tell[:] = [when_lost] if when_lost is not None else []
    try:
        yield
    finally:
        _to_tell.clear()


def report_lost_api() -> None:
    """Whoever has to know knows; without anybody, Prefect's client goes on trying for minutes."""
    for tell in _to_tell:
        tell()


def _watch(server: subprocess.Popen[bytes], is_over: threading.Event) -> None:
    while not is_over.wait(1):
        if server.poll() is not None:
            report_lost_api()
            return


def _send_what_is_queued(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is not None:
        return  # each would be tried for a minute
    EventsWorker.drain_all()
    APILogWorker.drain_all()


def _stop(server: subprocess.Popen[bytes]) -> None:
    try:
        server.communicate(timeout=STOP_SECONDS)  # closes its stdin: the sign to end
    except subprocess.TimeoutExpired:
        server.kill()
        server.communicate()


@contextmanager
def _addresses(api_url: str) -> Iterator[None]:
    """
    Where this process, and those that it starts, find the API and people will find the run.

    Links go to where `prefect server start` shows the run later: this server has no pages.
    """
    server = get_current_settings().server.api
    updates = {
        PREFECT_API_URL: api_url,
        PREFECT_UI_URL: PREFECT_UI_URL.value() or f"http://{server.host}:{server.port}",
    }
    before = dict(os.environ)
    os.environ.update({setting.name: value for setting, value in updates.items()})
    try:
        with temporary_settings(updates):
            yield
    finally:
        for setting in updates:
            os.environ.pop(setting.name)
        os.environ.update(before)


class _Server(uvicorn.Server):
    """The child process: announces its URL on stdout, ends when its stdin does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets  # noqa: S101 -- see _main
        # two servers that start together would both create the tables
        with FileLock(get_current_settings().home / "middlewatch-server.lock"):
            await super().startup(sockets)
        if self.started:
            print(f"http://127.0.0.1:{sockets[0].getsockname()[1]}/api", flush=True)  # noqa: T201

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await _events_recorded()
        await super().shutdown(sockets)


async def _events_recorded() -> None:
    """Task runs are recorded from events: wait until every event that came in was read."""
    from prefect.server.utilities.messaging.memory import METRICS

    deadline = time.monotonic() + STOP_SECONDS / 2
    quiet = 0
    while quiet < QUIET_CHECKS and time.monotonic() < deadline:
        events = METRICS["events"]
        quiet = quiet + 1 if events["consumed"] == events["published"] else 0
        await asyncio.sleep(0.05)


def _main() -> None:
    from prefect.server.api.server import create_app

    # ephemeral: without the services that belong to a lasting server, such as the scheduler
    app = create_app(ephemeral=True, final=True)
    server = _Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))

    def stop_when_the_parent_is_gone() -> None:
        os.read(0, 1)
        server.should_exit = True

    threading.Thread(target=stop_when_the_parent_is_gone, daemon=True).start()
    server.run(sockets=[socket.create_server(("127.0.0.1", 0))])
    os._exit(0)  # all is written; taking the interpreter apart would cost half a second


if __name__ == "__main__":
    _main()
