"""What was counted as integers: 64-bit keys and hashes, until it is stored."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from tasks.detect.columns import Column, Columns, Named, Texts
from tasks.detect.rules import MAX_DISTINCT_VALUES

Words = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.uint32]
Extents = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]
Sizes = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

IP_BITS: Final = 24
MINUTE_BITS: Final = 27
"""Minutes since the epoch, up to the year 2225."""
LAST_PACKED_MINUTE: Final = (1 << MINUTE_BITS) - 1
COUNTER_BITS: Final = 13


class Names(NamedTuple):
    """Texts in order, and where in that order each numbered one is."""

    texts: pl.Series
    ranks: Words

    @classmethod
    def of(cls, texts: pl.Series, order: Numbers | None = None) -> Self:
        """
        Names of what is numbered as in *texts*, each of which is there once.

        Args:
            order: Of the texts, where it is known.
        """
        order = texts.arg_sort().to_numpy() if order is None else order
        ranks = np.empty(len(texts), np.uint64)
        ranks[order] = np.arange(len(texts), dtype=np.uint64)
        return cls(texts.gather(order), ranks)


class PackedCounts:
    """
    How many lines there are per key, by extent.

    A key is the number of an IP, a minute, and the number of a combination of counters.
    """

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._pieces: dict[int, list[tuple[Words, Counts]]] = {}
        self.size = 0
        """In bytes."""

    def add(self, extent: int, keys: Words, counts: Counts) -> None:
        """Each key is that much more."""
        pieces = self._pieces.setdefault(extent, [])
        pieces.append((keys, counts))
        self.size += keys.nbytes + counts.nbytes

    def compact(self) -> None:
        """Each key is there once."""
        self._pieces = {e: [_sum_up(*_join(pieces))] for e, pieces in self._pieces.items()}
        self.size = sum(k.nbytes + c.nbytes for ((k, c),) in self._pieces.values())

    def drop(self, extent: int) -> None:
        """Nothing is counted under this extent."""
        self.size -= sum(k.nbytes + c.nbytes for k, c in self._pieces.pop(extent, ()))

    def ips(self, count: int) -> npt.NDArray[np.bool_]:
        """Which of so many numbered IPs have counts."""
        there = np.zeros(count, np.bool_)
        for pieces in self._pieces.values():
            for keys, _ in pieces:
                there[_ip_of(keys)] = True
        return there

    def pop(self, ips: Names, counters: Names) -> Columns:
        """All counts, in the order of a tally; nothing is counted any more."""
        pieces = [(np.empty(0, np.uint64), np.empty(0, np.uint32), np.empty(0, np.uint32))]
        for extent in sorted(self._pieces):
            keys, counts = _join(self._pieces.pop(extent))
            keys, counts = _sum_up(_rank_keys(keys, ips, counters), counts)
            pieces.append((keys, counts, np.full(len(keys), extent, np.uint32)))
        self.size = 0
        keys, counts, extents = _join_all(pieces)
        if len(pieces) > 2:
            order = np.argsort(keys, kind="stable")
            keys, counts, extents = keys[order], counts[order], extents[order]
        return {**_places(extents, keys, ips, "counters", counters), "count": counts}


class PackedValues:
    """Hashes of values per key, by extent; a key has the number of one counter."""

    def __init__(self) -> None:
        """There is none yet."""
        self._pieces: list[tuple[Extents, Words, Words]] = []
        self.size = 0
        """In bytes."""

    def add(self, extents: Extents | int, keys: Words, hashes: Words) -> None:
        """Each key has that hash, too."""
        self._add(np.broadcast_to(np.uint32(extents), keys.shape), keys, hashes)

    def compact(self) -> None:
        """Only the lowest hashes of each key are there, each once."""
        if self._pieces:
            pieces, self._pieces, self.size = self._pieces, [], 0
            self._add(*_take_lowest(*_join_all(pieces)))

    def drop(self, extent: int) -> None:
        """No value is kept under this extent."""
        pieces, self._pieces, self.size = self._pieces, [], 0
        for extents, keys, hashes in pieces:
            others = extents != extent
            self._add(extents[others], keys[others], hashes[others])

    def _add(self, extents: Extents, keys: Words, hashes: Words) -> None:
        self._pieces.append((extents, keys, hashes))
        self.size += extents.nbytes + keys.nbytes + hashes.nbytes

    def pop(self, ips: Names, counters: Names) -> Columns:
        """All values, in the order of a tally; none is left."""
        nothing = (np.empty(0, np.uint32), np.empty(0, np.uint64), np.empty(0, np.uint64))
        extents, keys, hashes = _join_all([nothing, *self._pieces])
        self._pieces, self.size = [], 0
        extents, keys, hashes = _take_lowest(extents, _rank_keys(keys, ips, counters), hashes)
        return {**_places(extents, keys, ips, "counter", counters), "value_hash": hashes}


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

    def __init__(self, kept: Any, slots: Callable[[], Slots]) -> None:  # noqa: ANN401 -- a module
        """There is none yet; *kept* is the compiled half."""
        self._kept = kept
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
        order = _order(lines.extents, keys, lines.hashes)
        places = _places(lines.extents[order], keys[order], ips, "counters", counters)
        combinations = places.pop("counters")
        return {
            **places,
            "line_hash": lines.hashes[order],
            "line_number": lines.numbers[order],
            "line": Texts(
                lines.sizes[order], self._kept.order_texts(lines.texts, lines.sizes, order)
            ),
            "counters": combinations,
        }

    def compact(self) -> None:
        """Only samples are there."""
        if self._is_compact:
            return
        pieces, self._pieces, self.size = self._pieces, [], 0
        if not pieces:
            return
        extents, keys, hashes, numbers, _ = _join_all([piece[:5] for piece in pieces])
        places = keys >> np.uint64(COUNTER_BITS)
        counters = (keys & np.uint64((1 << COUNTER_BITS) - 1)).astype(np.int32)
        keep = np.zeros(len(keys), np.bool_)
        order = _order(extents, places, hashes)
        slots = self._slots()
        self._kept.mark_lowest(
            order, extents, places, hashes, numbers, counters,
            slots.ends, slots.numbers, slots.limits, keep,
        )  # fmt: skip
        del order, places, counters, hashes, numbers, keys, extents
        self.add(self._pick(pieces, keep))
        self._is_compact = True

    def _pick(self, pieces: list[Sampled], keep: npt.NDArray[np.bool_]) -> Sampled:
        """The lines of all *pieces*, which are let go of, that are to be kept."""
        columns = [column[keep] for column in _join_all([piece[:5] for piece in pieces])]
        texts = np.empty(int(columns[4].sum()), np.uint8)
        row = at = 0
        for number, piece in enumerate(pieces):
            wanted = keep[row : row + len(piece.keys)]
            at += self._kept.pick_texts(piece.texts, piece.sizes, wanted, texts[at:])
            row += len(piece.keys)
            pieces[number] = _NO_LINES
        return Sampled(*columns, texts)  # type: ignore[call-arg]  # five columns


_NO_LINES: Final = Sampled(
    np.empty(0, np.uint32), np.empty(0, np.uint64), np.empty(0, np.uint64),
    np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.uint8),
)  # fmt: skip


def order_addresses(addresses: Words) -> Numbers | None:
    """The order of the texts of IPv4 addresses, found without them; None where others are there."""
    low = addresses[:, 1]
    if addresses[:, 0].any() or (low >> np.uint64(32) != 0xFFFF).any():
        return None
    texts, room = np.zeros(len(low), np.uint64), np.full(len(low), 64, np.uint64)
    for shift in (24, 16, 8, 0):
        octets = (low >> np.uint64(shift) & np.uint64(255)).astype(np.int64)
        room -= _OCTET_BITS[octets]
        texts |= _OCTETS[octets] << room
    return np.argsort(texts)


_OCTET_BITS: Final = np.array([4 * len(f"{n}.") for n in range(256)], np.uint64)
_OCTETS: Final = np.array(
    [int("".join("1" if c == "." else f"{int(c) + 2:x}" for c in f"{n}."), 16) for n in range(256)],
    np.uint64,
)
"""Each octet with a dot as a text with four bits a character, in the order of ASCII."""


def pack(ips: npt.ArrayLike, minutes: npt.ArrayLike, counters: npt.ArrayLike) -> Words:
    """Keys, as kernel.count_lines makes them."""
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


def _join(pieces: Sequence[tuple[Words, Counts]]) -> tuple[Words, Counts]:
    return np.concatenate([k for k, _ in pieces]), np.concatenate([c for _, c in pieces])


def _join_all(pieces: Sequence[Sequence[npt.NDArray[Any]]]) -> list[npt.NDArray[Any]]:
    return [np.concatenate(columns) for columns in zip(*pieces, strict=True)]


def _order(extents: Extents, keys: Words, hashes: Words) -> Numbers:
    """Rows by key, then extent, then hash."""
    order = np.argsort(hashes)
    if len(extents) and extents.min() != extents.max():
        order = order[np.argsort(extents[order], kind="stable")]
    return order[np.argsort(keys[order], kind="stable")]


def _take_lowest(extents: Extents, keys: Words, hashes: Words) -> tuple[Extents, Words, Words]:
    """The lowest hashes of each key, each once and in order."""
    order = _order(extents, keys, hashes)
    extents, keys, hashes = extents[order], keys[order], hashes[order]
    is_other = (keys[1:] != keys[:-1]) | (extents[1:] != extents[:-1])
    is_first = np.concatenate((np.ones(min(1, len(keys)), np.bool_), is_other))
    is_new = is_first.copy()
    is_new[1:] |= hashes[1:] != hashes[:-1]
    extents, keys, hashes, is_first = (c[is_new] for c in (extents, keys, hashes, is_first))
    starts = is_first.nonzero()[0]
    rank = np.arange(len(keys)) - np.repeat(starts, np.diff(np.append(starts, len(keys))))
    keep = rank < MAX_DISTINCT_VALUES
    return extents[keep], keys[keep], hashes[keep]


def _sum_up(keys: Words, counts: Counts) -> tuple[Words, Counts]:
    """Each key once, ascending."""
    order = np.argsort(keys)
    keys, counts = keys[order], counts[order]
    starts = np.concatenate(([True], keys[1:] != keys[:-1])).nonzero()[0]
    return keys[starts], np.add.reduceat(counts, starts, dtype=np.uint32)


def _bits(keys: Words, shift: int, width: int) -> npt.NDArray[np.uint32]:
    return (keys >> np.uint64(shift) & np.uint64((1 << width) - 1)).astype(np.uint32)
