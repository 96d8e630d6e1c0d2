"""A run from its first record on: who it is, what it has to tell, what became of its tasks."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID, uuid4

from prefect import State, get_run_logger, runtime
from prefect.client.orchestration import get_client
from prefect.exceptions import FailedRun
from prefect.futures import PrefectFuture
from prefect.states import Crashed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from flows.history import suppress_and_log
from flows.local_server import is_one_off, report_lost_api
from tasks.collect.formats.configuration import load_formats
from tasks.detect.rules import Override, load_rules, with_thresholds
from tasks.detect.subjects import open_groupings
from tasks.model.errors import (
    ConfigurationError,
    MiddlewatchError,
    PermanentError,
)
from tasks.model.objects import (
    BatchResult,
    Location,
    Plan,
)
from tasks.model.runs import Run, RunKind
from tasks.model.verdicts import Judged, Usage
from tasks.settings import settings
from tasks.store.engine import insist
from tasks.store.locks import database_lock
from tasks.store.namespaces import open_namespace
from tasks.store.runs import KILLED, fail_run, open_run, stop_run
from tasks.store.schema import open_database

P = ParamSpec("P")
T = TypeVar("T")

STOPPED = "It was stopped before its end; the next run takes up what it left."

THREADS = 32
"""All alerts and all records of a run that alerts one by one, side by side, and some more."""


_locks_to_the_end: list[ExitStack] = []
_under_way: list[Run] = []


@dataclass(slots=True)
class Tale:
    """What a run has to tell at its end; every stage adds its part."""

    plan: Plan | None = None
    batches: list[BatchResult] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    deliveries: dict[str, int] = field(default_factory=dict)
    degradations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    working: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    """Services that this run needed, by whether they did their part; see *note_service*."""
    broken: ConfigurationError | None = None
    """Ends the run as failed, once everything that does not depend on it is done."""

    def note_service(self, name: str, *, worked: bool) -> None:
        """It did its part, or not; once is enough to be no outage."""
        (self.working if worked else self.failing).add(name)


class _WithoutTraceback(logging.Filter):
    """A failure that has words of its own needs no traceback, which Prefect logs with each."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record; what a worker says of a run that failed are the run's words."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, MiddlewatchError | FailedRun):
            record.exc_info = None
            if record.name == "prefect.flow_runs":
                record.msg, record.args = "%s", (str(error),)
        return True


for _name in ("prefect.task_runs", "prefect.flow_runs"):
    logging.getLogger(_name).addFilter(_WithoutTraceback())


def ends_plainly(flow: Callable[P, State[Any]]) -> Callable[P, State[Any]]:
    """An error that has words of its own ends the flow as Failed with just these words."""

    @wraps(flow)
    def run(*args: P.args, **kwargs: P.kwargs) -> State[Any]:
        try:
            return flow(*args, **kwargs)
        except MiddlewatchError as error:
            return Failed(message=str(error), data=error)

    return run


def side_by_side() -> TaskRunner[PrefectFuture[Any]]:
    """Threads: what takes long waits for others, such as processes that count what is large."""
    return cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=THREADS))


def locate(source: str, pattern: str, aws_credentials_block: str) -> Location:
    """
    Where to read: what the run names, or else the environment.

    Raises:
        ConfigurationError: Neither names a source.
    """
    uri = source or settings().source
    if not uri:
        raise ConfigurationError(
            "There is nothing to read: give a directory or s3://bucket/prefix as the source, "
            "or set MIDDLEWATCH_SOURCE."
        )
    return Location(uri, pattern, aws_credentials_block or None)


def check_configuration(thresholds: Mapping[str, Override]) -> None:
    """
    Nothing is read before rules, thresholds and formats are known to be right.

    Raises:
        ConfigurationError: One of them makes no sense.
    """
    rules = with_thresholds(load_rules(settings().rules_file), thresholds)
    open_groupings(rules, settings().asn_database)
    load_formats(settings().formats_file, settings().trusted_proxies)


@contextmanager
def recorded_run(
    kind: RunKind,
    namespace: str,
    location: Location,
    parameters: Mapping[str, str] | None = None,
) -> Iterator[Run]:
    """
    The run is on record from its first moment, also if it fails.

    One run works in a namespace at a time; another one waits for it. So a run that is still on
    record as running has died.

    Args:
        parameters: What a later run in *namespace* must repeat.
    """
    run = Run(
        id=uuid4().hex,
        name=runtime.flow_run.name or str(kind),
        kind=kind,
        namespace=namespace,
        source=location.uri,
        started_at=datetime.now(UTC),
        url=_page_of_run(),
    )
    url = settings().database_url.get_secret_value()
    engine = insist(lambda: open_database(url))
    flow_run_id = runtime.flow_run.id
    with ExitStack() as stack:
        stack.enter_context(database_lock(engine, namespace))
        insist(lambda: open_namespace(engine, namespace, kind, parameters or {}, run.started_at))
        stack.enter_context(_stoppable(run))
        _report_crashed(insist(lambda: open_run(engine, run, flow_run_id)), KILLED)
        try:
            yield run
        except Exception as error:
            told = explain(error)
            _record_end(lambda now: fail_run(engine, run.id, told, now))
            if _is_of_prefect(error):
                report_lost_api()
            raise
        except BaseException:
            _record_end(lambda now: stop_run(engine, run.id, STOPPED, now))
            if not runtime.deployment.id:  # else the worker knows whether it was cancelled
                _report_crashed([flow_run_id], STOPPED)
            # tasks may still be at work: another run begins when this process has ended
            _locks_to_the_end.append(stack.pop_all())
            raise


@contextmanager
def _stoppable(run: Run) -> Iterator[None]:
    _under_way.append(run)
    try:
        yield
    finally:
        _under_way.remove(run)


def record_stop() -> None:
    """
    What is under way is on record as stopped.

    For a thread that has nothing else to do: the one that runs the flow may be in the middle of
    what it cannot leave before the process is killed.
    """
    for run in _under_way.copy():
        engine = open_database(settings().database_url.get_secret_value())
        stop = partial(stop_run, engine, run.id, STOPPED, datetime.now(UTC))
        with suppress(MiddlewatchError):  # the flow says so, if it comes to it
            insist(stop)


def _record_end(record: Callable[[datetime], None]) -> None:
    try:
        insist(lambda: record(datetime.now(UTC)))
    except MiddlewatchError as second:
        get_run_logger().error("how the run ended is not on record: %s", second)


def _report_crashed(flow_run_ids: Sequence[str], told: str) -> None:
    """Prefect shows what was killed as running until somebody says otherwise."""
    crashed: State[Any] = Crashed(message=told)
    for flow_run_id in map(UUID, flow_run_ids):
        # only people look at it, and it may be on another server or deleted
        what = "A killed flow run is not marked as crashed"
        with suppress_and_log(what), get_client(sync_client=True) as client:
            state = client.read_flow_run(flow_run_id).state
            if state is not None and not state.is_final():
                client.set_flow_run_state(flow_run_id, crashed, force=True)


def whole(value: T) -> T:
    """As it is: Prefect would look for futures in every part of it, however many there are."""
    return cast("T", quote(value))


def error_of(future: PrefectFuture[Any]) -> Exception:
    """Why a task did not complete."""
    error = future.result(raise_on_failure=False)
    return error if isinstance(error, Exception) else PermanentError(str(future.state.message))


def explain(error: Exception) -> str:
    """Our own words, or the kind of an error that nobody expected: its text may hold anything."""
    if isinstance(error, MiddlewatchError):
        return str(error)
    if _is_of_prefect(error):
        return (
            f"Prefect's API failed ({type(error).__name__}): see that its server runs; the next run"
            " takes up what is left."
        )
    return f"unexpected {type(error).__name__}; see the task's log in Prefect."


def _is_of_prefect(error: Exception) -> bool:
    # not all of them have a base class of Prefect's
    return type(error).__module__.partition(".")[0] in {"prefect", "httpx"}


def _page_of_run() -> str | None:
    """The run's page, if somebody can open it: a server that lives only for this run has none."""
    url: str | None = runtime.flow_run.ui_url
    return None if is_one_off() else url
