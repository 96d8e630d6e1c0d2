"""backfill-logs: ask the same question of historical logs, in a namespace of their own."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from prefect import State, flow
from pydantic import Field

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
from flows.counting import count_objects, find_objects, split
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
from tasks.model.errors import ConfigurationError
from tasks.model.objects import EventRange
from tasks.model.runs import RunKind, RunSummary
from tasks.model.verdicts import AnalystName
from tasks.store.namespaces import LIVE


def _name_run() -> str:
    return f"backfill-{datetime.now(UTC):%Y-%m-%d-%H%M%S}"


@flow(
    name="backfill-logs",
    flow_run_name=_name_run,
    task_runner=side_by_side(),
    persist_result=False,  # the summary holds log lines
)
@ends_plainly
def backfill_logs(
    start: datetime,
    end: datetime,
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")],
    source: str = "",
    pattern: str = "**/*",
    shards: Annotated[int, Field(ge=1, le=256)] = 1,
    aws_credentials_block: str = "",
    thresholds: Overrides | None = None,
    allowlist: list[AllowlistEntry] | None = None,
    analyst: AnalystName = AnalystName.RULES,
    research: bool = False,
    alert: bool = False,
) -> State[RunSummary]:
    """
    Count historical logs as scanning would have counted them, and judge what stands out.

    A backfill that was stopped goes on where it was when it is started again by its name.
    Scheduled scans see nothing of it.

    Args:
        start: First event time that counts, such as 2025-03-01T00:00:00Z.
        end: Event times from here on do not count, such as 2025-04-01T00:00:00Z.
        name: Names the backfill and its namespace in the database, such as march-2025: small
            letters, digits and dashes, up to 63. The same name goes on with the same backfill.
        source: A directory, or s3://bucket/prefix. Empty: MIDDLEWATCH_SOURCE of the worker.
        pattern: Only files or keys that match this glob, such as **/access.log*.
        shards: The objects are counted in this many parts, 1 to 256, one after the other.
        aws_credentials_block: Name of a prefect-aws AwsCredentials block. Empty: the standard
            AWS credential chain of the worker.
        thresholds: Other thresholds for this run: a list with a rule in each, or by rule id, such
            as {"http-request-volume": {"threshold": 300, "timespan": "5m"}}.
        allowlist: Networks that are never suspects, each with a reason and an optional expiry.
        analyst: bedrock asks the model about every suspect, and costs what that costs.
        research: Search the web about those that are not benign.
        alert: Send alerts for all that the backfill finds, and for what it found before without.
    """
    if name == LIVE:
        raise ConfigurationError(
            f"'{LIVE}' is the namespace of scheduled scans: choose another name."
        )
    event_range = _event_range(start, end)
    location = locate(source, pattern, aws_credentials_block)
    overrides, allowlist = by_rule(thresholds), allowlist or []
    check_configuration(overrides)
    asked = {
        "source": location.uri,
        "pattern": location.pattern,
        "start": event_range.start.isoformat(),
        "end": event_range.end.isoformat(),
        **{
            f"threshold of {rule}": other.model_dump_json(exclude_none=True)
            for rule, other in sorted(overrides.items())
        },
    }
    tale = Tale()
    with recorded_run(RunKind.BACKFILL, name, location, asked) as run:
        plan = find_objects(run, location, tale)
        for shard in split(plan, shards):
            count_objects(run, location, shard, tale, overrides, event_range)
        found = evaluate_rules(run, overrides, allowlist)
        tale.notes += found.notes
        judged = judge_suspects(run, found.suspects, tale, analyst, with_research=research)
        tell_and_record(run, judged, tale, with_alerts=alert)
        return close(run, tale)


def _event_range(start: datetime, end: datetime) -> EventRange:
    start, end = (t.replace(tzinfo=t.tzinfo or UTC).astimezone(UTC) for t in (start, end))
    if not start < end:
        raise ConfigurationError(f"A backfill from {start} to {end} is empty: end must be later.")
    return EventRange(start, end)


def main(
    source: Annotated[str, typer.Argument(help="A directory, or s3://bucket/prefix.")],
    start: Annotated[datetime, typer.Option(help="First event time that counts, in UTC.")],
    end: Annotated[datetime, typer.Option(help="Event times from here on do not count.")],
    name: Annotated[
        str | None,
        typer.Option(help="Start it again by this name to resume it. Default: START-to-END."),
    ] = None,
    pattern: PatternOption = "**/*",
    shards: Annotated[int, typer.Option(min=1, max=256, help="Parts to count it in.")] = 1,
    aws_credentials_block: BlockOption = "",
    threshold: ThresholdOption = None,
    allow: AllowOption = None,
    analyst: Annotated[
        AnalystName, typer.Option(help="bedrock asks the model about every suspect.")
    ] = AnalystName.RULES,
    research: Annotated[bool, typer.Option("--research", help="Search the web.")] = False,
    alert: Annotated[
        bool, typer.Option("--alert", help="Tell what it finds, and what it found before without.")
    ] = False,
) -> None:
    """Count historical logs as scanning would have counted them, and judge what stands out."""
    thresholds, allowlist = parse_thresholds(threshold or []), parse_allowlist(allow or [])
    run_once(
        lambda: backfill_logs(
            start,
            end,
            name or f"{start:%Y-%m-%d}-to-{end:%Y-%m-%d}",
            source,
            pattern,
            shards,
            aws_credentials_block,
            thresholds,
            allowlist,
            analyst,
            research,
            alert,
            return_state=True,
        )
    )


if __name__ == "__main__":
    typer.run(main)
