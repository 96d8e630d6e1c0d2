"""A file is counted once, through however many directories it is read."""

from random import Random

import pytest
from sqlalchemy import text

from tasks.collect.source import open_source
from tasks.model.objects import Location
from tasks.store import schema
from tasks.store.engine import transaction
from tasks.store.schema import open_database
from tests import scans as logs
from tests.bare_scans import Scans

ROOT, INNER, INNERMOST = "", "web", "web/site"


@pytest.fixture
def tree(tmp_path):
    """Files at three depths, one line each."""
    root = tmp_path / "logs"
    for number, folder in enumerate((ROOT, INNER, INNERMOST)):
        (root / folder).mkdir()
        (root / folder / "access.log").write_text(logs.attack(logs.address(number)))
    return root


def source(tree, folder, pattern="**/*"):
    return open_source(Location(str(tree / folder), pattern=pattern))


def count(scans: Scans, *sources) -> int:
    """Lines that scans of these count."""
    return sum(batch.lines for each in sources for batch in scans.count(each))


def append(path, number) -> None:
    with path.open("a") as file:
        file.write(logs.attack(logs.address(number)))


@pytest.mark.parametrize("order", [(ROOT, INNER, INNERMOST), (INNERMOST, INNER, ROOT)])
def test_each_line_counts_once_from_the_outside_in_and_from_the_inside_out(scans, tree, order):
    """Also those that are appended between, whoever reads them."""
    assert count(scans, *(source(tree, folder) for folder in order)) == 3

    for number, folder in enumerate(order, start=10):
        append(tree / INNERMOST / "access.log", number)
        assert count(scans, source(tree, folder)) == 1
        assert count(scans, *(source(tree, other) for other in order)) == 0


def test_patterns_make_no_difference(scans, tree):
    """What one glob leaves out, another may read; what it has read is read."""
    assert count(scans, source(tree, ROOT, "web/**")) == 2
    assert count(scans, source(tree, INNER, "access.log")) == 0
    assert count(scans, source(tree, ROOT)) == 1


def test_a_file_that_rotates_between_two_readers_is_the_same(scans, tree):
    """Renamed, seen by the one without news, grown, read by the other."""
    log = tree / INNER / "access.log"
    assert count(scans, source(tree, INNER)) == 2
    log.rename(tree / INNER / "access.log.1")
    assert count(scans, source(tree, ROOT)) == 1
    append(tree / INNER / "access.log.1", 20)
    log.write_text(logs.attack(logs.address(21)))

    assert count(scans, source(tree, INNER)) == 2
    assert count(scans, source(tree, ROOT), source(tree, INNERMOST)) == 0


def test_a_file_that_is_moved_out_of_one_source_is_known_to_the_other(scans, tree):
    """An archive beside it is no other content."""
    assert count(scans, source(tree, INNERMOST)) == 1
    (tree / "archive").mkdir()
    (tree / INNERMOST / "access.log").rename(tree / "archive" / "old.log")

    assert count(scans, source(tree, ROOT)) == 2


def test_a_name_that_begins_alike_is_not_inside(scans, tree):
    """`web-2` is beside `web`: its copy of the same lines is another file."""
    (tree / "web-2").mkdir()
    (tree / "web-2" / "access.log").write_text((tree / INNER / "access.log").read_text())

    assert count(scans, source(tree, INNER), source(tree, "web-2")) == 3


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_writing_rotating_and_reading_counts_every_line_once(scans, tree, seed):
    """Lines that are written between two runs of any sources are read by the next that sees them."""
    random = Random(seed)
    written, counted = 3, 0
    for number in range(100, 112):
        folder = random.choice((ROOT, INNER, INNERMOST))
        log = tree / folder / "access.log"
        if random.random() < 0.3:
            log.rename(log.with_name(f"access.log-{number}"))
            log.write_text(logs.attack(f"203.0.113.{number}"))
        else:
            append(log, number)
        written += 1
        counted += count(scans, source(tree, random.choice((ROOT, INNER, INNERMOST))))
    counted += count(scans, source(tree, ROOT))

    assert counted == written


def test_directories_that_an_earlier_version_has_read_are_known(scans, tree, database_url):
    """The migration finds them in the ledger, also after one that was killed halfway."""
    assert count(scans, source(tree, INNER)) == 2
    with transaction(scans.engine) as connection:
        connection.execute(text("DELETE FROM file_sources"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0005'"))
    schema._bring_up_to_date.cache_clear()
    open_database(database_url)

    assert scans.ledger.file_sources() == [source(tree, INNER).uri]
    assert count(scans, source(tree, ROOT)) == 1


FIRST = logs.request("10.0.0.1", "/health-check-of-the-load-balancer")
LAST = "".join(logs.request("10.0.0.1", f"/health?{n}") for n in range(60))


@pytest.fixture
def hosts(tmp_path):
    """Two directories for logs that begin and end alike, as behind one load balancer."""
    for name in ("web1", "web2"):
        (tmp_path / "logs" / name).mkdir(parents=True)
    return tmp_path / "logs"


@pytest.mark.parametrize("end", ["", LAST])
@pytest.mark.parametrize(("folder", "pattern"), [("", "web2/**"), ("web2", "**/*")])
def test_a_file_that_looks_like_one_that_is_elsewhere_is_another(
    scans, hosts, folder, pattern, end
):
    """The first still stands where it was, though this listing does not have it."""
    (hosts / "web1/access.log").write_text(FIRST + logs.attack("198.51.100.1") + end)
    lines = count(scans, source(hosts, "", "web1/**"))
    (hosts / "web2/access.log").write_text(FIRST + logs.attack("198.51.100.2") + end)

    assert count(scans, source(hosts, folder, pattern)) == lines
    assert count(scans, source(hosts, "web1"), source(hosts, "web2"), source(hosts, "")) == 0


def test_an_unfinished_line_of_another_file_is_not_taken_for_one_of_the_same_length(scans, hosts):
    """Nothing but its length is on record."""
    one, two = hosts / "web1/access.log", hosts / "web2/access.log"
    one.write_text(FIRST + logs.attack("198.51.100.1")[:-1])
    assert count(scans, source(hosts, "")) == 2
    two.write_text(FIRST + logs.attack("198.51.100.2")[:-1])
    one.unlink()

    assert count(scans, source(hosts, "")) == 2
