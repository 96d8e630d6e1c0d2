"""What is set aside keeps nobody else from being counted, and comes back when it is asked for."""

import gzip
from datetime import UTC, timedelta

from sqlalchemy import select

from tasks.collect.compression import Limits
from tasks.collect.source import open_source
from tasks.detect.counting import commit_batch, count_batch
from tasks.model.objects import Batch, Location
from tasks.store.engine import transaction
from tasks.store.quarantine import list_quarantined, release_quarantined
from tasks.store.tables import log_objects
from tests.bare_scans import NOW, Scans, shelf

LINE = '203.0.113.7 - - [01/Jan/2026:00:00:01 +0000] "GET /a?id=1+union+select+1 HTTP/1.1" 200 9 "-" "x"\n'
LATER = NOW + timedelta(days=1)


def run(scans: Scans, source, limits: Limits | None = None):
    """One run over everything that is new, in one batch."""
    plan = source.plan(scans.ledger)
    batch = Batch(1, plan.to_read)
    counted = count_batch(source, batch, scans.rules, UTC, limits=limits)
    return plan, commit_batch(scans.ledger, batch, counted, "run", NOW)


def states(scans: Scans) -> dict[str, str]:
    with transaction(scans.engine) as connection:
        rows = connection.execute(select(log_objects.c.object_key, log_objects.c.state))
        return {row.object_key: row.state for row in rows}


def test_too_large_is_set_aside_at_once_and_counts_nothing(scans):
    """One run, no second attempt; what was read of it before the limit is in no incident."""
    source = shelf({"large": LINE * 100, "small": LINE})

    _, result = run(scans, source, Limits(max_bytes=5 * len(LINE)))
    plan, again = run(scans, source, Limits(max_bytes=5 * len(LINE)))
    scans.evaluate()

    assert (result.done, [q.object_key for q in result.quarantined]) == (1, ["large"])
    assert (plan.quarantined, plan.unchanged, again.done) == (1, 1, 0)
    [incident] = scans.incidents()
    assert incident.activity.request_count == 1
    [listed] = list_quarantined(scans.engine)
    assert (listed.object_key, listed.attempts, listed.since) == ("large", 1, NOW)
    assert "more than" in listed.reason


def test_released_it_is_read_again_as_if_for_the_first_time(scans):
    """By key; the others stay where they are, and nothing is left of the quarantine."""
    source = shelf({"a": LINE * 9, "b": LINE * 9})
    run(scans, source, Limits(max_bytes=10))

    released = release_quarantined(scans.engine, ["a"], LATER)
    run(scans, source)

    assert [q.object_key for q in released] == ["a"]
    assert states(scans) == {"a": "done", "b": "quarantined"}
    release_quarantined(scans.engine, None, LATER)
    run(scans, source)
    assert list_quarantined(scans.engine) == []
    assert states(scans) == {"a": "done", "b": "done"}


def test_a_file_comes_back_too(scans, tmp_path):
    """A file that grows is a stream; its quarantine is that of the place where it is read on."""
    path = tmp_path / "logs" / "access.log.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(LINE.encode() * 50))
    source = open_source(Location(str(path.parent)))
    run(scans, source, Limits(max_bytes=10))
    assert states(scans) == {"access.log.gz": "quarantined"}

    release_quarantined(scans.engine, ["access.log.gz"], LATER)
    _, result = run(scans, source)

    assert (result.done, result.lines) == (1, 50)
    assert states(scans) == {"access.log.gz": "done"}
    assert list_quarantined(scans.engine) == []
