"""Windows: one rule, slid over the time of all candidates. See evaluate.py for the definitions."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import polars as pl

from tasks.detect.loading import Candidates, Kinds
from tasks.detect.rules import MAX_DISTINCT_VALUES, MIN_NETWORK_ADDRESSES, GroupBy, Rule
from tasks.detect.touched import HOUR, explode_hours

_PLACE: Final = ["ip", "minute"]
_PAIR: Final = ["ip", "hour"]


@dataclass(frozen=True, slots=True)
class Matched:
    """What one rule says of all candidates."""

    minutes: pl.DataFrame
    """Suspicious: rule, ip, minute, hour, events."""
    peaks: pl.DataFrame
    """rule, ip, hour, peak_count, peak_minute."""


def match_all(rules: Iterable[tuple[int, Rule]], candidates: Candidates) -> list[Matched]:
    """What each of these rules, which have numbers, says of its own candidates, if it has any."""
    return [
        match(number, rule, own)
        for number, rule in rules
        if (own := candidates.of(rule)).counts.height
    ]


def match(number: int, rule: Rule, candidates: Candidates) -> Matched:
    """
    Rule *number* held against *candidates*, of whom there are some: only its own.

    For a slow rule everything called a minute is an hour, here and in the result.
    """
    timespan = rule.timespan_seconds // (3600 if rule.is_slow else 60)
    if rule.after is not None:
        return _match_ordered(number, rule, rule.after, timespan, candidates)
    minutes = (
        candidates.counts.group_by(_PLACE)
        .agg(pl.col("count").cast(pl.Int64).sum().alias("events"))
        .sort(_PLACE)
    )
    minutes = _add_keys(minutes, timespan)
    per_hour = 1 if rule.is_slow else HOUR
    ends = minutes["key"].search_sorted(minutes["key"] + timespan, side="left")
    counts = (
        _count_events(minutes, ends)
        if rule.type != "value_count"
        else _count_distinct(minutes, candidates.values, timespan)
    )
    if rule.group_by is not GroupBy.SOURCE_IP:
        members = candidates.counts.select(*_PLACE, pl.col("address").hash().alias("value_hash"))
        is_spread = _count_distinct(minutes, members, timespan) >= MIN_NETWORK_ADDRESSES
        counts = counts * is_spread.cast(pl.Int64)
    minutes = minutes.with_columns(
        pl.lit(number, pl.UInt32).alias("rule"),
        (pl.col("minute") // per_hour).alias("hour"),
        counts.alias("window_count"),
        minutes["minute"].gather(ends.cast(pl.Int64) - 1).alias("window_last"),
    )
    return Matched(
        _suspicious(minutes, rule.threshold, timespan), _peaks(minutes, rule.threshold, per_hour)
    )


def _match_ordered(
    number: int, rule: Rule, after: str, timespan: int, candidates: Candidates
) -> Matched:
    count = pl.col("count").cast(pl.Int64)
    kinds = Kinds(candidates.counts["counters"])
    is_before, is_matching = pl.col("is_before"), pl.col("is_matching")
    minutes = (
        candidates.counts.with_columns(
            is_before=kinds.where({after}), is_matching=kinds.where({rule.counter})
        )
        .group_by(_PLACE)
        .agg(
            count.filter(is_before).sum().alias("before"),
            count.filter(is_matching).sum().alias("events"),
        )
        .sort(_PLACE)
    )
    minutes = _add_keys(minutes, timespan)
    starts = minutes["key"].search_sorted(minutes["key"] - timespan + 1, side="left")
    before = pl.concat([pl.Series([0], dtype=pl.Int64), minutes["before"].cum_sum()])
    hot = minutes.with_columns(
        pl.lit(number, pl.UInt32).alias("rule"),
        (pl.col("minute") // HOUR).alias("hour"),
        (before.slice(1) - before.gather(starts)).alias("window_count"),
    ).filter(pl.col("events") > 0, pl.col("window_count") >= rule.threshold)
    peaks = hot.select("rule", *_PAIR, pl.col("minute") - timespan + 1, pl.col("window_count"))
    return Matched(hot.select("rule", *_PLACE, "hour", "events"), _highest(peaks))


def _add_keys(minutes: pl.DataFrame, timespan: int) -> pl.DataFrame:
    """
    All IPs lie on one line of time, so far apart that no window touches two of them.

    Sliding a window over millions of IPs is then one search in one sorted column.
    """
    minute = pl.col("minute").cast(pl.Int64)
    distance = minute.max() - minute.min() + timespan + 1
    return minutes.with_columns(
        (pl.col("ip").rle_id().cast(pl.Int64) * distance + minute - minute.min()).alias("key")
    )


def _count_events(minutes: pl.DataFrame, ends: pl.Series) -> pl.Series:
    before = pl.concat([pl.Series([0], dtype=pl.Int64), minutes["events"].cum_sum()])
    return before.gather(ends) - before.head(minutes.height)


def _count_distinct(minutes: pl.DataFrame, values: pl.DataFrame, timespan: int) -> pl.Series:
    """
    Distinct values in the window that starts at each of *minutes*.

    A value that occurs at minute m, and before that last at p, is the first of its kind in just
    the windows that start in (max(p, m - T), m]; that is none if p is m, as in two tallies. So a
    window has as many distinct values as such ranges that have begun, less those that have ended.
    """
    key = pl.col("key")
    seen = values.join(minutes.select(*_PLACE, "key"), on=_PLACE).sort("key")
    previous = key.shift(1).over("ip", "value_hash")
    begins = pl.max_horizontal(previous, key - timespan) + 1
    begun = seen.select(begins).to_series().sort().search_sorted(minutes["key"], side="right")
    ended = seen["key"].search_sorted(minutes["key"], side="left")
    return (begun.cast(pl.Int64) - ended.cast(pl.Int64)).clip(upper_bound=MAX_DISTINCT_VALUES)


def _suspicious(minutes: pl.DataFrame, threshold: int, timespan: int) -> pl.DataFrame:
    is_hot = pl.col("window_count") >= threshold
    last_hot = pl.when(is_hot).then("key").forward_fill()
    return minutes.filter(pl.col("key") - last_hot < timespan).select(
        "rule", "ip", "minute", "hour", "events"
    )


def _peaks(minutes: pl.DataFrame, threshold: int, per_hour: int) -> pl.DataFrame:
    hot = minutes.filter(pl.col("window_count") >= threshold)
    keep = ["rule", "ip", "minute", "window_count"]
    first, last = pl.col("minute"), pl.col("window_last")
    return _highest(explode_hours(hot, first, last, keep, per_hour))


def _highest(windows: pl.DataFrame) -> pl.DataFrame:
    """The highest count of each rule, IP and hour, and the earliest window that has it."""
    return (
        windows.sort("window_count", "minute", descending=[True, False])
        .group_by("rule", *_PAIR, maintain_order=True)
        .agg(
            pl.col("window_count").first().alias("peak_count"),
            pl.col("minute").first().alias("peak_minute"),
        )
    )
