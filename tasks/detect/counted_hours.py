"""
Counted hours: what slow rules need to know of an hour, so that a day costs no day of minutes.

Of every source IP and hour with an event that a slow rule counts: how many events there were of
each combination of counters, the lowest hashes of distinct values, and a few lines. All of it is
made from the tallies of that hour alone, and replaced as a whole when one of its lines is touched.
So it says the same however the lines came, as tallies do.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Self

import polars as pl
from polars.exceptions import PolarsError

from tasks.detect.evaluate import (
    HOUR,
    Loaded,
    Span,
    Touched,
    _unite_lines,
    assemble,
    choose_lines,
    leading_addresses,
    match,
    merge_spans,
)
from tasks.detect.rules import MAX_DISTINCT_VALUES, Rule, RuleSet
from tasks.detect.suspect_hours import SuspectHour
from tasks.detect.tally import keep_lowest, sample_limits
from tasks.model.errors import PermanentError

_PAIR: Final = ["source_ip", "hour"]
_MAGIC: Final = b"MWH1"
_MAX_BYTES: Final = 4 * 1024**2
_TABLES: Final = {
    b"C": pl.Schema(
        {
            "source_ip": pl.String(),
            "hour": pl.Int32(),
            "counters": pl.String(),
            "count": pl.Int64(),
            "first_minute": pl.Int32(),
            "last_minute": pl.Int32(),
        }
    ),
    b"V": pl.Schema(
        {
            "source_ip": pl.String(),
            "hour": pl.Int32(),
            "counter": pl.String(),
            "value_hash": pl.UInt64(),
        }
    ),
    b"S": pl.Schema(
        {
            "source_ip": pl.String(),
            "hour": pl.Int32(),
            "minute": pl.Int32(),
            "line_hash": pl.UInt64(),
            "object_key": pl.String(),
            "line_number": pl.Int64(),
            "line": pl.String(),
            "counters": pl.String(),
        }
    ),
    b"A": pl.Schema(
        {
            "source_ip": pl.String(),
            "hour": pl.Int32(),
            "address": pl.String(),
            "count": pl.Int64(),
        }
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class CountedHours:
    """Four tables by source IP and hour: counts, values, sample lines, IPv6 addresses."""

    counts: pl.DataFrame
    values: pl.DataFrame
    samples: pl.DataFrame
    addresses: pl.DataFrame

    @property
    def tables(self) -> tuple[pl.DataFrame, ...]:
        """In the order of the fields."""
        return (self.counts, self.values, self.samples, self.addresses)

    def only(self, pairs: pl.DataFrame, *, is_kept: bool = True) -> Self:
        """What is said of these source IPs and hours, or of all others."""
        how = "semi" if is_kept else "anti"
        on = [column for column in _PAIR if column in pairs.columns]
        return type(self)(*(t.join(pairs, on=on, how=how) for t in self.tables))  # type: ignore[arg-type]  # a literal

    def replaced(self, touched: Touched, new: Self) -> Self:
        """The same with *new* for everything that is touched."""
        return self.united([self.only(touched.hours, is_kept=False), new])

    def by_hour(self) -> dict[int, Self]:
        """What is said of each hour of which anything is said."""
        tables = [t.partition_by("hour", as_dict=True) for t in self.tables]
        hours = {hour for parts in tables for (hour,) in parts}
        return {
            hour: type(self)(
                *(
                    parts.get((hour,), table.clear())
                    for parts, table in zip(tables, self.tables, strict=True)
                )
            )
            for hour in hours
        }

    @classmethod
    def united(cls, pieces: Iterable[Self]) -> Self:
        """All that is said in *pieces*, of which no two speak of the same IP and hour."""
        empty = cls(*(schema.to_frame() for schema in _TABLES.values()))
        return cls(
            *(pl.concat(tables) for tables in zip(*_all_tables([empty, *pieces]), strict=True))
        )

    def to_payloads(self) -> list[bytes]:
        """Parts of a few MiB at most; the same content gives the same parts."""
        return [
            part
            for kind, table in zip(_TABLES, self.tables, strict=True)
            for part in _encode(kind, table.sort(table.columns))
        ]

    @classmethod
    def from_payloads(cls, parts: Iterable[bytes]) -> Self:
        """
        What was written as *parts*, of any number of hours.

        Raises:
            PermanentError: A part is damaged, or from a newer Middlewatch.
        """
        tables = {kind: [schema.to_frame()] for kind, schema in _TABLES.items()}
        for part in parts:
            kind, table = _decode(part)
            tables[kind].append(table)
        return cls(*(pl.concat(pieces) for pieces in tables.values()))


def count_hours(
    rules: RuleSet, loaded: Loaded, touched: Touched, counted: RuleSet | None = None
) -> CountedHours:
    """
    The touched hours as slow rules see them, those of shadow rules included.

    Args:
        loaded: Of load(): all that is on record of the touched hours, and more.
    """
    slow = rules.only(lambda rule: rule.is_slow)
    hour = (pl.col("minute") // HOUR).alias("hour")
    pairs = touched.hours.select(_PAIR)
    counters = {rule.counter for rule in slow.rules}
    kept = {c: _keep_counters(c, counters) for c in _combinations(loaded.counts)}
    relevant = [c for c, text in kept.items() if _is_counted(text)]
    counts = loaded.counts.with_columns(hour)
    there = counts.filter(pl.col("counters").is_in(relevant)).select(_PAIR).unique()
    pairs = there.join(pairs, on=_PAIR, how="semi")
    counts = counts.join(pairs, on=_PAIR, how="semi").with_columns(_renamed("counters", kept))
    values = loaded.values.with_columns(hour, pl.col("counter").cast(pl.String))
    values = values.filter(pl.col("counter").is_in(list(counters))).join(
        pairs, on=_PAIR, how="semi"
    )
    found = CountedHours(
        _sum_counts(counts),
        _lowest_values(values),
        _TABLES[b"S"].to_frame(),
        leading_addresses(counts),
    )
    busy = _busy(slow, found)
    samples = loaded.samples.with_columns(hour).join(busy, on=_PAIR, how="semi")
    place = ["source_ip", "minute"]
    once = keep_lowest(_unite_lines(samples), sample_limits(counted or rules), place)
    samples = samples.join(once, on=[*place, "line_hash"], how="semi")
    return CountedHours.united(
        [CountedHours(found.counts, found.values, _lowest_lines(samples, slow), found.addresses)]
    )


def needed_hours(touched: Touched, rules: RuleSet) -> list[Span]:
    """
    The counted hours that evaluate_hours() has to be given, of the touched IPs.

    Returns:
        Hours since the epoch, half-open, disjoint, in order.
    """
    reach = 2 * _reach(rules)
    hours = touched.hours["hour"].unique()
    return merge_spans((hour - reach, hour + reach + 1) for hour in hours)


def affected_by_hours(
    touched: Touched, rules: RuleSet, source_ips: Iterable[str]
) -> dict[str, list[Span]]:
    """The hours that evaluate_hours() speaks of, for those of *source_ips* that are touched."""
    reach = _reach(rules)
    mine = touched.hours.filter(pl.col("source_ip").is_in(list(source_ips)))
    spans: dict[str, list[Span]] = {}
    for source_ip, hour in mine.select(_PAIR).sort(_PAIR).iter_rows():
        spans.setdefault(source_ip, []).append((hour - reach, hour + reach + 1))
    return {source_ip: merge_spans(found) for source_ip, found in spans.items()}


def evaluate_hours(rules: RuleSet, counted: CountedHours, touched: Touched) -> list[SuspectHour]:
    """
    What the slow rules say of all hours within their timespan of a touched one.

    Args:
        counted: All that is on record in needed_hours(), at least of the touched IPs.

    Returns:
        By source IP and hour; each speaks of all that the IP did in it.
    """
    counted = counted.only(touched.hours.select("source_ip").unique())
    loaded = _as_loaded(counted)
    found = [match(n, rule, loaded) for n, rule in enumerate(rules.rules) if rule.is_slow]
    if not found:
        return []
    hours = pl.concat([m.minutes for m in found]).drop("minute")
    # of a million touched IPs few are suspects, and only those are spread over a day
    suspects = Touched(touched.hours.join(hours, on="source_ip", how="semi"))
    hours = hours.join(_affected(suspects, rules), on=_PAIR, how="semi")
    if hours.is_empty():
        return []
    peaks = pl.concat([m.peaks for m in found]).with_columns(pl.col("peak_minute") * HOUR)
    findings = (
        hours.join(_extents(rules, counted), on=[*_PAIR, "rule"])
        .join(peaks, on=[*_PAIR, "rule"])
        .sort(*_PAIR, "rule")
    )
    place = hours.select(_PAIR).unique()
    activity = counted.counts.join(place, on=_PAIR, how="semi")
    return assemble(
        rules,
        findings,
        activity.group_by(*_PAIR, "counters").agg(pl.col("count").sum()),
        choose_lines(rules, counted.samples.join(place, on=_PAIR, how="semi"), hours, _PAIR),
        counted.addresses.join(place, on=_PAIR, how="semi"),
    )


def _reach(rules: RuleSet) -> int:
    """How many hours before or after it an event can matter."""
    return (
        max((rule.timespan_seconds // 3600 for rule in rules.rules if rule.is_slow), default=1) - 1
    )


def _affected(touched: Touched, rules: RuleSet) -> pl.DataFrame:
    reach, hour = _reach(rules), pl.col("hour")
    near = pl.int_ranges(hour - reach, hour + reach + 1, dtype=pl.Int32).alias("hour")
    return touched.hours.select("source_ip", near).explode("hour").unique()


def _as_loaded(counted: CountedHours) -> Loaded:
    ip_hash = pl.col("source_ip").hash().alias("ip_hash")
    minute = pl.col("hour").alias("minute")
    return Loaded(*(t.with_columns(ip_hash, minute) for t in counted.tables[:3]))


def _extents(rules: RuleSet, counted: CountedHours) -> pl.DataFrame:
    """From when to when each rule's events are in each hour."""
    pieces = []
    for number, rule in enumerate(rules.rules):
        if rule.is_slow:
            mine = [c for c in _combinations(counted.counts) if rule.counter in c.split(" ")]
            pieces.append(
                counted.counts.filter(pl.col("counters").is_in(mine))
                .group_by(_PAIR)
                .agg(pl.col("first_minute").min(), pl.col("last_minute").max())
                .with_columns(pl.lit(number, pl.UInt32).alias("rule"))
            )
    return pl.concat(pieces)


# making them


def _combinations(counts: pl.DataFrame) -> list[str]:
    return counts["counters"].unique().cast(pl.String).to_list()


def _keep_counters(combination: str, counters: set[str]) -> str:
    return " ".join(c for c in combination.split(" ") if ":" not in c or c in counters)


def _is_counted(combination: str) -> bool:
    return ":" in combination


def _renamed(column: str, names: dict[str, str]) -> pl.Expr:
    if not names:
        return pl.col(column).cast(pl.String)
    old, new = list(names), list(names.values())
    return pl.col(column).cast(pl.String).replace_strict(old, new, return_dtype=pl.String)


def _sum_counts(counts: pl.DataFrame) -> pl.DataFrame:
    minute = pl.col("minute")
    return counts.group_by(*_PAIR, "counters").agg(
        pl.col("count").cast(pl.Int64).sum(),
        minute.min().alias("first_minute"),
        minute.max().alias("last_minute"),
    )


def _lowest_values(values: pl.DataFrame) -> pl.DataFrame:
    rank = pl.col("value_hash").rank("ordinal").over(*_PAIR, "counter")
    distinct = values.select(*_PAIR, "counter", "value_hash").unique()
    return distinct.filter(rank <= MAX_DISTINCT_VALUES)


def _busy(slow: RuleSet, found: CountedHours) -> pl.DataFrame:
    """
    Hours that hold their share of a rule's threshold: their lines are kept.

    A window is only hot when at least one of its hours is among these, and the many clients
    that come once leave no lines.
    """
    pieces = [_TABLES[b"C"].to_frame().select(_PAIR)]
    for rule in slow.rules:
        if rule.type == "value_count":
            mine = found.values.filter(pl.col("counter") == rule.counter)
            size = mine.group_by(_PAIR).agg(pl.len().alias("size"))
        else:
            known = [c for c in _combinations(found.counts) if rule.counter in c.split(" ")]
            mine = found.counts.filter(pl.col("counters").is_in(known))
            size = mine.group_by(_PAIR).agg(pl.col("count").sum().alias("size"))
        pieces.append(size.filter(pl.col("size") >= _share(rule)).select(_PAIR))
    return pl.concat(pieces).unique()


def _share(rule: Rule) -> int:
    """What at least one hour of a window at the threshold has."""
    return -(-rule.threshold * 3600 // rule.timespan_seconds)


def _lowest_lines(samples: pl.DataFrame, slow: RuleSet) -> pl.DataFrame:
    counters = {rule.counter for rule in slow.rules}
    kept = {c: _keep_counters(c, counters) for c in _combinations(samples)}
    first = pl.col("minute", "object_key", "line_number", "line").first()
    united = (
        samples.with_columns(_renamed("counters", kept))
        .sort("object_key", "line_number")
        .group_by(*_PAIR, "line_hash", maintain_order=True)
        .agg(first, pl.col("counters").unique().sort().str.join(" "))
    )
    lowest = keep_lowest(united, sample_limits(slow), _PAIR)
    return lowest.select(_TABLES[b"S"].names())


# parts


def _all_tables(pieces: Sequence[CountedHours]) -> Iterator[tuple[pl.DataFrame, ...]]:
    for piece in pieces:
        yield tuple(
            table.select(schema.names()).cast(schema)
            for table, schema in zip(piece.tables, _TABLES.values(), strict=True)
        )


def _encode(kind: bytes, table: pl.DataFrame) -> Iterator[bytes]:
    if table.is_empty():
        return
    file = BytesIO()
    file.write(_MAGIC + kind)
    table.write_parquet(file, compression="zstd", statistics=False)
    if file.tell() <= _MAX_BYTES or table.height == 1:
        yield file.getvalue()
        return
    for piece in table.iter_slices(-(-table.height // (file.tell() // _MAX_BYTES + 2))):
        yield from _encode(kind, piece)


def _decode(part: bytes) -> tuple[bytes, pl.DataFrame]:
    kind = part[len(_MAGIC) : len(_MAGIC) + 1]
    if not part.startswith(_MAGIC) or kind not in _TABLES:
        raise PermanentError(
            f"Counted hours in the database start with {part[:5]!r}, which this version does not "
            "know; use the version of Middlewatch that wrote them, or a newer one."
        )
    try:
        return kind, pl.read_parquet(part[len(_MAGIC) + 1 :]).cast(_TABLES[kind])
    except PolarsError as error:
        reason = str(error).splitlines()[0]
    raise PermanentError(
        f"Counted hours in the database are damaged ({reason}); restore them from a backup, or "
        "scan their objects again in a new namespace."
    )
