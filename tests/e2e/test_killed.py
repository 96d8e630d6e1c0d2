"""A scan that is killed at any moment loses nothing and counts nothing twice."""

import random
import signal
import time

import pytest

from tests import scans
from tests.processes import start

SEEDS = (1, 2, 3)
INCIDENTS = 10
RUN_SECONDS = 1
"""From the first row to the last one, about."""


@pytest.fixture
def logs(tmp_path):
    """Enough objects and attackers for a moment in every step."""
    directory = scans.seed_like(tmp_path / "logs")
    flood = scans.flood("198.51.100.99", 3200).splitlines(keepends=True)
    files = {f"web/{n:03}.log": "".join(flood[n::60]) for n in range(60)}
    return scans.write_logs(directory, files | {"web/more.log": scans.attacks(6)})


def wait_for_record(url):
    """The run's first row is there: from now on there is something to lose."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if scans.rows(url, "SELECT 1 FROM runs"):
                return
        except Exception:  # noqa: BLE001 -- no file, no table, or not yet migrated
            pass
        time.sleep(0.01)
    pytest.fail("the run did not begin within a minute")


def test_killed_at_random_moments_nothing_is_lost_and_nothing_doubled(
    database, logs, telegram, tmp_path, environ
):
    """Kill after kill on one database, then a whole run: it equals an undisturbed one."""
    undisturbed = f"sqlite:///{tmp_path / 'undisturbed.db'}"
    environ(MIDDLEWATCH_DATABASE_URL=undisturbed, TELEGRAM_BOT_TOKEN="")
    scans.scan(logs)

    interrupted = 0
    for seed in SEEDS:
        url = f"sqlite:///{tmp_path / f'killed-{seed}.db'}"
        environ(MIDDLEWATCH_DATABASE_URL=url, TELEGRAM_BOT_TOKEN=telegram.token)
        telegram.messages.clear()
        process = start("-m", "flows.scan", str(logs), cwd=tmp_path)
        wait_for_record(url)
        time.sleep(random.Random(seed).uniform(0, RUN_SECONDS))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        interrupted += len(scans.rows(url, "SELECT 1 FROM runs WHERE state = 'running'"))

        scans.scan(logs)
        again = scans.scan(logs)

        assert again.is_idle, f"seed {seed}"
        assert scans.objects(url) == scans.objects(undisturbed), f"seed {seed}"
        assert scans.contents(url) == scans.contents(undisturbed), f"seed {seed}"
        assert all(scans.coverages(url))
        unsent = "SELECT * FROM deliveries WHERE state <> 'sent'"
        assert scans.rows(url, unsent) == []
        firsts = [message.text.splitlines()[0] for message in telegram.messages]
        assert len(set(firsts)) == INCIDENTS
        assert all(firsts.count(first) <= 2 for first in firsts)
    assert interrupted > 0
