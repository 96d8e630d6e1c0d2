"""What is on record of the touched IPs, and who of them may be suspicious at all."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.detect.addressed import Addressed, find_names, hash_names, texts_of
from tasks.detect.rules import Rule, RuleSet
from tasks.detect.tally import Tally
from tasks.detect.touched import Touched, needed_minutes

_TOGETHER: Final = 2_000_000
"""Rows that are looked through at once: what is touched is looked up anew each time."""


@dataclass(frozen=True, slots=True)
class LoadedTally:
    """A tally, and what its extents are."""

    tally: Tally
    object_keys: Mapping[int, str]
    """Object key of every extent in the tally."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Rows of the touched IPs; extents are dissolved into object keys, which samples have."""

    counts: Addressed
    values: Addressed
    samples: Addressed

    def only(self, ip_hashes: pl.Series) -> Self:
        """What of it is about the IPs with these hashes."""
        wanted = ip_hashes.implode()
        tables = (self.counts, self.values, self.samples)
        return type(self)(*(t.only(hash_names(t.names).is_in(wanted)).compact() for t in tables))


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What is loaded of those who may be suspicious."""

    names: pl.Series
    """In order, each once. In tables that are numbered like this, IPs have the order of texts."""
    counts: pl.DataFrame
    """With `address`, which is null where the IP is no network."""
    values: pl.DataFrame
    _totals: "_Totals"

    def number(self, table: Addressed) -> pl.DataFrame:
        """The rows of *table* about these IPs, numbered like this."""
        return _number(table, self.names)

    def of(self, rule: Rule) -> Self:
        """Those who may be suspicious by *rule*, and only what it asks for."""
        counts, values = self._totals.rows(rule)
        return replace(self, counts=self.counts.filter(counts), values=self.values.filter(values))


def load(tallies: Iterable[LoadedTally], touched: Touched, rules: RuleSet) -> Loaded:
    """What these tallies have of the touched IPs in needed_minutes()."""
    needed = needed_minutes(touched, rules)
    span = (needed[0][0], needed[-1][1]) if needed else (0, 0)
    return load_within(tallies, touched.ips, span)


def load_within(
    tallies: Iterable[LoadedTally], ip_hashes: pl.Series, minutes: tuple[int, int]
) -> Loaded:
    """What these tallies have of the IPs with these hashes in these minutes, half-open."""
    kept: list[tuple[Addressed, ...]] = []
    waiting: list[tuple[Addressed, ...]] = []
    nothing = _dissolve(LoadedTally(Tally.from_payloads([]), {}), minutes)
    for tally in tallies:
        waiting.append(_dissolve(tally, minutes))
        if sum(table.height for tables in waiting for table in tables) >= _TOGETHER:
            kept += _only(waiting, ip_hashes)
            waiting.clear()
    kept += _only(waiting, ip_hashes)
    columns = zip(nothing, *kept, strict=True)
    return Loaded(*(Addressed.united(pieces, empty) for empty, *pieces in columns))


def _dissolve(loaded: LoadedTally, minutes: tuple[int, int]) -> tuple[Addressed, ...]:
    keys = pl.DataFrame(
        {"extent": list(loaded.object_keys), "object_key": list(loaded.object_keys.values())},
        schema={"extent": pl.UInt32, "object_key": pl.String},
    )
    near = loaded.tally.within(minutes)
    samples = near.samples
    rows = (
        samples.rows.join(keys, on="extent")
        if samples.height
        else samples.rows.with_columns(object_key=pl.lit(None, pl.String))
    )
    told = Addressed(rows, samples.names, samples.members)
    return tuple(
        Addressed(table.rows.drop("extent"), table.names, table.members)
        for table in (near.counts, near.values, told)
    )


def _only(
    some: Sequence[tuple[Addressed, ...]], ip_hashes: pl.Series
) -> Iterator[tuple[Addressed, ...]]:
    """Their rows about the IPs with these hashes."""
    tables = [table for three in some for table in three]
    if not tables:
        return
    hashes = hash_names(pl.concat([table.names for table in tables]))
    is_wanted = hashes.is_in(ip_hashes.implode())
    found, at = [], 0
    for table in tables:
        mine = is_wanted.slice(at, table.names.len())
        found.append(table if mine.all() else table.only(mine).compact())
        at += table.names.len()
    yield from zip(found[::3], found[1::3], found[2::3], strict=True)


# candidates


def narrow(rules: Iterable[Rule], counts: Addressed, values: Addressed) -> Candidates:
    """Those for whom any of *rules* may find something."""
    hashes = candidates(rules, counts, values).implode()
    few = counts.only(hash_names(counts.names).is_in(hashes)).compact()
    names = few.names.unique().sort()
    events, seen = _number(few, names), _number(values, names)
    return Candidates(names, events, seen, _Totals(events, seen, len(names)))


def candidates(rules: Iterable[Rule], counts: Addressed, values: Addressed) -> pl.Series:
    """
    The hashes of those who reach the threshold of one of *rules* in all their time together.

    No window holds more than all time does, so nobody else can be suspicious. It is enough for
    value_count that there are as many values, of which some may be the same, and for
    temporal_ordered that there are as many events of those that come before.
    """
    keys = hash_names(counts.names).unique()

    def numbered(table: Addressed) -> pl.DataFrame:
        numbers = find_names(keys, hash_names(table.names))
        # a name of values that has no counts gets a number that is no one's
        return table.rows.with_columns(numbers.fill_null(len(keys)).gather(table.rows["ip"]))

    totals = _Totals(numbered(counts), numbered(values), len(keys))
    is_candidate = np.zeros(len(keys), np.bool_)
    at_once = set()
    for rule in rules:
        if rule.type == "event_count" and rule.threshold == 1:
            at_once.add(rule.counter)
        else:
            is_candidate |= totals.reach(rule)
    is_candidate |= totals.has(at_once)
    return keys.filter(pl.Series(is_candidate))


class _Totals:
    """What each of the first *size* IPs of two tables did in all the time of these."""

    def __init__(self, counts: pl.DataFrame, values: pl.DataFrame, size: int) -> None:
        self._size = size
        self._kinds, self._value_kinds = Kinds(counts["counters"]), Kinds(values["counter"])
        self._ips, self._value_ips = counts["ip"].to_numpy(), values["ip"].to_numpy()
        self._counts = counts["count"].to_numpy()

    def reach(self, rule: Rule) -> npt.NDArray[np.bool_]:
        """Which of them reach the threshold of *rule*."""
        if rule.type == "value_count":
            mine = np.flatnonzero(self._value_kinds.where({rule.counter}))
            sums = np.bincount(self._value_ips[mine], minlength=self._size + 1)
        else:
            mine = np.flatnonzero(self._kinds.where({rule.after or rule.counter}))
            sums = np.bincount(self._ips[mine], self._counts[mine], self._size + 1)
        return sums[: self._size] >= rule.threshold

    def rows(self, rule: Rule) -> tuple[pl.Series, pl.Series]:
        """Which rows of both tables *rule* asks for, of those who reach its threshold."""
        reach = self.reach(rule)
        counts = self._kinds.where({rule.counter, rule.after or rule.counter}) & reach[self._ips]
        values = self._value_kinds.where({rule.counter}) & reach[self._value_ips]
        return pl.Series(counts), pl.Series(values)

    def has(self, counters: Collection[str]) -> npt.NDArray[np.bool_]:
        """Which of them have any event that counts for any of *counters*."""
        found = np.zeros(self._size + 1, np.bool_)
        found[self._ips[self._kinds.where(counters)]] = True
        return found[: self._size]


class Kinds:
    """What rows count for, by their column of combinations of counters."""

    def __init__(self, combinations: pl.Series) -> None:
        """These are the rows."""
        self._texts = texts_of(combinations)
        self._numbers: npt.NDArray[np.uint32] = combinations.to_physical().to_numpy()

    def where(self, counters: Collection[str]) -> npt.NDArray[np.bool_]:
        """Which of them count for any of *counters*."""
        wanted = [
            n for n, text in self._texts.items() if not set(counters).isdisjoint(text.split(" "))
        ]
        if not wanted:
            return np.zeros(len(self._numbers), np.bool_)
        is_wanted = np.zeros(max(self._texts) + 1, np.bool_)
        is_wanted[wanted] = True
        return is_wanted[self._numbers]


def choose(rows: pl.DataFrame, counters: Collection[str]) -> pl.DataFrame:
    """Those *rows* that count for any of *counters*."""
    column = next(name for name in rows.columns if name.startswith("counter"))
    return rows.filter(pl.Series(Kinds(rows[column]).where(counters)))


def _number(table: Addressed, names: pl.Series) -> pl.DataFrame:
    numbers = find_names(names, table.names).gather(table.rows["ip"])
    rows, members = table.rows.with_columns(numbers), table.members
    # what says by itself which addresses it is about has no members
    if "address" not in rows.columns:
        address = pl.lit(None, pl.String) if members is None else members.gather(table.rows["ip"])
        rows = rows.with_columns(address=address)
    return rows.filter(pl.col("ip").is_not_null())
