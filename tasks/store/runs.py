"""The record of each run."""

from datetime import datetime

from sqlalchemy import Engine, update

from tasks.model.runs import Run, RunSummary
from tasks.store.engine import transaction, upsert
from tasks.store.tables import runs


def open_run(engine: Engine, run: Run, flow_run_id: str | None) -> None:
    """The run is on record as `running`; others in its namespace that still were, as `crashed`."""
    row = {
        "id": run.id,
        "flow_run_id": flow_run_id,
        "kind": run.kind.value,
        "namespace": run.namespace,
        "source": run.source,
        "state": "running",
        "started_at": run.started_at,
    }
    crashed = {"state": "crashed", "error": "It was killed; the next run took up what it left."}
    with transaction(engine) as connection:
        connection.execute(
            update(runs)
            .where(runs.c.namespace == run.namespace, runs.c.state == "running")
            .values(crashed)
        )
        upsert(connection, runs, [row], keep=set())


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
    """The run is on record as failed, with one sentence that says why."""
    values = {"state": "failed", "finished_at": now, "error": error}
    with transaction(engine) as connection:
        connection.execute(update(runs).where(runs.c.id == run_id).values(values))
