"""What a run leaves in the Prefect UI: progress, report and table of incidents."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.report import MAX_ROWS, format_count, incident_rows, render_report
from tasks.model.runs import Run, RunSummary


@contextmanager
def suppress_and_log(what: str) -> Iterator[None]:
    """A failure inside is a warning: what only people look at does not fail a run."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 -- Prefect's client raises many kinds
        get_run_logger().warning("%s (%s).", what, type(error).__name__)


class Progress:
    """How much of a run's counting is done, for who watches."""

    def __init__(self, run: Run, total: int) -> None:
        """Show nothing for a run that has nothing to count."""
        self._total = total
        self._done = 0
        self._artifact: UUID | None = None
        if total:
            with suppress_and_log("The progress of counting is not shown"):
                created = create_progress_artifact(
                    0.0,
                    key=f"progress-{run.namespace}",
                    description=f"Batches counted: {run.source}",
                )
                self._artifact = cast("UUID", created)  # synchronous here

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        if self._artifact is None:
            return
        with suppress_and_log("The progress of counting is not shown"):
            update_progress_artifact(self._artifact, round(100 * self._done / self._total, 1))


def publish(summary: RunSummary) -> None:
    """The report and the incidents of the run are artifacts; each key keeps its history."""
    with suppress_and_log("The report is not in Prefect, only in the database and the terminal"):
        create_markdown_artifact(
            render_report(summary),
            key=f"report-{summary.namespace}",
            description=str(summary.coverage),
        )
    with suppress_and_log("The incidents are not in Prefect, only in the database"):
        told = f"{format_count(len(summary.incidents), 'incident')} of {summary.name}"
        if len(summary.incidents) > MAX_ROWS:
            told += f", the worst {MAX_ROWS} of them; all are in the database"
        create_table_artifact(
            incident_rows(summary), key=f"incidents-{summary.namespace}", description=told
        )
