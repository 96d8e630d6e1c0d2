"""What was counted as integers: 64-bit keys and hashes, until it is stored."""

from collections.abc import Callable, Sequence
from ipaddress import IPv6Address
from socket import AF_INET6, inet_ntop
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.detect.columns import Column, Columns, Named, Texts
from tasks.detect.rules import MAX_DISTINCT_VALUES
from tasks.detect.sampling_kernel import gather_texts, mark_lowest
from tasks.detect.settling_kernel import COUNTER_BITS, IP_BITS, MINUTE_BITS

Words = npt.NDArray[np.uint64]
Extents = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]
Sizes = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]


class Names(NamedTuple):
    """Texts in order, and where in that order each numbered one is."""

    texts: pl.Series
    ranks: Words

    @classmethod
    def of(cls, texts: pl.Series) -> Self:
        """Names of what is numbered as in *texts*, each of which is there once."""
        order = texts.arg_sort().to_numpy()
        ranks = np.empty(len(texts), np.uint64)
        ranks[order] = np.arange(len(texts), dtype=np.uint64)
        return cls(texts.gather(order), ranks)


Rows = tuple[Extents, Words, npt.NDArray[Any]]
"""Extents, keys, and one number more of each row."""


class Packed:
    """
    Numbers by extent and key, reduced again and again to what matters.

    A key is the number of an IP, a minute, and the number of what is counted.
    """

    def __init__(
        self, reduce: Callable[[*Rows], Rows], of: str, number: str, dtype: type[np.unsignedinteger]
    ) -> None:
        """
        Nothing is there yet.

        Args:
            reduce: Makes what matters of rows, by key and extent.
            of: The name of what is counted.
            number: The name of the numbers.
        """
        self._reduce = reduce
        self._of, self._number = of, number
        self._nothing = (np.empty(0, np.uint32), np.empty(0, np.uint64), np.empty(0, dtype))
        self._pieces: list[Rows] = []

    @property
    def size(self) -> int:
        """In bytes, about."""
        return sum(keys.nbytes + numbers.nbytes for _, keys, numbers in self._pieces)

    def add(self, extent: int, keys: Words, numbers: npt.NDArray[Any]) -> None:
        """Each key has that number, too."""
        self._pieces.append((np.broadcast_to(np.uint32(extent), keys.shape), keys, numbers))

    def compact(self) -> None:
        """Only what matters is there, in order."""
        self._pieces = [self._reduce(*_join([self._nothing, *self._pieces]))]

    def drop(self, extent: int) -> None:
        """Nothing is there under this extent."""
        self._pieces = [
            (extents[others], keys[others], numbers[others])
            for extents, keys, numbers in self._pieces
            for others in [extents != extent]
        ]

    def ips(self, count: int) -> npt.NDArray[np.bool_]:
        """Which of so many numbered IPs are there."""
        there = np.zeros(count, np.bool_)
        for _, keys, _ in self._pieces:
            there[_ip_of(keys)] = True
        return there

    def pop(self, ips: Names, counters: Names) -> Columns:
        """All rows, in the order of a tally; none is left."""
        extents, keys, numbers = _join([self._nothing, *self._pieces])
        self._pieces = []
        extents, keys, numbers = self._reduce(extents, _rank_keys(keys, ips, counters), numbers)
        return {**_places(extents, keys, ips, self._of, counters), self._number: numbers}


def packed_counts() -> Packed:
    """How many lines there are per key; it has the number of a combination of counters."""
    return Packed(_sum_up, "counters", "count", np.uint32)


def packed_values() -> Packed:
    """The lowest hashes of values per key; it has the number of one counter."""
    return Packed(_take_lowest, "counter", "value_hash", np.uint64)


def _sum_up(extents: Extents, keys: Words, counts: npt.NDArray[Any]) -> Rows:
    order = _order(extents, keys)
    extents, keys = extents[order], keys[order]
    starts = _is_first(extents, keys).nonzero()[0]
    return extents[starts], keys[starts], np.add.reduceat(counts[order], starts, dtype=np.uint32)


def _take_lowest(extents: Extents, keys: Words, hashes: npt.NDArray[Any]) -> Rows:
    order = _order(hashes, extents, keys)
    extents, keys, hashes = extents[order], keys[order], hashes[order]
    is_new = _is_first(extents, keys, hashes)
    extents, keys, hashes = extents[is_new], keys[is_new], hashes[is_new]
    starts = _is_first(extents, keys).nonzero()[0]
    rank = np.arange(len(keys)) - np.repeat(starts, np.diff(np.append(starts, len(keys))))
    keep = rank < MAX_DISTINCT_VALUES
    return extents[keep], keys[keep], hashes[keep]


class Sampled(NamedTuple):
    """Lines that may be samples; *texts* has them one after the other, each with its end."""

    extents: Extents
    keys: Words
    hashes: Words
    numbers: Numbers
    sizes: Sizes
    texts: Bytes


class Slots(NamedTuple):
    """In which slots the lines of each combination of counters compete, and how many win there."""

    ends: Sizes
    """Where those of each combination end in *numbers*."""
    numbers: Sizes
    limits: Sizes


class PackedSamples:
    """Lines that may be samples, reduced again and again to those that are."""

    def __init__(self, slots: Callable[[], Slots]) -> None:
        """There is none yet."""
        self._slots = slots
        self._pieces: list[Sampled] = []
        self._is_compact = True
        self.size = 0
        """In bytes."""

    def add(self, lines: Sampled) -> None:
        """These, too, may be samples."""
        if not len(lines.keys):
            return
        self._pieces.append(lines)
        self._is_compact = False
        self.size += sum(column.nbytes for column in lines)

    def drop(self, extent: int) -> None:
        """No line of this extent is kept."""
        pieces, self._pieces, self.size = self._pieces, [], 0
        for lines in pieces:
            self.add(self._pick([lines], lines.extents != extent))

    def pop(self, ips: Names, counters: Names) -> Columns:
        """All samples, in the order of a tally; none is left."""
        self.compact()
        lines = self._pieces.pop() if self._pieces else _NO_LINES
        self.size = 0
        keys = _rank_keys(lines.keys, ips, counters)
        order = _order(lines.hashes, lines.extents, keys)
        places = _places(lines.extents[order], keys[order], ips, "counters", counters)
        combinations = places.pop("counters")
        return {
            **places,
            "line_hash": lines.hashes[order],
            "line_number": lines.numbers[order],
            "line": Texts(lines.sizes[order], self._gather_texts(lines, order)),
            "counters": combinations,
        }

    def compact(self) -> None:
        """Only samples are there."""
        if self._is_compact:
            return
        pieces, self._pieces, self.size = self._pieces, [], 0
        if not pieces:
            return
        extents, keys, hashes, numbers, _ = _join([piece[:5] for piece in pieces])
        places = keys >> np.uint64(COUNTER_BITS)
        counters = (keys & np.uint64((1 << COUNTER_BITS) - 1)).astype(np.int32)
        keep = np.zeros(len(keys), np.bool_)
        order = _order(hashes, extents, places)
        slots = self._slots()
        mark_lowest(
            order, extents, places, hashes, numbers, counters,
            slots.ends, slots.numbers, slots.limits,
            np.zeros(len(slots.limits), np.int64), np.full(len(slots.limits), -1), keep,
        )  # fmt: skip
        del order, places, counters, hashes, numbers, keys, extents
        self.add(self._pick(pieces, keep))
        self._is_compact = True

    def _pick(self, pieces: list[Sampled], keep: npt.NDArray[np.bool_]) -> Sampled:
        """The lines of all *pieces*, which are let go of, that are to be kept."""
        columns = [column[keep] for column in _join([piece[:5] for piece in pieces])]
        texts = []
        row = 0
        for number, piece in enumerate(pieces):
            wanted = keep[row : row + len(piece.keys)].nonzero()[0]
            texts.append(self._gather_texts(piece, wanted))
            row += len(piece.keys)
            pieces[number] = _NO_LINES
        return Sampled(*columns, np.concatenate(texts))  # type: ignore[call-arg]  # five columns

    @staticmethod
    def _gather_texts(lines: Sampled, order: Numbers) -> Bytes:
        """The texts of these lines, one after the other."""
        starts = lines.sizes.cumsum(dtype=np.int64) - lines.sizes
        texts = np.empty(int(lines.sizes[order].sum(dtype=np.int64)), np.uint8)
        gather_texts(lines.texts, starts[order], lines.sizes[order], texts)
        return texts


_NO_LINES: Final = Sampled(
    np.empty(0, np.uint32), np.empty(0, np.uint64), np.empty(0, np.uint64),
    np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.uint8),
)  # fmt: skip


def name_addresses(addresses: Words) -> pl.Series:
    """Canonical texts of addresses, as ipaddress has them; IPv4 addresses are mapped."""
    low = addresses[:, 1]
    octets = [_OCTETS.gather(low >> np.uint64(n) & np.uint64(255)) for n in (24, 16, 8, 0)]
    names = pl.select(pl.concat_str(octets, separator=".")).to_series()
    others = (addresses[:, 0] != 0) | (low >> np.uint64(32) != 0xFFFF)
    texts = addresses[others].astype(">u8").tobytes()
    named = [_name_ipv6(texts[at : at + 16]) for at in range(0, len(texts), 16)]
    return names.scatter(others.nonzero()[0], named) if named else names


_OCTETS: Final = pl.Series([str(n) for n in range(256)])


def _name_ipv6(address: bytes) -> str:
    # quick, but what begins with zeros it may write with the dots of IPv4
    return inet_ntop(AF_INET6, address) if any(address[:8]) else str(IPv6Address(address))


def pack(ips: npt.ArrayLike, minutes: npt.ArrayLike, counters: npt.ArrayLike) -> Words:
    """Keys, as settling_kernel.pack_place makes them."""
    ip, minute, counter = (np.asarray(part, np.uint64) for part in (ips, minutes, counters))
    keys: Words = ip << np.uint64(MINUTE_BITS + COUNTER_BITS)
    keys |= minute << np.uint64(COUNTER_BITS) | counter
    return keys


def _ip_of(keys: Words) -> Numbers:
    return (keys >> np.uint64(MINUTE_BITS + COUNTER_BITS)).astype(np.int64)


def _rank_keys(keys: Words, ips: Names, counters: Names) -> Words:
    """Keys whose order is that of the texts: of IPs, then minutes, then that of counters."""
    ranked: Words = ips.ranks[_ip_of(keys)] << np.uint64(MINUTE_BITS + COUNTER_BITS)
    ranked |= keys & np.uint64(((1 << MINUTE_BITS) - 1) << COUNTER_BITS)
    ranked |= counters.ranks[_bits(keys, 0, COUNTER_BITS)]
    return ranked


def _places(
    extents: Extents, ranked: Words, ips: Names, name: str, counters: Names
) -> dict[str, Column]:
    """The columns that say who, when and what, of ranked keys."""
    return {
        "extent": extents,
        "ip": Named(_bits(ranked, MINUTE_BITS + COUNTER_BITS, IP_BITS), ips.texts),
        "minute": _bits(ranked, COUNTER_BITS, MINUTE_BITS).astype(np.int32),
        name: Named(_bits(ranked, 0, COUNTER_BITS), counters.texts),
    }


def _join(pieces: Sequence[Sequence[npt.NDArray[Any]]]) -> tuple[npt.NDArray[Any], ...]:
    return tuple(np.concatenate(columns) for columns in zip(*pieces, strict=True))


def _order(*columns: npt.NDArray[Any]) -> Numbers:
    """Rows by the last of *columns*, then by the one before it, and so on."""
    first, *others = [c for c in columns if len(c) and c.min() != c.max()] or columns[-1:]
    order = np.argsort(first)
    for column in others:
        order = order[np.argsort(column[order], kind="stable")]
    return order


def _is_first(*columns: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Of each row in order whether one of *columns* is another than in the row before."""
    is_first = np.ones(len(columns[0]), np.bool_)
    is_first[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return is_first


def _bits(keys: Words, shift: int, width: int) -> npt.NDArray[np.uint32]:
    return (keys >> np.uint64(shift) & np.uint64((1 << width) - 1)).astype(np.uint32)
