"""scan-logs: find what is new, count it, judge who stands out, tell and record."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from prefect import State, flow

from flows.closing import close
from flows.command import (
    AllowOption,
    BlockOption,
    PatternOption,
    ThresholdOption,
    parse_allowlist,
    parse_thresholds,
    run_once,
)
from flows.counting import count_objects, find_objects
from flows.judging import judge_suspects
from flows.lifecycle import (
    Tale,
    check_configuration,
    ends_plainly,
    locate,
    recorded_run,
    side_by_side,
)
from flows.telling import tell_and_record
from tasks.detect.allowlist import AllowlistEntry
from tasks.detect.rules import Overrides, by_rule
from tasks.detect.task import evaluate_rules
from tasks.model.runs import RunKind, RunSummary
from tasks.store.namespaces import LIVE


def _name_run() -> str:
    return f"scan-{datetime.now(UTC):%Y-%m-%d-%H%M%S}"


@flow(
    name="scan-logs",
    flow_run_name=_name_run,
    task_runner=side_by_side(),
    persist_result=False,  # the summary holds log lines
)
@ends_plainly
def scan_logs(
    source: str = "",
    pattern: str = "**/*",
    aws_credentials_block: str = "",
    thresholds: Overrides | None = None,
    allowlist: list[AllowlistEntry] | None = None,
) -> State[RunSummary]:
    """
    Read the log objects that are new, and tell about the incidents in them.

    Args:
        source: A directory, or s3://bucket/prefix. Empty: MIDDLEWATCH_SOURCE of the worker.
        pattern: Only files or keys that match this glob, such as **/access.log*.
        aws_credentials_block: Name of a prefect-aws AwsCredentials block. Empty: the standard
            AWS credential chain of the worker.
        thresholds: Other thresholds for this run: a list with a rule in each, or by rule id, such
            as {"http-request-volume": {"threshold": 300, "timespan": "5m"}}.
        allowlist: Networks that are never suspects, each with a reason and an optional expiry.
    """
    location = locate(source, pattern, aws_credentials_block)
    overrides, allowlist = by_rule(thresholds), allowlist or []
    check_configuration(overrides)
    tale = Tale()
    with recorded_run(RunKind.SCAN, LIVE, location) as run:
        plan = find_objects(run, location, tale)
        count_objects(run, location, plan.to_read, tale, overrides)
        found = evaluate_rules(run, overrides, allowlist)
        tale.notes += found.notes
        judged = judge_suspects(run, found.suspects, tale)
        tell_and_record(run, judged, tale)
        return close(run, tale)


def main(
    source: Annotated[
        str,
        typer.Argument(
            help="A directory, or s3://bucket/prefix. Default: MIDDLEWATCH_SOURCE.",
            show_default=False,
        ),
    ] = "",
    pattern: PatternOption = "**/*",
    aws_credentials_block: BlockOption = "",
    threshold: ThresholdOption = None,
    allow: AllowOption = None,
) -> None:
    """Read the log objects that are new, and tell about the incidents in them."""
    thresholds, allowlist = parse_thresholds(threshold or []), parse_allowlist(allow or [])
    run_once(
        lambda: scan_logs(
            source, pattern, aws_credentials_block, thresholds, allowlist, return_state=True
        )
    )


if __name__ == "__main__":
    typer.run(main)
