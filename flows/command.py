"""One run from the command line: its own API server if need be, its summary, its exit code."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NoReturn, Self

import typer
from prefect import State
from prefect.exceptions import ParameterTypeError
from pydantic import ValidationError
from rich.console import Console

from flows.lifecycle import STOPPED, record_stop
from flows.local_server import local_server
from flows.terminal import print_complaint, print_run
from tasks.detect.allowlist import AllowlistEntry
from tasks.detect.apart import workers
from tasks.detect.rules import Override
from tasks.model.errors import ConfigurationError, MiddlewatchError, PermanentError
from tasks.model.runs import RunState, RunSummary

PatternOption = Annotated[str, typer.Option(help="Glob over paths or keys below the source.")]
BlockOption = Annotated[
    str, typer.Option(help="Name of a prefect-aws AwsCredentials block.", show_default=False)
]
ThresholdOption = Annotated[
    list[str] | None,
    typer.Option(help="Other threshold for one rule: RULE=COUNT or RULE=COUNT/TIMESPAN."),
]
AllowOption = Annotated[
    list[str] | None, typer.Option(help="Network that is never a suspect: CIDR=REASON.")
]

GRACE_SECONDS = 5
"""Containers are killed after ten."""
_SIGNAL_EXIT = 128  # as shells have it
DONE = 0
RETRIED_LATER = 1
WRONG_USE = 2


def run_once(start: Callable[[], State[Any]]) -> NoReturn:
    """
    The flow has run in this process, which exits.

    0: done. 1: something failed that a later run tries again. 2: wrong usage or configuration.
    As shells have it, 143 after SIGTERM and 130 after Ctrl-C.
    """
    stopping = _Stopping()
    try:
        with stopping, local_server(stopping.lose_server):
            state = start()
    except MiddlewatchError as error:
        sys.exit(_explain(error))
    except _Stop:
        sys.exit(stopping.explain())
    outcome = outcome_of(state)
    if isinstance(outcome, RunSummary):
        print_run(outcome, Console())
        sys.exit(DONE if outcome.state is RunState.DONE else RETRIED_LATER)
    sys.exit(_explain(outcome))


class _Stop(BaseException):
    """The run is to end now."""


class _Stopping:
    """
    SIGTERM, Ctrl-C and the loss of Prefect's API end it alike: told and put away.

    While the flow runs, Prefect has a handler of its own for SIGTERM, which calls this one when all
    tasks have ended. They may wait for a model or for their next attempt, for which nobody waits.
    """

    def __init__(self) -> None:
        self._signal = signal.SIGTERM
        self._has_lost_server = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        coming, self._to_be_told = socket.socketpair()
        self._to_be_told.setblocking(False)
        self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._stop)
        self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._pass_on)
        # Python tells it of every signal, whoever has the handler
        signal.set_wakeup_fd(self._to_be_told.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._end_in_time, args=(coming,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._to_be_told.close()

    def lose_server(self) -> None:
        """Nothing can go on: every step of a flow asks Prefect."""
        self._has_lost_server = True
        os.kill(os.getpid(), signal.SIGTERM)

    def explain(self) -> int:
        """Say why there is no summary, and give the exit code."""
        if self._has_lost_server:
            print_complaint("Prefect's server is gone; the next run takes up what is left.")
            return RETRIED_LATER
        print_complaint(STOPPED)
        return _SIGNAL_EXIT + self._signal

    def _stop(self, *_: object) -> NoReturn:
        raise _Stop

    def _pass_on(self, *_: object) -> None:
        self._signal = signal.SIGINT
        os.kill(os.getpid(), signal.SIGTERM)

    def _end_in_time(self, coming: socket.socket) -> None:
        with coming:
            while numbers := coming.recv(1):
                if numbers[0] in self._before:
                    # what is busy with something else may never come to its handler
                    self._signal = signal.Signals(numbers[0])
                    # a database that is busy does not make it late
                    threading.Thread(target=record_stop, daemon=True).start()
                    time.sleep(GRACE_SECONDS)
                    workers().kill()
                    os._exit(self.explain())


def outcome_of(state: State[Any]) -> RunSummary | Exception:
    """The run's summary, also of one that ended as Incomplete, or why there is none."""
    outcome = getattr(state.data, "result", state.data)
    if isinstance(outcome, RunSummary | Exception):
        return outcome
    return PermanentError(f"The run ended unexpectedly: {state.message or state.name}")


def _explain(error: Exception) -> int:
    """Say why there is no summary, and give the exit code."""
    is_users = isinstance(error, (ConfigurationError, ParameterTypeError, ValidationError))
    if is_users or isinstance(error, MiddlewatchError):
        print_complaint(str(error))
    else:  # its text may hold anything
        print_complaint(
            f"The run ended unexpectedly ({type(error).__name__}): its log says where, please"
            " report it; the next run takes up what is left."
        )
    return WRONG_USE if is_users else RETRIED_LATER


def parse_thresholds(options: list[str]) -> dict[str, Override]:
    """`RULE=COUNT` or `RULE=COUNT/TIMESPAN`, such as `http-request-volume=300/5m`."""
    return dict(_parse_threshold(option) for option in options)


def _parse_threshold(option: str) -> tuple[str, Override]:
    rule, _, value = option.partition("=")
    count, _, timespan = value.partition("/")
    if not count.isdecimal():
        raise typer.BadParameter(
            f"{option!r} has no whole number: write RULE=COUNT or RULE=COUNT/TIMESPAN,"
            " such as http-request-volume=300/5m",
            param_hint="--threshold",
        )
    values: Mapping[str, object] = {"threshold": count or None, "timespan": timespan or None}
    try:
        return rule, Override.model_validate(values)
    except ValidationError as error:
        raise _bad_option(
            option, "--threshold", "RULE=COUNT or RULE=COUNT/TIMESPAN", error
        ) from None


def parse_allowlist(options: list[str]) -> list[AllowlistEntry]:
    """`CIDR=REASON`, such as `192.0.2.0/28=office`."""
    return [_parse_entry(option) for option in options]


def _parse_entry(option: str) -> AllowlistEntry:
    cidr, _, reason = option.partition("=")
    if not reason:
        raise typer.BadParameter(
            f"{option!r} gives no reason: write {cidr}=REASON", param_hint="--allow"
        )
    try:
        return AllowlistEntry(cidr=cidr, reason=reason)
    except ValidationError as error:
        raise _bad_option(option, "--allow", "CIDR=REASON", error) from None


def _bad_option(option: str, name: str, form: str, error: ValidationError) -> typer.BadParameter:
    problem = error.errors(include_input=False)[0]["msg"].removeprefix("Value error, ")
    return typer.BadParameter(f"{option!r} is not {form}: {problem}", param_hint=name)
