"""No alert lost, none sent twice: the outbox; and the cache of searches."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.model.alerts import Alert, DeliveryOutcome, DeliveryState
from tasks.model.verdicts import Reference
from tasks.store.deliveries import Outbox
from tasks.store.searches import FRESH, SearchCache
from tests.conclusions import conclusion

NOW = datetime(2026, 2, 22, 22, 30, tzinfo=UTC)
SENT = DeliveryOutcome(DeliveryState.SENT, message_id="17")
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

    waiting = outbox.begin_attempt(NOW)

    assert sorted(ips(waiting)) == ["192.0.2.1", "192.0.2.1", "192.0.2.2"]
    assert waiting[-1].alert == Alert("changed-1", conclusion(source_ip="192.0.2.1"))
    assert {d.state for d in waiting} == {DeliveryState.PENDING}


def test_every_attempt_is_on_record_before_it_is_made(outbox):
    """A run that died while it sent shows in the number of attempts."""
    add(outbox, "192.0.2.1")

    assert [d.attempts for n in range(2) for d in outbox.begin_attempt(NOW)] == [0, 1]


def test_runs_that_die_while_they_send_are_no_storm(outbox):
    """One repeat that says so, and then longer and longer waits."""
    add(outbox, "192.0.2.1")
    runs = [NOW + n * timedelta(minutes=5) for n in range(48)]

    sent = {at - NOW: d.is_repeat for at in runs for d in outbox.begin_attempt(at)}

    minutes = {int(at.total_seconds()) // 60: is_repeat for at, is_repeat in sent.items()}
    assert minutes == {0: False, 5: True, 70: True, 195: True}
    assert outbox.held_back(runs[-1]) != []


def test_what_is_sent_stays_sent(outbox):
    """Neither a second alert, nor a second attempt, nor a late failure sends it again."""
    add(outbox, "192.0.2.1", "192.0.2.2")
    (one, _) = outbox.begin_attempt(NOW)

    outbox.record([one.id], SENT, NOW)
    outbox.record([one.id], FAILED, NOW)
    add(outbox, *ips([one]))

    assert one.id not in [d.id for d in outbox.begin_attempt(NOW)]


def test_what_failed_is_tried_by_the_next_run(outbox):
    """Oldest first, with its state."""
    add(outbox, "192.0.2.2")
    add(outbox, "192.0.2.1", at=NOW + timedelta(minutes=5))
    outbox.record([d.id for d in outbox.begin_attempt(NOW)], FAILED, NOW)

    again = outbox.begin_attempt(NOW)

    assert ips(again) == ["192.0.2.2", "192.0.2.1"]
    assert {d.state for d in again} == {DeliveryState.FAILED}


def test_what_arose_while_the_channel_was_off_is_never_sent(outbox):
    """Turning alerts on does not send the past."""
    add(outbox, "192.0.2.1", state=DeliveryState.SKIPPED)
    add(outbox, "192.0.2.1")

    assert outbox.begin_attempt(NOW) == []


def test_outboxes_know_nothing_of_each_other(engine, outbox):
    """Another namespace or channel has its own alerts."""
    add(outbox, "192.0.2.1")

    assert Outbox(engine, "last-year", "telegram").begin_attempt(NOW) == []
    assert Outbox(engine, "live", "pager").begin_attempt(NOW) == []
    assert len(outbox.begin_attempt(NOW)) == 1


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
