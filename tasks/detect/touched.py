"""What is new: where lines were added or withdrawn, and which event time that concerns."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.detect.addressed import Addressed, hash_names
from tasks.detect.rules import RuleSet
from tasks.detect.tally import Tally

HOUR: Final = 60
"""Minutes in what is recomputed as a whole."""
SLICE_SIZE: Final = 150_000
"""IPs with an hour that are evaluated together; a million takes more than half a GiB."""
SLICE_BYTES: Final = 5 * 1024**2
"""Of parts that are evaluated together; attackers do more in an hour than others."""
_SCHEMA: Final = pl.Schema(
    {
        "ip_hash": pl.UInt64(),
        "hour": pl.Int32(),
        "first_minute": pl.Int32(),
        "last_minute": pl.Int32(),
    }
)
_PAIR: Final = ["ip_hash", "hour"]

MARGIN: Final = 1
"""Hours in which a line can change anything, before or after its own: no rule but slow ones
has a timespan of more than one."""

Span = tuple[int, int]
"""Half-open: from the first up to, not including, the second."""

Weight = tuple[int, int, int]
"""Of a part: its first and its last minute, and its bytes."""

_ALL_TIME: Final = (-(2**25), 2**26)
"""In hours."""


@dataclass(frozen=True, slots=True, eq=False)
class Touched:
    """
    Where lines have been added or withdrawn.

    Source IPs are hashes here. Two of them with one hash are both evaluated where one of them is
    touched, and that says of the other what is said of it already.
    """

    hours: pl.DataFrame
    """ip_hash, hour, first_minute, last_minute; each IP and hour once."""
    spoken: Span = _ALL_TIME
    """Of these hours, and of no others that lines may change, something is to be said."""
    share: int = 0
    shares: int = 1
    """Which of so many this is that speak of the same hours, each of IPs of its own."""

    @classmethod
    def by(cls, tallies: Iterable[Tally]) -> Self:
        """Return what these tallies touch, by being counted or by being withdrawn."""
        return cls.united(_runs(tally.counts) for tally in tallies)

    @classmethod
    def within(cls, spans: Mapping[str, tuple[int, int]]) -> Self:
        """Return all that lies between the first and the last minute given for each IP."""
        frame = pl.DataFrame(
            [(ip, first, last) for ip, (first, last) in spans.items()],
            schema={"source_ip": pl.String, "from": pl.Int32, "to": pl.Int32},
            orient="row",
        )
        frame = frame.with_columns(hash_names(frame["source_ip"]))
        start = pl.col("hour") * HOUR
        hours = explode_hours(frame, pl.col("from"), pl.col("to"), frame.columns)
        return cls.united(
            [
                hours.select(
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

    @property
    def ips(self) -> pl.Series:
        """The hashes, each once."""
        return self.hours["ip_hash"].unique()

    @property
    def own(self) -> Self:
        """Where lines have been added or withdrawn in the hours that are spoken of."""
        return replace(self, hours=self.hours.filter(_is_within("hour", self.spoken)))

    def only(self, ip_hashes: pl.Series) -> Self:
        """What of it is about the IPs with these hashes."""
        mine = pl.col("ip_hash").is_in(ip_hashes.implode())
        return replace(self, hours=self.hours.filter(mine))

    def slices(
        self,
        margin: int = MARGIN,
        hours: int = 24,
        size: int = SLICE_SIZE,
        *,
        is_by_hour: bool = True,
        weights: Sequence[Weight] = (),
    ) -> Iterator[Self]:
        """
        The same in pieces that speak of so many hours at most, and of about *size* IPs with one.

        Args:
            margin: In how many hours before and after it a line may change what is said.
            is_by_hour: Fewer hours of all IPs, where that is enough; else fewer IPs of all hours.
            weights: Of the parts that this was made of: fewer hours, where they are heavy, and
                fewer IPs, where one hour is.

        Each hour of each IP is spoken of by one piece, which holds all that is touched within
        *margin* of it. So evaluating them one after the other needs the memory of one, does
        nothing twice, and gives what evaluating all at once gives, as long as all tallies are
        on record before the first is evaluated.
        """
        own = dict(self.hours.group_by("hour").len().iter_rows())
        near = sorted({hour + n for hour in own for n in range(-margin, margin + 1)})
        ips = [own.get(hour, 0) for hour in near]
        weigh = np.maximum(_spread(weights, near) * (size / SLICE_BYTES), ips).tolist()
        sizes = list(zip(near, ips, weigh, strict=True))
        for (start, end), together, weight in _cut(sizes, hours, size if is_by_hour else None):
            piece = self.hours.filter(_is_within("hour", (start - margin, end + margin)))
            # for each share all parts are read: an hour that is hardly too heavy has one
            parts = max(ceil(together / size), round(weight / size), 1)
            shares = [piece.filter(pl.col("ip_hash") % parts == part) for part in range(parts)]
            shares = [share for share in shares if not share.is_empty()]
            for number, share in enumerate(shares):
                yield type(self)(share, (start, end), number, len(shares))

    @classmethod
    def united(cls, pieces: Iterable[pl.DataFrame]) -> Self:
        """Return what any of *pieces* touches; each has the columns of `hours` and maybe more."""
        # hour by hour and in few bytes, because there may be millions
        by_hour: dict[int, list[_Hour]] = defaultdict(list)
        most: dict[int, int] = defaultdict(lambda: _APART)
        for piece in pieces:
            columns = (piece[name].cast(kind).to_numpy() for name, kind in _SCHEMA.items())
            ip_hash, hours, first, last = columns
            minutes = [(m - hours * HOUR).astype(np.uint8) for m in (first, last)]
            order = np.argsort(hours, kind="stable")
            ends = np.flatnonzero(np.diff(hours[order])) + 1
            for own in np.split(order, ends) if len(order) else ():
                hour = int(hours[own[0]])
                by_hour[hour].append((ip_hash[own], *(m[own] for m in minutes)))
                if sum(len(hashes) for hashes, _, _ in by_hour[hour]) > most[hour]:
                    by_hour[hour] = [_unite(by_hour[hour])]
                    most[hour] = 2 * len(by_hour[hour][0][0]) + _APART
        united = (_tell(hour, _unite(by_hour.pop(hour))) for hour in sorted(by_hour))
        return cls(pl.concat([_SCHEMA.to_frame(), *united], rechunk=True))


_Hour = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
"""Of one hour: hashes, and of each the first and the last minute, of 60."""


_APART: Final = 50_000
"""Rows of an hour that are not united, beside as many as are; there may be hundreds of pieces."""


def _unite(pieces: Sequence[_Hour]) -> _Hour:
    """Each IP of an hour once."""
    hashes, first, last = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
    order = np.argsort(hashes)
    hashes = hashes[order]
    starts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))
    return (
        hashes[starts],
        np.minimum.reduceat(first[order], starts),
        np.maximum.reduceat(last[order], starts),
    )


def _tell(hour: int, united: _Hour) -> pl.DataFrame:
    hashes, first, last = united
    start = np.int32(hour * HOUR)
    return pl.DataFrame(
        {
            "ip_hash": hashes,
            "hour": np.full(len(hashes), hour, np.int32),
            "first_minute": start + first,
            "last_minute": start + last,
        },
        schema=_SCHEMA,
    )


def _runs(counts: Addressed) -> pl.DataFrame:
    """
    The hours of rows about the same IP and hour that follow each other, and its minutes.

    Within a part of a tally few hours come twice; a group by all rows takes longer, and memory.
    """
    if not counts.height:
        return _SCHEMA.to_frame()
    ips, minutes = counts.rows["ip"].to_numpy(), counts.rows["minute"].to_numpy()
    hours = minutes // HOUR
    starts = np.flatnonzero(np.append(True, (ips[1:] != ips[:-1]) | (hours[1:] != hours[:-1])))
    return pl.DataFrame(
        {
            "ip_hash": hash_names(counts.names).to_numpy()[ips[starts]],
            "hour": hours[starts],
            "first_minute": np.minimum.reduceat(minutes, starts),
            "last_minute": np.maximum.reduceat(minutes, starts),
        }
    )


def needed_minutes(touched: Touched, rules: RuleSet) -> list[Span]:
    """
    The event time that evaluate() has to be given, of the touched IPs.

    Returns:
        Minutes since the epoch, half-open, disjoint, in order. More than that does no harm.
    """
    return _affected_minutes(touched, rules, _reach(rules))


def told_minutes(touched: Touched, rules: RuleSet) -> list[Span]:
    """The event time that evaluate() speaks of: of the rest it needs counts, but no lines."""
    return _affected_minutes(touched, rules, 0)


def hours_around(spans: Sequence[Span]) -> Span:
    """From which hour to which all these minutes are."""
    return (spans[0][0] // HOUR, -(-spans[-1][1] // HOUR)) if spans else (0, 0)


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
    names = pl.DataFrame({"source_ip": list(source_ips)}, schema={"source_ip": pl.String})
    spans = (
        names.with_columns(hash_names(names["source_ip"]))
        .join(_affected_spans(touched, rules), on="ip_hash")
        .select("source_ip", "from", "to")
    )
    found: dict[str, list[Span]] = defaultdict(list)
    for source_ip, first, last in spans.iter_rows():
        found[source_ip].append((first, last + 1))
    return {source_ip: merge_spans(found[source_ip]) for source_ip in sorted(found)}


def only_affected(
    places: pl.DataFrame, names: pl.Series, touched: Touched, rules: RuleSet
) -> pl.DataFrame:
    """Those *places*, with an `ip` of *names* and an `hour`, that evaluate() speaks of."""
    suspects = places.select("ip").unique()
    suspects = suspects.with_columns(hash_names(names).gather(suspects["ip"]))
    spans = suspects.join(_affected_spans(touched, rules), on="ip_hash")
    spans = spans.with_columns(pl.col("from", "to") * HOUR)
    pairs = explode_hours(spans, pl.col("from"), pl.col("to"), ["ip"]).unique()
    return places.join(pairs, on=["ip", "hour"], how="semi")


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that are disjoint and in order."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def explode_hours(
    frame: pl.DataFrame, first: pl.Expr, last: pl.Expr, keep: list[str], per_hour: int = HOUR
) -> pl.DataFrame:
    """One row per hour that holds one of the minutes from *first* to *last*."""
    hours = pl.int_ranges(first // per_hour, last // per_hour + 1, dtype=pl.Int32).alias("hour")
    return frame.select(*keep, hours).explode("hour")


def _is_within(column: str, span: Span) -> pl.Expr:
    return pl.col(column).is_between(*span, closed="left")


def _spread(weights: Sequence[Weight], hours: Sequence[int]) -> npt.NDArray[np.float64]:
    """How many bytes are about each of these hours, in order, if a part is as much about each."""
    first, last, size = np.array(weights, np.int64).reshape(-1, 3).T
    start = np.searchsorted(hours, first // HOUR)
    end = np.searchsorted(hours, last // HOUR, side="right")
    each = size / np.maximum(end - start, 1)
    begun, ended = (np.bincount(at, each, len(hours) + 1) for at in (start, end))
    spread: npt.NDArray[np.float64] = (begun - ended).cumsum()[: len(hours)]
    return spread


def _cut(
    sizes: Sequence[tuple[int, int, float]], hours: int, size: int | None
) -> Iterator[tuple[Span, int, float]]:
    """The hours of each piece, how many IPs have one, and what they weigh; in order of time."""
    together, weight = 0, 0.0
    start = end = sizes[0][0] if sizes else 0
    for hour, more, heavy in sizes:
        is_full = size is not None and weight and weight + heavy > size
        if hour >= start + hours or is_full:
            yield (start, end), together, weight
            start, together, weight = hour, 0, 0.0
        end, together, weight = hour + 1, together + more, weight + heavy
    if sizes:
        yield (start, end), together, weight


def _reach(rules: RuleSet) -> int:
    """How many minutes before or after it an event can matter."""
    return rules.only(lambda rule: not rule.is_slow).max_timespan_seconds // 60 - 1


def _affected_minutes(touched: Touched, rules: RuleSet, margin: int) -> list[Span]:
    spans = _affected_spans(touched, rules).select("from", "to").unique().iter_rows()
    return merge_spans((a * HOUR - margin, (b + 1) * HOUR + margin) for a, b in spans)


def _affected_spans(touched: Touched, rules: RuleSet) -> pl.DataFrame:
    reach = _reach(rules)
    first = ((pl.col("first_minute") - reach) // HOUR).clip(lower_bound=touched.spoken[0])
    last = ((pl.col("last_minute") + reach) // HOUR).clip(upper_bound=touched.spoken[1] - 1)
    spans = touched.hours.select("ip_hash", first.alias("from"), last.alias("to"))
    return spans.filter(pl.col("from") <= pl.col("to"))
