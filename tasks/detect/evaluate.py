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

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import polars as pl

from tasks.detect.rules import (
    MAX_DISTINCT_VALUES,
    MIN_NETWORK_ADDRESSES,
    GroupBy,
    Rule,
    RuleSet,
)
from tasks.detect.suspect_hours import HourFinding, SuspectHour
from tasks.detect.tally import Tally, keep_lowest, sample_limits
from tasks.model.incidents import EvidenceLine

HOUR: Final = 60
"""Minutes in what is recomputed as a whole."""
RULE_SAMPLES: Final = 5
"""Lines per rule and suspicious hour."""
ORDINARY_SAMPLES: Final = 3
SLICE_SIZE: Final = 100_000
"""IPs with an hour that are evaluated together; a million takes more than a GiB."""
ADDRESSES: Final = 8
"""Of an IPv6 network in an hour."""

_BUFFER_ROWS: Final = 150_000
_COMMON_ROWS: Final = 100_000
_PLACE: Final = ["source_ip", "minute"]
_PAIR: Final = ["source_ip", "hour"]
_HOUR: Final = (pl.col("minute") // HOUR).alias("hour")
_IP_HASH: Final = pl.col("source_ip").hash().alias("ip_hash")

Span = tuple[int, int]
"""Half-open: from the first up to, not including, the second."""


@dataclass(frozen=True, slots=True)
class LoadedTally:
    """A tally, and what its extents are."""

    tally: Tally
    object_keys: Mapping[int, str]
    """Object key of every extent in the tally."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    Rows of the touched IPs; extents are dissolved into object keys.

    `ip_hash` stands for source_ip where rows are left out: that is several times as fast, and
    two IPs with one hash leave too much in, never too little.
    """

    counts: pl.DataFrame
    values: pl.DataFrame
    samples: pl.DataFrame

    def without_common(self, rules: RuleSet) -> tuple[Self, set[str | None]]:
        """
        The same without what only common counters count, and those counters.

        Most rows are ordinary traffic, which few rules count: the others need not look at it.
        """
        rows = self.counts["counters"].value_counts()
        of = dict(zip(rows["counters"].cast(pl.String), rows["count"], strict=True))
        mine = {r.counter: [c for c in of if r.counter in c.split(" ")] for r in rules.rules}
        common: set[str | None] = {
            c for c, them in mine.items() if sum(of[one] for one in them) > _COMMON_ROWS
        }
        seen = {one for counter, them in mine.items() if counter not in common for one in them}
        counts = self.counts.filter(pl.col("counters").is_in(list(seen)))
        return replace(self, counts=counts), common


@dataclass(frozen=True, slots=True, eq=False)
class Touched:
    """Where lines have been added or withdrawn."""

    hours: pl.DataFrame
    """source_ip, hour, first_minute, last_minute; each IP and hour once."""

    @classmethod
    def by(cls, tallies: Iterable[Tally]) -> Self:
        """Return what these tallies touch, by being counted or by being withdrawn."""
        minute = pl.col("minute")
        pieces = [
            t.counts.named()
            .group_by("source_ip", (minute // HOUR).alias("hour"))
            .agg(minute.min().alias("first_minute"), minute.max().alias("last_minute"))
            for t in tallies
        ]
        return cls.united(pieces)

    @classmethod
    def within(cls, spans: Mapping[str, tuple[int, int]]) -> Self:
        """Return all that lies between the first and the last minute given for each IP."""
        frame = pl.DataFrame(
            [(ip, first, last) for ip, (first, last) in spans.items()],
            schema={"source_ip": pl.String, "from": pl.Int32, "to": pl.Int32},
            orient="row",
        )
        start = pl.col("hour") * HOUR
        return cls.united(
            [
                _explode_hours(frame, pl.col("from"), pl.col("to"), [*frame.columns]).select(
                    *_PAIR,
                    first_minute=pl.max_horizontal("from", start),
                    last_minute=pl.min_horizontal("to", start + HOUR - 1),
                )
            ]
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to evaluate."""
        return self.hours.is_empty()

    def slices(self, hours: int = 24, size: int = SLICE_SIZE) -> Iterator[Self]:
        """
        The same in pieces of at most so many hours, and about *size* IPs with an hour.

        Evaluating them one after the other needs the memory of one and gives what evaluating all
        at once gives, as long as all tallies are on record before the first is evaluated.
        """
        sizes = self.hours.group_by("hour").len().sort("hour").iter_rows()
        for start, end, together in _cut(sizes, hours, size):
            piece = self.hours.filter(pl.col("hour").is_between(start, end))
            parts = -(-together // size)
            for part in range(parts):
                is_in = pl.col("source_ip").hash() % parts == part
                yield type(self)(piece.filter(is_in) if parts > 1 else piece)

    @classmethod
    def united(cls, pieces: Iterable[pl.DataFrame]) -> Self:
        """Return what any of *pieces* touches; each has the columns of `hours` and maybe more."""
        schema = pl.Schema(
            {
                "source_ip": pl.String(),
                "hour": pl.Int32(),
                "first_minute": pl.Int32(),
                "last_minute": pl.Int32(),
            }
        )
        named = (piece.select(schema.names()).cast(schema) for piece in pieces)
        there = pl.concat([schema.to_frame(), *named])
        first, last = pl.col("first_minute").min(), pl.col("last_minute").max()
        # hour by hour, because groups by the million take ten times the memory of what they hold
        united = (h.group_by(_PAIR).agg(first, last) for h in there.partition_by("hour"))
        return cls(pl.concat([schema.to_frame(), *united]))


def needed_minutes(touched: Touched, rules: RuleSet) -> list[Span]:
    """
    The event time that evaluate() has to be given, of the touched IPs.

    Returns:
        Minutes since the epoch, half-open, disjoint, in order. More than that does no harm.
    """
    reach = _reach(rules)
    spans = _affected_spans(touched, rules).select("from", "to").unique().iter_rows()
    return merge_spans((a * HOUR - reach, (b + 1) * HOUR + reach) for a, b in spans)


def affected_hours(
    touched: Touched, rules: RuleSet, source_ips: Collection[str]
) -> dict[str, list[Span]]:
    """
    The hours that evaluate() speaks of, for those of *source_ips* that are touched.

    A SuspectHour on record in these hours that evaluate() does not return is to be deleted: it
    has no suspicious minute any more.

    Returns:
        Hours since the epoch, half-open, disjoint, in order.
    """
    spans = _affected_spans(touched, rules).filter(pl.col("source_ip").is_in(list(source_ips)))
    found: dict[str, list[Span]] = defaultdict(list)
    for source_ip, first, last in spans.iter_rows():
        found[source_ip].append((first, last + 1))
    return {source_ip: merge_spans(found[source_ip]) for source_ip in sorted(found)}


def evaluate(rules: RuleSet, tallies: Iterable[LoadedTally], touched: Touched) -> list[SuspectHour]:
    """
    All suspicious hours among the affected hours of the touched IPs.

    Args:
        tallies: All that is on record of the touched IPs in needed_minutes(), cut in any way.
            They are read one after the other and only what is touched is kept.

    Returns:
        By source IP and hour.
    """
    return judge(rules, load(tallies, touched, rules), touched)


def judge(
    rules: RuleSet, loaded: Loaded, touched: Touched, counted: RuleSet | None = None
) -> list[SuspectHour]:
    """What evaluate() returns, of what load() returned. Slow rules say nothing here."""
    rare, common = loaded.without_common(rules)
    found = [
        match(number, rule, loaded if common & {rule.counter, rule.after} else rare)
        for number, rule in enumerate(rules.rules)
        if not rule.is_slow
    ]
    minutes = pl.concat([m.minutes for m in found]) if found else pl.DataFrame()
    if minutes.is_empty():
        return []
    minutes = _only_affected(minutes, touched, rules)
    findings = (
        minutes.group_by(*_PAIR, "rule")
        .agg(
            pl.col("minute").min().alias("first_minute"),
            pl.col("minute").max().alias("last_minute"),
            pl.col("events").sum(),
        )
        .join(pl.concat([m.peaks for m in found]), on=[*_PAIR, "rule"])
        .sort(*_PAIR, "rule")
    )
    did = _in_minutes(minutes, loaded.counts)
    activity = did.group_by(*_PAIR, "counters").agg(pl.col("count").cast(pl.Int64).sum())
    samples = _unite_lines(loaded.samples.join(minutes, on=_PLACE, how="semi"))
    # first what one tally of all lines would have: cut in pieces, more is kept
    kept = keep_lowest(samples, sample_limits(counted or rules), _PLACE)
    lines = keep_lowest(kept, sample_limits(rules), _PLACE).with_columns(_HOUR)
    chosen = choose_lines(rules, lines, minutes, _PLACE)
    return assemble(rules, findings, activity, chosen, leading_addresses(did))


def _cut(sizes: Iterable[tuple[int, int]], hours: int, size: int) -> Iterator[tuple[int, int, int]]:
    """First and last hour of each piece, and how much is in it; *sizes* are in order of time."""
    start = end = together = 0
    for hour, more in sizes:
        if together and (hour >= start + hours or together + more > size):
            yield start, end, together
            together = 0
        start, end, together = (start if together else hour), hour, together + more
    if together:
        yield start, end, together


# what is affected


def _reach(rules: RuleSet) -> int:
    """How many minutes before or after it an event can matter."""
    return rules.only(lambda rule: not rule.is_slow).max_timespan_seconds // 60 - 1


def _affected_spans(touched: Touched, rules: RuleSet) -> pl.DataFrame:
    reach = _reach(rules)
    return touched.hours.select(
        "source_ip",
        ((pl.col("first_minute") - reach) // HOUR).alias("from"),
        ((pl.col("last_minute") + reach) // HOUR).alias("to"),
    )


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _explode_hours(
    frame: pl.DataFrame, first: pl.Expr, last: pl.Expr, keep: list[str], per_hour: int = HOUR
) -> pl.DataFrame:
    """One row per hour that holds one of the minutes from *first* to *last*."""
    hours = pl.int_ranges(first // per_hour, last // per_hour + 1, dtype=pl.Int32).alias("hour")
    return frame.select(*keep, hours).explode("hour")


def _only_affected(minutes: pl.DataFrame, touched: Touched, rules: RuleSet) -> pl.DataFrame:
    suspects = Touched(touched.hours.join(minutes, on="source_ip", how="semi"))
    spans = _affected_spans(suspects, rules).with_columns(pl.col("from", "to") * HOUR)
    pairs = _explode_hours(spans, pl.col("from"), pl.col("to"), ["source_ip"]).unique()
    return minutes.join(pairs, on=_PAIR, how="semi")


# what is on record


def load(tallies: Iterable[LoadedTally], touched: Touched, rules: RuleSet) -> Loaded:
    """What these tallies have of the touched IPs in needed_minutes(); see evaluate()."""
    needed = needed_minutes(touched, rules)
    hashes = touched.hours.select(_IP_HASH).unique()
    start, end = (needed[0][0], needed[-1][1]) if needed else (0, 0)
    is_near = pl.col("minute").is_between(start, end, closed="left")
    kept = [_dissolve(LoadedTally(Tally.from_payloads([]), {}))]
    waiting: list[Loaded] = []

    def settle() -> None:
        if waiting:
            tables = zip(*((w.counts, w.values, w.samples) for w in waiting), strict=True)
            near = (pl.concat(t).filter(is_near) for t in tables)
            kept.append(Loaded(*(t.join(hashes, on="ip_hash", how="semi") for t in near)))
            waiting.clear()

    for tally in tallies:
        waiting.append(_dissolve(tally))
        # a join per tally would hash all touched IPs as often as there are tallies
        if sum(w.counts.height for w in waiting) >= _BUFFER_ROWS:
            settle()
    settle()
    return Loaded(
        pl.concat([k.counts for k in kept]),
        pl.concat([k.values for k in kept]),
        pl.concat([k.samples for k in kept]),
    )


def _dissolve(loaded: LoadedTally) -> Loaded:
    tally = loaded.tally
    keys = pl.DataFrame(
        {"extent": list(loaded.object_keys), "object_key": list(loaded.object_keys.values())},
        schema={"extent": pl.UInt32, "object_key": pl.String},
    )
    counts = tally.counts.named().drop("extent")
    if "address" not in counts.columns:
        counts = counts.with_columns(pl.lit(None, pl.String).alias("address"))
    return Loaded(
        counts.with_columns(_IP_HASH),
        tally.values.named().drop("extent", "address", strict=False).with_columns(_IP_HASH),
        tally.samples.named()
        .join(keys, on="extent")
        .drop("extent", "address", strict=False)
        .with_columns(_IP_HASH),
    )


# one rule


@dataclass(frozen=True, slots=True)
class Matched:
    """What one rule says of all IPs."""

    minutes: pl.DataFrame
    """Suspicious: rule, source_ip, minute, hour, events."""
    peaks: pl.DataFrame
    """rule, source_ip, hour, peak_count, peak_minute."""


def match(number: int, rule: Rule, loaded: Loaded) -> Matched:
    """
    Rule *number* held against *loaded*.

    For a slow rule everything called a minute is an hour, here and in the result.
    """
    timespan = rule.timespan_seconds // (3600 if rule.is_slow else 60)
    if rule.after is not None:
        return _match_ordered(number, rule, rule.after, timespan, loaded)
    matching = loaded.counts.filter(_counts_for(rule.counter, loaded.counts))
    values = None
    if rule.type == "value_count":
        values = loaded.values.filter(pl.col("counter") == rule.counter)
        total = values.group_by("ip_hash").agg(pl.col("value_hash").n_unique().alias("total"))
    else:
        total = matching.group_by("ip_hash").agg(
            pl.col("count").cast(pl.Int64).sum().alias("total")
        )
    # most IPs never reach the threshold in all their time: no window is slid over those
    enough = total.filter(pl.col("total") >= rule.threshold)
    minutes = (
        matching.join(enough, on="ip_hash", how="semi")
        .group_by(_PLACE)
        .agg(pl.col("count").cast(pl.Int64).sum().alias("events"))
        .sort(_PLACE)
    )
    minutes = _add_keys(minutes, timespan)
    per_hour = 1 if rule.is_slow else HOUR
    ends = minutes["key"].search_sorted(minutes["key"] + timespan, side="left")
    counts = (
        _count_events(minutes, ends)
        if values is None
        else _count_distinct(minutes, values, timespan)
    )
    if rule.group_by is not GroupBy.SOURCE_IP:
        members = matching.select(*_PLACE, pl.col("address").hash().alias("value_hash"))
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


def _match_ordered(number: int, rule: Rule, after: str, timespan: int, loaded: Loaded) -> Matched:
    count = pl.col("count").cast(pl.Int64)
    is_before = _counts_for(after, loaded.counts)
    is_matching = _counts_for(rule.counter, loaded.counts)
    minutes = (
        loaded.counts.filter(is_before | is_matching)
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


def _counts_for(counter: str, counts: pl.DataFrame) -> pl.Expr:
    combinations = counts["counters"].unique().cast(pl.String)
    return pl.col("counters").is_in([c for c in combinations if counter in c.split(" ")])


def _add_keys(minutes: pl.DataFrame, timespan: int) -> pl.DataFrame:
    """
    All IPs lie on one line of time, so far apart that no window touches two of them.

    Sliding a window over millions of IPs is then one search in one sorted column.
    """
    minute = pl.col("minute").cast(pl.Int64)
    distance = minute.max() - minute.min() + timespan + 1
    return minutes.with_columns(
        (pl.col("source_ip").rle_id().cast(pl.Int64) * distance + minute - minute.min()).alias(
            "key"
        )
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
    previous = key.shift(1).over("source_ip", "value_hash")
    begins = pl.max_horizontal(previous, key - timespan) + 1
    begun = seen.select(begins).to_series().sort().search_sorted(minutes["key"], side="right")
    ended = seen["key"].search_sorted(minutes["key"], side="left")
    return (begun.cast(pl.Int64) - ended.cast(pl.Int64)).clip(upper_bound=MAX_DISTINCT_VALUES)


def _suspicious(minutes: pl.DataFrame, threshold: int, timespan: int) -> pl.DataFrame:
    is_hot = pl.col("window_count") >= threshold
    last_hot = pl.when(is_hot).then("key").forward_fill()
    return minutes.filter(pl.col("key") - last_hot < timespan).select(
        "rule", "source_ip", "minute", "hour", "events"
    )


def _peaks(minutes: pl.DataFrame, threshold: int, per_hour: int) -> pl.DataFrame:
    hot = minutes.filter(pl.col("window_count") >= threshold)
    keep = ["rule", "source_ip", "minute", "window_count"]
    first, last = pl.col("minute"), pl.col("window_last")
    return _highest(_explode_hours(hot, first, last, keep, per_hour))


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


# what is told of a suspicious hour


def _in_minutes(minutes: pl.DataFrame, counts: pl.DataFrame) -> pl.DataFrame:
    return (
        counts.join(minutes.select(_IP_HASH), on="ip_hash", how="semi")
        .join(minutes, on=_PLACE, how="semi")
        .with_columns(_HOUR)
    )


def leading_addresses(counts: pl.DataFrame) -> pl.DataFrame:
    """
    Which addresses of an IPv6 network did most in each hour.

    Args:
        counts: Rows with source_ip, hour, address and count.
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
        source_ip, hour, minute, line_hash, object_key, line_number, line, rules (numbers of
        those rules for which the line lies in a suspicious place), in order of time.
    """
    line = [*_PLACE, "line_hash"]
    numbers = pl.DataFrame(
        {"counter": [r.counter for r in rules.rules], "rule": range(len(rules.rules))},
        schema={"counter": pl.String, "rule": pl.UInt32},
    )
    marks = (
        lines.select(*line, "hour", counter=pl.col("counters").str.split(" "))
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
        .sort("source_ip", "minute", "line_hash")
    )


def _unite_lines(samples: pl.DataFrame) -> pl.DataFrame:
    """Identical lines are one, with the smallest reference."""
    first = pl.col("object_key", "line_number", "line").first()
    counters = pl.col("counters").cast(pl.String).unique().sort().str.join(" ")
    return (
        samples.sort("object_key", "line_number")
        .group_by(*_PLACE, "line_hash", maintain_order=True)
        .agg(first, counters)
    )


def _lowest(lines: pl.DataFrame, place: list[str], limit: int) -> pl.DataFrame:
    # the same bytes in two minutes can only come from year-less times: the earlier one wins
    order = pl.struct("line_hash", "minute").rank("ordinal").over(place)
    return lines.filter(order <= limit)


def assemble(
    rules: RuleSet,
    findings: pl.DataFrame,
    activity: pl.DataFrame,
    samples: pl.DataFrame,
    addresses: pl.DataFrame,
) -> list[SuspectHour]:
    """The hours of *findings*, with what the other tables say of them."""
    found = _by_hour(findings)
    did = _by_hour(activity)
    said = _by_hour(samples)
    used = _by_hour(addresses)
    return [
        SuspectHour(
            source_ip=place[0],
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


def _by_hour(frame: pl.DataFrame) -> dict[tuple[str, int], list[dict[str, Any]]]:
    rows: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in frame.iter_rows(named=True):
        rows[row["source_ip"], row["hour"]].append(row)
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
