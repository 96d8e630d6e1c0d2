"""Whatever happens to growing files between scans, every line is counted exactly once."""

import gzip
import os
import shutil
import tempfile
from itertools import count
from pathlib import Path

import zstandard
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tasks.collect.source import open_source
from tasks.model.objects import Location
from tests.ledgers import MemoryLedger, read, scan

_KEPT = 4
"""Generations that the rotation keeps before the oldest moves to the archive."""
hosts = st.sampled_from(["web-01", "web-02"])


class LogDirectory(RuleBasedStateMachine):
    """Two hosts write and rotate their logs; scans happen at any moment in between."""

    @initialize()
    def create(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.ledger = MemoryLedger()
        self.source = open_source(Location(str(self.root)))
        self.numbers = count()
        self.ticks = count(1_700_000_000_000_000_000, 1_000_000)
        self.written: dict[str, list[bytes]] = {}
        self.may_be_lost: set[bytes] = set()
        self.partial: dict[str, bytes] = {}
        self.copied: dict[str, int] = {}
        for host in ("web-01", "web-02"):
            (self.root / host).mkdir()
            self.log(host).touch()
            self.written[host] = []
            self.partial[host] = b""

    def log(self, host: str, generation: str = "") -> Path:
        return self.root / host / f"access.log{generation}"

    def touch(self, path: Path) -> None:
        """Time goes on with every change, finer than a kernel's clock would show."""
        tick = next(self.ticks)
        os.utime(path, ns=(tick, tick))

    def append(self, host: str, data: bytes) -> None:
        with self.log(host).open("ab") as file:
            file.write(data)
        self.touch(self.log(host))

    def new_line(self, host: str, agent: str) -> bytes:
        line = (
            f"192.0.2.1 - - [22/Feb/2026:22:10:01 +0000] "
            f'"GET /{next(self.numbers):06} HTTP/1.1" 200 1 "-" "{agent}"'
        ).encode()
        self.written[host].append(line)
        if host in self.copied:
            self.may_be_lost.add(line)
        return line

    @rule(host=hosts, lines=st.integers(1, 4), agent=st.sampled_from(["curl", "x" * 3000]))
    def write(self, host: str, lines: int, agent: str) -> None:
        self.finish(host)
        for _ in range(lines):
            self.append(host, self.new_line(host, agent) + b"\n")

    @rule(host=hosts, size=st.integers(1, 60) | st.just(1000))
    def write_in_two_pieces(self, host: str, size: int) -> None:
        """The second piece comes later; the first may lack nothing but the line feed."""
        self.finish(host)
        line = self.new_line(host, "curl")
        self.append(host, line[:size])
        self.partial[host] = line[size:] + b"\n"

    def finish(self, host: str) -> None:
        if self.partial[host]:
            self.append(host, self.partial[host])
            self.partial[host] = b""

    def shift(self, host: str) -> None:
        """access.log.1 becomes access.log.2, and so on; the oldest goes to the archive."""
        for suffix in ("", ".gz", ".zst"):
            oldest = self.log(host, f".{_KEPT}{suffix}")
            if oldest.exists():
                archive = self.root / "archive" / host
                archive.mkdir(parents=True, exist_ok=True)
                oldest.rename(archive / f"access.log.{next(self.numbers)}{suffix}")
            for generation in range(_KEPT - 1, 0, -1):
                path = self.log(host, f".{generation}{suffix}")
                if path.exists():
                    path.rename(self.log(host, f".{generation + 1}{suffix}"))

    @precondition(lambda self: not self.copied)
    @rule(host=hosts)
    def rotate_by_rename(self, host: str) -> None:
        self.finish(host)
        self.shift(host)
        self.log(host).rename(self.log(host, ".1"))
        self.log(host).touch()
        self.touch(self.log(host))

    @precondition(lambda self: not self.copied)
    @rule(host=hosts, part=st.sampled_from([0.4, 1.0]))
    def begin_copy(self, host: str, part: float) -> None:
        """copytruncate, caught before the truncation, or while it copies."""
        self.finish(host)
        self.shift(host)
        data = self.log(host).read_bytes()
        self.copied[host] = len(data)
        self.log(host, ".1").write_bytes(data[: int(len(data) * part)])
        self.touch(self.log(host, ".1"))

    @precondition(lambda self: self.copied)
    @rule()
    def truncate(self) -> None:
        host, size = self.copied.popitem()
        self.finish(host)
        copy = self.log(host, ".1")
        copy.write_bytes(self.log(host).read_bytes()[:size])
        self.touch(copy)
        os.truncate(self.log(host), 0)
        self.touch(self.log(host))

    @rule(host=hosts, generation=st.integers(2, _KEPT), suffix=st.sampled_from([".gz", ".zst"]))
    def compress(self, host: str, generation: int, suffix: str) -> None:
        path = self.log(host, f".{generation}")
        if not path.exists():
            return
        data = path.read_bytes()
        packed = gzip.compress(data) if suffix == ".gz" else zstandard.compress(data)
        target = self.log(host, f".{generation}{suffix}")
        target.write_bytes(packed[: len(packed) // 2])
        self.scan()
        target.write_bytes(packed)
        shutil.copystat(path, target)
        self.scan()
        path.unlink()

    @rule(host=hosts)
    def change_nothing_but_the_time(self, host: str) -> None:
        self.touch(self.log(host))

    @rule()
    def scan(self) -> None:
        _, results = scan(self.source, self.ledger)
        broken = [r.error for r in results if r.error and "ends too early" not in r.error]
        assert not broken

    @rule()
    def scan_and_crash(self) -> None:
        """What was read is not committed."""
        for log_object in self.source.plan(self.ledger).to_read:
            read(self.source, log_object)

    @rule()
    def scan_twice_at_once(self) -> None:
        plans = [self.source.plan(self.ledger) for _ in range(2)]
        for plan in plans:
            self.ledger.record_seen(plan.seen)
            for log_object in plan.to_read:
                self.ledger.commit(*read(self.source, log_object))

    @invariant()
    def no_line_is_counted_twice(self) -> None:
        lines = self.ledger.lines
        assert len(lines) == len(set(lines))

    def teardown(self) -> None:
        while self.copied:
            self.truncate()
        for host in self.written:
            self.finish(host)
        self.scan()
        plan, _ = scan(self.source, self.ledger)
        lines = self.ledger.lines
        assert not plan.to_read
        assert len(lines) == len(set(lines))
        written = {line for lines in self.written.values() for line in lines}
        assert written - self.may_be_lost <= set(lines) <= written
        shutil.rmtree(self.root)


TestLogDirectory = LogDirectory.TestCase
TestLogDirectory.settings = settings(
    max_examples=100,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
