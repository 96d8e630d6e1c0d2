"""Put conclusions, alerts to send and the run itself on record."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from tasks import retry
from tasks.model.alerts import DeliveryState, Due
from tasks.model.incidents import Status
from tasks.model.runs import Run, RunKind
from tasks.model.verdicts import Judged
from tasks.settings import settings
from tasks.store.deliveries import Outbox
from tasks.store.engine import insist
from tasks.store.incidents import prepare_alerts, record_conclusions, untold_alerts
from tasks.store.runs import in_charge
from tasks.store.schema import open_database

MAX_LOGGED = 10
"""Incidents that one task run names one by one."""


@task(
    task_run_name="outbox-{run.namespace}",
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_jitter_factor=0.5,
    retry_condition_fn=retry.if_transient,
    cache_policy=NO_CACHE,
    persist_result=False,
    tags=["database"],
)
def queue_alerts(run: Run, judged: Sequence[Judged], channel: str, *, is_on: bool) -> Due:
    """
    Every alert is on record before the first attempt to send it.

    A backfill that is to tell tells all that it has found, also before it was to.

    Returns:
        All that nobody has received yet, also of earlier runs; nothing when the channel is off.
    """
    engine = open_database(settings().database_url.get_secret_value())
    outbox = Outbox(engine, run.namespace, channel)
    state = DeliveryState.PENDING if is_on else DeliveryState.SKIPPED
    now = datetime.now(UTC)
    with in_charge(engine, run.id):
        alerts = prepare_alerts(engine, judged)
        told = {alert.conclusion.incident.id for alert in alerts}
        untold = {j.suspect.incident_id for j in judged} - told
        if run.kind is RunKind.BACKFILL:
            earlier = untold_alerts(engine, run.namespace, channel)
            alerts += [a for a in earlier if a.conclusion.incident.id not in told | untold]
        outbox.add(alerts, state=state, run_id=run.id, now=now)
        if not is_on:
            return Due()
        withdrawn = outbox.withdraw(told, untold, now)
        return replace(outbox.begin_attempt(run.started_at), withdrawn=withdrawn)


def count_held_back(run: Run, channel: str) -> list[datetime]:
    """When the alerts are due that wait because people may have seen them; soonest first."""
    engine = open_database(settings().database_url.get_secret_value())
    outbox = Outbox(engine, run.namespace, channel)
    return insist(lambda: outbox.held_back(datetime.now(UTC)))


@task(
    task_run_name="record-{name}",
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_jitter_factor=0.5,
    retry_condition_fn=retry.if_transient,
    cache_policy=NO_CACHE,
    persist_result=False,
    tags=["database"],
)
def record_incidents(
    run: Run,
    name: str,  # noqa: ARG001 -- the task run has its name
    judged: Sequence[Judged],
) -> list[Status]:
    """
    The verdicts, the research and the statuses that follow from them are on record.

    Args:
        run: Nothing is written when another one has taken its place.
        name: For people: the address of a single one, or which part of the run's they are.
        judged: Written in one transaction.

    Raises:
        TransientError: Nothing was written; the incidents still wait for the analyst.
    """
    engine = open_database(settings().database_url.get_secret_value())
    concluded = record_conclusions(engine, judged, datetime.now(UTC), run_id=run.id)
    recorded = [conclusion.incident for conclusion in concluded]
    for incident in recorded[:MAX_LOGGED]:
        get_run_logger().info(
            "recorded incident %s: %s, %s, %s",
            incident.id[:12],
            incident.family,
            incident.severity,
            incident.status,
        )
    if len(recorded) > MAX_LOGGED:
        get_run_logger().info("recorded %d incidents in all", len(recorded))
    return [incident.status for incident in recorded]
