"""Count a batch of log objects, and hold all counts against the rules."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from os import cpu_count
from threading import BoundedSemaphore
from zoneinfo import ZoneInfo

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff
from sqlalchemy import Connection

from tasks import retry
from tasks.collect.reader import read_extents
from tasks.collect.source import open_source
from tasks.detect.allowlist import Allowlist, AllowlistEntry
from tasks.detect.evaluate import LoadedTally, Touched, affected_hours, evaluate, needed_minutes
from tasks.detect.incidents import chain, reach, reconcile
from tasks.detect.rules import Override, RuleSet, load_rules, with_thresholds
from tasks.detect.suspect_hours import SuspectHour
from tasks.detect.tally import Sink, Tally, TallyBuilder
from tasks.model.incidents import Incident, Suspect
from tasks.model.objects import Batch, BatchResult, EventRange, Location, LogObject, ObjectResult
from tasks.model.runs import Run
from tasks.settings import settings
from tasks.store.engine import transaction
from tasks.store.incidents import (
    close_incident,
    stored_incidents,
    waiting_suspects,
    write_evidence,
)
from tasks.store.ledger import Commit, Ledger, Segment
from tasks.store.schema import open_database
from tasks.store.suspects import known_suspects, load_hours, replace_hours
from tasks.store.tallies import (
    Pending,
    StoredSegment,
    load_overlapping,
    load_pending,
    mark_evaluated,
    pending,
)

MAX_UNPARSED_SAMPLES = 10

_readers = BoundedSemaphore(cpu_count() or 1)
"""Counting is bound by the CPU; more at once would only cost memory."""


@task(
    task_run_name="tally-{batch.number}",
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_jitter_factor=0.5,
    retry_condition_fn=retry.if_transient,
    cache_policy=NO_CACHE,
    tags=["object-store"],
)
def tally_batch(
    run: Run, location: Location, batch: Batch, event_range: EventRange | None = None
) -> BatchResult:
    """
    Count what every source IP did in these objects, and commit it with the ledger.

    No threshold is applied here: an IP may be spread over many batches.

    Raises:
        TransientError: Nothing was committed; reading again is safe.
    """
    with _readers:
        results, tally = _count(location, batch, event_range)
    commit = _commit(run, results, tally)
    taken = {id(log_object) for log_object in commit.taken}
    extents = [e for r in results if id(r.log_object) not in taken for e in r.extents]
    result = BatchResult(
        batch_number=batch.number,
        done=commit.done,
        unchanged=len(commit.taken),
        skipped=commit.skipped,
        quarantined=commit.quarantined,
        lines=sum(e.lines for e in extents),
        lines_unparsed=sum(e.lines_unparsed for e in extents),
        size_bytes=sum(e.size_bytes for e in extents),
        unparsed=tuple((e.object_key, s) for e in extents for s in e.unparsed)[
            :MAX_UNPARSED_SAMPLES
        ],
    )
    get_run_logger().info(
        "batch %d: %d objects done, %d unchanged, %d skipped; %d lines, %d unparsed",
        batch.number,
        result.done,
        result.unchanged,
        len(result.skipped) + len(result.quarantined),
        result.lines,
        result.lines_unparsed,
    )
    return result


def _count(
    location: Location, batch: Batch, event_range: EventRange | None
) -> tuple[list[ObjectResult], Tally]:
    """Extents are numbered in the order of the results, which is what the ledger expects."""
    source = open_source(location)
    zone = ZoneInfo(settings().syslog_timezone)
    builder = TallyBuilder(load_rules(settings().rules_file))
    results: list[ObjectResult] = []
    extent = 0
    for log_object in batch.objects:
        numbers = count(extent)
        result = read_extents(
            source, log_object, zone, partial(_next_sink, builder, numbers), event_range
        )
        if result.error is not None:
            for dropped in range(extent, next(numbers)):
                builder.drop(dropped)
        results.append(result)
        extent += len(result.extents)
    return results, builder.build()


def _next_sink(
    builder: TallyBuilder,
    numbers: Iterator[int],
    _is_unfinished: bool,
) -> Sink:
    return builder.sink(next(numbers))


def _commit(run: Run, results: Sequence[ObjectResult], tally: Tally) -> Commit:
    """
    Commit all that no other run has committed first.

    Returns:
        With those others in `taken`.
    """
    ledger = Ledger(open_database(settings().database_url.get_secret_value()), run.namespace)
    taken: frozenset[LogObject] = frozenset()
    while True:
        commit = ledger.commit(
            results, _segment(tally), run_id=run.id, now=datetime.now(UTC), without=taken
        )
        if not commit.taken:
            return replace(commit, taken=tuple(taken))
        taken |= set(commit.taken)
        tally = tally.only(_extents_of(results, taken))


def _extents_of(results: Sequence[ObjectResult], taken: Collection[LogObject]) -> list[int]:
    """The ordinals that are left."""
    owners = [r.log_object for r in results for _ in r.extents]
    return [ordinal for ordinal, owner in enumerate(owners) if owner not in taken]


def _segment(tally: Tally) -> Segment | None:
    first, last = tally.first_minute, tally.last_minute
    if first is None or last is None:
        return None
    return Segment(first, last, tuple(tally.to_payloads()))


@task(
    task_run_name="evaluate-{run.namespace}",
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_jitter_factor=0.5,
    retry_condition_fn=retry.if_transient,
    cache_policy=NO_CACHE,
    tags=["database"],
)
def evaluate_rules(
    run: Run, thresholds: Mapping[str, Override], allowlist: Sequence[AllowlistEntry]
) -> list[Suspect]:
    """
    What was counted or withdrawn since the last evaluation is held against the rules.

    All of it is one transaction: a run that dies here leaves everything to the next one.

    Returns:
        All incidents that wait for the analyst, also of earlier runs, worst first.

    Raises:
        TransientError: Nothing was written.
    """
    engine = open_database(settings().database_url.get_secret_value())
    rules = with_thresholds(load_rules(settings().rules_file), thresholds)
    with transaction(engine) as connection:
        evaluation = _Evaluation(connection, run, rules, Allowlist(allowlist))
        waiting = pending(connection, run.namespace)
        evaluation.update(waiting)
        mark_evaluated(connection, waiting)
    suspects = waiting_suspects(engine, run.namespace)
    get_run_logger().info(
        "evaluated %d segments: %d suspects wait for the analyst, %d incidents are allowlisted",
        len(waiting.segments),
        len(suspects),
        evaluation.allowed,
    )
    return suspects


class _Evaluation:
    """The suspicious hours and the incidents of one namespace are what all counts say."""

    def __init__(
        self, connection: Connection, run: Run, rules: RuleSet, allowlist: Allowlist
    ) -> None:
        self._connection = connection
        self._run = run
        self._rules = rules
        self._allowlist = allowlist
        self.allowed = 0
        """Incidents that the allowlist kept away."""

    def update(self, waiting: Pending) -> None:
        stored = load_pending(self._connection, self._run.namespace, waiting)
        touched = Touched.by(_load(segment).tally for segment in stored)
        for piece in touched.slices():
            self._update_piece(piece)

    def _update_piece(self, touched: Touched) -> None:
        connection, namespace = self._connection, self._run.namespace
        spans = needed_minutes(touched, self._rules)
        stored = load_overlapping(connection, namespace, spans)
        hours = evaluate(self._rules, map(_load, stored), touched)
        around = (spans[0][0] // 60, -(-spans[-1][1] // 60))
        suspects = known_suspects(connection, namespace, around) | {h.source_ip for h in hours}
        affected = affected_hours(touched, self._rules, suspects)
        found = [(h.source_ip, h.hour, h.to_json()) for h in hours]
        replace_hours(connection, namespace, affected, found)
        for source_ip, its_spans in affected.items():
            for span in its_spans:
                self._update_incidents(source_ip, span)

    def _update_incidents(self, source_ip: str, affected: tuple[int, int]) -> None:
        connection, namespace, now = self._connection, self._run.namespace, self._run.started_at
        existing = stored_incidents(connection, namespace, source_ip)
        within = reach(affected, existing, self._rules)
        payloads = load_hours(connection, namespace, source_ip, within)
        chains = chain(map(SuspectHour.from_json, payloads), self._rules, namespace)
        outcome = reconcile(chains, existing, self._rules, within)
        known = {incident.id for incident in existing}
        wanted = [i for i in outcome.upserts if i.id in known or not self._is_allowed(i)]
        write_evidence(connection, wanted, self._run.id, now)
        for closed, into in outcome.merged:
            close_incident(connection, closed, "merged into an earlier incident", now, into)
        for closed in outcome.withdrawn:
            close_incident(connection, closed, "its evidence was replaced", now)

    def _is_allowed(self, incident: Incident) -> bool:
        is_allowed = self._allowlist.reason(incident.source_ip, incident.last_seen) is not None
        self.allowed += is_allowed
        return is_allowed


def _load(segment: StoredSegment) -> LoadedTally:
    tally = Tally.from_payloads(segment.payloads, keep=segment.objects.keys())
    return LoadedTally(tally, segment.objects)
