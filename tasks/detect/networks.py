"""
Networks: what addresses do together while none of them is noticed by itself.

A rule that counts by network or autonomous system is held against the sum of the addresses in it,
with the definitions of evaluate.py and two more:

- What an address does in an hour in which a rule with a timespan of an hour or less finds it
  suspicious by itself is not counted: it is told of that address already. Nor is what the
  allowlist allows.
- A window is only hot when at least MIN_NETWORK_ADDRESSES addresses (IPv6: subjects) have
  matching events in it.

So what is said of a network follows from the lines alone, as what is said of an address does: both
what counts and what is left out are functions of them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from tasks.detect.addressed import Addressed, hash_names
from tasks.detect.loading import LoadedTally, choose
from tasks.detect.rules import MIN_NETWORK_ADDRESSES, RuleSet
from tasks.detect.tally import Tally
from tasks.detect.touched import HOUR, Span, Touched

NameGroups = Callable[[Iterable[str]], Mapping[str, str]]
"""The network of each of these source IPs that has one."""

IsAllowed = Callable[[str, int], bool]
"""Whether the allowlist has a source IP in a minute since the epoch."""

_NOTICED: Final = pl.Schema(
    {"group": pl.String(), "source_ip": pl.String(), "hour": pl.Int32(), "count": pl.Int64()}
)
_HOUR: Final = (pl.col("minute") // HOUR).alias("hour")


@dataclass(frozen=True, slots=True)
class Grouping:
    """One way of putting addresses together, and the rules that do so."""

    rules: RuleSet
    name: NameGroups

    def select(self, tally: Tally) -> Tally:
        """The part of *tally* that the rules count."""
        return Tally(*map(self.select_rows, tally.tables))

    def select_rows(self, table: Addressed) -> Addressed:
        """The rows of one table of a tally that the rules count."""
        counters = [rule.counter for rule in self.rules.rules]
        return replace(table, rows=choose(table.rows, counters))

    def names(self, source_ips: Iterable[str]) -> pl.DataFrame:
        """Columns `source_ip` and `group`, of those that have one."""
        found = self.name(source_ips)
        return pl.DataFrame(
            {"source_ip": list(found), "group": list(found.values())},
            schema={"source_ip": pl.String, "group": pl.String},
        )

    def touched(self, tally: Tally) -> Touched:
        """Which networks the part of *tally* that the rules count is about, and when."""
        counted = self.select(tally)
        if not counted.counts.height:
            return Touched.united([])
        nobody = _NOTICED.to_frame().select("source_ip", "hour")
        return Touched.by([self.unite(LoadedTally(counted, {}), nobody).tally])

    def unite(
        self, loaded: LoadedTally, alone: pl.DataFrame, is_allowed: IsAllowed | None = None
    ) -> LoadedTally:
        """
        The part of a tally that the rules count, by network.

        The members of the tables are the addresses.

        Args:
            alone: source_ip and hour of what is not counted.
            is_allowed: Nor is this.
        """
        tally = self.select(loaded.tally)

        def by_group(table: Addressed) -> Addressed:
            used = table.rows.select("ip").unique()
            known = used.with_columns(source_ip=table.names.gather(used["ip"]))
            groups = known.join(self.names(known["source_ip"]), on="source_ip")
            apart = known.join(alone, on="source_ip").select("ip", "hour")
            rows = table.rows.with_columns(_HOUR).join(apart, on=["ip", "hour"], how="anti")
            rows = rows.drop("hour").join(groups.select("ip"), on="ip", how="semi")
            if is_allowed is not None:
                places = rows.select("ip", "minute").unique()
                allowed = _allowed(places, table.names, is_allowed)
                rows = rows.join(allowed, on=["ip", "minute"], how="anti")
            names = table.names.clone().scatter(groups["ip"], groups["group"])
            return Addressed(rows, names, table.names)

        return replace(loaded, tally=Tally(*map(by_group, tally.tables)))


class Watch:
    """Which networks may be suspicious at all, seen while addresses are evaluated."""

    def __init__(self, grouping: Grouping) -> None:
        self._grouping = grouping
        self._pieces = [_NOTICED.to_frame()]

    def notice(self, tally: Tally, needed: Iterable[Span]) -> None:
        """What the rules count of *tally* in these minutes is remembered, by hours."""
        counts = self._grouping.select_rows(tally.counts).named()
        if counts.is_empty():
            return
        near = [pl.col("minute").is_between(*span, closed="left") for span in needed]
        self._pieces.append(
            counts.filter(pl.any_horizontal(near))
            .group_by("source_ip", _HOUR)
            .agg(pl.col("count").cast(pl.Int64).sum())
            .join(self._grouping.names(counts["source_ip"].unique()), on="source_ip")
            .select(_NOTICED.names())
        )

    def candidates(self) -> set[str]:
        """
        The networks with any two hours in a row that hold enough for one window; starts anew.

        No window is longer than an hour, so each lies in two of them.
        """
        noticed = pl.concat(self._pieces)
        self._pieces = [_NOTICED.to_frame()]
        threshold = min((r.threshold for r in self._grouping.rules.rules), default=1)
        twice = pl.concat([noticed, noticed.with_columns(pl.col("hour") - 1)])
        found = (
            twice.group_by("group", "hour")
            .agg(pl.col("count").sum(), pl.col("source_ip").n_unique().alias("addresses"))
            .filter(pl.col("count") >= threshold, pl.col("addresses") >= MIN_NETWORK_ADDRESSES)
        )
        return set(found["group"])


def touched_groups(
    grouping: Grouping, touched: Touched, changed: Mapping[str, Iterable[Span]]
) -> Touched:
    """
    Where a network may say something else now.

    Args:
        touched: Where lines that the rules count were added or withdrawn, by network.
        changed: Hours for which source IPs may have become suspicious, or ceased to be.
    """
    flips = pl.DataFrame(
        [(ip, hour) for ip, spans in changed.items() for span in spans for hour in range(*span)],
        schema={"source_ip": pl.String, "hour": pl.Int32},
        orient="row",
    )
    named = flips.join(grouping.names(changed), on="source_ip")
    start = pl.col("hour") * HOUR
    whole = named.with_columns(
        hash_names(named["group"]), first_minute=start, last_minute=start + HOUR - 1
    )
    return Touched.united([touched.hours, whole])


def _allowed(places: pl.DataFrame, names: pl.Series, is_allowed: IsAllowed) -> pl.DataFrame:
    """Those of *places*, with columns `ip` and `minute`, that do not count."""
    there: Iterator[bool] = (is_allowed(names[ip], minute) for ip, minute in places.iter_rows())
    return places.filter(pl.Series(list(there), dtype=pl.Boolean))
