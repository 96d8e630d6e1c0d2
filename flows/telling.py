"""People are told while the database is written."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, cast

from prefect import allow_failure
from prefect.futures import PrefectFuture, wait

from flows.lifecycle import Tale, error_of, explain, whole
from flows.report import MAX_NAMED, format_count
from tasks.model.alerts import Delivery, DeliveryOutcome, DeliveryState, Due
from tasks.model.runs import Run, order_of_urgency
from tasks.model.verdicts import Judged
from tasks.notify import task as notify
from tasks.settings import settings
from tasks.store.task import count_held_back, queue_alerts, record_incidents

MAX_SINGLE_ALERTS = 10
"""More undelivered incidents than this become one digest."""
MAX_SINGLE_RECORDS = 50
"""More incidents than this are written many at a time: a task run for each takes longer than it."""
PART = 500
"""Incidents that one task writes together."""


def tell_and_record(
    run: Run, judged: Sequence[Judged], tale: Tale, *, with_alerts: bool = True
) -> None:
    """The alerts go out while the database is written; neither waits for the other."""
    is_on = notify.is_on(settings())
    due = Due()
    if with_alerts:
        due = queue_alerts(run, whole(judged), notify.CHANNEL, is_on=is_on)
    alerts = due.deliveries
    sent = [_submit_delivery(run, group) for group in _messages(alerts)]
    parts = list(_parts(judged))
    recorded = [record_incidents.submit(run, name, whole(part)) for name, part in parts]
    wait(cast("list[PrefectFuture[Any]]", [*sent, *recorded]))
    for (_, part), future in zip(parts, recorded, strict=True):
        if not future.state.is_completed():
            reason = explain(error_of(future))
            who = _name([j.suspect.source_ip for j in part])
            tale.failures.append(f"{who} was not recorded: {reason}")
    for group, outcome in zip(_messages(alerts), sent, strict=True):
        _tell_of_delivery(group, outcome, tale)
    _tell_of_unsent(due, tale)
    if with_alerts and is_on:
        _tell_of_held_back(count_held_back(run, notify.CHANNEL), tale)
    elif with_alerts:
        tale.notes.append("Alerts are off: set TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID to be told.")


def _tell_of_unsent(due: Due, tale: Tale) -> None:
    tale.failures += due.unreadable
    for reason, count in due.withdrawn.items():
        tale.notes.append(f"{format_count(count, 'alert')} not sent any more. {reason}")


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
    """Which alerts share a message, worst first."""
    if len(alerts) > MAX_SINGLE_ALERTS:
        return [list(alerts)]
    return [[a] for a in sorted(alerts, key=lambda a: order_of_urgency(a.alert.conclusion))]


def _submit_delivery(run: Run, group: Sequence[Delivery]) -> PrefectFuture[DeliveryOutcome]:
    """Sending and recording that it was sent are retried each on its own."""
    receipt = (
        notify.deliver_alert.submit(run, group[0])
        if len(group) == 1
        else notify.deliver_digest.submit(run, whole(group))
    )
    # Prefect hands over the result or the exception, whatever the annotation of allow_failure says
    result = cast("notify.Receipt | Exception", allow_failure(receipt))
    return notify.record_delivery.submit(run, whole(group), result)


def _tell_of_delivery(
    group: Sequence[Delivery], future: PrefectFuture[DeliveryOutcome], tale: Tale
) -> None:
    if future.state.is_completed():
        outcome = future.result()
    else:
        outcome = DeliveryOutcome(DeliveryState.PENDING, error=explain(error_of(future)))
    count = tale.deliveries.get(outcome.state, 0)
    tale.deliveries[outcome.state] = count + len(group)
    tale.note_service("Telegram", worked=outcome.state is DeliveryState.SENT)
    if outcome.state is not DeliveryState.SENT:
        who = _name([d.alert.conclusion.incident.source_ip for d in group])
        since = min((d.since for d in group if d.since and d.attempts), default=None)
        waits = f", waiting since {since:%Y-%m-%d %H:%M} UTC," if since else ""
        tale.failures.append(f"The alert for {who}{waits} was not delivered: {outcome.error}")
