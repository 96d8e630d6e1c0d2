"""What a run leaves in the Prefect UI: progress, report and table of incidents."""

from typing import cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.report import format_count, incident_rows, render_report
from tasks.model.runs import Run, RunSummary


class Progress:
    """How much of a run's counting is done, for who watches."""

    def __init__(self, run: Run, total: int) -> None:
        """Show nothing for a run that has nothing to count."""
        self._total = total
        self._done = 0
        self._artifact: UUID | None = None
        if total:
            created = create_progress_artifact(
                0.0, key=f"progress-{run.namespace}", description=f"Batches counted: {run.source}"
            )
            self._artifact = cast("UUID", created)  # synchronous here

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        if self._artifact is not None:
            update_progress_artifact(self._artifact, round(100 * self._done / self._total, 1))


def publish(summary: RunSummary) -> None:
    """The report and the incidents of the run are artifacts; each key keeps its history."""
    create_markdown_artifact(
        render_report(summary),
        key=f"report-{summary.namespace}",
        description=str(summary.coverage),
    )
    create_table_artifact(
        incident_rows(summary),
        key=f"incidents-{summary.namespace}",
        description=f"{format_count(len(summary.incidents), 'incident')} of {summary.name}",
    )
