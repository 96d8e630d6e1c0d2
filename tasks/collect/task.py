"""Find log objects that the ledger does not know yet."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from tasks import retry
from tasks.collect.source import open_source
from tasks.model.objects import Location, Plan
from tasks.model.runs import Run
from tasks.settings import settings
from tasks.store.ledger import Ledger
from tasks.store.runs import record_listing
from tasks.store.schema import open_database


@task(
    task_run_name="find-{run.namespace}",
    retries=2,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_jitter_factor=0.5,
    retry_condition_fn=retry.if_transient,
    cache_policy=NO_CACHE,
    tags=["object-store"],
)
def find_new_objects(run: Run, location: Location) -> Plan:
    """
    The whole listing, minus what the ledger has: nothing is "after the last key".

    Raises:
        TransientError: The source cannot be listed now.
        ConfigurationError: It never can: no such bucket or directory, no credentials.
    """
    engine = open_database(settings().database_url.get_secret_value())
    ledger = Ledger(engine, run.namespace)
    plan = open_source(location).plan(ledger)
    ledger.record_seen(plan.seen)
    record_listing(engine, run.id, plan)
    get_run_logger().info(
        "listed %d objects: %d to read, %d unchanged, %d skipped, %d quarantined",
        plan.listed,
        len(plan.to_read),
        plan.unchanged,
        len(plan.skipped),
        plan.quarantined,
    )
    return plan
