"""
SIGKILL at random points of several kinds, on every sort of source and database.

Each seed is one point; `make faults KILL_POINTS=200` tries the first 200.
"""

import os
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.store.engine import engine_for
from tests import scans
from tests.faults.dying_scans import KINDS, DyingScans
from tests.faults.invariants import Truth, check
from tests.scans import address, attack, scan

POINTS = int(os.environ.get("KILL_POINTS", "32"))
FEW = 2
"""With every `make test`."""
PLACES = ("files, SQLite", "files, MariaDB", "bucket, SQLite", "files, SQLite")
ATTACKERS = [address(n) for n in range(1, 5)]
LOGS = {f"web/{n:02}.log": attack(ip) for n, ip in enumerate(ATTACKERS)}


@dataclass(frozen=True)
class Point:
    """Where one scan dies."""

    seed: int

    @property
    def kind(self) -> str:
        return KINDS[self.seed % len(KINDS)]

    @property
    def place(self) -> str:
        return PLACES[self.seed // len(KINDS) % len(PLACES)]

    @property
    def part(self) -> float:
        """Of all points that an undisturbed scan has."""
        return random.Random(self.seed).random()

    def __str__(self) -> str:
        return f"{self.seed}: {self.part:.0%} of {self.kind}, {self.place}"


@pytest.fixture(scope="module")
def dying(prefect_api):
    with DyingScans() as dying:
        yield dying


@pytest.fixture(scope="module")
def counted():
    """How many points an undisturbed scan has, and what it comes to, by kind and place."""
    return {}


@pytest.fixture
def place(request, point, database, tmp_path, environ, bedrock, telegram):
    """Make a source, and empty databases on demand; give the source and the maker."""
    source: object = scans.write_logs(tmp_path / "logs", LOGS)
    if point.place.startswith("bucket"):
        s3 = request.getfixturevalue("moto_s3")
        region = {"LocationConstraint": "eu-west-1"}
        s3.create_bucket(Bucket="logs", CreateBucketConfiguration=region)
        for name, content in LOGS.items():
            s3.put_object(Bucket="logs", Key=name, Body=content.encode())
        source = "s3://logs"
    mariadb = request.getfixturevalue("mariadb") if point.place.endswith("MariaDB") else None
    urls: list[str] = []

    def new_database() -> str:
        path = tmp_path / f"{len(urls)}.db"
        urls.append(mariadb.new_database() if mariadb else f"sqlite:///{path}")
        environ(MIDDLEWATCH_DATABASE_URL=urls[-1])
        return urls[-1]

    yield source, new_database
    for url in urls:
        engine_for(url).dispose()
        if mariadb:
            mariadb.drop_database(url)


@pytest.mark.parametrize(
    "point",
    [pytest.param(Point(n), marks=() if n < FEW else pytest.mark.matrix) for n in range(POINTS)],
    ids=str,
)
def test_killed_at_random(point, place, dying, counted, bedrock, telegram, tmp_path: Path):
    """The next run finishes the job, the one after it has nothing to do."""
    source, new_database = place
    if (point.kind, point.place) not in counted:
        url = new_database()
        points = dying.count(point.kind, source, tmp_path)
        counted[point.kind, point.place] = (points, Truth.of(url))
        telegram.messages.clear()
    points, truth = counted[point.kind, point.place]
    url = new_database()

    was_killed = dying.kill(point.kind, 1 + int(point.part * points), source, tmp_path)
    assert was_killed or point.part > 0.8 or point.kind == "milliseconds"  # no two scans are equal
    summary = scan(source)
    again = scan(source)

    assert summary.coverage.holds
    assert summary.failures == ()
    assert again.is_idle
    check(url, truth, telegram, repeats=1, secrets=(telegram.token, "wJalrXUtnFEMI", "p@ss:w/rd%"))
    assert {state for (state,) in scans.rows(url, "SELECT state FROM runs")} <= {"crashed", "done"}
