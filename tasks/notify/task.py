"""Send alerts that are on record, and put on record what came of it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from tasks import retry
from tasks.model.alerts import Delivery, DeliveryOutcome, DeliveryState
from tasks.model.errors import MiddlewatchError
from tasks.model.runs import Run
from tasks.notify.message import Message, RunLink, digest_message, incident_message
from tasks.notify.telegram import TelegramChannel
from tasks.settings import Settings, settings
from tasks.store.deliveries import Outbox
from tasks.store.schema import open_database

CHANNEL = "telegram"


def is_on(configured: Settings) -> bool:
    """Whether there is anybody to tell."""
    return bool(configured.telegram_bot_token and configured.telegram_chat_id)


@task(
    task_run_name="alert-{delivery.alert.conclusion.incident.source_ip}",
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_jitter_factor=0.5,
    retry_condition_fn=retry.if_transient,
    cache_policy=NO_CACHE,
    tags=["telegram"],
)
def deliver_alert(run: Run, delivery: Delivery) -> str:
    """
    One incident is told. The database has no part in it, so that neither waits for the other.

    Returns:
        Telegram's id of the message.

    Raises:
        TransientError: Retried; after the last attempt the next run sends it.
        PermanentError: The next run tries again, for the settings may be mended by then.
    """
    alert = delivery.alert
    return _send(incident_message(alert.conclusion, RunLink(run.name, run.url), alert.before))


@task(
    task_run_name="alert-digest",
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_jitter_factor=0.5,
    retry_condition_fn=retry.if_transient,
    cache_policy=NO_CACHE,
    tags=["telegram"],
)
def deliver_digest(run: Run, deliveries: Sequence[Delivery]) -> str:
    """Many incidents are told in one message; see deliver_alert."""
    alerts = [delivery.alert for delivery in deliveries]
    before = {a.conclusion.incident.id: a.before for a in alerts if a.before is not None}
    link = RunLink(run.name, run.url)
    return _send(digest_message([a.conclusion for a in alerts], link, before))


@task(
    task_run_name="record-delivery",
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_jitter_factor=0.5,
    retry_condition_fn=retry.if_transient,
    cache_policy=NO_CACHE,
    tags=["database"],
)
def record_delivery(
    run: Run, deliveries: Sequence[Delivery], result: str | Exception
) -> DeliveryOutcome:
    """
    What came of an attempt is on record. A task of its own: retrying it sends nothing again.

    Args:
        result: The message id, or why there is none.
    """
    if isinstance(result, MiddlewatchError):
        outcome = DeliveryOutcome(DeliveryState.FAILED, error=str(result))
    elif isinstance(result, Exception):
        name = type(result).__name__  # its text may hold anything
        outcome = DeliveryOutcome(DeliveryState.FAILED, error=f"Unexpected {name} while sending.")
    else:
        outcome = DeliveryOutcome(DeliveryState.SENT, message_id=result)
    engine = open_database(settings().database_url.get_secret_value())
    ids = [delivery.id for delivery in deliveries]
    Outbox(engine, run.namespace, CHANNEL).record(ids, outcome, datetime.now(UTC))
    return outcome


def _send(message: Message) -> str:
    configured = settings()
    token, chat_id = configured.telegram_bot_token, configured.telegram_chat_id
    assert token is not None and chat_id is not None  # noqa: S101, PT018 -- see is_on
    message_id = str(TelegramChannel(configured.telegram_api_url, token, chat_id).send(message))
    get_run_logger().info("Telegram has message %s", message_id)
    return message_id
