"""Windows: all rules, slid over the time of all candidates. See evaluate.py for the definitions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.detect.loading import Candidates, Kinds, Positions
from tasks.detect.rules import MAX_DISTINCT_VALUES, MIN_NETWORK_ADDRESSES, GroupBy, Rule
from tasks.detect.touched import HOUR, explode_hours

_NEVER: Final = np.iinfo(np.int64).min // 2

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Matched:
    """What rules say of their candidates."""

    minutes: pl.DataFrame
    """Suspicious: rule, ip, minute, hour, events."""
    peaks: pl.DataFrame
    """rule, ip, hour, peak_count, peak_minute."""


def match_all(rules: Sequence[tuple[int, Rule]], candidates: Candidates) -> Matched | None:
    """
    What these rules, which have numbers, say of their candidates; None where they have none.

    All of them are slow, or none is; all count by network, or none does. For slow rules everything
    called a minute is an hour, here and in the result.
    """
    asked = [rule for _, rule in rules]
    chosen = [candidates.choose(rule) for rule in asked]
    rule, rows = _number_each([own for own, _ in chosen])
    of, values = _number_each([own for _, own in chosen])
    if not len(rows):
        return None
    counts, seen = candidates.counts[rows], candidates.values[values]
    per_hour = 1 if asked[0].is_slow else HOUR
    spans = np.array([r.timespan_seconds * per_hour // 3600 for r in asked])
    line = _Line(counts["minute"], len(candidates.names), spans)
    place = line.place(rule, counts)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    first = order[starts]
    at, rule_at, minute = place[first], rule[first], counts["minute"].to_numpy()[first]
    span, ends = spans[rule_at], np.searchsorted(at, at + spans[rule_at])
    # of temporal_ordered rules a window has what comes before its last minute, and no later one
    is_back = np.array([r.after is not None for r in asked])[rule_at]
    kinds, count = Kinds(counts["counters"]), counts["count"].cast(pl.Int64).to_numpy()

    def add_up(counters: Sequence[str]) -> Numbers:
        """Events at each place, of the counter that belongs to its rule."""
        own: Numbers = np.add.reduceat((count * kinds.match(counters, rule))[order], starts)
        return own

    events = add_up([r.counter for r in asked])
    number = np.arange(len(at))
    windows = _between(events, number, ends)
    if is_back.any():
        before = add_up([r.after or r.counter for r in asked])
        since = np.searchsorted(at, at - span + 1)
        windows = np.where(is_back, _between(before, since, number + 1), windows)
    if len(of):
        distinct = _count_distinct(at, line.place(of, seen), seen["value_hash"], spans[of])
        is_distinct = np.array([r.type == "value_count" for r in asked])[rule_at]
        windows = np.where(is_distinct, distinct, windows)
    if asked[0].group_by is not GroupBy.SOURCE_IP:
        members = _count_distinct(at, place, counts["address"].hash(), spans[rule])
        windows *= members >= MIN_NETWORK_ADDRESSES
    is_hot = (windows >= np.array([r.threshold for r in asked])[rule_at]) & (events > 0)
    last_hot = np.maximum.accumulate(np.where(is_hot, at, _NEVER))
    found = pl.DataFrame(
        {
            "rule": np.array([n for n, _ in rules], np.uint32)[rule_at],
            "ip": counts["ip"].to_numpy()[first],
            "minute": minute,
            "hour": minute // per_hour,
            "events": events,
            "last": np.where(is_back, minute, minute[ends - 1]),
            "peak_count": windows,
            "peak_minute": np.where(is_back, minute - span + 1, minute).astype(np.int32),
            "is_hot": is_hot,
        }
    ).filter(pl.Series(np.where(is_back, is_hot, at - last_hot < span)))
    minutes = found.select("rule", "ip", "minute", "hour", "events")
    return Matched(minutes, _peaks(found.filter("is_hot"), per_hour))


def _number_each(rows: Sequence[Positions]) -> tuple[Numbers, Positions]:
    """All of these, and for each in which of them it was."""
    return np.repeat(np.arange(len(rows)), [len(own) for own in rows]), np.concatenate(rows)


class _Line:
    """
    All rules and IPs lie on one line of time, so far apart that no window touches two of them.

    Sliding windows over millions of IPs is then one search in one sorted column.
    """

    def __init__(self, minutes: pl.Series, ips: int, spans: Numbers) -> None:
        own = minutes.to_numpy()
        self._first, self._last = int(own.min()), int(own.max())
        self._distance = self._last - self._first + int(spans.max()) + 1
        self._ips = ips

    def place(self, rule: Numbers, rows: pl.DataFrame) -> Numbers:
        """Where each of *rows*, which has an ip and a minute, is for its rule; -1 is nowhere."""
        ip, minute = (rows[name].cast(pl.Int64).to_numpy() for name in ("ip", "minute"))
        found = (rule * self._ips + ip) * self._distance + minute - self._first
        return np.where((minute >= self._first) & (minute <= self._last), found, -1)


def _between(sizes: Numbers, starts: Numbers, ends: Numbers) -> Numbers:
    """The sums from each start up to, not including, the end."""
    before: Numbers = np.append(0, np.cumsum(sizes))
    sums: Numbers = before[ends] - before[starts]
    return sums


def _count_distinct(at: Numbers, place: Numbers, hashes: pl.Series, span: Numbers) -> Numbers:
    """
    Distinct values in the windows that start *at* these places.

    A value that occurs at minute m, and before that last at p, is the first of its kind in just
    the windows that start in (max(p, m - T), m]; that is none if p is m, as in two tallies. So a
    window has as many distinct values as such ranges that have begun, less those that have ended.
    """
    found = np.searchsorted(at, place)
    is_there = at[np.minimum(found, len(at) - 1)] == place
    seen, span, own = place[is_there], span[is_there], hashes.to_numpy()[is_there]
    order = np.lexsort((seen, own))
    seen, span, own = seen[order], span[order], own[order]
    # the same value of another rule or IP is further away than any window is long
    previous = np.where(np.diff(own, prepend=own[:1]) == 0, np.append(_NEVER, seen[:-1]), _NEVER)
    begun = np.searchsorted(np.sort(np.maximum(previous, seen - span) + 1), at, side="right")
    ended = np.searchsorted(np.sort(seen), at)
    distinct: Numbers = np.minimum(begun - ended, MAX_DISTINCT_VALUES)
    return distinct


def _peaks(hot: pl.DataFrame, per_hour: int) -> pl.DataFrame:
    """The highest count of each rule, IP and hour, and the earliest window that has it."""
    keep = ["rule", "ip", "peak_count", "peak_minute"]
    place = ["rule", "ip", "hour"]
    return (
        explode_hours(hot, pl.col("minute"), pl.col("last"), keep, per_hour)
        .sort("peak_count", "peak_minute", descending=[True, False])
        .group_by(place, maintain_order=True)
        .first()
    )
