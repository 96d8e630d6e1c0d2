"""What a directory lists, what it leaves out, and why."""

import os
import socket
from pathlib import Path

import pytest

from tasks.collect.directory import object_key_of, path_of
from tasks.collect.source import open_source
from tasks.model.errors import ConfigurationError
from tasks.model.objects import KnownObject, Location
from tests.ledgers import read, scan


def reasons(plan) -> dict[str, str]:
    return {skipped.object_key: skipped.reason for skipped in plan.skipped}


def keys(plan) -> list[str]:
    return [log_object.object_key for log_object in plan.to_read]


def test_everything_below(logs, source, ledger, lines):
    """Files are found at any depth, whatever they are called."""
    names = ["access.log", "a/b/c/d.log", "with space+%20.log", "журнал.log", "x.txt"]
    for number, name in enumerate(names):
        (logs / name).parent.mkdir(parents=True, exist_ok=True)
        (logs / name).write_bytes(lines(number))

    plan, results = scan(source, ledger)

    assert sorted(keys(plan)) == sorted(names)
    assert not [r.error for r in results if r.error]
    assert len(ledger.lines) == len(names)


def test_pattern(logs, ledger, lines):
    """Only what matches the pattern is listed at all."""
    (logs / "web").mkdir()
    (logs / "web/access.log").write_bytes(lines(1))
    (logs / "web/notes.txt").write_bytes(lines(2))

    plan = open_source(Location(logs.as_uri(), "**/*.log")).plan(ledger)

    assert keys(plan) == ["web/access.log"]
    assert plan.listed == 1


def test_hidden_files(logs, source, ledger, lines):
    """Editors and rsync keep unfinished copies under hidden names."""
    (logs / ".access.log.swp").write_bytes(lines(1))
    (logs / ".snapshot").mkdir()
    (logs / ".snapshot/access.log").write_bytes(lines(1))

    assert source.plan(ledger).listed == 0


def test_empty_files(logs, source, ledger):
    """An empty file has nothing new, and no name for it yet."""
    (logs / "access.log").touch()
    plan = source.plan(ledger)

    assert (plan.listed, plan.unchanged, plan.to_read) == (1, 1, ())


def test_special_files(logs, source, ledger):
    """FIFOs and sockets are named, and never opened."""
    os.mkfifo(logs / "fifo.log")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(logs / "s.log"))
        plan = source.plan(ledger)

    assert reasons(plan) == {"fifo.log": "not a regular file", "s.log": "not a regular file"}
    assert plan.listed == 2


def test_symlinks(logs, source, ledger, lines, tmp_path):
    """A file is read once, and nothing outside of the source is read."""
    (tmp_path / "secret").write_bytes(lines(9))
    (logs / "app-2026.log").write_bytes(lines(1))
    (logs / "current.log").symlink_to("app-2026.log")
    (logs / "out.log").symlink_to(tmp_path / "secret")
    (logs / "gone.log").symlink_to("nothing")
    (logs / "loop.log").symlink_to("loop.log")
    (logs / "all.log").symlink_to(".")
    os.link(logs / "app-2026.log", logs / "hard.log")

    plan = source.plan(ledger)

    assert keys(plan) == ["app-2026.log"]
    assert "same file as app-2026.log" in reasons(plan)["current.log"]
    assert "same file as app-2026.log" in reasons(plan)["hard.log"]
    assert "out of the source" in reasons(plan)["out.log"]
    assert "to nothing" in reasons(plan)["gone.log"]
    assert not any(skipped.is_retried for skipped in plan.skipped)
    assert plan.listed == len(plan.to_read) + len(plan.skipped)


def test_symlink_to_an_unlisted_file(logs, ledger, lines):
    """A symlink whose target the pattern leaves out is read under its own name."""
    (logs / "data").mkdir()
    (logs / "data/0001").write_bytes(lines(1))
    (logs / "current.log").symlink_to("data/0001")
    plan, _ = scan(open_source(Location(str(logs), "*.log")), ledger)

    assert keys(plan) == ["current.log"]
    assert len(ledger.lines) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_denied(logs, source, ledger, lines):
    """A file or directory that may not be read costs nobody else anything."""
    for name in ("denied.log", "fine.log", "dir/x.log"):
        (logs / name).parent.mkdir(exist_ok=True)
        (logs / name).write_bytes(lines(1))
    (logs / "denied.log").chmod(0)
    (logs / "dir").chmod(0)
    plan = source.plan(ledger)
    (logs / "dir").chmod(0o700)

    assert keys(plan) == ["fine.log"]
    assert "permission denied" in reasons(plan)["denied.log"]
    assert "permission denied" in reasons(plan)["dir/"]


@pytest.mark.parametrize(
    "name", [b"caf\xe9.log", b"a\nb.log", rb"a\x41.log", b"\\.log", b"\x1b[31m"]
)
def test_names_that_are_not_text(name, logs, source, ledger, lines):
    """A file name is bytes: its key is printable, and leads back to the file."""
    Path(os.fsdecode(os.fsencode(logs) + b"/" + name)).write_bytes(lines(1))
    plan, (result,) = scan(source, ledger)
    (key,) = keys(plan)

    assert result.error is None
    assert key.encode()
    assert key.isprintable()
    assert os.fsencode(path_of(key)) == name
    assert object_key_of(path_of(key)) == key


@pytest.mark.parametrize("place", ["missing", "file"])
def test_wrong_source(place, tmp_path, ledger):
    """A source that is no directory is one sentence for the user."""
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match=place):
        open_source(Location(str(tmp_path / place))).plan(ledger)


def test_identity(logs, ledger):
    """However a directory is spelled, it is one source."""
    spellings = [str(logs), f"{logs}/", f"{logs}/../{logs.name}", logs.as_uri()]

    assert {open_source(Location(s)).uri for s in spellings} == {logs.as_uri()}


def test_quarantine(logs, source, ledger, lines):
    """What was set aside is counted, and not read again."""
    (logs / "access.log").write_bytes(lines(1))
    (log_object,) = source.plan(ledger).to_read
    ledger.failed["access.log", log_object.version] = KnownObject("quarantined", 5)
    plan = source.plan(ledger)

    assert (plan.quarantined, plan.to_read, plan.listed) == (1, (), 1)


def test_attempts(logs, source, ledger, lines):
    """What failed before is tried again, and the attempts are remembered."""
    (logs / "access.log").write_bytes(lines(1))
    (log_object,) = source.plan(ledger).to_read
    ledger.failed["access.log", log_object.version] = KnownObject("skipped", 2)

    assert [o.attempts for o in source.plan(ledger).to_read] == [2]


def replace_by_rename(path: Path, lines) -> None:
    (path.parent / "new").write_bytes(lines(7, 8, 9, 10, 11, 12))
    (path.parent / "new").rename(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda path, _: path.unlink(), "gone before"),
        (lambda path, _: os.truncate(path, 10), "changed while"),
        (replace_by_rename, "changed while"),
        (lambda path, lines: path.write_bytes(lines(7, 8, 9, 10)), "changed while"),
    ],
    ids=["removed", "shortened", "replaced", "rewritten"],
)
def test_changes_between_listing_and_reading(change, sentence, logs, source, ledger, lines):
    """A file that is not what was planned is left for the next run, whole."""
    path = logs / "access.log"
    path.write_bytes(lines(1, 2, 3))
    (log_object,) = source.plan(ledger).to_read
    change(path, lines)
    result, counted = read(source, log_object)

    assert sentence in (result.error or "")
    assert not result.extents
    assert not counted


def test_a_fifo_in_the_place_of_a_file(logs, source, ledger, lines):
    """A FIFO that took a file's place since the listing is not waited for."""
    (logs / "access.log").write_bytes(lines(1))
    (log_object,) = source.plan(ledger).to_read
    (logs / "access.log").unlink()
    os.mkfifo(logs / "access.log")

    assert "changed while" in (read(source, log_object)[0].error or "")


def test_appended_while_reading(logs, source, ledger, lines):
    """Lines that were appended after the listing are for the next run."""
    (logs / "access.log").write_bytes(lines(1))
    (log_object,) = source.plan(ledger).to_read
    with (logs / "access.log").open("ab") as file:
        file.write(lines(2))
    result, counted = read(source, log_object)
    ledger.commit(result, counted)

    assert len(ledger.lines) == 1
    scan(source, ledger)
    assert len(ledger.lines) == 2
