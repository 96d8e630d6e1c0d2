"""Evidence: what is told of a suspicious hour besides the rules that match."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import polars as pl

from tasks.detect.addressed import Addressed
from tasks.detect.rules import RuleSet
from tasks.detect.suspect_hours import HourFinding, SuspectHour
from tasks.model.incidents import EvidenceLine

RULE_SAMPLES: Final = 5
"""Lines per rule and suspicious hour."""
ORDINARY_SAMPLES: Final = 3
ADDRESSES: Final = 8
"""Of a network in an hour."""

_PLACE: Final = ["ip", "minute"]
_PAIR: Final = ["ip", "hour"]


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
    marks = (
        lines.select(*line, "hour", counter=pl.col("counters").cast(pl.String).str.split(" "))
        .explode("counter")
        .join(numbers, on="counter")
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


def without_texts(samples: Addressed) -> tuple[Addressed, pl.Series]:
    """The same with the number of each line in place of its text, and the texts."""
    texts = samples.rows["line"]
    number = pl.int_range(pl.len(), dtype=pl.UInt32).alias("line")
    return replace(samples, rows=samples.rows.with_columns(number)), texts


def unite_lines(samples: pl.DataFrame) -> pl.DataFrame:
    """Identical lines of a minute are one, with the smallest reference and all counters."""
    line = [*_PLACE, "line_hash"]
    columns = [*line, "object_key", "line_number", "line", "counters"]
    is_repeated = samples.select(pl.len().over(line) > 1).to_series()
    first = pl.col("object_key", "line_number", "line").first()
    united = (
        samples.filter(is_repeated)
        .sort("object_key", "line_number")
        .group_by(line, maintain_order=True)
        .agg(first, pl.col("counters").cast(pl.String).unique().sort().str.join(" "))
        .with_columns(pl.col("counters").cast(pl.Categorical))
    )
    return pl.concat([samples.filter(~is_repeated).select(columns), united.select(columns)])


def _lowest(lines: pl.DataFrame, place: list[str], limit: int) -> pl.DataFrame:
    # the same bytes in two minutes can only come from year-less times: the earlier one wins
    order = pl.struct("line_hash", "minute").rank("ordinal").over(place)
    return lines.filter(order <= limit)


def assemble(
    rules: RuleSet,
    names: pl.Series,
    findings: pl.DataFrame,
    activity: pl.DataFrame,
    samples: pl.DataFrame,
    addresses: pl.DataFrame,
) -> list[SuspectHour]:
    """The hours of *findings*, with what the other tables say of them; `ip` is one of *names*."""
    found = _by_hour(findings)
    did = _by_hour(activity)
    said = _by_hour(samples)
    used = _by_hour(addresses)
    return [
        SuspectHour(
            source_ip=names[place[0]],
            hour=place[1],
            first_minute=min(f["first_minute"] for f in found[place]),
            last_minute=max(f["last_minute"] for f in found[place]),
            findings=tuple(
                sorted((_finding(rules, f) for f in found[place]), key=lambda f: f.rule_id)
            ),
            request_count=sum(a["count"] for a in did[place]),
            responses=_responses(did[place]),
            samples=tuple(_evidence_line(rules, s) for s in said[place]),
            addresses={a["address"]: a["count"] for a in used[place]},
        )
        for place in sorted(found)
    ]


def _by_hour(frame: pl.DataFrame) -> dict[tuple[int, int], list[dict[str, Any]]]:
    rows: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for row in frame.iter_rows(named=True):
        rows[row["ip"], row["hour"]].append(row)
    return rows


def _finding(rules: RuleSet, row: Mapping[str, Any]) -> HourFinding:
    rule = rules.rules[row["rule"]]
    return HourFinding(
        rule_id=rule.id,
        rule_version=rule.version,
        rule_title=rule.title,
        family=rule.family,
        severity=rule.severity,
        techniques=rule.techniques,
        is_signature=rule.is_signature,
        timespan_seconds=rule.timespan_seconds,
        threshold=rule.threshold,
        first_minute=row["first_minute"],
        last_minute=row["last_minute"],
        event_count=row["events"],
        peak_count=row["peak_count"],
        peak_minute=row["peak_minute"],
    )


def _responses(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Counts by status class or login outcome: those counters that are not a rule's."""
    total: dict[str, int] = defaultdict(int)
    for row in rows:
        counter = row["counters"].split(" ")[0]
        if counter and ":" not in counter:
            total[counter] += row["count"]
    return {counter: total[counter] for counter in sorted(total)}


def _evidence_line(rules: RuleSet, row: Mapping[str, Any]) -> EvidenceLine:
    return EvidenceLine(
        object_key=row["object_key"],
        line_number=row["line_number"],
        line=row["line"],
        rule_ids=tuple(sorted(rules.rules[number].id for number in row["rules"] or ())),
    )
