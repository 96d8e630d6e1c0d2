"""What is no log is set aside with a reason, and what only has strange bytes in it is not."""

import random
import struct
from datetime import UTC

import pytest

from tasks.collect.source import open_source
from tasks.model.objects import Location
from tests import scans
from tests.ledgers import MemoryLedger, read, scan

UTMP = struct.pack("<hi32s4s32s256s", 7, 4711, b"pts/0", b"ts/0", b"developer", b"198.51.100.7")
WTMP = UTMP.ljust(384, b"\0") * 40
LINES = scans.attacks(20).encode()


def read_one(directory, name, content):
    """What reading this file comes to."""
    (directory / name).write_bytes(content)
    source = open_source(Location(str(directory)))
    [log_object] = source.plan(MemoryLedger()).to_read
    return read(source, log_object, zone=UTC)[0]


@pytest.mark.parametrize(
    "content",
    [
        WTMP,
        b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 9,
        random.Random(1).randbytes(50_000),
        random.Random(1).randbytes(50_000) + b"\n\n \r\n",
    ],
    ids=["wtmp", "program", "noise", "noise with empty lines"],
)
def test_a_binary_file_is_set_aside_at_once(tmp_path, content):
    """Its bytes are no lines that nobody understands, and an empty line is none that says it."""
    result = read_one(tmp_path, "wtmp", content)

    assert result.is_final
    assert result.extents == ()
    assert result.error == (
        "'wtmp' is binary and holds no line of a log: leave it out with the pattern."
    )


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_set_aside_at_once(tmp_path, encoding):
    """The reason says what to do, also where its comments look as if they were understood."""
    text = "\ufeff#Fields: date time c-ip\r\n" + LINES.decode()
    result = read_one(tmp_path, "u_ex.log", text.encode(encoding))

    assert result.is_final
    assert result.error == (
        "'u_ex.log' is UTF-16: have it written as UTF-8, and take it out of quarantine."
    )


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\n" + LINES,
        b"\0" * 5000
        + b"\n"
        + LINES,  # what copytruncate leaves before a writer that kept its place
        LINES + WTMP,
        b"junk that no format knows\n" * 50,
        "Журнал, который никто не понимает 😀\n".encode() * 50,
        b"\x16\x03\x01\n",
    ],
    ids=["mark", "hole", "tail", "text", "utf-8", "short"],
)
def test_a_log_with_strange_bytes_is_a_log(tmp_path, content):
    """One line that is understood is enough, and so is text that nobody understands."""
    result = read_one(tmp_path, "access.log", content)

    assert result.error is None


def test_a_file_that_turns_out_to_be_a_log_is_read_from_its_beginning(tmp_path):
    """A hole that the first lines follow later."""
    log = tmp_path / "access.log"
    log.write_bytes(b"\0" * 5000 + b"\n")
    source, ledger = open_source(Location(str(tmp_path))), MemoryLedger()
    scan(source, ledger)
    assert ledger.lines == []

    with log.open("ab") as file:
        file.write(LINES)
    scan(source, ledger)

    assert ledger.lines == LINES.splitlines()
