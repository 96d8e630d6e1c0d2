"""A run is put on record and into the UI, with a final state that tells the truth."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from prefect import State
from prefect.states import Completed, Failed

from flows.history import publish
from flows.lifecycle import Tale
from flows.report import MAX_NAMED, format_count
from tasks.model.objects import (
    Coverage,
    Plan,
    SkippedObject,
    cover,
)
from tasks.model.runs import Outage, Run, RunState, RunSummary
from tasks.model.text import make_visible
from tasks.settings import settings
from tasks.store.engine import insist
from tasks.store.incidents import load_conclusions
from tasks.store.outages import update_outages
from tasks.store.quarantine import count_quarantined
from tasks.store.runs import close_run
from tasks.store.schema import open_database

MESSAGE_CHARACTERS = 2000


def close(run: Run, tale: Tale) -> State[RunSummary]:
    """
    The run is on record and in the UI, with a final state that tells the truth.

    Returns:
        Completed when all is well, Completed as "Degraded" when something was done in a lesser
        way, Failed as "Incomplete" when the next run has something to try again.

    Raises:
        ConfigurationError: The source could not be read, and will not be until the user acts.
    """
    if tale.broken is not None:
        raise tale.broken
    engine = open_database(settings().database_url.get_secret_value())
    plan = tale.plan or Plan(run.source, 0, 0, ())
    coverage = cover(plan, tale.batches)
    unread = (*plan.skipped, *(s for b in tale.batches for s in b.skipped))
    failures = _fit_to_show((*tale.failures, *_failures_of_coverage(coverage, unread)))
    failing, working = tale.failing - tale.working, tale.working
    since = insist(lambda: update_outages(engine, run.namespace, failing, working, run.started_at))
    set_aside = insist(lambda: count_quarantined(engine, run.namespace))
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
        conclusions=tuple(insist(lambda: load_conclusions(engine, tale.judged))),
        deliveries=dict(tale.deliveries),
        usage=tale.usage,
        searches=sum(j.research.searches for j in tale.judged),
        degradations=_fit_to_show(tale.degradations),
        notes=(*tale.notes, *_describe_quarantine(*set_aside)),
        failures=failures,
        outages=_list_outages(since),
    )
    insist(lambda: close_run(engine, run.id, summary))
    publish(summary)
    return _final_state(summary)


def _list_outages(since: Mapping[str, datetime]) -> tuple[Outage, ...]:
    outages = (Outage(make_visible(name), began_at) for name, began_at in since.items())
    return tuple(sorted(outages, key=lambda o: (o.since, o.service)))


def _describe_quarantine(count: int, first: datetime | None) -> Iterator[str]:
    """What is set aside, also by earlier runs, and how it comes back."""
    if first is not None:
        yield (
            f"{format_count(count, 'object')} in quarantine, the first since"
            f" {first:%Y-%m-%d %H:%M} UTC: python -m flows.quarantine lists them and has them read"
            " again."
        )


def _fit_to_show(sentences: Iterable[str]) -> tuple[str, ...]:
    """Sentences with names of objects in them, which others chose: for table, state and UI."""
    return tuple(map(make_visible, sentences))


def _failures_of_coverage(coverage: Coverage, unread: Sequence[SkippedObject]) -> list[str]:
    failures = [_describe_unread(o) for o in unread if o.is_retried][:MAX_NAMED]
    if not coverage.holds:
        failures.append(f"The coverage equation does not hold: {coverage}.")
    return failures


def _describe_unread(unread: SkippedObject) -> str:
    since = f" (since {unread.since:%Y-%m-%d %H:%M} UTC)" if unread.since else ""
    return f"{unread.object_key}{since}: {unread.reason}"


def _final_state(summary: RunSummary) -> State[RunSummary]:
    told = (
        f"{summary.coverage}; {format_count(summary.suspects, 'suspect')},"
        f" {format_count(len(summary.incidents), 'incident')}."
    )
    if summary.outages:
        told = f"{told} Not working: {', '.join(map(str, summary.outages))}."
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
