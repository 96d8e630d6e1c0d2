"""Streams follow their content; the property test has the combinations, this has the reasons."""

import gzip
import os
import shutil

import pytest

from tasks.collect.rotation import family_of
from tests.ledgers import scan


def reasons(plan) -> dict[str, str]:
    return {skipped.object_key: skipped.reason for skipped in plan.skipped}


def append(path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_nothing_new(logs, source, ledger, lines):
    """A second scan reads nothing, and opens nothing."""
    (logs / "access.log").write_bytes(lines(1, 2))
    scan(source, ledger)
    (logs / "access.log").chmod(0)
    plan, _ = scan(source, ledger)

    assert (plan.listed, plan.unchanged, plan.to_read, plan.skipped) == (1, 1, (), ())


def test_growth(logs, source, ledger, lines):
    """Reading goes on where it ended, and line numbers go on, too."""
    (logs / "access.log").write_bytes(lines(1, 2))
    scan(source, ledger)
    append(logs / "access.log", lines(3))
    plan, _ = scan(source, ledger)

    assert [o.size_bytes for o in plan.to_read] == [len(lines(3))]
    numbers = [n for one in ledger.counted.values() for _, n, _ in one.events]
    assert numbers == [1, 2, 3]


def test_rename_and_compress(logs, source, ledger, lines):
    """access.log, access.log.1 and archive/access.log.2.gz are one stream at three times."""
    (logs / "access.log").write_bytes(lines(1, 2))
    scan(source, ledger)
    append(logs / "access.log", lines(3))
    (logs / "access.log").rename(logs / "access.log.1")
    (logs / "access.log").write_bytes(lines(4))
    scan(source, ledger)
    (logs / "archive").mkdir()
    packed = gzip.compress((logs / "access.log.1").read_bytes())
    (logs / "archive/access.log.2.gz").write_bytes(packed)
    (logs / "access.log.1").unlink()
    plan, _ = scan(source, ledger)

    assert plan.to_read == ()
    assert [s.object_key for s in plan.seen] == ["archive/access.log.2.gz"]
    assert b"\n".join(sorted(ledger.lines)) + b"\n" == lines(1, 2, 3, 4)


def test_truncation(logs, source, ledger, lines):
    """A file that was emptied and written anew is a new stream."""
    (logs / "access.log").write_bytes(lines(1, 2, 3))
    scan(source, ledger)
    (logs / "access.log").write_bytes(lines(4))
    scan(source, ledger)

    assert len(ledger.lines) == 4
    assert len(ledger.streams) == 2


def test_the_same_first_line_again(logs, source, ledger, lines):
    """A stream id is not used twice, even when the new content begins like the old."""
    header = b"#Fields: date time\n"
    (logs / "access.log").write_bytes(header + lines(1, 2, 3))
    scan(source, ledger)
    (logs / "access.log").write_bytes(header + lines(4))
    scan(source, ledger)

    assert len(ledger.lines) == 4
    assert len(ledger.streams) == 2


def test_unfinished_line(logs, source, ledger, line, lines):
    """A last line without a line feed counts at once, and once."""
    path = logs / "access.log"
    path.write_bytes(lines(1) + line(2))
    _, (result,) = scan(source, ledger)

    assert [e.is_unfinished for e in result.extents] == [False, True]
    assert ledger.lines == [line(1), line(2)]
    assert scan(source, ledger)[0].unchanged == 1

    append(path, b"\n" + line(3)[:20])
    scan(source, ledger)
    append(path, line(3)[20:] + b"\n")
    scan(source, ledger)
    assert sorted(ledger.lines) == [line(1), line(2), line(3)]


def test_compressed_with_an_unfinished_line(logs, source, ledger, line, lines):
    """The unfinished line of a file that was compressed is still that line."""
    (logs / "access.log").write_bytes(lines(1) + line(2))
    scan(source, ledger)
    packed = gzip.compress((logs / "access.log").read_bytes())
    (logs / "access.log.1.gz").write_bytes(packed)
    (logs / "access.log").unlink()
    scan(source, ledger)

    assert sorted(ledger.lines) == [line(1), line(2)]


@pytest.mark.parametrize("size", [30, 200, 10_000])
def test_copy_in_the_making(size, logs, source, ledger, lines):
    """The copy of a living log is not read, however much of it is there."""
    data = lines(1, 2, 3, 4)
    (logs / "access.log").write_bytes(data)
    scan(source, ledger)
    (logs / "access.log.1").write_bytes(data[:size])
    plan, _ = scan(source, ledger)

    assert reasons(plan) == {"access.log.1": "copy of access.log"}
    assert len(ledger.lines) == 4


def test_a_new_log_begins_like_the_one_before(logs, source, ledger, lines):
    """The same request in the same second is first in both: it was taken for a copy in the making."""
    (logs / "access.log").write_bytes(lines(1, 2))
    scan(source, ledger)
    (logs / "access.log").rename(logs / "access.log.1")
    scan(source, ledger)
    (logs / "access.log").write_bytes(lines(1))
    plan, _ = scan(source, ledger)

    assert plan.skipped == ()
    assert len(ledger.lines) == 3


def test_copytruncate_loses_lines_that_were_read(logs, source, ledger, lines):
    """A copy that lacks lines which were already read is not read again, also compressed."""
    (logs / "access.log").write_bytes(lines(1, 2))
    scan(source, ledger)
    shutil.copy(logs / "access.log", logs / "access.log.1")
    append(logs / "access.log", lines(3))
    scan(source, ledger)
    os.truncate(logs / "access.log", 0)
    scan(source, ledger)
    packed = gzip.compress((logs / "access.log.1").read_bytes())
    (logs / "access.log.1.gz").write_bytes(packed)
    (logs / "access.log.1").unlink()
    append(logs / "access.log", lines(4))
    scan(source, ledger)
    plan, _ = scan(source, ledger)

    assert (plan.unchanged, plan.to_read) == (2, ())
    assert len(ledger.lines) == 4


def test_both_at_first_sight(logs, source, ledger, lines):
    """access.log.2 and its half-written access.log.2.gz are one log from the first run on."""
    data = lines(*range(2000))
    (logs / "access.log.2").write_bytes(data)
    (logs / "access.log.2.gz").write_bytes(gzip.compress(data)[:-100])
    plan, _ = scan(source, ledger)

    assert reasons(plan) == {"access.log.2.gz": "copy of access.log.2"}
    assert len(ledger.lines) == 2000


def test_hosts_with_identical_lines(logs, source, ledger, lines):
    """Equal content in other directories or under other names is another log."""
    for name in ("web-01/access.log", "web-02/access.log", "a.log", "b.log"):
        (logs / name).parent.mkdir(exist_ok=True)
        (logs / name).write_bytes(lines(1, 2))
    plan, _ = scan(source, ledger)

    assert len(plan.to_read) == 4
    assert len(ledger.lines) == 8


def test_damaged_archive(logs, source, ledger, lines):
    """A file that cannot be read is an error of its own, run after run."""
    (logs / "fine.log").write_bytes(lines(1))
    packed = gzip.compress(lines(*range(5000)))
    (logs / "broken.log.gz").write_bytes(packed[: len(packed) // 2])
    _, results = scan(source, ledger)

    assert [bool(r.error) for r in results] == [True, False]
    plan, _ = scan(source, ledger)
    assert [o.attempts for o in plan.to_read] == [1]


@pytest.mark.parametrize(
    "name",
    ["access.log.1", "access.log.2.gz", "access.log-20260222", "access.log-20260222.zst",
     "access-20260222.log", "access-20260222.log.gz", "access.1.log", "access.log.old"],
)  # fmt: skip
def test_families(name):
    """Rotation gives a log names by which it is known."""
    assert family_of(f"web/{name}") == family_of("web/access.log")


@pytest.mark.parametrize("name", ["error.log", "access2.log", "web-1.log", "access.log.d/x"])
def test_other_families(name):
    """Other logs are other logs."""
    assert family_of(name) != family_of("access.log")
    assert family_of("web-2.log") != family_of("web-1.log")
