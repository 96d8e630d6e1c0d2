"""No alert lost, none sent twice: the outbox; and the cache of searches."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DatabaseError

from tasks.model.alerts import Alert, DeliveryOutcome, DeliveryState, Told
from tasks.model.incidents import Status
from tasks.model.verdicts import Reference
from tasks.store.deliveries import CLEARED, SUPERSEDED, Outbox
from tasks.store.engine import transaction
from tasks.store.incidents import write_evidence
from tasks.store.searches import FRESH, SearchCache
from tasks.store.tables import deliveries, incidents
from tests.conclusions import conclusion

NOW = datetime(2026, 2, 22, 22, 30, tzinfo=UTC)
SENT = DeliveryOutcome(DeliveryState.SENT, message_id="17", chat_id="-1001")
FAILED = DeliveryOutcome(DeliveryState.FAILED, error="Telegram answered 500.")
REFERENCES = (Reference("Title 😀", "https://example.com/", "a\x00b"),)


@pytest.fixture
def outbox(engine) -> Outbox:
    return Outbox(engine, "live", "telegram")


def add(outbox: Outbox, *ips: str, kind="confirmed", state=DeliveryState.PENDING, at=NOW) -> None:
    alerts = [Alert(kind, conclusion(source_ip=ip)) for ip in ips]
    outbox.add(alerts, state=state, run_id="run", now=at)


def ips(deliveries) -> list[str]:
    return [d.alert.conclusion.incident.source_ip for d in deliveries]


def test_an_alert_is_on_record_once_with_all_that_it_says(outbox):
    """Adding it again changes nothing; another kind is another alert."""
    add(outbox, "192.0.2.1")
    add(outbox, "192.0.2.1", "192.0.2.2")
    add(outbox, "192.0.2.1", kind="changed-1", at=NOW + timedelta(seconds=1))

    waiting = outbox.begin_attempt(NOW).deliveries

    assert sorted(ips(waiting)) == ["192.0.2.1", "192.0.2.1", "192.0.2.2"]
    assert waiting[-1].alert == Alert("changed-1", conclusion(source_ip="192.0.2.1"))
    assert {d.state for d in waiting} == {DeliveryState.PENDING}


def test_every_attempt_is_on_record_before_it_is_made(outbox):
    """A run that died while it sent shows in the number of attempts."""
    add(outbox, "192.0.2.1")

    runs = [NOW, NOW + timedelta(minutes=5)]
    assert [d.attempts for at in runs for d in outbox.begin_attempt(at).deliveries] == [0, 1]


def test_an_attempt_that_was_begun_twice_is_one(outbox):
    """The connection broke before the database could say that it had begun: nobody was told."""
    add(outbox, "192.0.2.1")

    tries = [outbox.begin_attempt(NOW).deliveries for _ in range(4)]

    assert [(d.attempts, d.is_repeat) for (d,) in tries] == [(0, False)] * 4
    assert outbox.held_back(NOW) == []
    (later,) = outbox.begin_attempt(NOW + timedelta(minutes=5)).deliveries
    assert (later.attempts, later.is_repeat) == (1, True)


def test_runs_that_die_while_they_send_are_no_storm(outbox):
    """One repeat that says so, and then longer and longer waits."""
    add(outbox, "192.0.2.1")
    runs = [NOW + n * timedelta(minutes=5) for n in range(48)]

    sent = {at - NOW: d.is_repeat for at in runs for d in outbox.begin_attempt(at).deliveries}

    minutes = {int(at.total_seconds()) // 60: is_repeat for at, is_repeat in sent.items()}
    assert minutes == {0: False, 5: True, 70: True, 195: True}
    assert outbox.held_back(runs[-1]) != []


def test_what_is_sent_stays_sent(outbox):
    """Neither a second alert, nor a second attempt, nor a late failure sends it again."""
    add(outbox, "192.0.2.1", "192.0.2.2")
    (one, _) = outbox.begin_attempt(NOW).deliveries

    outbox.record([one.id], SENT, NOW)
    outbox.record([one.id], FAILED, NOW)
    add(outbox, *ips([one]))

    assert one.id not in [d.id for d in outbox.begin_attempt(NOW).deliveries]


def test_what_failed_is_tried_by_the_next_run(outbox):
    """Oldest first, with its state."""
    add(outbox, "192.0.2.2")
    add(outbox, "192.0.2.1", at=NOW + timedelta(minutes=5))
    outbox.record([d.id for d in outbox.begin_attempt(NOW).deliveries], FAILED, NOW)

    again = outbox.begin_attempt(NOW).deliveries

    assert ips(again) == ["192.0.2.2", "192.0.2.1"]
    assert {d.state for d in again} == {DeliveryState.FAILED}


def test_what_arose_while_the_channel_was_off_is_never_sent(outbox):
    """Turning alerts on does not send the past."""
    add(outbox, "192.0.2.1", state=DeliveryState.SKIPPED)
    add(outbox, "192.0.2.1")

    assert outbox.begin_attempt(NOW).deliveries == ()


def test_outboxes_know_nothing_of_each_other(engine, outbox):
    """Another namespace or channel has its own alerts."""
    add(outbox, "192.0.2.1")

    assert Outbox(engine, "last-year", "telegram").begin_attempt(NOW).deliveries == ()
    assert Outbox(engine, "live", "pager").begin_attempt(NOW).deliveries == ()
    assert len(outbox.begin_attempt(NOW).deliveries) == 1


def close(engine, source_ip, status=Status.CLOSED):
    """The incident is on record, and is so."""
    incident = conclusion(source_ip=source_ip).incident
    with transaction(engine) as connection:
        write_evidence(connection, [incident], "run", NOW)
        values = {"status": status.value, "closed_reason": "merged into an earlier incident"}
        connection.execute(update(incidents).where(incidents.c.id == incident.id).values(values))


def states(engine) -> dict[str, str]:
    """Of all deliveries: state and reason by incident and kind."""
    with transaction(engine) as connection:
        rows = connection.execute(select(deliveries)).all()
    return {
        f"{row.incident_id.removeprefix('incident-')} {row.kind}": f"{row.state} {row.error}"
        for row in rows
    }


def test_what_was_told_before_comes_with_what_follows_it(outbox):
    """Where that stands and what it said; the last time counts."""
    add(outbox, "192.0.2.1", "192.0.2.2")
    for delivery in outbox.begin_attempt(NOW).deliveries:
        outbox.record([delivery.id], SENT, NOW)
    add(outbox, "192.0.2.1", kind="changed-1")
    [first] = outbox.begin_attempt(NOW).deliveries
    outbox.record([first.id], replace(SENT, message_id="18"), NOW + timedelta(minutes=5))
    add(outbox, "192.0.2.1", kind="changed-2")

    [second] = outbox.begin_attempt(NOW).deliveries

    said = conclusion(source_ip="192.0.2.1")
    assert first.follows == Told("17", "-1001", said)
    assert second.follows == Told("18", "-1001", said)


def test_what_nobody_was_told_is_not_followed(outbox):
    """An alert that failed, or arose while the channel was off, is no message."""
    add(outbox, "192.0.2.1")
    outbox.record([d.id for d in outbox.begin_attempt(NOW).deliveries], FAILED, NOW)
    add(outbox, "192.0.2.2", state=DeliveryState.SKIPPED)
    add(outbox, "192.0.2.1", "192.0.2.2", kind="changed-1", at=NOW + timedelta(minutes=5))

    assert {d.follows for d in outbox.begin_attempt(NOW).deliveries} == {None}


def test_of_two_alerts_of_one_incident_the_later_is_sent(engine, outbox):
    """It says all that the earlier one does."""
    add(outbox, "192.0.2.1", "192.0.2.2")
    add(outbox, "192.0.2.1", kind="changed-1", at=NOW + timedelta(minutes=5))

    withdrawn = outbox.withdraw([], [], NOW)

    assert withdrawn == {SUPERSEDED: 1}
    assert states(engine) == {
        "192.0.2.1 confirmed": f"skipped {SUPERSEDED}",
        "192.0.2.1 changed-1": "pending None",
        "192.0.2.2 confirmed": "pending None",
    }


def test_alerts_of_incidents_that_are_none_any_more_are_not_sent(engine, outbox):
    """Merged, cleared by an earlier run, or cleared by this one; the reason is on record."""
    add(outbox, "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
    close(engine, "192.0.2.1")
    close(engine, "192.0.2.2", Status.BENIGN)
    close(engine, "192.0.2.4", Status.CONFIRMED)

    outbox.withdraw([], ["incident-192.0.2.3"], NOW)

    assert states(engine) == {
        "192.0.2.1 confirmed": "skipped The incident was closed: merged into an earlier incident.",
        "192.0.2.2 confirmed": f"skipped {CLEARED}",
        "192.0.2.3 confirmed": f"skipped {CLEARED}",
        "192.0.2.4 confirmed": "pending None",
    }


def test_what_this_run_tells_is_not_withdrawn_for_what_an_earlier_one_said(engine, outbox):
    """Its verdict is on record only after the alert is."""
    add(outbox, "192.0.2.1")
    close(engine, "192.0.2.1", Status.BENIGN)

    assert outbox.withdraw(["incident-192.0.2.1"], [], NOW) == {}


def test_what_was_withdrawn_is_told_when_it_is_true_again(outbox):
    """The run that cleared it died before that was on record: the next one may see it otherwise."""
    add(outbox, "192.0.2.1")
    outbox.withdraw([], ["incident-192.0.2.1"], NOW)
    assert outbox.begin_attempt(NOW).deliveries == ()

    add(outbox, "192.0.2.1", at=NOW + timedelta(minutes=5))

    [again] = outbox.begin_attempt(NOW).deliveries
    assert (again.attempts, again.since) == (0, NOW + timedelta(minutes=5))


@pytest.mark.parametrize("stored", ['{"kind": 1}', "[]", "{"])
def test_a_row_that_cannot_be_read_blocks_no_other(engine, outbox, stored):
    """It is named, and neither attempted nor lost; on SQLite it may be no JSON at all."""
    add(outbox, "192.0.2.1", "192.0.2.2")
    spoil = text("UPDATE deliveries SET alert = :stored WHERE incident_id = :id")
    with suppress(DatabaseError), engine.begin() as connection:  # MariaDB refuses what is no JSON
        connection.execute(spoil, {"stored": stored, "id": "incident-192.0.2.1"})
    if stored == "{" and engine.dialect.name != "sqlite":
        pytest.skip("MariaDB has no such row")

    due = outbox.begin_attempt(NOW)

    assert ips(due.deliveries) == ["192.0.2.2"]
    [sentence] = due.unreadable
    assert "incident-192" in sentence
    assert "delete this row of table deliveries" in sentence
    assert outbox.begin_attempt(NOW).unreadable == due.unreadable


def test_a_row_of_an_older_version_is_read(engine, outbox):
    """It had a field that alerts have no more."""
    add(outbox, "192.0.2.1")
    with transaction(engine) as connection:
        [row] = connection.execute(select(deliveries.c.alert))
        old = {**row.alert, "before": {"families": [], "severity": "low", "request_count": 1}}
        connection.execute(update(deliveries).values(alert=old))

    assert ips(outbox.begin_attempt(NOW).deliveries) == ["192.0.2.1"]


def test_a_search_is_remembered_for_a_day(engine):
    """The same question is not asked again, until it is a day old; nothing found is an answer."""
    cache = SearchCache(engine)
    assert cache.get("203.0.113.7 😀", NOW) is None

    cache.put("203.0.113.7 😀", REFERENCES, NOW)
    cache.put("nothing", (), NOW)

    just_before = NOW + FRESH - timedelta(microseconds=1)
    assert cache.get("203.0.113.7 😀", just_before) == REFERENCES
    assert cache.get("nothing", just_before) == ()
    assert cache.get("203.0.113.7 😀", NOW + FRESH) is None
    assert cache.get("203.0.113.7", just_before) is None


def test_a_newer_search_replaces_an_older_one(engine):
    """And is remembered for a day of its own."""
    cache = SearchCache(engine)
    cache.put("query", (), NOW)

    cache.put("query", REFERENCES, NOW + FRESH)

    assert cache.get("query", NOW + FRESH) == REFERENCES
