"""Counts as integers, 64 bits and 32 bits each, until one table is made of them all."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Words = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.uint32]

IP_BITS: Final = 24
MINUTE_BITS: Final = 27
"""Minutes since the epoch, up to the year 2225."""
LAST_PACKED_MINUTE: Final = (1 << MINUTE_BITS) - 1
COUNTER_BITS: Final = 13
_COMPACT_ROWS: Final = 1_000_000


class PackedCounts:
    """
    How many lines there are per key, by extent.

    A key is the number of an IP, a minute, and the number of a combination of counters.
    """

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._pieces: dict[int, list[tuple[Words, Counts]]] = {}

    def add(self, extent: int, keys: Words, counts: Counts) -> None:
        """Each key is that much more."""
        pieces = self._pieces.setdefault(extent, [])
        pieces.append((keys, counts))
        # the first piece is what was summed up before, and doubles before it is summed up again
        if sum(len(k) for k, _ in pieces[1:]) > _COMPACT_ROWS + len(pieces[0][0]):
            self._pieces[extent] = [_sum_up(*_join(pieces))]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is counted."""
        return not self._pieces

    def drop(self, extent: int) -> None:
        """Nothing is counted under this extent."""
        self._pieces.pop(extent, None)

    def pop_table(self, ips: Sequence[str], counters: Sequence[str]) -> pl.DataFrame:
        """
        All counts as rows of COUNTS, in the order of a tally; nothing is counted any more.

        Args:
            ips: The text of each numbered IP; two numbers may have the same text.
            counters: The text of each numbered combination of counters, likewise.
        """
        ip_names, ip_ranks = _rank(ips)
        counter_names, counter_ranks = _rank(counters)
        pieces = []
        for extent in sorted(self._pieces):
            keys, counts = _join(self._pieces.pop(extent))
            keys, counts = _sum_up(_rank_keys(keys, ip_ranks, counter_ranks), counts)
            pieces.append((keys, counts, np.full(len(keys), extent, np.uint32)))
        keys = np.concatenate([piece[0] for piece in pieces])
        counts = np.concatenate([piece[1] for piece in pieces])
        extents = np.concatenate([piece[2] for piece in pieces])
        counter = _bits(keys, MINUTE_BITS + IP_BITS, COUNTER_BITS)
        if len(pieces) > 1:
            order = np.argsort(counter.astype(np.uint16), kind="stable")
            keys, counts = keys[order], counts[order]
            extents, counter = extents[order], counter[order]
        return pl.DataFrame(
            {
                "extent": extents,
                "source_ip": ip_names.gather(_bits(keys, MINUTE_BITS, IP_BITS)),
                "minute": _bits(keys, 0, MINUTE_BITS).astype(np.int32),
                "counters": counter_names.cast(pl.Categorical).gather(counter),
                "count": counts,
            }
        )


def pack(ips: npt.ArrayLike, minutes: npt.ArrayLike, counters: npt.ArrayLike) -> Words:
    """Keys, as kernel.count_lines makes them."""
    ip, minute, counter = (np.asarray(part, np.uint64) for part in (ips, minutes, counters))
    keys: Words = ip << np.uint64(MINUTE_BITS + COUNTER_BITS)
    keys |= minute << np.uint64(COUNTER_BITS) | counter
    return keys


def _rank(names: Sequence[str]) -> tuple[pl.Series, Words]:
    series = pl.Series(names, dtype=pl.String)
    return series.unique().sort(), (series.rank("dense").to_numpy() - 1).astype(np.uint64)


def _rank_keys(keys: Words, ip_ranks: Words, counter_ranks: Words) -> Words:
    """Keys whose order is that of the texts: counters, then IPs, then minutes."""
    ip = ip_ranks[_bits(keys, MINUTE_BITS + COUNTER_BITS, IP_BITS)]
    counter = counter_ranks[_bits(keys, 0, COUNTER_BITS)]
    minute = keys >> np.uint64(COUNTER_BITS) & np.uint64((1 << MINUTE_BITS) - 1)
    ranked: Words = counter << np.uint64(MINUTE_BITS + IP_BITS)
    ranked |= ip << np.uint64(MINUTE_BITS) | minute
    return ranked


def _join(pieces: Sequence[tuple[Words, Counts]]) -> tuple[Words, Counts]:
    return np.concatenate([k for k, _ in pieces]), np.concatenate([c for _, c in pieces])


def _sum_up(keys: Words, counts: Counts) -> tuple[Words, Counts]:
    """Each key once, ascending."""
    order = np.argsort(keys)
    keys, counts = keys[order], counts[order]
    starts = np.concatenate(([True], keys[1:] != keys[:-1])).nonzero()[0]
    return keys[starts], np.add.reduceat(counts, starts, dtype=np.uint32)


def _bits(keys: Words, shift: int, width: int) -> npt.NDArray[np.uint32]:
    return (keys >> np.uint64(shift) & np.uint64((1 << width) - 1)).astype(np.uint32)
