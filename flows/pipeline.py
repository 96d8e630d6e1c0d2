"""The stages that a scan and a backfill share, each in terms of the tasks."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, cast
from uuid import uuid4

from prefect import State, allow_failure, get_run_logger, runtime, unmapped
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from flows.history import Progress, publish
from flows.local_server import is_one_off
from flows.report import format_count
from tasks.collect.batches import make_batches
from tasks.collect.task import find_new_objects
from tasks.detect.rules import Override, load_rules, with_thresholds
from tasks.detect.task import tally_batch
from tasks.model.alerts import Delivery, DeliveryOutcome, DeliveryState
from tasks.model.errors import (
    ConfigurationError,
    MiddlewatchError,
    PermanentError,
    TransientError,
)
from tasks.model.incidents import Suspect
from tasks.model.objects import (
    Batch,
    BatchResult,
    Coverage,
    EventRange,
    Location,
    LogObject,
    Plan,
    SkippedObject,
    cover,
    digest,
)
from tasks.model.runs import Run, RunKind, RunState, RunSummary
from tasks.model.verdicts import AnalystName, Judged, Judgement, Research, Usage
from tasks.notify import task as notify
from tasks.research import task as research
from tasks.settings import settings
from tasks.store.incidents import load_conclusions
from tasks.store.locks import database_lock
from tasks.store.namespaces import open_namespace
from tasks.store.runs import close_run, fail_run, open_run
from tasks.store.schema import open_database
from tasks.store.task import count_held_back, queue_alerts, record_incidents
from tasks.triage.plan import TriagePlan
from tasks.triage.second_look import is_worth_second_look, merge_looks
from tasks.triage.task import (
    explain_missing_analyst,
    plan_triage,
    remember_verdicts,
    triage_suspect,
    triage_without_call,
)

T = TypeVar("T")

THREADS = 32
"""All alerts and all records of a run that alerts one by one, side by side, and some more."""
MAX_SINGLE_ALERTS = 10
"""More undelivered incidents than this become one digest."""
MAX_SINGLE_RECORDS = 50
"""More incidents than this are written many at a time: a task run for each takes longer than it."""
MAX_RESEARCHED = 50
"""Suspects of one run, worst first; a flood is not worth thousands of searches."""
PART = 500
"""Suspects that one task judges or writes together."""
MESSAGE_CHARACTERS = 2000
MAX_NAMED = 20
"""Objects that the report names one by one."""


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


def side_by_side() -> TaskRunner[PrefectFuture[Any]]:
    """Threads: what takes long waits for others, or counts in code that frees the interpreter."""
    return cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=THREADS))


def locate(source: str | None, pattern: str, aws_credentials_block: str | None) -> Location:
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


def check_rules(thresholds: Mapping[str, Override]) -> None:
    """
    Nothing is read before the rules are known to be right.

    Raises:
        ConfigurationError: The rules file or a threshold makes no sense.
    """
    with_thresholds(load_rules(settings().rules_file), thresholds)


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
    engine = open_database(settings().database_url.get_secret_value())
    with database_lock(engine, namespace):
        open_namespace(engine, namespace, kind, parameters or {}, run.started_at)
        open_run(engine, run, flow_run_id=runtime.flow_run.id)
        try:
            yield run
        except Exception as error:
            _record_failure(run, error)
            raise


def _record_failure(run: Run, error: Exception) -> None:
    engine = open_database(settings().database_url.get_secret_value())
    told = str(error) if isinstance(error, MiddlewatchError) else type(error).__name__
    try:
        fail_run(engine, run.id, told, datetime.now(UTC))
    except MiddlewatchError as second:
        get_run_logger().error("the failure is not on record: %s", second)


def find_objects(run: Run, location: Location, tale: Tale) -> Plan:
    """What is new; a source that cannot be listed now does not keep the other steps from theirs."""
    try:
        plan = find_new_objects(run, location)
    except TransientError as error:
        tale.failures.append(str(error))
        plan = Plan(location.uri, listed=0, unchanged=0, to_read=())
    tale.plan = plan
    return plan


def split(plan: Plan, shards: int) -> Iterator[Sequence[LogObject]]:
    """The objects in *shards* parts; which part an object is in depends on nothing but its key."""
    parts: list[list[LogObject]] = [[] for _ in range(shards)]
    for log_object in plan.to_read:
        parts[int(digest(log_object.object_key)[:8], 16) % shards].append(log_object)
    return (part for part in parts if part)


def count_objects(
    run: Run,
    location: Location,
    objects: Sequence[LogObject],
    tale: Tale,
    event_range: EventRange | None = None,
) -> None:
    """Everything that is new is counted and committed, batch by batch."""
    batches = make_batches(objects)
    progress = Progress(run, total=len(batches))
    futures = tally_batch.map(
        unmapped(run), unmapped(location), batches, event_range=unmapped(event_range)
    )
    for future, batch in zip(futures, batches, strict=True):
        future.wait()
        tale.batches.append(_batch_result(future, batch, tale))
        progress.advance()


def _batch_result(future: PrefectFuture[BatchResult], batch: Batch, tale: Tale) -> BatchResult:
    if future.state.is_completed():
        return future.result()
    error = _error_of(future)
    if isinstance(error, ConfigurationError):
        raise error
    reason = _explain(error)
    tale.failures.append(f"Batch {batch.number} was not counted: {reason}")
    lost = tuple(SkippedObject(o.object_key, o.version, reason) for o in batch.objects)
    return BatchResult(batch.number, 0, 0, lost, (), 0, 0, 0)


def judge_suspects(
    run: Run,
    suspects: Sequence[Suspect],
    tale: Tale,
    analyst: AnalystName | None = None,
    *,
    with_research: bool = True,
) -> list[Judged]:
    """
    Every suspect has a verdict; the guilty ones are researched and looked at once more.

    Args:
        run: Whose budget pays.
        suspects: Worst first.
        tale: Is told what was done in a lesser way.
        analyst: Other than the environment says.
        with_research: Search the web, where it is configured.
    """
    analyst = analyst or settings().analyst
    missing = explain_missing_analyst(analyst) if suspects else None
    ask = partial(triage_suspect.submit, run=run, analyst=analyst, unavailable=missing)
    plan = plan_triage(run, _whole(suspects), analyst, missing)
    looked = _look(plan, ask, tale)
    judgements = looked | _judge_others(run, plan, looked, tale)
    judged = [
        Judged(suspect, judgements[suspect.incident_id])
        for suspect in suspects
        if suspect.incident_id in judgements
    ]
    if with_research and research.is_on(settings()):
        judged = _research(run, judged, plan, ask, tale)
    elif with_research:
        tale.notes.append("Web research is off: set TAVILY_API_KEY to have it.")
    tale.judged = judged
    tale.degradations += _degradations(judged)
    return judged


def _look(
    plan: TriagePlan, ask: Callable[..., PrefectFuture[Judgement]], tale: Tale
) -> dict[str, Judgement]:
    """The judgements on those that are looked at one by one, by incident id."""
    futures = [ask(suspect) for suspect in plan.asked]
    return {
        suspect.incident_id: judgement
        for suspect, future in zip(plan.asked, futures, strict=True)
        if (judgement := _judgement(future, suspect, tale)) is not None
    }


def _judge_others(
    run: Run, plan: TriagePlan, looked: Mapping[str, Judgement], tale: Tale
) -> dict[str, Judgement]:
    """The judgements on those that have no call of their own, by incident id."""
    others = [*plan.alike, *((suspect, None) for suspect in plan.left)]
    said = {}
    if plan.alike and looked:
        asked = [suspect for suspect in plan.asked if suspect.incident_id in looked]
        said = remember_verdicts(_whole(asked), _whole([looked[s.incident_id] for s in asked]))
    parts = [others[start : start + PART] for start in range(0, len(others), PART)]
    futures = [
        triage_without_call.submit(run, number, _whole(part), plan.reason, _whole(said))
        for number, part in enumerate(parts, start=1)
    ]
    judged: dict[str, Judgement] = {}
    for part, future in zip(parts, futures, strict=True):
        future.wait()
        if future.state.is_completed():
            ids = (suspect.incident_id for suspect, _ in part)
            judged |= zip(ids, future.result(), strict=True)
        else:
            reason = _explain(_error_of(future))
            tale.failures.append(f"{len(part)} suspects were not judged: {reason}")
    return judged


def _whole(value: T) -> T:
    """As it is: Prefect would look for futures in every part of it, however many there are."""
    return cast("T", quote(value))


def _judgement(future: PrefectFuture[Judgement], suspect: Suspect, tale: Tale) -> Judgement | None:
    future.wait()
    if not future.state.is_completed():
        reason = _explain(_error_of(future))
        tale.failures.append(f"{suspect.source_ip} was not judged: {reason}")
        return None
    judgement = future.result()
    tale.usage += judgement.usage
    return judgement


def _research(
    run: Run,
    judged: Sequence[Judged],
    plan: TriagePlan,
    ask: Callable[..., PrefectFuture[Judgement]],
    tale: Tale,
) -> list[Judged]:
    looked_at = {suspect.incident_id for suspect in plan.asked}
    guilty = [j for j in judged if not j.judgement.verdict.verdict.is_benign]
    worth_it = [j for j in guilty if j.suspect.incident_id in looked_at or not looked_at]
    chosen = worth_it[:MAX_RESEARCHED]
    if len(chosen) < len(guilty):
        tale.degradations.append(
            f"{len(guilty) - len(chosen):,} suspect(s) were not researched: those that behave"
            f" alike are researched once, and {MAX_RESEARCHED} in a run."
        )
    futures = research.research_suspect.map(unmapped(run), [j.suspect for j in chosen])
    found = {}
    for item, future in zip(chosen, futures, strict=True):
        future.wait()
        found[item.suspect.incident_id] = (
            future.result()
            if future.state.is_completed()
            else Research(error=_explain(_error_of(future)))
        )
    second = {
        item.suspect.incident_id: ask(item.suspect, research=found[item.suspect.incident_id])
        for item in chosen
        if is_worth_second_look(item.judgement, found[item.suspect.incident_id])
    }
    return [_look_again(item, found, second, tale) for item in judged]


def _look_again(
    item: Judged,
    found: Mapping[str, Research],
    second: Mapping[str, PrefectFuture[Judgement]],
    tale: Tale,
) -> Judged:
    incident_id = item.suspect.incident_id
    researched = found.get(incident_id, item.research)
    again = None
    if incident_id in second:
        again = _judgement(second[incident_id], item.suspect, tale)
    judgement = item.judgement if again is None else merge_looks(item.judgement, again)
    return Judged(item.suspect, judgement, researched)


def _degradations(judged: Sequence[Judged]) -> list[str]:
    reasons = Counter(
        (j.judgement.analyst, j.judgement.analyst_reason)
        for j in judged
        if j.judgement.analyst_reason
    )
    less_research = Counter(j.research.error for j in judged if j.research.error)
    how = {AnalystName.RULES: "by the rules analyst", AnalystName.BEDROCK: "shared"}
    return [
        *(f"{n:,} verdict(s) {how[analyst]}: {reason}" for (analyst, reason), n in reasons.items()),
        *(f"{n:,} suspect(s) with less research: {reason}" for reason, n in less_research.items()),
    ]


def tell_and_record(
    run: Run, judged: Sequence[Judged], tale: Tale, *, with_alerts: bool = True
) -> None:
    """The alerts go out while the database is written; neither waits for the other."""
    is_on = notify.is_on(settings())
    alerts = []
    if with_alerts:
        alerts = queue_alerts(run, _whole(judged), notify.CHANNEL, is_on=is_on)
    sent = [_submit_delivery(run, group) for group in _messages(alerts)]
    parts = list(_parts(judged))
    recorded = [record_incidents.submit(name, _whole(part)) for name, part in parts]
    wait(cast("list[PrefectFuture[Any]]", [*sent, *recorded]))
    for (_, part), future in zip(parts, recorded, strict=True):
        if not future.state.is_completed():
            reason = _explain(_error_of(future))
            who = _name([j.suspect.source_ip for j in part])
            tale.failures.append(f"{who} was not recorded: {reason}")
    for group, outcome in zip(_messages(alerts), sent, strict=True):
        _tell_of_delivery(group, outcome, tale)
    if with_alerts and is_on:
        _tell_of_held_back(count_held_back(run, notify.CHANNEL), tale)
    elif with_alerts:
        tale.notes.append("Alerts are off: set TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID to be told.")


def _parts(judged: Sequence[Judged]) -> Iterator[tuple[str, Sequence[Judged]]]:
    """What is written together, with a name for people."""
    if len(judged) <= MAX_SINGLE_RECORDS:
        yield from ((j.suspect.source_ip, [j]) for j in judged)
        return
    for start in range(0, len(judged), PART):
        part = judged[start : start + PART]
        yield f"{start + 1}-to-{start + len(part)}", part


def _name(addresses: Sequence[str]) -> str:
    named = ", ".join(sorted(addresses)[:MAX_NAMED])
    more = len(addresses) - MAX_NAMED
    return f"{named} and {more:,} more" if more > 0 else named


def _tell_of_held_back(due: Sequence[datetime], tale: Tale) -> None:
    if due:
        tale.degradations.append(
            f"{format_count(len(due), 'alert')} wait(s): the channel took each twice and confirmed"
            f" none, so that people may have seen them; the next attempt is due at"
            f" {due[0]:%Y-%m-%d %H:%M} UTC."
        )


def _messages(alerts: Sequence[Delivery]) -> list[list[Delivery]]:
    """Which alerts share a message."""
    if len(alerts) > MAX_SINGLE_ALERTS:
        return [list(alerts)]
    return [[alert] for alert in alerts]


def _submit_delivery(run: Run, group: Sequence[Delivery]) -> PrefectFuture[DeliveryOutcome]:
    """Sending and recording that it was sent are retried each on its own."""
    message_id = (
        notify.deliver_alert.submit(run, group[0])
        if len(group) == 1
        else notify.deliver_digest.submit(run, _whole(group))
    )
    # Prefect hands over the id or the exception, whatever the annotation of allow_failure says
    result = cast("str | Exception", allow_failure(message_id))
    return notify.record_delivery.submit(run, _whole(group), result)


def _tell_of_delivery(
    group: Sequence[Delivery], future: PrefectFuture[DeliveryOutcome], tale: Tale
) -> None:
    if future.state.is_completed():
        outcome = future.result()
    else:
        outcome = DeliveryOutcome(DeliveryState.PENDING, error=_explain(_error_of(future)))
    count = tale.deliveries.get(outcome.state, 0)
    tale.deliveries[outcome.state] = count + len(group)
    if outcome.state is not DeliveryState.SENT:
        who = _name([d.alert.conclusion.incident.source_ip for d in group])
        tale.failures.append(f"The alert for {who} was not delivered: {outcome.error}")


def close(run: Run, tale: Tale) -> State[RunSummary]:
    """
    The run is on record and in the UI, with a final state that tells the truth.

    Returns:
        Completed when all is well, Completed as "Degraded" when something was done in a lesser
        way, Failed as "Incomplete" when the next run has something to try again.
    """
    engine = open_database(settings().database_url.get_secret_value())
    plan = tale.plan or Plan(run.source, 0, 0, ())
    coverage = cover(plan, tale.batches)
    unread = (*plan.skipped, *(s for b in tale.batches for s in b.skipped))
    failures = [*tale.failures, *_failures_of_coverage(coverage, unread)]
    summary = RunSummary(
        name=run.name,
        kind=run.kind,
        namespace=run.namespace,
        source=run.source,
        started_at=run.started_at,
        finished_at=datetime.now(UTC),
        state=RunState.INCOMPLETE if failures else RunState.DONE,
        coverage=coverage,
        lines=sum(b.lines for b in tale.batches),
        lines_unparsed=sum(b.lines_unparsed for b in tale.batches),
        size_bytes=sum(b.size_bytes for b in tale.batches),
        unparsed=tuple(s for b in tale.batches for s in b.unparsed)[:MAX_NAMED],
        skipped=unread[:MAX_NAMED],
        quarantined=tuple(s for b in tale.batches for s in b.quarantined)[:MAX_NAMED],
        suspects=len(tale.judged),
        conclusions=tuple(load_conclusions(engine, tale.judged)),
        deliveries=dict(tale.deliveries),
        usage=tale.usage,
        searches=sum(j.research.searches for j in tale.judged),
        degradations=tuple(tale.degradations),
        notes=tuple(tale.notes),
        failures=tuple(failures),
    )
    close_run(engine, run.id, summary)
    publish(summary)
    return _final_state(summary)


def _failures_of_coverage(coverage: Coverage, unread: Sequence[SkippedObject]) -> list[str]:
    failures = [f"{o.object_key}: {o.reason}" for o in unread if o.is_retried][:MAX_NAMED]
    if not coverage.holds:
        failures.append(f"The coverage equation does not hold: {coverage}.")
    return failures


def _final_state(summary: RunSummary) -> State[RunSummary]:
    told = (
        f"{summary.coverage}; {format_count(summary.suspects, 'suspect')},"
        f" {format_count(len(summary.incidents), 'incident')}."
    )
    if summary.failures:
        left = " ".join(summary.failures)
        message = f"{told} The next run tries again: {left}"
        return Failed(name="Incomplete", message=message[:MESSAGE_CHARACTERS], data=summary)
    if summary.degradations:
        lesser = " ".join(summary.degradations)
        message = f"{told} {lesser}"[:MESSAGE_CHARACTERS]
        return Completed(name="Degraded", message=message, data=summary)
    prefix = "Nothing new: " if summary.is_idle else ""
    return Completed(message=prefix + told, data=summary)


def _error_of(future: PrefectFuture[Any]) -> Exception:
    """Why a task did not complete."""
    error = future.result(raise_on_failure=False)
    return error if isinstance(error, Exception) else PermanentError(str(future.state.message))


def _explain(error: Exception) -> str:
    """Our own words, or the kind of an error that nobody expected: its text may hold anything."""
    if isinstance(error, MiddlewatchError):
        return str(error)
    return f"unexpected {type(error).__name__}; see the task's log in Prefect."


def _page_of_run() -> str | None:
    """The run's page, if somebody can open it: a server that lives only for this run has none."""
    url: str | None = runtime.flow_run.ui_url
    return None if is_one_off() else url
