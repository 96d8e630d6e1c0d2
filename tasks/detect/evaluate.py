"""
Rules held against merged tallies: pure, in event time, and local in time.

Definitions, all in whole minutes, for one source IP and one rule with a timespan of T minutes:

- A *window* [m, m + T) starts at a minute that has matching events. (Any other window holds no
  more than the one that starts at its first matching event.)
- A window is *hot* when its count is at or above the threshold. The count of an event_count rule
  is the number of matching events; of a value_count rule the number of distinct values, at most
  128.
- A minute is *suspicious* when it has matching events and lies in at least one hot window.
- A temporal_ordered rule looks back: the window of a minute with matching events is that minute
  and the T - 1 before it, and its count is the number of events there that the rule's `after`
  counts. What comes first within one minute is not told apart. Only the minute at its end is
  suspicious.
- The *peak* in an hour is the highest count of the hot windows that hold a matching event in that
  hour; the earliest such window if several have it.

What is said of an hour follows from the T - 1 minutes before it, the hour, and the T - 1 minutes
after it. So whatever happens to the lines of a minute, it is enough to do the hours within T of
that minute again, and to replace what was said of them. Nothing is ever added to a result.

What is said here of an IP holds of a network for the rules that count by network; see networks.py.

Rules with a timespan of more than an hour are *slow*. The same holds for them with "hour" in the
place of "minute", and of an hour is said that which all events in it say; see counted_hours.
"""

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

import polars as pl

from tasks.detect.evidence import assemble, choose_lines, leading_addresses, unite_lines
from tasks.detect.loading import Loaded, LoadedTally, load, narrow
from tasks.detect.rules import Rule, RuleSet
from tasks.detect.samples import keep_lowest, sample_limits
from tasks.detect.suspect_hours import SuspectHour
from tasks.detect.touched import HOUR, Touched, only_affected
from tasks.detect.windows import match_all

_PLACE: Final = ["ip", "minute"]
_PAIR: Final = ["ip", "hour"]


def evaluate(rules: RuleSet, tallies: Iterable[LoadedTally], touched: Touched) -> list[SuspectHour]:
    """
    All suspicious hours among the affected hours of the touched IPs.

    Args:
        tallies: All that is on record of the touched IPs in needed_minutes(), cut in any way.
            They are read one after the other and only what is touched is kept.

    Returns:
        By source IP and hour.
    """
    hours = judge(rules, load(tallies, touched, rules), touched)
    return sorted(hours, key=attrgetter("source_ip", "hour"))


def judge(
    rules: RuleSet, loaded: Loaded, touched: Touched, counted: RuleSet | None = None
) -> Iterator[SuspectHour]:
    """
    What evaluate() returns, of what load() returned. Slow rules say nothing here.

    It is judged at once; lines are only asked for, and read when the first hour is.
    """
    numbered = [(n, rule) for n, rule in enumerate(rules.rules) if not rule.is_slow]
    crowds = loaded.crowds() if numbered else ()
    found = [own for crowd in crowds if (own := _judge(rules, numbered, crowd, touched, counted))]
    lines = [loaded.lines.ask(own.samples["line"]) for own in found]
    return (
        hour
        for own, line in zip(found, lines, strict=True)
        for hour in assemble(rules, *own._replace(samples=own.samples.with_columns(line())))
    )


class _Judged(NamedTuple):
    """What assemble() takes, with the number of each line."""

    names: pl.Series
    findings: pl.DataFrame
    activity: pl.DataFrame
    samples: pl.DataFrame
    addresses: pl.DataFrame


def _judge(
    rules: RuleSet,
    numbered: Sequence[tuple[int, Rule]],
    loaded: Loaded,
    touched: Touched,
    counted: RuleSet | None,
) -> _Judged | None:
    candidates = narrow([rule for _, rule in numbered], loaded.counts, loaded.values)
    found = match_all(numbered, candidates)
    if found is None:
        return None
    minutes = only_affected(found.minutes, candidates.names, touched, rules)
    if minutes.is_empty():
        return None
    findings = (
        minutes.group_by(*_PAIR, "rule")
        .agg(
            pl.col("minute").min().alias("first_minute"),
            pl.col("minute").max().alias("last_minute"),
            pl.col("events").sum(),
        )
        .join(found.peaks, on=[*_PAIR, "rule"])
        .sort(*_PAIR, "rule")
    )
    hour = (pl.col("minute") // HOUR).alias("hour")
    did = candidates.counts.join(minutes, on=_PLACE, how="semi").with_columns(hour)
    activity = did.group_by(*_PAIR, "counters").agg(pl.col("count").cast(pl.Int64).sum())
    samples = candidates.number(loaded.samples).join(minutes, on=_PLACE, how="semi")
    # first what one tally of all lines would have: cut in pieces, more is kept
    kept = keep_lowest(unite_lines(samples), sample_limits(counted or rules), _PLACE)
    lines = keep_lowest(kept, sample_limits(rules), _PLACE).with_columns(hour)
    chosen = choose_lines(rules, lines, minutes, _PLACE)
    return _Judged(candidates.names, findings, activity, chosen, leading_addresses(did))
