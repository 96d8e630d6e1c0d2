"""Send alerts that are on record, and put on record what came of it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from tasks import retry
from tasks.model.alerts import Delivery, DeliveryOutcome, DeliveryState, Told
from tasks.model.circuit import circuit_of_run
from tasks.model.errors import MiddlewatchError, PermanentError, TransientError
from tasks.model.runs import Run
from tasks.notify.message import Message, RunLink, digest_message, incident_message
from tasks.notify.telegram import TelegramChannel
from tasks.settings import Settings, settings
from tasks.store.deliveries import Outbox
from tasks.store.schema import open_database

CHANNEL = "telegram"


class Receipt(NamedTuple):
    """Where a message stands."""

    message_id: str
    chat_id: str


def is_on(configured: Settings) -> bool:
    """Whether there is anybody to tell."""
    return bool(configured.telegram_bot_token and configured.telegram_chat_id)


@task(
    task_run_name="alert-{delivery.alert.conclusion.incident.source_ip}",
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_jitter_factor=0.5,
    retry_condition_fn=retry.if_surely_undone,
    cache_policy=NO_CACHE,
    persist_result=False,
    tags=["telegram"],
)
def deliver_alert(run: Run, delivery: Delivery) -> Receipt:
    """
    One incident is told. The database has no part in it, so that neither waits for the other.

    What was told before is followed by a reply that says what changed: an edit would wake nobody.

    Returns:
        Where Telegram has put the message.

    Raises:
        TransientError: Retried, unless people may have been told; the next run sends it then.
        PermanentError: The next run tries again, for the settings may be mended by then.
    """
    conclusion, told = delivery.alert.conclusion, delivery.follows
    before = None if told is None else told.conclusion
    link = RunLink(run.name, run.url)
    message = incident_message(conclusion, link, before, is_repeat=delivery.is_repeat)
    return _send(run, message, told)


@task(
    task_run_name="alert-digest",
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_jitter_factor=0.5,
    retry_condition_fn=retry.if_surely_undone,
    cache_policy=NO_CACHE,
    persist_result=False,
    tags=["telegram"],
)
def deliver_digest(run: Run, deliveries: Sequence[Delivery]) -> Receipt:
    """Many incidents are told in one message; see deliver_alert."""
    conclusions = [delivery.alert.conclusion for delivery in deliveries]
    told = {d.alert.conclusion.incident.id: d.follows for d in deliveries if d.follows is not None}
    link = RunLink(run.name, run.url)
    is_repeat = any(delivery.is_repeat for delivery in deliveries)
    message = digest_message(conclusions, link, told.keys(), is_repeat=is_repeat)
    # a message is a reply to one at most
    places = {(one.message_id, one.chat_id) for one in told.values()}
    return _send(run, message, next(iter(told.values())) if len(places) == 1 else None)


@task(
    task_run_name="record-delivery",
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_jitter_factor=0.5,
    retry_condition_fn=retry.if_transient,
    cache_policy=NO_CACHE,
    persist_result=False,
    tags=["database"],
)
def record_delivery(
    run: Run, deliveries: Sequence[Delivery], result: Receipt | Exception
) -> DeliveryOutcome:
    """
    What came of an attempt is on record. A task of its own: retrying it sends nothing again.

    Args:
        result: Where the message is, or why there is none.
    """
    if isinstance(result, MiddlewatchError):
        is_ambiguous = isinstance(result, TransientError) and result.is_ambiguous
        outcome = DeliveryOutcome(
            DeliveryState.FAILED, error=str(result), is_ambiguous=is_ambiguous
        )
    elif isinstance(result, Exception):
        name = type(result).__name__  # its text may hold anything
        outcome = DeliveryOutcome(DeliveryState.FAILED, error=f"Unexpected {name} while sending.")
    else:
        outcome = DeliveryOutcome(DeliveryState.SENT, result.message_id, result.chat_id)
    engine = open_database(settings().database_url.get_secret_value())
    ids = [delivery.id for delivery in deliveries]
    Outbox(engine, run.namespace, CHANNEL).record(ids, outcome, datetime.now(UTC))
    return outcome


def _send(run: Run, message: Message, follows: Told | None) -> Receipt:
    configured = settings()
    token, chat_id = configured.telegram_bot_token, configured.telegram_chat_id
    assert token is not None and chat_id is not None  # noqa: S101, PT018 -- see is_on
    circuit = circuit_of_run("Telegram", run.id)
    if circuit.reason is not None:
        raise PermanentError(circuit.reason)
    began_at = circuit.clock()
    try:
        channel = TelegramChannel(configured.telegram_api_url, token, chat_id)
        message_id = str(channel.send(message, follows))
    except TransientError as error:
        circuit.record_failure(str(error), began_at)
        raise
    circuit.record_success()
    get_run_logger().info("Telegram has message %s", message_id)
    return Receipt(message_id, channel.chat_id)
