"""Count a batch of log objects, and hold all counts against the rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from tasks import retry
from tasks.collect.compression import Limits
from tasks.collect.source import open_source
from tasks.detect.allowlist import Allowlist, AllowlistEntry
from tasks.detect.apart import Errand, workers
from tasks.detect.counting import commit_batch
from tasks.detect.evaluation import bring_up_to_date
from tasks.detect.rules import Override, load_rules, with_thresholds
from tasks.detect.subjects import open_groupings
from tasks.model.incidents import Suspect
from tasks.model.objects import Batch, BatchResult, EventRange, Location
from tasks.model.runs import Run
from tasks.settings import settings
from tasks.store.engine import transaction
from tasks.store.incidents import waiting_suspects
from tasks.store.ledger import Ledger
from tasks.store.runs import check_in_charge
from tasks.store.schema import open_database


@dataclass(frozen=True, slots=True)
class Found:
    """What an evaluation leaves to do and to tell."""

    suspects: Sequence[Suspect]
    """All incidents that wait for the analyst, also of earlier runs, worst first."""
    notes: tuple[str, ...]
    """What shadow rules would have found, one sentence each."""


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
    run: Run,
    location: Location,
    batch: Batch,
    event_range: EventRange | None = None,
    thresholds: Mapping[str, Override] | None = None,
    *,
    is_apart: bool = False,
) -> BatchResult:
    """
    Count what every source IP did in these objects, and commit it with the ledger.

    No threshold is applied here: an IP may be spread over many batches. But where few lines make a
    finding, more of them are kept as evidence.

    Args:
        is_apart: Counted by a process of its own.

    Raises:
        TransientError: Nothing was committed; reading again is safe.
    """
    errand = Errand(
        open_source(location),
        batch,
        ZoneInfo(settings().syslog_timezone),
        settings().rules_file,
        thresholds,
        event_range,
        Limits(settings().max_object_bytes, settings().max_compression_ratio),
        settings().formats_file,
        settings().trusted_proxies,
        retry.is_last_attempt(),
    )
    counted = workers().run(errand, is_apart=is_apart)
    ledger = Ledger(open_database(settings().database_url.get_secret_value()), run.namespace)
    result = commit_batch(ledger, batch, counted, run.id, datetime.now(UTC))
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
) -> Found:
    """
    What was counted or withdrawn since the last evaluation is held against the rules.

    Raises:
        TransientError: Nothing was written.
    """
    engine = open_database(settings().database_url.get_secret_value())
    rules = with_thresholds(load_rules(settings().rules_file), thresholds)
    groupings = open_groupings(rules, settings().asn_database)
    with transaction(engine) as connection:
        check_in_charge(connection, run.id)
        evaluated = bring_up_to_date(
            connection,
            run.namespace,
            rules,
            Allowlist(allowlist),
            groupings=groupings,
            run_id=run.id,
            now=run.started_at,
        )
    suspects = waiting_suspects(engine, run.namespace)
    get_run_logger().info(
        "evaluated %d segments: %d suspects wait for the analyst, %d incidents are allowlisted",
        evaluated.segments,
        len(suspects),
        evaluated.allowed,
    )
    return Found(suspects, evaluated.notes)
