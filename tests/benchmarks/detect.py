"""
How fast detection is, as ratios of one run on this machine: `make bench-detect`.

Each measurement is a process of its own, pinned to one core, on files in the page cache. Times are
CPU seconds, the medians of all repetitions, from the start of the process to its end: reading,
parsing, signatures, tally with samples as it is stored, and the rules held against it.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from tests.benchmarks.access_log import access_log
from tests.benchmarks.files import Files
from tests.benchmarks.memory import peak_of
from tests.benchmarks.other_formats import FORMATS, log_as
from tests.benchmarks.peers import crowdsec, goaccess

if TYPE_CHECKING:
    from tasks.detect.apart import Errand
    from tasks.detect.counting import Counted
    from tasks.detect.tally import WrittenTally

T = TypeVar("T")

MIB = 1024**2
ALL_TIME = (-(2**31), 2**31)
"""In minutes."""
_BATCHES = 16
"""Of a log that is large enough to be counted by processes; some batches are the same file."""
_COMPILED_BYTES = 64 * MIB
"""Compiling is worth its time for a log of this size."""
_REPLAYED_LINES = 10_000
"""CrowdSec takes hours for what the others read in seconds."""


@dataclass(frozen=True)
class Spent:
    """What one process took."""

    cpu: float
    wall: float
    peak_mib: float
    said: str


@dataclass(frozen=True)
class Kept:
    """A part on disk, as a database has it."""

    first_minute: int
    last_minute: int
    size: int
    start: int
    file: BinaryIO

    @classmethod
    def by(cls, part, file: BinaryIO):
        start = file.seek(0, os.SEEK_END)
        file.write(part.payload)
        return cls(part.first_minute, part.last_minute, len(part.payload), start, file)

    def read(self) -> bytes:
        self.file.seek(self.start)
        return self.file.read(self.size)


def errands_of(paths: Sequence[str]) -> list["Errand"]:
    """Each file as a batch of its own."""
    from tasks.detect.apart import Errand
    from tasks.model.objects import Batch, LogObject

    def errand(number: int, path: str) -> Errand:
        status = Path(path).stat()
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        log_object = LogObject(Files.uri, path, str(number), status.st_size, modified)
        return Errand(Files(), Batch(number, (log_object,)), UTC)

    return [errand(number, path) for number, path in enumerate(paths, start=1)]


def count_file(path: str) -> "WrittenTally":
    """The tally of a file, through the reader that scans use."""
    (errand,) = errands_of([path])
    return _tally_of(errand.run())


def count_files(paths: Sequence[str], cores: int, keep: Callable[["WrittenTally"], T]) -> list[T]:
    """What is kept of the tallies of some files, which are counted as runs count them."""
    from tasks.detect.apart import Workers, is_large

    errands = errands_of(paths)
    is_apart = is_large(errand.batch for errand in errands)
    workers = Workers(cores)
    with ThreadPoolExecutor(len(paths)) as pool:
        counted = pool.map(
            lambda each: keep(_tally_of(workers.run(each, is_apart=is_apart))), errands
        )
        kept = list(counted)
    workers.end()
    return kept


def _tally_of(counted: "Counted") -> "WrittenTally":
    (result,) = counted.results
    if result.error:
        raise SystemExit(result.error)
    return counted.tally


def run_counting(paths: Sequence[str], cores: int) -> None:
    """Counting alone, as a process of its own; a run commits each tally and keeps none."""
    started = perf_counter()
    count_files(paths, cores, keep=lambda _: None)
    print(json.dumps({"counting_seconds": perf_counter() - started}))


def run_job(paths: Sequence[str]) -> None:
    """The whole job on files, as a process of its own."""
    from tasks.detect.columns import IsWanted
    from tasks.detect.evaluate import judge
    from tasks.detect.loading import LoadedTally, Recent, Survey, load_within
    from tasks.detect.rules import load_rules
    from tasks.detect.subjects import among
    from tasks.detect.tally import Tally, read_lines
    from tasks.detect.touched import Touched, needed_minutes, told_minutes
    from tasks.model.parts import PartKey

    rules = load_rules()
    started = perf_counter()
    tables = count_files(paths, 1, keep=lambda tally: tally.parts)
    counted = perf_counter() - started
    record = tempfile.TemporaryFile()  # noqa: SIM115 -- gone with the process
    parts = [
        ((path, number), Kept.by(part, record))
        for path, own in zip(paths, tables, strict=True)
        for number, part in enumerate(own)
    ]
    del tables

    def load(
        key: PartKey, part: Kept, without: bytes, is_wanted: IsWanted | None = None
    ) -> LoadedTally:
        tally = Tally.from_payloads([part.read()], None, without, is_wanted, is_light=True)
        return LoadedTally(tally, {0: key[0]}, lambda rows: read_lines(part.read(), rows))

    def tallies(
        without: bytes, minutes: tuple[int, int] = ALL_TIME, is_wanted: IsWanted | None = None
    ) -> Iterator[LoadedTally]:
        for key, part in parts:
            if part.first_minute < minutes[1] and part.last_minute >= minutes[0]:
                yield load(key, part, without, is_wanted)

    def counts(minutes: tuple[int, int]) -> Iterator[LoadedTally]:
        return recent.read(
            (key, partial(load, key, part, b"S"))
            for key, part in parts
            if part.first_minute < minutes[1] and part.last_minute >= minutes[0]
        )

    def counts_of(piece: Touched, minutes: tuple[int, int]) -> Iterator[LoadedTally]:
        if piece.shares == 1:
            return counts(minutes)
        return tallies(b"S", minutes, among(piece.ips, rules.ipv6_prefix))

    # as runs do it: slice by slice, and only of those who may be suspicious
    recent = Recent()
    fast = [rule for rule in rules.rules if not rule.is_slow]
    touched = Touched.united(Touched.by([each.tally]).hours for each in tallies(b"VS"))

    def judged(piece: Touched) -> int:
        spans = needed_minutes(piece, rules), told_minutes(piece, rules)
        needed, told = ((span[0][0], span[-1][1]) for span in spans)
        survey = Survey(fast, told)
        for each in counts_of(piece, needed):
            near = each.tally.within(needed)
            survey.notice(near.counts, near.values)
        ips = piece.only(survey.candidates()).ips
        own = among(ips, rules.ipv6_prefix)
        lines = tallies(b"CV", told, own)
        few = load_within(chain(counts_of(piece.only(ips), needed), lines), ips, needed)
        return sum(1 for _ in judge(rules, few, piece))

    weights = [(part.first_minute, part.last_minute, part.size) for _, part in parts]
    hours = sum(map(judged, touched.slices(weights=weights)))
    print(json.dumps({
        "counting_seconds": counted, "suspect_hours": hours,
        "stored_mib": sum(part.size for _, part in parts) / MIB,
    }))  # fmt: skip


def run_plain_loop(path: str) -> None:
    """What most scripts do: an address per line, a count, and 20 lines."""
    import re

    address = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")
    counts: dict[str, int] = {}
    kept: dict[str, list[str]] = {}
    with Path(path).open(errors="replace") as file:
        for line in file:
            found = address.search(line)
            if found:
                ip = found.group()
                counts[ip] = counts.get(ip, 0) + 1
                lines = kept.setdefault(ip, [])
                if len(lines) < 20:
                    lines.append(line)
    print(json.dumps({"ips": len(counts)}))


# measuring


def spend(command: Sequence[str], cores: Sequence[int]) -> Spent:
    """Run *command* on these cores."""
    started = perf_counter()
    with tempfile.TemporaryFile() as output:
        pin = ["taskset", "-c", ",".join(map(str, cores))]
        process = subprocess.Popen([*pin, *command], stdout=output, env=_ENV)
        with peak_of(process.pid) as together:
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = perf_counter() - started
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed; nothing is measured.")
        output.seek(0)
        said = output.read(100_000).decode(errors="replace")
    peak_mib = max(usage.ru_maxrss / 1024, together.mib)
    return Spent(usage.ru_utime + usage.ru_stime, wall, peak_mib, said)


_ENV = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
_ENV["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir(), "middlewatch-benchmarks", "pycache"))
"""Modules are compiled once, as after an installation."""


def ours(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.detect", *arguments]


class Bench:
    """Measures, prints, and remembers for ratios."""

    def __init__(self, repeats: int) -> None:
        self._repeats = repeats
        self._cores = sorted(os.sched_getaffinity(0))

    def measure(
        self, name: str, command: Sequence[str], size: int, *, cores: int = 1, repeats: int = 0
    ) -> Spent:
        """The median by CPU time of some repetitions."""
        runs = [spend(command, self._cores[:cores]) for _ in range(repeats or self._repeats)]
        median = sorted(runs, key=lambda run: run.cpu)[len(runs) // 2]
        wall = statistics.median(run.wall for run in runs)
        found = Spent(median.cpu, wall, max(run.peak_mib for run in runs), median.said)
        speed = size / MIB / found.cpu
        print(
            f"{name:<46} {found.cpu:8.2f} s CPU {speed:8.0f} MiB/s {found.peak_mib:7.0f} MiB",
            flush=True,
        )
        return found


def compare(directory: Path, size: int, repeats: int) -> None:
    """Every figure, one after the other."""
    bench = Bench(repeats)
    log = access_log(directory, size)
    packed = log.with_suffix(".log.gz")
    if not packed.exists():
        with packed.open("wb") as file:
            subprocess.run(["gzip", "-6", "-c", str(log)], stdout=file, check=True)
    for path in (log, packed):
        _warm(path)
    real = log.stat().st_size
    _compile(access_log(directory, _COMPILED_BYTES))
    print(
        f"{real / MIB:,.0f} MiB of access log, {packed.stat().st_size / MIB:,.0f} MiB as gzip; medians of {repeats}\n"
    )
    plain = bench.measure("plain loop", ours("plain", str(log)), real)
    whole = bench.measure("whole job", ours("job", str(log)), real)
    unpacked = _gunzip(bench, packed, real)
    gz = bench.measure("whole job, gzip", ours("job", str(packed)), real)
    print(
        f"\nwhole job, times as fast as the plain loop:   {plain.cpu / whole.cpu:5.2f}  (to be reached: 3)"
    )
    print(
        f"gzip, CPU against that of gzip -dc alone:      {gz.cpu / unpacked.cpu:5.2f}  (to be reached: 1.1)"
    )
    print(
        f"peak memory, MiB:                              {max(whole.peak_mib, gz.peak_mib):5.0f}  (to be reached: 400)"
    )
    print(f"                                               {whole.said.strip()}\n")
    _compare_formats(bench, access_log(directory, size // 4))
    _compare_cores(bench, directory, size // 4)
    _compare_growth(bench, directory, size // 8)
    _compare_peers(bench, log, real, whole)


def _warm(path: Path) -> None:
    """The file is in the page cache."""
    with path.open("rb") as file:
        while file.read(MIB):
            pass


def _compile(log: Path) -> None:
    """What reads logs like this one is compiled."""
    spend(ours("job", str(log)), [min(os.sched_getaffinity(0))])


def _gunzip(bench: Bench, packed: Path, size: int) -> Spent:
    return bench.measure("gzip -dc", ["sh", "-c", f"exec gzip -dc '{packed}' >/dev/null"], size)


def _compare_formats(bench: Bench, log: Path) -> None:
    """The same requests in other formats."""
    found = {}
    for name in ("Combined", *FORMATS):
        path = log if name == "Combined" else log_as(name, log)
        if name != "Combined":
            _compile(log_as(name, access_log(log.parent, _COMPILED_BYTES)))
        _warm(path)
        found[name] = bench.measure(f"format: {name}", ours("job", str(path)), path.stat().st_size)
    print("\nrequests per second against Combined: ", end="")
    ratios = (f"{name} {found['Combined'].cpu / found[name].cpu:.2f}" for name in FORMATS)
    print(", ".join(ratios) + "  (JSON and W3C to be reached: 0.5)\n")


def _compare_cores(bench: Bench, directory: Path, size: int) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        print("one core only: two are not compared")
        return
    batches = [str(access_log(directory, size, seed=2 + n % 2)) for n in range(_BATCHES)]
    for path in set(batches):
        _warm(Path(path))
    kinds = ("one core", 1), ("two cores", 2)
    one, two = (
        bench.measure(
            f"{_BATCHES} batches, {name}",
            ours("count", *batches, "--cores", str(cores)),
            _BATCHES * size,
            cores=cores,
            repeats=1,
        )
        for name, cores in kinds
    )
    seconds = [json.loads(run.said)["counting_seconds"] for run in (one, two)]
    print(
        f"\ncounting {_BATCHES * size / MIB:,.0f} MiB on two cores, times as fast:   {seconds[0] / seconds[1]:5.2f}  (to be reached: 1.85)"
        "\n  from its start to its end, with the start of one worker for each core in both\n"
    )


def _compare_peers(bench: Bench, log: Path, size: int, whole: Spent) -> None:
    if shutil.which("goaccess"):
        peer = bench.measure("GoAccess", goaccess(log), size, repeats=1)
        print(
            f"\ntimes as fast as GoAccess:                     {peer.cpu / whole.cpu:5.2f}  (to be reached: 5)\n"
        )
    if shutil.which("crowdsec"):
        with tempfile.NamedTemporaryFile(suffix=".log") as part, log.open("rb") as file:
            part.writelines(islice(file, _REPLAYED_LINES))
            part.flush()
            replayed = part.tell()
            with crowdsec(Path(part.name)) as command:
                peer = bench.measure("CrowdSec, replay", command, replayed, repeats=1)
        speeds = size / whole.cpu, replayed / peer.cpu
        print(
            f"\ntimes as fast as CrowdSec:                     {speeds[0] / speeds[1]:5.0f}  (to be reached: 100)\n"
        )


def _compare_growth(bench: Bench, directory: Path, size: int) -> None:
    """Seconds per MiB should stay what they are while one thing grows."""
    series: dict[str, list[dict[str, Any]]] = {
        "lines": [{"size": size}, {"size": 2 * size}, {"size": 4 * size}],
        "client IPs": [{"size": size, "ips": n} for n in (1_000, 50_000, 1_000_000)],
        "attacks": [{"size": size, "attacks": share} for share in (0.0, 0.1, 1.0)],
    }
    for name, kinds in series.items():
        for kind in kinds:
            log = access_log(directory, **kind)
            told = ", ".join(f"{k} {v:,}" for k, v in kind.items())
            bench.measure(f"{name}: {told}", ours("job", str(log)), log.stat().st_size, repeats=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "command", choices=["compare", "job", "count", "plain"], nargs="?", default="compare"
    )
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--directory", type=Path, default=Path(tempfile.gettempdir(), "middlewatch-benchmarks")
    )
    given = parser.parse_intermixed_args()
    if given.command == "job":
        run_job(given.paths)
    elif given.command == "count":
        run_counting(given.paths, given.cores)
    elif given.command == "plain":
        run_plain_loop(given.paths[0])
    else:
        given.directory.mkdir(parents=True, exist_ok=True)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        compare(given.directory, given.size_mib * MIB, given.repeats)


if __name__ == "__main__":
    main()
