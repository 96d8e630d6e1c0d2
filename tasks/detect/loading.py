"""What is on record of the touched IPs, and who of them may be suspicious at all."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.detect.addressed import Addressed, find_names, hash_names
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


@dataclass(frozen=True, slots=True)
class Candidates:
    """What is loaded of those who may be suspicious."""

    names: pl.Series
    """In order, each once. In tables that are numbered like this, IPs have the order of texts."""
    counts: pl.DataFrame
    """With `address`, which is null where the IP is no network."""
    values: pl.DataFrame

    def number(self, table: Addressed) -> pl.DataFrame:
        """The rows of *table* about these IPs, numbered like this."""
        return _number(table, self.names)


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
    return Candidates(names, _number(few, names), _number(values, names))


def candidates(rules: Iterable[Rule], counts: Addressed, values: Addressed) -> pl.Series:
    """
    The hashes of those who reach the threshold of one of *rules* in all their time together.

    No window holds more than all time does, so nobody else can be suspicious. It is enough for
    value_count that there are as many values, of which some may be the same, and for
    temporal_ordered that there are as many events of those that come before.
    """
    keys = hash_names(counts.names).unique()
    totals = _Totals(counts, keys)
    of_values = _Totals(values, keys)
    is_candidate = np.zeros(len(keys), np.bool_)
    at_once = set()
    for rule in rules:
        if rule.type == "value_count":
            is_candidate |= of_values.rows(rule.counter) >= rule.threshold
        elif rule.after is None and rule.threshold == 1:
            at_once.add(rule.counter)
        else:
            is_candidate |= totals.sum(rule.after or rule.counter) >= rule.threshold
    is_candidate |= totals.has(at_once)
    return keys.filter(pl.Series(is_candidate))


class _Totals:
    """What each of the IPs with these hashes did in all the time of a table."""

    def __init__(self, table: Addressed, keys: pl.Series) -> None:
        self._size = len(keys)
        counter = next(name for name in table.rows.columns if name.startswith("counter"))
        categories = table.rows[counter]
        kinds = categories.unique()
        self._texts = dict(zip(kinds.to_physical(), kinds.cast(pl.String), strict=True))
        self._kinds = categories.to_physical().to_numpy()
        # a name of values or samples that has no counts has number *size*, which is no one's
        numbers = find_names(keys, hash_names(table.names)).fill_null(self._size)
        self._ips = numbers.gather(table.rows["ip"]).to_numpy()
        self._counts = table.rows["count"].to_numpy() if "count" in table.rows.columns else None

    def sum(self, counter: str) -> npt.NDArray[Any]:
        """How many events count for *counter*."""
        mine = self._mine({counter})
        if mine is None or self._counts is None:
            return np.zeros(self._size)
        return np.bincount(self._ips[mine], self._counts[mine], self._size + 1)[:-1]

    def rows(self, counter: str) -> npt.NDArray[Any]:
        """How many rows there are of *counter*."""
        mine = self._mine({counter})
        if mine is None:
            return np.zeros(self._size)
        return np.bincount(self._ips[mine], minlength=self._size + 1)[:-1]

    def has(self, counters: set[str]) -> npt.NDArray[np.bool_]:
        """Whether any event counts for any of *counters*."""
        found = np.zeros(self._size + 1, np.bool_)
        if (mine := self._mine(counters)) is not None:
            found[self._ips[mine]] = True
        return found[:-1]

    def _mine(self, counters: set[str]) -> npt.NDArray[np.intp] | None:
        wanted = [k for k, text in self._texts.items() if not counters.isdisjoint(text.split(" "))]
        if not wanted:
            return None
        is_wanted = np.zeros(max(self._texts) + 1, np.bool_)
        is_wanted[wanted] = True
        return np.flatnonzero(is_wanted[self._kinds])


def _number(table: Addressed, names: pl.Series) -> pl.DataFrame:
    numbers = find_names(names, table.names).gather(table.rows["ip"])
    rows, members = table.rows.with_columns(numbers), table.members
    # what says by itself which addresses it is about has no members
    if "address" not in rows.columns:
        address = pl.lit(None, pl.String) if members is None else members.gather(table.rows["ip"])
        rows = rows.with_columns(address=address)
    return rows.filter(pl.col("ip").is_not_null())
