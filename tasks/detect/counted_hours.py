"""
Counted hours: what slow rules need to know of an hour, so that a day costs no day of minutes.

Of every source IP and hour with an event that a slow rule counts: how many events there were of
each combination of counters, the lowest hashes of distinct values, and a few lines. All of it is
made from the tallies of that hour alone, and replaced as a whole when one of its lines is touched.
So it says the same however the lines came, as tallies do.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from tasks.detect.addressed import (
    Addressed,
    decode_parquet,
    hash_names,
    number_names,
    numbered,
    recode,
    texts_of,
)
from tasks.detect.columns import IsWanted, columns_of, decode, encode
from tasks.detect.evidence import (
    assemble,
    choose_lines,
    leading_addresses,
    unite_lines,
)
from tasks.detect.loading import Candidates, Kinds, Loaded, choose, narrow
from tasks.detect.rules import MAX_DISTINCT_VALUES, Rule, RuleSet
from tasks.detect.samples import keep_lowest, sample_limits
from tasks.detect.suspect_hours import SuspectHour
from tasks.detect.touched import HOUR, Span, Touched, explode_hours, merge_spans
from tasks.detect.windows import Numbers, match_all
from tasks.model.errors import PermanentError

_PAIR: Final = ["ip", "hour"]
_MAGIC: Final = b"MWH3"
_PARQUET_MAGIC: Final = b"MWH2"
_FIRST_MAGIC: Final = b"MWH1"
"""Of parts in Parquet, and of those with a text in every row; they are still read."""
_TOGETHER: Final = 1_000_000
"""Rows that are looked through at once."""
_MAX_BYTES: Final = 4 * 1024**2
_TABLES: Final = {
    b"C": pl.Schema(
        {
            "source_ip": pl.String(),
            "hour": pl.Int32(),
            "counters": pl.Categorical(),
            "count": pl.Int64(),
            "first_minute": pl.Int32(),
            "last_minute": pl.Int32(),
        }
    ),
    b"V": pl.Schema(
        {
            "source_ip": pl.String(),
            "hour": pl.Int32(),
            "counter": pl.Categorical(),
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
            "counters": pl.Categorical(),
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

    counts: Addressed
    values: Addressed
    samples: Addressed
    addresses: Addressed

    @property
    def tables(self) -> tuple[Addressed, ...]:
        """In the order of the fields."""
        return (self.counts, self.values, self.samples, self.addresses)

    def only(self, ip_hashes: pl.Series) -> Self:
        """What is said of the source IPs with these hashes."""
        wanted = ip_hashes.implode()
        found = (t.only(hash_names(t.names).is_in(wanted)) for t in self.tables)
        return type(self)(*(table.compact() for table in found))

    def replaced(self, touched: Touched, new: Self) -> Self:
        """The same with *new* for everything that is touched."""
        if not any(table.height for table in self.tables):
            return new
        others = type(self)(*(_in_hours(t, touched, is_kept=False) for t in self.tables))
        return self.united([others, new])

    def by_hour(self) -> dict[int, Self]:
        """What is said of each hour of which anything is said."""
        canonical = [table.canonical() for table in self.tables]
        parts = [table.rows.partition_by("hour", as_dict=True) for table in canonical]
        hours = {hour for part in parts for (hour,) in part}
        return {
            hour: type(self)(
                *(
                    Addressed(part.get((hour,), table.rows.clear()), table.names).compact()
                    for part, table in zip(parts, canonical, strict=True)
                )
            )
            for hour in hours
        }

    @classmethod
    def united(cls, pieces: Iterable[Self]) -> Self:
        """All that is said in *pieces*, of which no two speak of the same IP and hour."""
        columns = zip(_NOTHING, *(piece.tables for piece in pieces), strict=True)
        return cls(*(Addressed.united(tables, nothing) for nothing, *tables in columns))

    def to_payloads(self) -> list[bytes]:
        """Parts of a few MiB at most; the same content gives the same parts."""
        return [
            part
            for kind, table in zip(_TABLES, self.tables, strict=True)
            for part in encode(_MAGIC + kind, columns_of(_in_order(table)), _MAX_BYTES)
        ]

    @classmethod
    def from_payloads(
        cls, parts: Iterable[bytes], without: bytes = b"", is_wanted: IsWanted | None = None
    ) -> Self:
        """
        What was written as *parts*, of any number of hours.

        Args:
            without: Kinds of parts that are passed over: C(ounts), V(alues), S(amples) or
                A(ddresses).
            is_wanted: Of source IPs that are not, no row is made.

        Raises:
            PermanentError: A part is damaged, or from a newer Middlewatch.
        """
        tables: dict[bytes, list[Addressed]] = {kind: [] for kind in _TABLES}
        for part in parts:
            if without and part[len(_MAGIC) : len(_MAGIC) + 1] in without:
                continue
            kind, table = _decode(part, is_wanted)
            tables[kind].append(table if is_wanted is None else table.compact())
        return cls(*map(Addressed.united, tables.values(), _NOTHING))


class HourCounter:
    """Counts the touched hours tally by tally, without sample lines."""

    def __init__(self, rules: RuleSet, touched: Touched) -> None:
        self._slow = rules.only(lambda rule: rule.is_slow)
        self._counters = {rule.counter for rule in self._slow.rules}
        self._touched = touched
        self._minutes = (touched.spoken[0] * HOUR, touched.spoken[1] * HOUR)
        self._counts: list[Addressed] = []
        self._values: list[Addressed] = []
        self._height = 0

    def add(self, counts: Addressed, values: Addressed) -> None:
        """Also what these rows say."""
        counts, values = counts.within(self._minutes), values.within(self._minutes)
        if not counts.height and not values.height:
            return
        rows = counts.rows.with_columns(
            recode(counts.rows["counters"], self._keep_own),
            hour=pl.col("minute") // HOUR,
            first_minute="minute",
            last_minute="minute",
        )
        # the names of many tallies have the same IP many times: first what is next to each other
        self._counts.append(replace(counts, rows=_sum_runs(rows)))
        self._values.append(_by_hour(replace(values, rows=choose(values.rows, self._counters))))
        self._height += self._counts[-1].height
        if self._height >= _TOGETHER:
            self._keep_touched()

    def count(self) -> tuple[CountedHours, Touched]:
        """The touched hours, and those of them whose lines are kept."""
        found = CountedHours(*_NOTHING)
        if self._counts:  # hours beside what is touched may have nothing on record
            self._keep_touched()
            counts, addresses = _sum_counts(self._counts[0])
            found = CountedHours(counts, _lowest_values(self._values[0]), _NOTHING[2], addresses)
        return found, _busy(self._slow, found)

    def _keep_touched(self) -> None:
        """To look up what is touched costs as much as that is large, so it is rarely done."""
        for tables in (self._counts, self._values):
            kept = _in_hours(Addressed.united(tables, tables[0]), self._touched).compact()
            tables[:] = [kept]
        self._height = 0

    def _keep_own(self, combination: str) -> str:
        return _keep_counters(combination, self._counters)


def add_lines(
    found: CountedHours,
    rules: RuleSet,
    loaded: Loaded,
    busy: Touched,
    counted: RuleSet | None = None,
) -> CountedHours:
    """*found* with those sample lines that are kept of the *busy* hours."""
    slow = rules.only(lambda rule: rule.is_slow)
    few = _in_hours(_by_hour(loaded.samples), busy).compact()
    names, numbers = number_names(few.names)
    rows = few.rows.with_columns(numbers.gather(few.rows["ip"]))
    place = ["ip", "minute"]
    once = keep_lowest(unite_lines(rows), sample_limits(counted or rules), place)
    kept = rows.join(once, on=[*place, "line_hash"], how="semi")
    lines = _lowest_lines(kept, slow)
    lines = lines.with_columns(loaded.lines.ask(lines["line"])())
    return replace(found, samples=Addressed(lines, names))


def slow_candidates(rules: RuleSet, hours: Iterable[CountedHours]) -> pl.Series:
    """The hashes of those with a busy hour among *hours*: nobody else can be suspicious."""
    slow = rules.only(lambda rule: rule.is_slow)
    busy = [Touched.united([]).ips, *(_busy(slow, hour).ips for hour in hours)]
    return pl.concat(busy).unique()


def needed_hours(touched: Touched, rules: RuleSet) -> list[Span]:
    """
    The counted hours that evaluate_hours() has to be given, of the touched IPs.

    Returns:
        Hours since the epoch, half-open, disjoint, in order.
    """
    reach = slow_reach(rules)
    each = Touched(touched.hours.unique("hour"), touched.spoken)
    spans = _affected_spans(each, rules).select("from", "to").iter_rows()
    return merge_spans((first - reach, last + reach + 1) for first, last in spans)


def affected_by_hours(
    touched: Touched, rules: RuleSet, source_ips: Iterable[str]
) -> dict[str, list[Span]]:
    """The hours that evaluate_hours() speaks of, for those of *source_ips* that are touched."""
    names = pl.DataFrame({"source_ip": list(source_ips)}, schema={"source_ip": pl.String})
    names = names.with_columns(hash_names(names["source_ip"]))
    pairs = names.join(_affected_spans(touched, rules), on="ip_hash").drop("ip_hash")
    spans: dict[str, list[Span]] = {}
    for source_ip, first, last in pairs.sort(pairs.columns).iter_rows():
        spans.setdefault(source_ip, []).append((first, last + 1))
    return {source_ip: merge_spans(found) for source_ip, found in spans.items()}


def evaluate_hours(rules: RuleSet, counted: CountedHours, touched: Touched) -> list[SuspectHour]:
    """
    What the slow rules say of all hours within their timespan of a touched one.

    Args:
        counted: All that is on record in needed_hours(), at least of the touched IPs.

    Returns:
        By source IP and hour; each speaks of all that the IP did in it.
    """
    slow = [(number, rule) for number, rule in enumerate(rules.rules) if rule.is_slow]
    if not slow:
        return []
    counted = counted.only(touched.ips)
    candidates = narrow(
        [rule for _, rule in slow], _as_minutes(counted.counts), _as_minutes(counted.values)
    )
    found = match_all(slow, candidates)
    if found is None:
        return []
    hours = found.minutes.drop("minute")
    hours = hours.join(_affected(hours, candidates, touched, rules), on=_PAIR, how="semi")
    if hours.is_empty():
        return []
    peaks = found.peaks.with_columns(pl.col("peak_minute") * HOUR)
    findings = (
        hours.join(_extents(rules, candidates), on=[*_PAIR, "rule"])
        .join(peaks, on=[*_PAIR, "rule"])
        .sort(*_PAIR, "rule")
    )
    place = hours.select(_PAIR).unique()
    activity = candidates.counts.join(place, on=_PAIR, how="semi")
    lines = candidates.number(counted.samples).join(place, on=_PAIR, how="semi")
    used = candidates.number(counted.addresses)
    return assemble(
        rules,
        candidates.names,
        findings,
        activity.group_by(*_PAIR, "counters").agg(pl.col("count").sum()),
        choose_lines(rules, lines, hours, _PAIR),
        used.join(place, on=_PAIR, how="semi"),
    )


def slow_reach(rules: RuleSet) -> int:
    """How many hours before or after it an event can matter."""
    return (
        max((rule.timespan_seconds // 3600 for rule in rules.rules if rule.is_slow), default=1) - 1
    )


def _affected_spans(touched: Touched, rules: RuleSet) -> pl.DataFrame:
    reach, hour = slow_reach(rules), pl.col("hour")
    first = (hour - reach).clip(lower_bound=touched.spoken[0])
    last = (hour + reach).clip(upper_bound=touched.spoken[1] - 1)
    spans = touched.hours.select("ip_hash", first.alias("from"), last.alias("to"))
    return spans.filter(pl.col("from") <= pl.col("to"))


def _affected(
    hours: pl.DataFrame, candidates: Candidates, touched: Touched, rules: RuleSet
) -> pl.DataFrame:
    """Of a million touched IPs few are suspects, and only those are spread over a day."""
    suspects = hours.select("ip").unique()
    ip_hash = hash_names(candidates.names).gather(suspects["ip"])
    spans = suspects.with_columns(ip_hash).join(_affected_spans(touched, rules), on="ip_hash")
    return explode_hours(spans, pl.col("from"), pl.col("to"), ["ip"], 1).unique()


def _as_minutes(table: Addressed) -> Addressed:
    """What windows.match() takes: an hour is a minute there."""
    return replace(table, rows=table.rows.with_columns(minute="hour"))


def _extents(rules: RuleSet, candidates: Candidates) -> pl.DataFrame:
    """From when to when each rule's events are in each hour."""
    pieces = []
    for number, rule in enumerate(rules.rules):
        if rule.is_slow:
            pieces.append(
                choose(candidates.counts, {rule.counter})
                .group_by(_PAIR)
                .agg(pl.col("first_minute").min(), pl.col("last_minute").max())
                .with_columns(pl.lit(number, pl.UInt32).alias("rule"))
            )
    return pl.concat(pieces)


# making them


def _by_hour(table: Addressed) -> Addressed:
    return replace(table, rows=table.rows.with_columns((pl.col("minute") // HOUR).alias("hour")))


def _in_hours(table: Addressed, touched: Touched, *, is_kept: bool = True) -> Addressed:
    """Rows about IPs and hours that are touched, or about all others."""
    hashes = hash_names(table.names)
    ips, hours = table.rows["ip"].to_numpy(), table.rows["hour"].to_numpy()
    is_touched = np.zeros(len(ips), np.bool_)
    for (hour,), there in touched.hours.partition_by("hour", as_dict=True).items():
        mine = hashes.is_in(there["ip_hash"].implode()).to_numpy()
        is_touched |= mine[ips] & (hours == hour)
    return table.filter(pl.Series(is_touched == is_kept))


def _keep_counters(combination: str, counters: set[str]) -> str:
    return " ".join(c for c in combination.split(" ") if ":" not in c or c in counters)


def _sum_counts(there: Addressed) -> tuple[Addressed, Addressed]:
    """By combinations and by addresses, where any event counts for a counter of a rule."""
    if not there.height:
        return _NOTHING[0], _NOTHING[3]
    names, numbers = number_names(there.names)
    rows = there.rows.with_columns(numbers.gather(there.rows["ip"]), name="ip")
    ips, hours, kinds = _kinds_of(rows)
    place = ips * (int(np.ptp(hours)) + 1) + (hours - hours.min())
    is_counted = np.zeros(int(place.max()) + 1, np.bool_)
    named = [n for n, text in texts_of(rows["counters"]).items() if ":" in text]
    is_counted[place[np.isin(kinds, named)]] = True
    order = np.argsort(place * (int(kinds.max()) + 1) + kinds, kind="stable")
    own = rows[order[is_counted[place[order]]]]
    addresses = _NOTHING[3]
    if there.members is not None:
        did = own.select(*_PAIR, there.members.gather(own["name"]).alias("address"), "count")
        addresses = Addressed(leading_addresses(did).select(_COLUMNS[3]), names)
    return Addressed(_sum_runs(own).select(_COLUMNS[0]), names), addresses


def _sum_runs(counts: pl.DataFrame) -> pl.DataFrame:
    """
    Rows about the same IP, hour and combination that follow each other are one.

    Within a tally they do follow each other; what does not has to be sorted before.
    """
    ips, hours, kinds = _kinds_of(counts)
    is_new = (ips[1:] != ips[:-1]) | (hours[1:] != hours[:-1]) | (kinds[1:] != kinds[:-1])
    starts = np.flatnonzero(np.append(len(ips) > 0, is_new))
    first, last, count = (counts[n].to_numpy() for n in ("first_minute", "last_minute", "count"))
    return counts.select(*_PAIR, "counters")[starts].with_columns(
        first_minute=np.minimum.reduceat(first, starts),
        last_minute=np.maximum.reduceat(last, starts),
        count=np.add.reduceat(count, starts, dtype=np.int64),
    )


def _kinds_of(rows: pl.DataFrame) -> tuple[Numbers, Numbers, Numbers]:
    """Which IP, hour and combination each of *rows* is about."""
    counters = rows["counters"].to_physical()
    ips, hours, kinds = (
        c.to_numpy().astype(np.int64) for c in (rows["ip"], rows["hour"], counters)
    )
    return ips, hours, kinds


def _lowest_values(values: Addressed) -> Addressed:
    names, numbers = number_names(values.names)
    rows = values.rows.with_columns(numbers.gather(values.rows["ip"]))
    rank = pl.col("value_hash").rank("ordinal").over(*_PAIR, "counter")
    return Addressed(rows.select(_COLUMNS[1]).unique().filter(rank <= MAX_DISTINCT_VALUES), names)


def _busy(slow: RuleSet, found: CountedHours) -> Touched:
    """
    Hours that hold their share of a rule's threshold: their lines are kept.

    A window is only hot when at least one of its hours is among these, and the many clients
    that come once leave no lines.
    """
    pieces = []
    minute = pl.col("hour") * HOUR
    # of an hour in many parts, an IP may have its rows under several names
    counts, values = found.counts.canonical(), found.values.canonical()
    kinds, value_kinds = Kinds(counts.rows["counters"]), Kinds(values.rows["counter"])
    for rule in slow.rules:
        if rule.type == "value_count":
            table, mine, size = values, value_kinds.find({rule.counter}), pl.len()
        else:
            table, mine, size = counts, kinds.find({rule.counter}), pl.col("count").sum()
        sizes = table.rows[mine].group_by(_PAIR).agg(size.alias("size"))
        busy = sizes.filter(pl.col("size") >= _share(rule))
        ip_hash = hash_names(table.names).gather(busy["ip"])
        pieces.append(busy.with_columns(ip_hash, first_minute=minute, last_minute=minute))
    return Touched.united(pieces)


def _share(rule: Rule) -> int:
    """What at least one hour of a window at the threshold has."""
    return -(-rule.threshold * 3600 // rule.timespan_seconds)


def _lowest_lines(samples: pl.DataFrame, slow: RuleSet) -> pl.DataFrame:
    counters = {rule.counter for rule in slow.rules}
    column = recode(samples["counters"], lambda text: _keep_counters(text, counters))
    united = unite_lines(samples.with_columns(column), _PAIR)
    return keep_lowest(united, sample_limits(slow), _PAIR).select(_COLUMNS[2])


# parts


def _in_order(table: Addressed) -> Addressed:
    canonical = table.canonical()
    return replace(canonical, rows=canonical.rows.sort(canonical.rows.columns))


def _decode(part: bytes, is_wanted: IsWanted | None) -> tuple[bytes, Addressed]:
    magic, kind = part[: len(_MAGIC)], part[len(_MAGIC) : len(_MAGIC) + 1]
    if magic not in (_MAGIC, _PARQUET_MAGIC, _FIRST_MAGIC) or kind not in _TABLES:
        raise PermanentError(
            f"Counted hours in the database start with {part[:5]!r}, which this version does not "
            "know; use the version of Middlewatch that wrote them, or a newer one."
        )
    schema, body = _TABLES[kind], part[len(_MAGIC) + 1 :]
    try:
        if magic == _MAGIC:
            return kind, decode(body, numbered(schema), is_wanted)
        if magic == _FIRST_MAGIC:
            table = Addressed.of(pl.read_parquet(body).select(schema.names()).cast(schema))
        else:
            table = decode_parquet(body, numbered(schema))
        return kind, table if is_wanted is None else table.only(is_wanted(table.names))
    except (ValueError, PolarsError) as error:
        reason = str(error).splitlines()[0]
    raise PermanentError(
        f"Counted hours in the database are damaged ({reason}); restore them from a backup, or "
        "scan their objects again in a new namespace."
    )


_NOTHING: Final = tuple(Addressed.nothing(schema) for schema in _TABLES.values())
_COLUMNS: Final = [table.rows.columns for table in _NOTHING]
