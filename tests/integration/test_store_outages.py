"""What does not work is known since when, whatever the runs between did not need."""

from datetime import UTC, datetime, timedelta

from tasks.store.outages import update_outages

FIRST = datetime(2026, 2, 22, 10, 5, tzinfo=UTC)
LATER = FIRST + timedelta(hours=1)


def test_an_outage_lasts_until_the_service_works_again(engine):
    """It began with the first run that it failed in; after it has worked, another begins."""
    assert update_outages(engine, "live", ["Telegram"], [], FIRST) == {"Telegram": FIRST}
    assert update_outages(engine, "live", ["Telegram"], ["Bedrock"], LATER) == {"Telegram": FIRST}

    assert update_outages(engine, "live", [], ["Telegram"], LATER) == {}
    assert update_outages(engine, "live", ["Telegram"], [], LATER) == {"Telegram": LATER}


def test_a_run_that_does_not_need_a_service_does_not_end_its_outage(engine):
    """There was nobody to be told; that says nothing about who cannot be told."""
    update_outages(engine, "live", ["Telegram"], [], FIRST)
    update_outages(engine, "live", [], ["Bedrock"], LATER)

    assert update_outages(engine, "live", ["Telegram"], [], LATER) == {"Telegram": FIRST}


def test_outages_of_others_are_none_of_ours(engine):
    """Another namespace may read another source with another chat."""
    update_outages(engine, "march", ["Telegram"], [], FIRST)

    assert update_outages(engine, "live", ["Telegram"], [], LATER) == {"Telegram": LATER}
    assert update_outages(engine, "march", [], ["Telegram"], LATER) == {}
