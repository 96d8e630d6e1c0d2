"""What is new is found and counted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from prefect import unmapped
from prefect.futures import PrefectFuture

from flows.history import Progress
from flows.lifecycle import Tale, error_of, explain
from flows.report import MAX_NAMED
from tasks.collect.batches import make_batches
from tasks.collect.task import find_new_objects
from tasks.detect.apart import is_large, workers
from tasks.detect.rules import Override
from tasks.detect.task import tally_batch
from tasks.model.errors import (
    ConfigurationError,
    TransientError,
)
from tasks.model.objects import (
    Batch,
    BatchResult,
    EventRange,
    Location,
    LogObject,
    Plan,
    SkippedObject,
    digest,
)
from tasks.model.runs import LONGEST_SERVICE, Run
from tasks.model.text import cut


def find_objects(run: Run, location: Location, tale: Tale) -> Plan:
    """What is new; a source that cannot be listed does not keep the other steps from theirs."""
    plan = Plan(location.uri, listed=0, unchanged=0, to_read=())
    is_listed = False
    try:
        plan = find_new_objects(run, location)
        is_listed = True
    except TransientError as error:
        tale.failures.append(str(error))
    except ConfigurationError as error:
        tale.broken = error
    tale.note_service(cut(run.source, LONGEST_SERVICE), worked=is_listed)
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
    thresholds: Mapping[str, Override],
    event_range: EventRange | None = None,
) -> None:
    """Everything that is new is counted and committed, batch by batch."""
    done = len(tale.batches)  # of earlier shards: a number names one batch of the run
    batches = [replace(b, number=done + b.number) for b in make_batches(objects)]
    futures = tally_batch.map(
        unmapped(run),
        unmapped(location),
        batches,
        event_range=unmapped(event_range),
        thresholds=unmapped(thresholds),
        is_apart=unmapped(is_large(batches)),
    )
    try:
        _collect_results(futures, batches, Progress(run, total=len(batches)), tale)
    finally:
        workers().end()


def _collect_results(
    futures: Iterable[PrefectFuture[BatchResult]],
    batches: Sequence[Batch],
    progress: Progress,
    tale: Tale,
) -> None:
    for future, batch in zip(futures, batches, strict=True):
        future.wait()
        result = _batch_result(future, batch, tale)
        tale.batches.append(result)
        tale.degradations += [
            f"Most lines of {key} were not understood: say in MIDDLEWATCH_FORMATS_FILE how they"
            " are written, or leave the file out with the pattern."
            for key in result.hardly_understood[:MAX_NAMED]
        ]
        slow = f"Lines were counted one by one, which takes ten times as long: {result.slowed_by}."
        if result.slowed_by and slow not in tale.notes:
            tale.notes.append(slow)
        progress.advance()


def _batch_result(future: PrefectFuture[BatchResult], batch: Batch, tale: Tale) -> BatchResult:
    if future.state.is_completed():
        return future.result()
    error = error_of(future)
    if isinstance(error, ConfigurationError):
        tale.broken = error
    reason = explain(error)
    tale.failures.append(f"Batch {batch.number} was not counted: {reason}")
    lost = tuple(SkippedObject(o.object_key, o.version, reason) for o in batch.objects)
    return BatchResult(batch.number, 0, 0, lost, (), 0, 0, 0)
