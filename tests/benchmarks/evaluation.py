"""
How fast counts are merged and held against the rules: `make bench-evaluate`.

The tally of one generated log is stored many times, each copy with clients of its own, until there
are as many rows as asked for. What is measured is evaluate_rules without Prefect: everything that
a run reads, decides and writes after counting, on a SQLite database, pinned to one core.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Final

MIB: Final = 1024**2
NOW: Final = datetime(2026, 2, 24, tzinfo=UTC)


def store(url: str, number: int, tally) -> None:
    """One more segment, of one object that waits for its evaluation."""
    from sqlalchemy import insert

    from tasks.detect.tally import WrittenTally
    from tasks.model.objects import digest
    from tasks.store.engine import transaction
    from tasks.store.schema import open_database
    from tasks.store.tables import log_objects, tally_segments

    name = digest("benchmark", number)
    ledger_row = {
        "id": name, "namespace": "live", "source": "benchmark", "object_key": f"{number}.log",
        "key_sha256": name, "version": "1", "size": 1, "state": "done", "attempts": 1,
        "run_id": "benchmark", "recorded_at": NOW, "segment_id": name, "extent": 0,
        "needs_evaluation": True,
    }  # fmt: skip
    parts = [
        {"namespace": "live", "segment_id": name, "part": n, "payload": part.payload,
         "recorded_at": NOW, "first_minute": part.first_minute, "last_minute": part.last_minute}
        for n, part in enumerate(WrittenTally.of([tally]).parts)
    ]  # fmt: skip
    with transaction(open_database(url)) as connection:
        connection.execute(insert(log_objects), [ledger_row])
        connection.execute(insert(tally_segments), parts)


def renamed(tally, number: int, of: int):
    """The same by other clients, in one of so many parts of the day."""
    import polars as pl

    from tasks.detect.addressed import Addressed
    from tasks.detect.rules import load_rules
    from tasks.detect.samples import keep_lowest, sample_limits
    from tasks.detect.tally import COUNTS, SAMPLES, VALUES, Tally

    start = int(tally.counts.rows["minute"].min())
    minute = (start + (pl.col("minute") - start + number * 1440) // of).cast(pl.Int32)
    first = pl.col("source_ip").str.extract(r"^(\d+)[.]").cast(pl.Int64)
    other = ((first + number) % 223 + 1).cast(pl.String) + "."
    ip = (
        pl.when(first.is_null())
        .then(pl.col("source_ip").str.replace("db8:", f"db8:{number:x}:", literal=True))
        .otherwise(pl.col("source_ip").str.replace(r"^\d+[.]", other))
    )
    counts, values, samples = (
        table.named().with_columns(minute=minute, source_ip=ip) for table in tally.tables
    )
    place = ["extent", "source_ip", "minute"]
    counts = counts.group_by(*place, "counters").agg(pl.col("count").sum())
    samples = keep_lowest(samples, sample_limits(load_rules()), place)
    alike = pl.selectors.starts_with("counter")
    tables = (
        new.select(schema.names()).sort("source_ip", "minute", alike, "extent")
        for new, schema in ((counts, COUNTS), (values.unique(), VALUES), (samples, SAMPLES))
    )
    return Tally(*map(Addressed.of, tables))


def run_evaluation(url: str) -> None:
    """What is new is evaluated, as a process of its own."""
    from sqlalchemy import func, select

    from tasks.detect import evaluation
    from tasks.detect.allowlist import Allowlist
    from tasks.detect.rules import load_rules
    from tasks.detect.subjects import open_groupings
    from tasks.store.engine import transaction
    from tasks.store.schema import open_database
    from tasks.store.tables import suspect_hours

    writing = [0.0]
    update_incidents = evaluation._Evaluation._update_incidents

    def update_and_time(*arguments):
        begun = process_time()
        update_incidents(*arguments)
        writing.append(process_time() - begun)

    setattr(evaluation._Evaluation, update_incidents.__name__, update_and_time)
    rules, engine = load_rules(), open_database(url)
    started = process_time()
    with transaction(engine) as connection:
        evaluation.bring_up_to_date(
            connection,
            "live",
            rules,
            Allowlist(),
            groupings=open_groupings(rules, None),
            run_id="benchmark",
            now=NOW,
        )
    cpu = process_time() - started
    with transaction(engine) as connection:
        hours = connection.scalar(select(func.count()).select_from(suspect_hours))
    print(json.dumps({
        "cpu": cpu, "writing": sum(writing), "hours": hours,
        "peak_mib": peak_mib(),
    }))  # fmt: skip


def peak_mib() -> float:
    """Of this program alone: what getrusage() says includes the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def add_up(rows: list[tuple[str, int, int]]) -> float:
    """CPU seconds of the plain way: a dict with the sum of each address and minute."""
    started = process_time()
    sums: dict[tuple[str, int], int] = {}
    for address, minute, count in rows:
        place = address, minute
        sums[place] = sums.get(place, 0) + count
    return process_time() - started


def measure(url: str) -> dict:
    """What one evaluation took."""
    command = [sys.executable, "-m", "tests.benchmarks.evaluation", "--evaluate", url]
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(
        ["taskset", "-c", "0", *command], env=environment, check=True, stdout=subprocess.PIPE
    )
    return json.loads(done.stdout)


def main() -> None:
    """Print CPU seconds and memory for all rows, and for a little that is new beside them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--evaluate", metavar="URL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.evaluate:
        run_evaluation(arguments.evaluate)
        return
    from tests.benchmarks.access_log import access_log
    from tests.benchmarks.detect import count_file

    with tempfile.TemporaryDirectory() as directory:
        log = access_log(Path(directory), 64 * MIB, ips=20_000)
        tally = count_file(str(log)).read()
        url = f"sqlite:///{directory}/benchmark.db"
        count = -(-arguments.rows // renamed(tally, 0, 100).counts.height)
        rows = clients = 0
        plain = 0.0
        for number in range(count):
            copy = renamed(tally, number, count)
            store(url, number, copy)
            rows += copy.counts.height
            clients += copy.counts.names.len()
            if number % 8 == 0:
                plain += add_up(copy.counts.named().select("source_ip", "minute", "count").rows())
        plain *= count / len(range(0, count, 8))
        whole = measure(url)
        store(url, count, renamed(tally, count // 2, count))
        little = measure(url)
    print(f"{rows:,} rows of about {clients:,} clients in {count} segments, evaluated at once:")
    tell(whole, rows, plain)
    print(f"One segment more, of {copy.counts.height:,} rows in the middle of the day:")
    tell(little, copy.counts.height, plain / count)
    print(
        f"  {little['cpu'] / whole['cpu']:.1%} of the time for {copy.counts.height / rows:.1%} of the rows"
    )


def tell(spent: dict, rows: int, plain: float) -> None:
    """Print what one evaluation took."""
    merging = spent["cpu"] - spent["writing"]
    print(
        f"  merge and evaluation: {merging:.1f} s CPU on one core, {merging * 1e9 / rows:,.0f} ns per row,"
    )
    print(f"    {merging / plain:.1f} times a loop that adds up the same rows in a dict")
    print(f"  incidents of {spent['hours']:,} suspicious hours written: {spent['writing']:.1f} s")
    print(f"  peak {spent['peak_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
