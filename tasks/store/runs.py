"""The record of each run."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection, Engine, select, update

from tasks.model.errors import PermanentError
from tasks.model.objects import Extent, Plan
from tasks.model.runs import Run, RunSummary
from tasks.store.engine import transaction, upsert
from tasks.store.tables import runs

KILLED = "It was killed; the next run took up what it left."


def open_run(engine: Engine, run: Run, flow_run_id: str | None) -> list[str]:
    """
    The run is on record as `running`; others in its namespace that still were, as `crashed`.

    Returns:
        The flow runs of those that crashed, and of the last one that was stopped: it may have
        ended before Prefect knew.
    """
    row = {
        "id": run.id,
        "flow_run_id": flow_run_id,
        "kind": run.kind.value,
        "namespace": run.namespace,
        "source": run.source,
        "state": "running",
        "started_at": run.started_at,
    }
    crashed = {"state": "crashed", "error": KILLED}
    others = (runs.c.namespace == run.namespace, runs.c.state == "running", runs.c.id != run.id)
    with transaction(engine) as connection:
        dead = connection.scalars(select(runs.c.flow_run_id).where(*others)).all()
        stopped = connection.scalars(
            select(runs.c.flow_run_id)
            .where(runs.c.namespace == run.namespace, runs.c.state == "stopped")
            .order_by(runs.c.started_at.desc())
            .limit(1)
        ).all()
        connection.execute(update(runs).where(*others).values(crashed))
        upsert(connection, runs, [row], keep=set())
    return [flow_run_id for flow_run_id in (*dead, *stopped) if flow_run_id]


def check_in_charge(connection: Connection, run_id: str) -> None:
    """
    No other run takes this one for dead until the transaction of *connection* ends.

    A lock of a MySQL server is lost with its connection, and whoever has lost it is not told.

    Raises:
        PermanentError: One has, and does what is left.
    """
    mine = select(runs.c.state).where(runs.c.id == run_id)
    if connection.scalar(mine.with_for_update(read=True)) != "running":
        raise PermanentError(
            "Another run took this one for dead, because its lock in the database was lost: that"
            " one does what is left; see whether connections to the database are cut."
        )


@contextmanager
def in_charge(engine: Engine, run_id: str) -> Iterator[None]:
    """
    No other run takes this one for dead as long as this lasts.

    Raises:
        PermanentError: One has, and does what is left.
    """
    with transaction(engine) as connection:
        check_in_charge(connection, run_id)
        if engine.dialect.name != "sqlite":
            yield
            return
    yield  # a file's lock is not lost, and SQLite has one writer at a time


def record_listing(engine: Engine, run_id: str, plan: Plan) -> None:
    """The record says what there was, and what became of it without being read."""
    values = {
        "objects_listed": plan.listed,
        "objects_unchanged": plan.unchanged,
        "objects_quarantined": plan.quarantined,
        "objects_skipped": len(plan.skipped),
    }
    with transaction(engine) as connection:
        connection.execute(update(runs).where(runs.c.id == run_id).values(values))


def add_done(connection: Connection, run_id: str, objects: int, extents: Iterable[Extent]) -> None:
    """
    The record has so many more objects done, with what was read of them.

    In the transaction that commits them, so that it is true whenever and however the run ends; and
    as the last of it, because batches that commit at the same time wait for each other from here.
    """
    extents = tuple(extents)
    more = {
        runs.c.objects_done: objects,
        runs.c.lines: sum(e.lines for e in extents),
        runs.c.lines_unparsed: sum(e.lines_unparsed for e in extents),
        runs.c.bytes: sum(e.size_bytes for e in extents),
    }
    values = {column: column + number for column, number in more.items()}
    connection.execute(update(runs).where(runs.c.id == run_id).values(values))


def close_run(engine: Engine, run_id: str, summary: RunSummary) -> None:
    """The record has the numbers of *summary*, which the report shows, too."""
    coverage = summary.coverage
    problems = (*summary.failures, *summary.degradations)
    values = {
        "state": summary.state.value,
        "finished_at": summary.finished_at,
        "objects_listed": coverage.listed,
        "objects_done": coverage.done,
        "objects_unchanged": coverage.unchanged,
        "objects_quarantined": coverage.quarantined,
        "objects_skipped": coverage.skipped,
        "lines": summary.lines,
        "lines_unparsed": summary.lines_unparsed,
        "bytes": summary.size_bytes,
        "suspects": summary.suspects,
        "incidents": len(summary.incidents),
        "deliveries": sum(summary.deliveries.values()),
        "searches": summary.searches,
        "llm_calls": summary.usage.calls,
        "llm_input_tokens": summary.usage.input_tokens,
        "llm_output_tokens": summary.usage.output_tokens,
        "llm_cost_usd": summary.usage.cost_usd,
        "error": "\n".join(problems) or None,
    }
    with transaction(engine) as connection:
        connection.execute(update(runs).where(runs.c.id == run_id).values(values))


def fail_run(engine: Engine, run_id: str, error: str, now: datetime) -> None:
    """The run is on record as failed, unless as stopped, with one sentence that says why."""
    values = {"state": "failed", "finished_at": now, "error": error}
    going_on = (runs.c.id == run_id, runs.c.state != "stopped")
    with transaction(engine) as connection:
        connection.execute(update(runs).where(*going_on).values(values))


def stop_run(engine: Engine, run_id: str, error: str, now: datetime) -> None:
    """The run is on record as stopped, unless it has come to an end."""
    values = {"state": "stopped", "finished_at": now, "error": error}
    running = (runs.c.id == run_id, runs.c.state == "running")
    with transaction(engine) as connection:
        connection.execute(update(runs).where(*running).values(values))
