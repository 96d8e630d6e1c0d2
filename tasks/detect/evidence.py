"""Evidence: what is told of a suspicious hour besides the rules that match."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import islice
from typing import Any, Final

import polars as pl

from tasks.detect.rules import Rule, RuleSet
from tasks.detect.suspect_hours import HourFinding, SuspectHour
from tasks.model.incidents import EvidenceLine

RULE_SAMPLES: Final = 5
"""Lines per rule and suspicious hour."""
ORDINARY_SAMPLES: Final = 3
ADDRESSES: Final = 8
"""Of a network in an hour."""

_PLACE: Final = ["ip", "minute"]
_PAIR: Final = ["ip", "hour"]
_TOLD: Final = ["minute", "object_key", "line_number", "line"]


def leading_addresses(counts: pl.DataFrame) -> pl.DataFrame:
    """
    Which addresses of an IPv6 network did most in each hour.

    Args:
        counts: Rows with ip, hour, address and count.
    """
    total = (
        counts.filter(pl.col("address").is_not_null())
        .group_by(*_PAIR, "address")
        .agg(pl.col("count").cast(pl.Int64).sum())
        .sort("count", "address", descending=[True, False])
    )
    return total.group_by(_PAIR, maintain_order=True).head(ADDRESSES)


def choose_lines(
    rules: RuleSet, lines: pl.DataFrame, suspicious: pl.DataFrame, place: list[str]
) -> pl.DataFrame:
    """
    The lines with the lowest hashes of each rule in each suspicious hour, and some ordinary ones.

    Args:
        lines: Each once, with its hour, its first minute and all its counters.
        suspicious: Numbers of rules with the places where they are.
        place: What a place is: of these columns.

    Returns:
        ip, hour, minute, line_hash, object_key, line_number, line, rules (numbers of
        those rules for which the line lies in a suspicious place), in order of time.
    """
    line = [*_PLACE, "line_hash"]
    numbers = pl.DataFrame(
        {"counter": [r.counter for r in rules.rules], "rule": range(len(rules.rules))},
        schema={"counter": pl.String, "rule": pl.UInt32},
    )
    # of few combinations of counters, some of which name a counter twice
    asked = (
        lines.select(pl.col("counters").unique())
        .with_columns(counter=pl.col("counters").cast(pl.String).str.split(" "))
        .explode("counter")
        .join(numbers, on="counter")
        .select("counters", "rule")
        .unique()
    )
    marks = (
        lines.select(*line, "hour", "counters")
        .join(asked, on="counters")
        .join(suspicious, on=["rule", *place], how="semi")
    )
    ordinary = lines.join(marks, on=line, how="anti")
    chosen = pl.concat(
        [
            _lowest(marks, [*_PAIR, "rule"], RULE_SAMPLES).select(line),
            _lowest(ordinary, _PAIR, ORDINARY_SAMPLES).select(line),
        ]
    )
    rules_of = marks.group_by(line).agg(pl.col("rule").sort().alias("rules"))
    return (
        lines.join(chosen, on=line, how="semi")
        .join(rules_of, on=line, how="left")
        .sort("ip", "minute", "line_hash")
    )


def unite_lines(samples: pl.DataFrame, place: Sequence[str] = _PLACE) -> pl.DataFrame:
    """Identical lines of a *place* are one, with the smallest reference and all counters."""
    line = [*place, "line_hash"]
    told = [name for name in _TOLD if name not in place]
    is_repeated = samples.select(pl.len().over(line) > 1).to_series()
    united = (
        samples.filter(is_repeated)
        .sort("object_key", "line_number")
        .group_by(line, maintain_order=True)
        .agg(pl.col(told).first(), pl.col("counters").cast(pl.String).unique().sort().str.join(" "))
        .with_columns(pl.col("counters").cast(pl.Categorical))
    )
    return pl.concat([samples.filter(~is_repeated).select(united.columns), united])


def _lowest(lines: pl.DataFrame, place: list[str], limit: int) -> pl.DataFrame:
    # the same bytes in two minutes can only come from year-less times: the earlier one wins
    return lines.sort("line_hash", "minute").group_by(place).head(limit)


def assemble(
    rules: RuleSet,
    names: pl.Series,
    findings: pl.DataFrame,
    activity: pl.DataFrame,
    samples: pl.DataFrame,
    addresses: pl.DataFrame,
) -> list[SuspectHour]:
    """The hours of *findings*, with what the other tables say of them; `ip` is one of *names*."""
    found = _by_hour(findings, _FINDING)
    did = _by_hour(activity, ["counters", "count"])
    said = _by_hour(samples, ["object_key", "line_number", "line", "rules"])
    used = _by_hour(addresses, ["address", "count"])
    rule_ids = cache(lambda numbers: tuple(sorted(rules.rules[n].id for n in numbers)))
    described = [_describe(rule) for rule in rules.rules]
    source_ips = names.to_list()
    hours = []
    for place in sorted(found):
        told = sorted((described[number], *row) for number, *row in found[place])
        hours.append(
            SuspectHour(
                source_ip=source_ips[place[0]],
                hour=place[1],
                first_minute=min(row[1] for row in told),
                last_minute=max(row[2] for row in told),
                findings=tuple(HourFinding(*rule, *row) for rule, *row in told),
                request_count=sum(count for _, count in did[place]),
                responses=_responses(did[place]),
                samples=tuple(
                    EvidenceLine(key, number, line, rule_ids(of))
                    for key, number, line, of in said[place]
                ),
                addresses=dict(used[place]),
            )
        )
    return hours


_FINDING: Final = ["rule", "first_minute", "last_minute", "events", "peak_count", "peak_minute"]


def _by_hour(frame: pl.DataFrame, columns: list[str]) -> dict[tuple[int, int], list[Any]]:
    rows: dict[tuple[int, int], list[Any]] = defaultdict(list)
    if frame.height:
        values = (_to_list(frame[column]) for column in columns)
        places = zip(frame["ip"].to_list(), frame["hour"].to_list(), strict=True)
        for place, row in zip(places, zip(*values, strict=True), strict=True):
            rows[place].append(row)
    return rows


def _to_list(column: pl.Series) -> list[Any]:
    if column.dtype != pl.List:
        return column.to_list()
    # what Polars does for each list of a column takes longer than all that is in them
    items = iter(column.explode().drop_nulls().to_list())
    sizes = column.list.len().fill_null(0).to_list()
    return [tuple(islice(items, size)) for size in sizes]


def _describe(rule: Rule) -> tuple[Any, ...]:
    """What is the same in each finding of *rule*: the fields of HourFinding up to its counts."""
    return (
        rule.id,
        rule.version,
        rule.title,
        rule.family,
        rule.severity,
        rule.techniques,
        rule.is_signature,
        rule.timespan_seconds,
        rule.threshold,
    )


def _responses(rows: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Counts by status class or login outcome: those counters that are not a rule's."""
    total: dict[str, int] = defaultdict(int)
    for counters, count in rows:
        counter = counters.partition(" ")[0]
        if counter and ":" not in counter:
            total[counter] += count
    return {counter: total[counter] for counter in sorted(total)}
