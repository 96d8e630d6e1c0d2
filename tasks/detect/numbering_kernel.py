"""
The compiled half of texts: each distinct one has a number, and what is known of it by that.

The tables are open ones, which grow or begin again before they are full; a text is looked for by a
hash that nobody can foresee, and equal means equal bytes.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tasks.collect.kernel import ONE, P1, P2, P3, PADDING, ZERO, load, load64, low_bytes, njit

MAX_LINE: Final = 16_384
"""Bytes; longer lines are refused."""
# columns of a text; the class of a path is that of requests that only it makes hits
OFFSET, LENGTH, KIND, CLASS, METHOD, PATH, FACTS, TARGET_END = range(8)
TEXT_COLUMNS: Final = 8
# kinds of texts
KIND_REQUEST, KIND_PATH, KIND_REFERRER, KIND_AGENT = range(4)
# classes: of texts that no signature hits, and of those of which it is not known yet
CLEAN, NEW, DIRTY, UNIQUE = 0, -1, -2, -3
_VECTOR = ir.VectorType(ir.IntType(8), PADDING)


class Texts(NamedTuple):
    """Distinct texts, numbered. Slots hold half of a hash and a number, plus one."""

    slots: Any
    records: Any
    arena: Any
    size: Any
    """How many there are, and how many bytes of the arena they fill."""


@intrinsic
def _differing(_typing: Any, array: Any, _index: Any, other: Any, _other_index: Any) -> Any:
    """Which of the 64 bytes from a position on are not those from another position on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        left = load(context, builder, kinds[0], args[0], args[1], _VECTOR)
        right = load(context, builder, kinds[2], args[2], args[3], _VECTOR)
        return builder.bitcast(builder.icmp_unsigned("!=", left, right), ir.IntType(64))

    return types.uint64(array, types.intp, other, types.intp), generate


@intrinsic
def _fold(_typing: Any, _left: Any, _right: Any) -> Any:
    """Both halves of a 128-bit product, one laid over the other."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        word, double = ir.IntType(64), ir.IntType(128)
        product = builder.mul(builder.zext(args[0], double), builder.zext(args[1], double))
        high = builder.trunc(builder.lshr(product, double(64)), word)
        return builder.xor(builder.trunc(product, word), high)

    return types.uint64(types.uint64, types.uint64), generate


@njit(inline="always")
def hash_text(data, start, length, seed):
    """A quick hash for tables: who does not know the seed cannot fill one slot with many texts."""
    h = seed
    if length > 16:
        at, last = start, start + length - 16
        while at < last:
            h = _fold(load64(data, at) ^ P1, load64(data, at + 8) ^ h)
            at += 16
        a, b = load64(data, last), load64(data, last + 8)
    elif length >= 8:
        a, b = load64(data, start), load64(data, start + length - 8)
    else:
        a, b = load64(data, start) & low_bytes(length), ZERO
    return _fold(P2 ^ np.uint64(length), _fold(a ^ P3, b ^ h) ^ h)


@njit(inline="always")
def _is_equal(data, start, other, start_of_other, length):
    at = 0
    while at + 64 <= length:
        if _differing(data, start + at, other, start_of_other + at) != ZERO:
            return False
        at += 64
    rest = (ONE << np.uint64(length - at)) - ONE
    return _differing(data, start + at, other, start_of_other + at) & rest == ZERO


@njit(inline="always")
def number_text(data, start, end, kind, h, texts):
    """The number of a text of a kind: one is given when it has none. Equal means equal bytes."""
    length = end - start
    tag = h >> np.uint64(32)
    mask = np.uint64(texts.slots.size - 1)
    slot = h & mask
    entry = texts.slots[np.int64(slot)]
    while entry != ZERO:
        if entry >> np.uint64(32) == tag:
            number = np.int64(entry & np.uint64(0xFFFFFFFF)) - 1
            record = texts.records[number]
            if (
                record[LENGTH] == length
                and record[KIND] == kind
                and _is_equal(data, start, texts.arena, np.int64(record[OFFSET]), length)
            ):
                return number
        slot = (slot + ONE) & mask
        entry = texts.slots[np.int64(slot)]
    number = np.int64(texts.size[0])
    texts.slots[np.int64(slot)] = (tag << np.uint64(32)) | np.uint64(number + 1)
    _keep_text(data, start, length, kind, number, texts)
    return number


@njit()
def _keep_text(data, start, length, kind, number, texts):
    at = texts.size[1]
    record = texts.records[number]
    record[OFFSET], record[LENGTH], record[KIND], record[CLASS] = at, length, kind, NEW
    record[METHOD], record[PATH], record[FACTS] = 0, -1, -1
    for offset in range(length):
        texts.arena[at + offset] = data[start + offset]
    texts.size[0], texts.size[1] = number + 1, at + length


@njit(inline="always")
def has_room(texts, more, size):
    """Whether so many more texts of so many bytes together, and one line, fit."""
    return (
        2 * (texts.size[0] + more) + 6 <= texts.slots.size
        and texts.size[1] + size + MAX_LINE + PADDING <= texts.arena.size
    )
