"""What is on record of the touched IPs, and who of them may be suspicious at all."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.detect.addressed import Addressed, find_names, hash_names, texts_of
from tasks.detect.rules import Rule, RuleSet
from tasks.detect.tally import Tally
from tasks.detect.touched import Touched, needed_minutes
from tasks.model.parts import PartKey

_CROWD: Final = 50_000
"""Rows of counts that rules are held against at once, unless one IP has more."""

RECENT_BYTES: Final = 40 * 1024**2
"""Of tallies that are kept for the next slice."""

Hashes = npt.NDArray[np.uint64]
Sizes = npt.NDArray[np.intp] | npt.NDArray[np.float64]
"""Whole numbers; sums of 64 bits or of doubles."""
_NO_HASHES: Final[Hashes] = np.array([], np.uint64)
Positions = npt.NDArray[np.intp]
_NOWHERE: Final[Positions] = np.array([], np.intp)


@dataclass(frozen=True, slots=True)
class LoadedTally:
    """A tally, and what its extents are."""

    tally: Tally
    object_keys: Mapping[int, str]
    """Object key of every extent in the tally."""
    read_lines: Callable[[Positions], pl.Series] | None = None
    """Where it is light, the lines in these rows of its part."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it."""
        return not any(table.height for table in self.tally.tables)


class Lines:
    """Sample lines by number: of most of them no more is ever needed; others are read together."""

    def __init__(self) -> None:
        self._readers: list[Callable[[Positions], pl.Series]] = []
        self._asked: list[Hashes] = [_NO_HASHES]
        self._read: tuple[Hashes, pl.Series] | None = None

    def number(self, loaded: LoadedTally) -> Addressed:
        """The samples of this tally, with the number of each line in its place."""
        samples, first = loaded.tally.samples, len(self._readers) << 32
        own = samples.rows["line"]
        self._readers.append(loaded.read_lines or own.gather)
        row = pl.int_range(pl.len()) if loaded.read_lines is None else pl.col("line")
        return replace(samples, rows=samples.rows.with_columns(line=row.cast(pl.UInt64) + first))

    def ask(self, column: pl.Series) -> Callable[[], pl.Series]:
        """
        What returns the lines with these numbers.

        The first that is called reads what all have asked for: no part is read twice if all of
        them ask before.
        """
        numbers = column.to_numpy()
        self._asked.append(numbers)
        self._read = None

        def lines() -> pl.Series:
            known, texts = self._read = self._read or self._read_asked()
            return texts.gather(np.searchsorted(known, numbers))

        return lines

    def _read_asked(self) -> tuple[Hashes, pl.Series]:
        """All numbers that are asked for, each once and in order, and their lines."""
        asked = np.unique(np.concatenate(self._asked))
        found = [pl.Series(dtype=pl.String)]
        for number, reader in enumerate(self._readers):
            start, end = np.searchsorted(asked, (number << 32, number + 1 << 32)).tolist()
            if start < end:
                found.append(reader((asked[start:end] & 0xFFFFFFFF).astype(np.intp)))
        return asked, pl.concat(found).alias("line")


class Recent:
    """Tallies of stored parts, from one pass over some of them to the next, up to a size."""

    def __init__(self, most_bytes: int = RECENT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._tallies: dict[PartKey, LoadedTally] = {}
        self._bytes = 0

    def keys(self) -> list[PartKey]:
        """Of all that are there."""
        return list(self._tallies)

    def read(
        self, parts: Iterable[tuple[PartKey, Callable[[], LoadedTally]]]
    ) -> Iterator[LoadedTally]:
        """These, of which those that are there come first and are not loaded; no others stay."""
        before, self._tallies, self._bytes = self._tallies, {}, 0
        for key, load in parts:
            loaded = before.pop(key, None)
            if loaded is None:
                before.clear()
                loaded = load()
            size = sum(
                t.rows.estimated_size() + t.names.estimated_size() for t in loaded.tally.tables
            )
            if self._bytes + size <= self._most_bytes:
                self._tallies[key] = loaded
                self._bytes += int(size)
            yield loaded


@dataclass(frozen=True, slots=True)
class Loaded:
    """Rows of the touched IPs; extents are dissolved into object keys, which samples have."""

    lines: Lines
    counts: Addressed
    values: Addressed
    samples: Addressed
    """With numbers of lines."""

    def only(self, ip_hashes: pl.Series) -> Self:
        """What of it is about the IPs with these hashes."""
        wanted = ip_hashes.implode()
        tables = (self.counts, self.values, self.samples)
        own = (t.only(hash_names(t.names).is_in(wanted)).compact() for t in tables)
        return type(self)(self.lines, *own)

    def crowds(self) -> Iterator[Self]:
        """The same of some IPs after the other, each in one: rules match few rows at once."""
        if self.counts.height <= _CROWD:
            yield self
            return
        hashes = hash_names(self.counts.names).unique()
        number = min(-(-self.counts.height // _CROWD), len(hashes))
        for n in range(number):
            yield self.only(hashes.gather_every(number, n))


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

    def choose(self, rule: Rule) -> tuple[Positions, Positions]:
        """Which rows of counts and values *rule* asks for, of those whom it may find suspicious."""
        return self._totals.rows(rule)


def load(tallies: Iterable[LoadedTally], touched: Touched, rules: RuleSet) -> Loaded:
    """What these tallies have of the touched IPs in needed_minutes()."""
    needed = needed_minutes(touched, rules)
    span = (needed[0][0], needed[-1][1]) if needed else (0, 0)
    return load_within(tallies, touched.ips, span)


def load_within(
    tallies: Iterable[LoadedTally], ip_hashes: pl.Series, minutes: tuple[int, int]
) -> Loaded:
    """What these tallies have of the IPs with these hashes in these minutes, half-open."""
    lines, wanted = Lines(), ip_hashes.implode()
    pieces = [_dissolve(LoadedTally(Tally.from_payloads([]), {}), wanted, minutes, lines)]
    pieces += (_dissolve(tally, wanted, minutes, lines) for tally in tallies)
    return Loaded(lines, *(Addressed.united(own, own[0]) for own in zip(*pieces, strict=True)))


def _dissolve(
    loaded: LoadedTally, wanted: pl.Series, minutes: tuple[int, int], lines: Lines
) -> tuple[Addressed, ...]:
    tally = replace(loaded.tally, samples=lines.number(loaded))
    few = (table.only(hash_names(table.names).is_in(wanted)) for table in tally.tables)
    counts, values, samples = (table.within(minutes).compact() for table in few)
    keys = pl.DataFrame(
        {"extent": list(loaded.object_keys), "object_key": list(loaded.object_keys.values())},
        schema={"extent": pl.UInt32, "object_key": pl.String},
    )
    told = replace(samples, rows=samples.rows.join(keys, on="extent"))
    return tuple(replace(t, rows=t.rows.drop("extent")) for t in (counts, values, told))


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


class Survey:
    """
    Who may be suspicious, seen tally by tally: of the others nothing has to be loaded.

    Those are left who reach the threshold of a rule in all the time that is looked at, as in
    candidates(), and who did anything in the minutes of which something is to be said.
    """

    def __init__(self, rules: Iterable[Rule], spoken: tuple[int, int]) -> None:
        """Minutes that are *spoken* of are half-open."""
        self._sizes: dict[Rule, list[tuple[Positions, Sizes]]] = {rule: [] for rule in rules}
        self._hashes: list[Hashes] = []
        self._height = 0
        self._active: list[Positions] = []
        self._spoken = spoken

    def notice(self, counts: Addressed, values: Addressed) -> None:
        """What these rows say of those whom they are about."""
        start, value_start = self._add(counts), self._add(values)
        minutes = counts.rows["minute"].to_numpy()
        is_spoken = (minutes >= self._spoken[0]) & (minutes < self._spoken[1])
        is_active = np.zeros(len(counts.names), np.bool_)
        is_active[counts.rows["ip"].to_numpy()[is_spoken]] = True
        self._active.append(start + np.flatnonzero(is_active))
        totals = _Totals(counts.rows, values.rows, len(counts.names), len(values.names))
        for rule, sizes in self._sizes.items():
            found = totals.sizes(rule)
            if found is not None:
                some = np.flatnonzero(found)
                own = value_start if rule.type == "value_count" else start
                sizes.append((own + some, found[some]))

    def _add(self, table: Addressed) -> int:
        """From where on its names are numbered."""
        self._hashes.append(hash_names(table.names).to_numpy())
        self._height += len(table.names)
        return self._height - len(table.names)

    def candidates(self) -> pl.Series:
        """The hashes of those who are left."""
        # a network has one name for each address, and everyone has names in many tallies
        hashes, numbers = np.unique(
            np.concatenate([_NO_HASHES, *self._hashes]), return_inverse=True
        )
        is_candidate, is_active = np.zeros((2, len(hashes)), np.bool_)
        for rule, sizes in self._sizes.items():
            if sizes:
                names = numbers[np.concatenate([own for own, _ in sizes])]
                total = np.bincount(names, np.concatenate([s for _, s in sizes]), len(hashes))
                is_candidate |= total >= rule.threshold
        for own in self._active:
            is_active[numbers[own]] = True
        return pl.Series(hashes[is_candidate & is_active])


class _Totals:
    """What each of the first *size* IPs of two tables did in all the time of these."""

    def __init__(self, counts: pl.DataFrame, values: pl.DataFrame, *sizes: int) -> None:
        """Of values it may be other IPs, which then have a size of their own."""
        self._size, self._values_size = sizes[0], sizes[-1]
        self._kinds, self._value_kinds = Kinds(counts["counters"]), Kinds(values["counter"])
        self._ips, self._value_ips = counts["ip"].to_numpy(), values["ip"].to_numpy()
        self._counts = counts["count"].to_numpy()

    def sizes(self, rule: Rule) -> Sizes | None:
        """How much each of them has of what *rule* counts; None where nobody has anything."""
        if rule.type == "value_count":
            mine = self._value_kinds.find({rule.counter})
            sums = np.bincount(self._value_ips[mine], minlength=self._values_size + 1)
            size = self._values_size
        else:
            mine = self._kinds.find({rule.after or rule.counter})
            sums = np.bincount(self._ips[mine], self._counts[mine], self._size + 1)
            size = self._size
        return sums[:size] if len(mine) else None

    def reach(self, rule: Rule) -> npt.NDArray[np.bool_]:
        """Which of them reach the threshold of *rule*."""
        sizes = self.sizes(rule)
        if sizes is None:
            return np.zeros(self._size, np.bool_)
        reached: npt.NDArray[np.bool_] = sizes >= rule.threshold
        return reached

    def rows(self, rule: Rule) -> tuple[Positions, Positions]:
        """Which rows of both tables *rule* asks for, of those who reach its threshold."""
        reach = self.reach(rule)
        counts = self._kinds.find({rule.counter, rule.after or rule.counter})
        values = self._value_kinds.find({rule.counter})
        return counts[reach[self._ips[counts]]], values[reach[self._value_ips[values]]]

    def has(self, counters: Collection[str]) -> npt.NDArray[np.bool_]:
        """Which of them have any event that counts for any of *counters*."""
        found = np.zeros(self._size + 1, np.bool_)
        found[self._ips[self._kinds.where(counters)]] = True
        return found[: self._size]


class Kinds:
    """What rows count for, by their column of combinations of counters."""

    def __init__(self, combinations: pl.Series) -> None:
        """These are the rows."""
        self._counters = {n: _counters_in(text) for n, text in texts_of(combinations).items()}
        self._numbers: npt.NDArray[np.uint32] = combinations.to_physical().to_numpy()

    def find(self, counters: Collection[str]) -> Positions:
        """The positions of those that count for any of *counters*, in no order."""
        wanted = np.flatnonzero(self._wanted(counters)).tolist()
        return np.concatenate([self._rows[n] for n in wanted]) if wanted else _NOWHERE

    @cached_property
    def _rows(self) -> dict[int, Positions]:
        """The positions of each combination."""
        most = max(self._counters, default=0)
        # what has two bytes is sorted by counting
        order = np.argsort(self._numbers.astype(np.min_scalar_type(most)), kind="stable")
        known = np.array(sorted(self._counters))
        ends = np.bincount(self._numbers, minlength=most + 1)[known].cumsum()
        return dict(zip(known.tolist(), np.split(order, ends[:-1]), strict=True))

    def where(self, counters: Collection[str]) -> npt.NDArray[np.bool_]:
        """Which of them count for any of *counters*."""
        found: npt.NDArray[np.bool_] = self._wanted(counters)[self._numbers]
        return found

    def match(self, counters: Sequence[str], chosen: Positions) -> npt.NDArray[np.bool_]:
        """Which of them count for the one of *counters* that is chosen for each."""
        table = np.zeros((max(self._counters, default=0) + 1, len(counters)), np.bool_)
        for n, own in self._counters.items():
            table[n] = [counter in own for counter in counters]
        matching: npt.NDArray[np.bool_] = table[self._numbers, chosen]
        return matching

    def _wanted(self, counters: Collection[str]) -> npt.NDArray[np.bool_]:
        """By the number of each combination."""
        is_wanted = np.zeros(max(self._counters, default=0) + 1, np.bool_)
        is_wanted[[n for n, own in self._counters.items() if not own.isdisjoint(counters)]] = True
        return is_wanted


@lru_cache(maxsize=10_000)
def _counters_in(combination: str) -> frozenset[str]:
    return frozenset(combination.split(" "))


def choose(rows: pl.DataFrame, counters: Collection[str]) -> pl.DataFrame:
    """Those *rows* that count for any of *counters*."""
    column = next(name for name in rows.columns if name.startswith("counter"))
    return rows[Kinds(rows[column]).find(counters)]


def _number(table: Addressed, names: pl.Series) -> pl.DataFrame:
    numbers = find_names(names, table.names).gather(table.rows["ip"])
    rows, members = table.rows.with_columns(numbers), table.members
    # what says by itself which addresses it is about has no members
    if "address" not in rows.columns:
        address = pl.lit(None, pl.String) if members is None else members.gather(table.rows["ip"])
        rows = rows.with_columns(address=address)
    return rows.filter(pl.col("ip").is_not_null())
