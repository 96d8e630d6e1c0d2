"""
The compiled half of the engine: bytes to columns, in one pass, without the GIL.

Numba compiles these functions for this machine when they are first called and keeps the result on
disk. They only ever refuse: a line or a text of which they are not sure is handed to the exact
Python path, which defines what is counted. What they accept they read as it does:

- `scan_lines` takes the regular lines of `formats.access`, and numbers addresses and texts;
- `reduce_requests`, `reduce_paths` and `reduce_others` undo simple encodings as `decode.view` does;
- `settle_lines` and `count_lines` count lines by the classes of their texts.

Integers are np.uint64 throughout where they are hashes: Numba turns uint64 with int64 into floats.
All of it is one file, because Numba recompiles what it keeps when the file changes that it is in,
not when another one does.
"""

from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

njit = partial(numba.njit, _nrt=False)
"""
Compiled without counting references to arrays, which the caller holds.

A count is an atomic operation per array and call, a dozen of them for every line. Nothing here can
allocate, therefore.
"""

PADDING = 64
"""Bytes after the end of a block or an arena that may be read and never matter: a vector."""
MAX_LINE = 16_384
MAX_TEXT = 1024
"""Longer lines and texts are refused."""

# columns of a scanned line
START, END, IP, MINUTE, STATUS, REQUEST, REFERRER, AGENT, NUMBER = range(9)
REQUEST_END, REFERRER_END, AGENT_END = range(9, 12)
LINE_COLUMNS = 12
# 64-bit columns: hashes of the texts, both halves of the address, and the hash of the line
OF_REQUEST, OF_REFERRER, OF_AGENT, IP_HIGH, IP_LOW, OF_LINE = range(6)
WORD_COLUMNS = 6
NO_STATUS = 1000
# which user names are taken
ALL_USERS, PLAIN_USERS, NO_USERS = range(3)

# columns of a text; the class of a path is that of requests that only it makes hits
OFFSET, LENGTH, KIND, CLASS, METHOD, PATH, FACTS, TARGET_END = range(8)
TEXT_COLUMNS = 8
# kinds of texts
KIND_REQUEST, KIND_PATH, KIND_REFERRER, KIND_AGENT = range(4)
# classes: of texts that no signature hits, and of those of which it is not known yet
CLEAN, NEW, DIRTY, UNIQUE = 0, -1, -2, -3
MAX_REQUEST_CLASS, MAX_OTHER_CLASS, MAX_FACTS = (1 << 12) - 1, (1 << 10) - 1, (1 << 12) - 1

# what scan_lines carries from call to call
S_POSITION, S_LINES, S_REFUSED, S_COUNT, S_MINUTE, S_MINUTE_START, S_IPS, S_FIRST, S_LAST = range(9)
STATE_SIZE = 9


_SIMPLE_TEXT = "abcdefghijklmnopqrstuvwyzABCDEFGHIJKLMNOPQRSTUVWYZ0123456789-_=?,!:@~()<>[]}|"


class Texts(NamedTuple):
    """Distinct texts, numbered. Slots hold half of a hash and a number, plus one."""

    slots: Any
    records: Any
    arena: Any
    size: Any
    """How many there are, and how many bytes of the arena they fill."""


_P1 = np.uint64(11400714785074694791)
_P2 = np.uint64(14029467366897019727)
_P3 = np.uint64(1609587929392839161)
_P4 = np.uint64(9650029242287828579)
_P5 = np.uint64(2870177450012600261)
_0 = np.uint64(0)
_1 = np.uint64(1)


@intrinsic
def _load64(_typing: Any, array: Any, _index: Any) -> Any:
    """Eight bytes at any position, as the little-endian number that they are on all platforms."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        word = ir.IntType(64)
        address = builder.bitcast(builder.gep(data, [args[1]]), word.as_pointer())
        loaded = builder.load(address)
        loaded.align = 1
        return loaded

    return types.uint64(array, types.intp), generate


_VECTOR = ir.VectorType(ir.IntType(8), PADDING)


def _load_vector(builder: Any, data: Any, index: Any) -> Any:
    address = builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())
    loaded = builder.load(address)
    loaded.align = 1
    return loaded


@intrinsic
def _find_mask(_typing: Any, array: Any, _index: Any, _first: Any, _second: Any) -> Any:
    """Which of the 64 bytes from a position on are one of two bytes: a bit each."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        lane = ir.IntType(32)
        loaded = _load_vector(builder, data, args[1])

        def splat(value: Any) -> Any:
            one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, lane(0))
            zeros = ir.Constant(ir.VectorType(lane, PADDING), [0] * PADDING)
            return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), zeros)

        found = builder.or_(
            builder.icmp_unsigned("==", loaded, splat(args[2])),
            builder.icmp_unsigned("==", loaded, splat(args[3])),
        )
        return builder.bitcast(found, ir.IntType(64))

    return types.uint64(array, types.intp, types.uint8, types.uint8), generate


@intrinsic
def _differing(_typing: Any, array: Any, _index: Any, other: Any, _other_index: Any) -> Any:
    """Which of the 64 bytes from a position on are not those from another position on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        one = context.make_array(kinds[0])(context, builder, args[0]).data
        two = context.make_array(kinds[2])(context, builder, args[2]).data
        left, right = _load_vector(builder, one, args[1]), _load_vector(builder, two, args[3])
        return builder.bitcast(builder.icmp_unsigned("!=", left, right), ir.IntType(64))

    return types.uint64(array, types.intp, other, types.intp), generate


@intrinsic
def _prefetch(_typing: Any, array: Any, _index: Any) -> Any:
    """Have a place in memory be on its way to the processor."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [address, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def _fold(_typing: Any, _left: Any, _right: Any) -> Any:
    """Both halves of a 128-bit product, one laid over the other."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        word, double = ir.IntType(64), ir.IntType(128)
        product = builder.mul(builder.zext(args[0], double), builder.zext(args[1], double))
        high = builder.trunc(builder.lshr(product, double(64)), word)
        return builder.xor(builder.trunc(product, word), high)

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def _count_trailing_zeros(_typing: Any, _mask: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.uint64(types.uint64), generate


@njit(cache=True, nogil=True, inline="always")
def _find(data, start, end, first, second):
    """Position of the first of two bytes in data[start:end], or *end*."""
    position = start
    while position < end:
        mask = _find_mask(data, position, first, second)
        if mask != _0:
            position += np.int64(_count_trailing_zeros(mask))
            return position if position < end else end
        position += 64
    return end


@njit(cache=True, nogil=True, inline="always")
def _rotate(value, left, right):
    return (value << np.uint64(left)) | (value >> np.uint64(right))


@njit(cache=True, nogil=True, inline="always")
def _choose(condition, one, other):
    """One number where a condition holds, the other one else, without a branch."""
    mask = _0 - np.uint64(condition)
    return other ^ ((one ^ other) & mask)


@njit(cache=True, nogil=True)
def hash_bytes(data, start, end, seed):
    """XXH64 of data[start:end]. Source: https://github.com/Cyan4973/xxHash, xxhash_spec.md"""
    length = end - start
    at = start
    if length >= 32:
        a, b, c, d = seed + _P1 + _P2, seed + _P2, seed, seed - _P1
        while at + 32 <= end:
            a = _rotate(a + _load64(data, at) * _P2, 31, 33) * _P1
            b = _rotate(b + _load64(data, at + 8) * _P2, 31, 33) * _P1
            c = _rotate(c + _load64(data, at + 16) * _P2, 31, 33) * _P1
            d = _rotate(d + _load64(data, at + 24) * _P2, 31, 33) * _P1
            at += 32
        h = _rotate(a, 1, 63) + _rotate(b, 7, 57) + _rotate(c, 12, 52) + _rotate(d, 18, 46)
        for lane in (a, b, c, d):
            h = (h ^ (_rotate(lane * _P2, 31, 33) * _P1)) * _P1 + _P4
    else:
        h = seed + _P5
    h += np.uint64(length)
    # without branches: how many steps there are cannot be foreseen
    for _ in range(3):
        step = _rotate(h ^ (_rotate(_load64(data, at) * _P2, 31, 33) * _P1), 27, 37) * _P1 + _P4
        is_taken = at + 8 <= end
        h, at = _choose(is_taken, step, h), at + 8 * is_taken
    word = _load64(data, at) & np.uint64(0xFFFFFFFF)
    is_taken = at + 4 <= end
    h = _choose(is_taken, _rotate(h ^ (word * _P1), 23, 41) * _P2 + _P3, h)
    at += 4 * is_taken
    for _ in range(3):
        is_taken = at < end
        h = _choose(is_taken, _rotate(h ^ (np.uint64(data[at]) * _P5), 11, 53) * _P1, h)
        at += is_taken
    h = (h ^ (h >> np.uint64(33))) * _P2
    h = (h ^ (h >> np.uint64(29))) * _P3
    return h ^ (h >> np.uint64(32))


@njit(cache=True, nogil=True)
def hash_lines(data, places, rows, hashes):
    """Hash the lines with these 1-based numbers; *places* has their starts and ends in *data*."""
    for at in range(rows.size):
        start, stop = np.int64(places[rows[at] - 1, 0]), np.int64(places[rows[at] - 1, 1])
        hashes[at] = hash_bytes(data, start, stop, _0)


@njit(cache=True, nogil=True, inline="always")
def _hash_text(data, start, length, seed):
    """A quick hash for tables: who does not know the seed cannot fill one slot with many texts."""
    h = seed
    if length > 16:
        at, last = start, start + length - 16
        while at < last:
            h = _fold(_load64(data, at) ^ _P1, _load64(data, at + 8) ^ h)
            at += 16
        a, b = _load64(data, last), _load64(data, last + 8)
    elif length >= 8:
        a, b = _load64(data, start), _load64(data, start + length - 8)
    else:
        a, b = _load64(data, start) & _low_bytes(length), _0
    return _fold(_P2 ^ np.uint64(length), _fold(a ^ _P3, b ^ h) ^ h)


@njit(cache=True, nogil=True, inline="always")
def _low_bytes(count):
    """Ones in so many of the low bytes, at most seven."""
    return (_1 << np.uint64(8 * count)) - _1


@njit(cache=True, nogil=True, inline="always")
def _is_equal(data, start, other, start_of_other, length):
    at = 0
    while at + 64 <= length:
        if _differing(data, start + at, other, start_of_other + at) != _0:
            return False
        at += 64
    rest = (_1 << np.uint64(length - at)) - _1
    return _differing(data, start + at, other, start_of_other + at) & rest == _0


# the start of a line


@njit(cache=True, nogil=True, inline="always")
def _read_ipv4(data, start, end):
    """(the address, its end), or (-1, 0) for all but a dotted quad without leading zeros."""
    address, part, digits, parts, at = 0, 0, 0, 0, start
    while at < end:
        byte = data[at]
        if 48 <= byte <= 57:
            if digits and part == 0:
                return -1, 0
            part = part * 10 + byte - 48
            digits += 1
            if part > 255:
                return -1, 0
        elif byte == 46:
            if not digits or parts == 3:
                return -1, 0
            address = (address << 8) | part
            part, digits, parts = 0, 0, parts + 1
        else:
            break
        at += 1
    if parts != 3 or not digits:
        return -1, 0
    return (address << 8) | part, at


@njit(cache=True, nogil=True)
def _read_ipv6(data, start, end):
    """
    End of the IPv6 address and its halves; -1 for all but hexadecimal groups and one `::`.

    Groups are shifted into the halves; those before `::` are kept apart.
    """
    high = low = high_before = low_before = _0
    count, gap, at = 0, -1, start
    if at + 1 < end and data[at] == 58:
        if data[at + 1] != 58:
            return np.int64(-1), _0, _0
        gap, at = 0, at + 2
    while at < end and data[at] != 32:
        value, digits = 0, 0
        while at < end and digits < 5:
            byte = data[at]
            if 48 <= byte <= 57:
                digit = byte - 48
            elif 97 <= byte <= 102:
                digit = byte - 87
            elif 65 <= byte <= 70:
                digit = byte - 55
            else:
                break
            value, digits, at = value * 16 + digit, digits + 1, at + 1
        if not 1 <= digits <= 4 or count == 8 or at >= end:
            return np.int64(-1), _0, _0
        high, low = _shift(high, low, 16)
        low |= np.uint64(value)
        count += 1
        if data[at] == 32:
            break
        if data[at] != 58 or at + 1 >= end:
            return np.int64(-1), _0, _0
        at += 1
        if data[at] == 58:
            if gap >= 0:
                return np.int64(-1), _0, _0
            gap, at = count, at + 1
            high_before, low_before, high, low = high, low, _0, _0
        elif data[at] == 32:
            return np.int64(-1), _0, _0
    if at >= end or (count > 7 if gap >= 0 else count != 8):
        return np.int64(-1), _0, _0
    if gap >= 0:
        high_before, low_before = _shift(high_before, low_before, 16 * (8 - gap))
    return np.int64(at), high | high_before, low | low_before


@njit(cache=True, nogil=True, inline="always")
def _shift(high, low, bits):
    """A number of 128 bits, shifted to the left by 16 or more."""
    if bits >= 128:
        return _0, _0
    if bits >= 64:
        return low << np.uint64(bits - 64), _0
    carried = low >> np.uint64(64 - bits)
    return (high << np.uint64(bits)) | carried, low << np.uint64(bits)


@njit(cache=True, nogil=True, inline="always")
def _digits(data, at, count):
    """The number in *count* digits, or -1."""
    value = 0
    for offset in range(count):
        digit = np.int64(data[at + offset]) - 48
        if digit < 0 or digit > 9:
            return np.int64(-1)
        value = value * 10 + digit
    return np.int64(value)


@njit(cache=True, nogil=True)
def _read_month(data, at):
    name = (np.int64(data[at]) << 16) | (np.int64(data[at + 1]) << 8) | np.int64(data[at + 2])
    months = (
        0x4A616E, 0x466562, 0x4D6172, 0x417072, 0x4D6179, 0x4A756E,
        0x4A756C, 0x417567, 0x536570, 0x4F6374, 0x4E6F76, 0x446563,
    )  # fmt: skip
    for number in range(12):
        if months[number] == name:
            return number + 1
    return 0


@njit(cache=True, nogil=True)
def _read_minute(data, at):
    """Seconds since the epoch of `22/Feb/2026:22:10:.. +0300` without the seconds; or -1."""
    day, year = _digits(data, at, 2), _digits(data, at + 7, 4)
    month = _read_month(data, at + 3)
    hour, minute = _digits(data, at + 12, 2), _digits(data, at + 15, 2)
    zone_hours, zone_minutes = _digits(data, at + 22, 2), _digits(data, at + 24, 2)
    sign = data[at + 21]
    if data[at + 2] != 47 or data[at + 6] != 47 or data[at + 11] != 58 or data[at + 14] != 58:
        return np.int64(-1)
    if data[at + 17] != 58 or data[at + 20] != 32 or (sign != 43 and sign != 45):
        return np.int64(-1)
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = 30 + (month in (1, 3, 5, 7, 8, 10, 12))
    if month == 2:
        days = 28 + is_leap
    if not 1970 <= year <= 2100 or month == 0 or not 1 <= day <= days:
        return np.int64(-1)
    if not 0 <= hour <= 23 or not 0 <= minute <= 59:
        return np.int64(-1)
    if not 0 <= zone_hours <= 15 or not 0 <= zone_minutes <= 59:
        return np.int64(-1)
    # days from civil: https://howardhinnant.github.io/date_algorithms.html
    shifted = year - (month <= 2)
    era, of_era = shifted // 400, shifted % 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    since = era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
    ahead = zone_hours * 3600 + zone_minutes * 60
    start = since * 86400 + hour * 3600 + minute * 60
    start -= ahead if sign == 43 else -ahead
    return np.int64(start if start >= 0 else -1)


@njit(cache=True, nogil=True, inline="always")
def _count_digits(data, at):
    """
    How many digits there are from a position on, up to eight.

    Of a digit, the sum has no highest bit; a carry reaches only what is after another character.
    """
    word = _load64(data, at) ^ np.uint64(0x3030303030303030)
    others = (word + np.uint64(0x7676767676767676)) | word
    others &= np.uint64(0x8080808080808080)
    return np.int64(_count_trailing_zeros(others) >> np.uint64(3)) if others != _0 else np.int64(8)


@njit(cache=True, nogil=True, inline="always")
def _close_quote(data, start, end):
    """Position of the quote that ends a quoted text, or -1."""
    at = start
    while True:
        at = _find(data, at, end, np.uint8(34), np.uint8(92))
        if at >= end:
            return np.int64(-1)
        if data[at] == 34:
            return np.int64(at)
        at += 2


# numbering


@njit(cache=True, nogil=True, inline="always")
def _ip_slot(high, low, mask):
    mixed = (high ^ _P5) * _P1 ^ low * _P2
    return ((mixed ^ (mixed >> np.uint64(29))) * _P3 >> np.uint64(17)) & mask


@njit(cache=True, nogil=True, inline="always")
def _number_ip(high, low, slots, keys, state):
    """The number of an address: one is given when it has none."""
    mask = np.uint64(slots.size - 1)
    slot = _ip_slot(high, low, mask)
    number = np.int64(slots[np.int64(slot)])
    while number >= 0 and (keys[number, 1] != low or keys[number, 0] != high):
        slot = (slot + _1) & mask
        number = np.int64(slots[np.int64(slot)])
    if number < 0:
        number = state[S_IPS]
        slots[np.int64(slot)] = number
        keys[number, 0], keys[number, 1] = high, low
        state[S_IPS] = number + 1
    return number


@njit(cache=True, nogil=True)
def regrow_ips(slots, keys, state):
    """*slots* anew for all *keys* that are numbered."""
    count, state[S_IPS] = state[S_IPS], 0
    for number in range(count):
        _number_ip(keys[number, 0], keys[number, 1], slots, keys, state)


@njit(cache=True, nogil=True, inline="always")
def _number_text(data, start, end, kind, h, texts):
    """The number of a text of a kind: one is given when it has none. Equal means equal bytes."""
    length = end - start
    tag = h >> np.uint64(32)
    mask = np.uint64(texts.slots.size - 1)
    slot = h & mask
    entry = texts.slots[np.int64(slot)]
    while entry != _0:
        if entry >> np.uint64(32) == tag:
            number = np.int64(entry & np.uint64(0xFFFFFFFF)) - 1
            record = texts.records[number]
            if (
                record[LENGTH] == length
                and record[KIND] == kind
                and _is_equal(data, start, texts.arena, np.int64(record[OFFSET]), length)
            ):
                return number
        slot = (slot + _1) & mask
        entry = texts.slots[np.int64(slot)]
    number = np.int64(texts.size[0])
    texts.slots[np.int64(slot)] = (tag << np.uint64(32)) | np.uint64(number + 1)
    _keep_text(data, start, length, kind, number, texts)
    return number


@njit(cache=True, nogil=True)
def _keep_text(data, start, length, kind, number, texts):
    at = texts.size[1]
    record = texts.records[number]
    record[OFFSET], record[LENGTH], record[KIND], record[CLASS] = at, length, kind, NEW
    record[METHOD], record[PATH], record[FACTS] = 0, -1, -1
    for offset in range(length):
        texts.arena[at + offset] = data[start + offset]
    texts.size[0], texts.size[1] = number + 1, at + length


@njit(cache=True, nogil=True, inline="always")
def _has_room(texts, more, size):
    """Whether so many more texts of so many bytes together, and one line, fit."""
    return (
        2 * (texts.size[0] + more) + 6 <= texts.slots.size
        and texts.size[1] + size + MAX_LINE + PADDING <= texts.arena.size
    )


# lines


@njit(cache=True, nogil=True)
def scan_lines(
    data, end, since, until, users, seed, state, lines, words, refused,
    ip_slots, ip_keys, requests, others,
):  # fmt: skip
    """
    Read lines from state[S_POSITION] until *end*, or until a table could become too small.

    Lines outside [since, until) are understood and dropped. S_COUNT counts all lines. By status,
    *users* says which user names a line can have.
    """
    start = position = state[S_POSITION]
    while position < end:
        size, more = position - start, state[S_LINES] + 1
        if (
            more > lines.shape[0]
            or state[S_REFUSED] >= refused.shape[0]
            or 2 * (state[S_IPS] + more) > ip_slots.size
            or not _has_room(requests, more, size)
            or not _has_room(others, 2 * more, size)
        ):
            break
        feed = _find(data, position, end, np.uint8(10), np.uint8(10))
        stop = feed - 1 if feed > position and data[feed - 1] == 13 else feed
        state[S_COUNT] += 1
        if not _scan_line(data, position, stop, since, until, users, seed, state, lines, words):
            row = state[S_REFUSED]
            refused[row, 0], refused[row, 1], refused[row, 2] = position, stop, state[S_COUNT]
            state[S_REFUSED] = row + 1
        position = feed + 1
    state[S_POSITION] = position
    _number_lines(data, state, lines, words, ip_slots, ip_keys, requests, others)


@njit(cache=True, nogil=True)
def _number_lines(data, state, lines, words, ip_slots, ip_keys, requests, others):
    """
    Put numbers in the place of addresses and texts.

    The tables are larger than the processor's caches: what a line needs is asked for some lines
    before it is needed.
    """
    count = state[S_LINES]
    mask, other_mask = np.uint64(requests.slots.size - 1), np.uint64(others.slots.size - 1)
    ip_mask = np.uint64(ip_slots.size - 1)
    for row in range(count):
        far, near = row + 16, row + 6
        if far < count:
            _prefetch(requests.slots, np.int64(words[far, OF_REQUEST] & mask))
            _prefetch(others.slots, np.int64(words[far, OF_REFERRER] & other_mask))
            _prefetch(others.slots, np.int64(words[far, OF_AGENT] & other_mask))
            slot = _ip_slot(words[far, IP_HIGH], words[far, IP_LOW], ip_mask)
            _prefetch(ip_slots, np.int64(slot))
        if near < count:
            entry = requests.slots[np.int64(words[near, OF_REQUEST] & mask)]
            if entry != _0:
                number = np.int64(entry & np.uint64(0xFFFFFFFF)) - 1
                _prefetch(requests.records, number * TEXT_COLUMNS)
                _prefetch(requests.arena, np.int64(requests.records[number, OFFSET]))
            slot = _ip_slot(words[near, IP_HIGH], words[near, IP_LOW], ip_mask)
            if ip_slots[np.int64(slot)] >= 0:
                _prefetch(ip_keys, np.int64(ip_slots[np.int64(slot)]) * 2)
        line, word = lines[row], words[row]
        line[IP] = _number_ip(word[IP_HIGH], word[IP_LOW], ip_slots, ip_keys, state)
        line[REQUEST] = _number_text(
            data, np.int64(line[REQUEST]), np.int64(line[REQUEST_END]), KIND_REQUEST,
            word[OF_REQUEST], requests,
        )  # fmt: skip
        if line[REFERRER] >= 0:
            line[REFERRER] = _number_text(
                data, np.int64(line[REFERRER]), np.int64(line[REFERRER_END]), KIND_REFERRER,
                word[OF_REFERRER], others,
            )  # fmt: skip
        if line[AGENT] >= 0:
            line[AGENT] = _number_text(
                data, np.int64(line[AGENT]), np.int64(line[AGENT_END]), KIND_AGENT,
                word[OF_AGENT], others,
            )  # fmt: skip


@njit(cache=True, nogil=True)
def _is_plain_name(data, start, stop):
    """As PLAIN_NAME of signatures has it: at most 64 letters, digits, and `.` `_` `@` `-`."""
    for at in range(start, stop):
        byte = data[at]
        if not (
            48 <= byte <= 57 or 64 <= byte <= 90 or 97 <= byte <= 122
            or byte == 45 or byte == 46 or byte == 95
        ):  # fmt: skip
            return False
    return stop - start <= 64


@njit(cache=True, nogil=True, inline="always")
def _scan_line(data, start, stop, since, until, users, seed, state, lines, words):
    """Whether the line is regular; if so it has its row. See formats.access for the grammar."""
    if stop - start > MAX_LINE or stop - start < 48:
        return False
    # client, `-`, user
    address, at = _read_ipv4(data, start, stop)
    if address >= 0:
        high, low = _0, np.uint64(address) | np.uint64(0xFFFF00000000)
    else:
        at, high, low = _read_ipv6(data, start, stop)
        if at < 0:
            return False
        if high == _0 and (low >> np.uint64(32)) == np.uint64(0xFFFF):
            return False  # an IPv4 address in IPv6 form
    if at + 34 > stop or data[at] != 32 or data[at + 1] != 45 or data[at + 2] != 32:
        return False
    at += 3
    user = user_end = np.int64(0)
    if data[at] != 45 or data[at + 1] != 32:
        user = at
        while at < stop and data[at] > 32 and data[at] != 34 and data[at] != 91:
            at += 1
        if at == user:
            return False
        user_end = at
    else:
        at += 1
    # ` [22/Feb/2026:22:10:01 +0300] "`
    if at + 32 > stop or data[at] != 32 or data[at + 1] != 91 or data[at + 28] != 93:
        return False
    if data[at + 29] != 32 or data[at + 30] != 34:
        return False
    at += 2
    known = state[S_MINUTE]
    if known >= 0 and (
        _load64(data, at) == _load64(data, known)
        and _load64(data, at + 8) == _load64(data, known + 8)
        and data[at + 16] == data[known + 16]
        and data[at + 17] == data[known + 17]
        and data[at + 20] == data[known + 20]
        and data[at + 21] == data[known + 21]
        and _load64(data, at + 18) >> np.uint64(32) == _load64(data, known + 18) >> np.uint64(32)
    ):
        minute_start = state[S_MINUTE_START]
    else:
        minute_start = _read_minute(data, at)
        if minute_start < 0:
            return False
        state[S_MINUTE], state[S_MINUTE_START] = at, minute_start
    second = _digits(data, at + 18, 2)
    if second < 0 or second > 60:
        return False
    timestamp = minute_start + min(second, 59)
    # `request" 200 1234`
    request = at + 29
    request_end = _close_quote(data, request, stop)
    if request_end < 0 or request_end + 4 > stop or data[request_end + 1] != 32:
        return False
    at = request_end + 2
    status = np.int64(NO_STATUS)
    if data[at] == 45:
        at += 1
    else:
        status = np.int64(0)
        begin = at
        while at < stop and 48 <= data[at] <= 57:
            status = status * 10 + data[at] - 48
            at += 1
        if not 1 <= at - begin <= 3:
            return False
    if at + 1 >= stop or data[at] != 32:
        return False
    is_taken = users[status] == ALL_USERS or not user
    if not is_taken and users[status] == PLAIN_USERS:
        is_taken = _is_plain_name(data, user, user_end)
    if not is_taken:
        return False
    at += 1
    if data[at] == 45:
        at += 1
    else:
        begin = at
        at += _count_digits(data, at)
        if at == begin + 8:
            while at < stop and 48 <= data[at] <= 57:
                at += 1
        if not 1 <= at - begin <= 18 or at > stop:
            return False
    # nothing, or ` "referrer" "agent"` and anything after a space
    referrer = referrer_end = agent = agent_end = np.int64(0)
    if at < stop:
        if at + 6 > stop or data[at] != 32 or data[at + 1] != 34:
            return False
        referrer = at + 2
        referrer_end = _close_quote(data, referrer, stop)
        if referrer_end < 0 or referrer_end + 4 > stop:
            return False
        if data[referrer_end + 1] != 32 or data[referrer_end + 2] != 34:
            return False
        agent = referrer_end + 3
        agent_end = _close_quote(data, agent, stop)
        if agent_end < 0 or (agent_end + 1 < stop and data[agent_end + 1] != 32):
            return False
    if not since <= timestamp < until:
        return True
    state[S_FIRST] = min(state[S_FIRST], timestamp)
    state[S_LAST] = max(state[S_LAST], timestamp)
    row = state[S_LINES]
    lines[row, START], lines[row, END] = start, stop
    lines[row, MINUTE], lines[row, STATUS] = timestamp // 60, status
    lines[row, NUMBER] = state[S_COUNT]
    lines[row, REQUEST], lines[row, REQUEST_END] = request, request_end
    words[row, IP_HIGH], words[row, IP_LOW] = high, low
    words[row, OF_LINE] = hash_bytes(data, start, stop, _0)
    words[row, OF_REQUEST] = _hash_text(data, request, request_end - request, seed)
    words[row, OF_REFERRER] = words[row, OF_AGENT] = _0
    lines[row, REFERRER] = lines[row, AGENT] = -1
    if referrer_end > referrer and (referrer_end > referrer + 1 or data[referrer] != 45):
        lines[row, REFERRER], lines[row, REFERRER_END] = referrer, referrer_end
        words[row, OF_REFERRER] = _hash_text(data, referrer, referrer_end - referrer, seed)
    if agent_end > agent and (agent_end > agent + 1 or data[agent] != 45):
        lines[row, AGENT], lines[row, AGENT_END] = agent, agent_end
        words[row, OF_AGENT] = _hash_text(data, agent, agent_end - agent, seed + _1)
    state[S_LINES] = row + 1
    return True


# texts

_LETTER = 0xE9
"""Stands for any letter beyond ASCII."""
_ODD = -2
_ROUNDS = 4
"""As decode has them."""
VIEWS = 6
"""That a text can have."""
_SIMPLE = np.array(
    [ord(chr(b).lower()) if chr(b) in _SIMPLE_TEXT else 0 for b in range(256)], np.uint8
)
"""Bytes that mean themselves, whatever is before them, in lower case; 0 for the others."""
_PLAIN = _SIMPLE.copy()
_PLAIN[[ord(c) for c in "xX+&./"]] = [ord(c) for c in "xx &./"]
"""The same, and bytes that mean themselves in a URL if there is none of a few before them."""


@njit(cache=True, nogil=True, inline="always")
def _hex(byte):
    byte = np.int64(byte)
    if 48 <= byte <= 57:
        return np.int64(byte - 48)
    lower = byte | 32
    if 97 <= lower <= 102:
        return np.int64(lower - 87)
    return np.int64(-1)


@njit(cache=True, nogil=True, inline="always")
def _read_percent(source, read, end):
    """
    Read what is percent-encoded, its `%` being read: the byte or _LETTER, and the end.

    (_ODD, 0) for `%`, `.` and NUL, which browsers do not encode so, and a `%` that encodes nothing.
    (-1, 0) for what decode reads another way or has another view of: other control characters,
    backslashes, and BC and BE in UTF-8.
    """
    if read + 2 > end or _hex(source[read]) < 0 or _hex(source[read + 1]) < 0:
        return np.int64(_ODD), np.int64(0)
    byte = _hex(source[read]) * 16 + _hex(source[read + 1])
    if byte == 37 or byte == 46 or byte == 0:
        return np.int64(_ODD), np.int64(0)
    if 32 <= byte <= 126 and byte != 92:
        return byte + (32 if 65 <= byte <= 90 else 0), read + 2
    # U+00C0 to U+00FF, Cyrillic, and most of CJK: letters that no normalisation makes ASCII
    is_short = byte == 0xC3 or byte == 0xD0 or byte == 0xD1
    if not is_short and not (0xE4 <= byte <= 0xE9 or byte == 0xEB or byte == 0xEC):
        return np.int64(-1), np.int64(0)
    read += 2
    for _ in range(1 if is_short else 2):
        if read + 3 > end or source[read] != 37:
            return np.int64(-1), np.int64(0)
        more = _hex(source[read + 1]) * 16 + _hex(source[read + 2])
        if _hex(source[read + 1]) < 0 or _hex(source[read + 2]) < 0 or not 0x80 <= more <= 0xBF:
            return np.int64(-1), np.int64(0)
        if more == 0xBC or more == 0xBE:
            return np.int64(-1), np.int64(0)
        read += 3
    return np.int64(_LETTER), read


@njit(cache=True, nogil=True)
def reduce_text(source, start, end, is_url, target, at):
    """
    Write all views of a text, as many as VIEWS, in the order of decode.view.

    They are in lower case, each with a line feed after it; a letter beyond ASCII is written as the
    byte 0xE9, whichever it is. Returns the end of what was written, or -1 for a text that
    decode.view has to see.
    """
    if end - start > MAX_TEXT:
        return np.int64(-1)
    first, read = at, start
    while read < end:
        byte = np.int64(_SIMPLE[source[read]])
        read += 1
        if byte:
            target[at] = byte
            at += 1
            continue
        byte = np.int64(source[read - 1])
        if byte == 43 and is_url:
            byte = 32
        elif byte == 37:
            byte, read = _read_percent(source, read, end) if is_url else (np.int64(-1), read)
            if byte == _ODD:
                return _reduce_oddly_sent(source, start, end, target, first)
        elif 65 <= byte <= 90:
            byte += 32
        last = np.int64(target[at - 1]) if at > first else np.int64(0)
        if byte < 32 or byte == 127 or (byte > 127 and byte != _LETTER):
            return np.int64(-1)
        if byte == 92 or (byte == 38 and not is_url):
            return np.int64(-1)
        # &#  &name;  0x2e
        if (
            (byte == 35 and last == 38)
            or (byte == 59 and is_url and _ends_entity(target, first, at))
            or (byte == 120 and read > start + 1 and _is_byte_escape(source, read - 1, end))
        ):
            return np.int64(-1)
        if byte == 32 and last == 32:
            continue
        target[at] = byte
        at += 1
    target[at] = 10
    return _write_views(target, first, at, at + 1, is_url)


@njit(cache=True, nogil=True)
def _reduce_plain(source, start, end, target, at):
    """As reduce_text, a URL of which nothing is encoded and nobody has another view, or -1."""
    if end - start > MAX_TEXT:
        return np.int64(-1)
    last = np.uint8(0)
    for read in range(start, end):
        byte = _PLAIN[source[read]]
        # //  /.  two spaces  0x2e
        if (
            byte == 0 or (last == 47 and (byte == 47 or byte == 46))
            or (byte == 32 and last == 32) or (byte == 120 and last == 48)
        ):  # fmt: skip
            return np.int64(-1)
        target[at] = last = byte
        at += 1
    target[at] = 10
    return np.int64(at + 1)


@njit(cache=True, nogil=True)
def _reduce_oddly_sent(source, start, end, target, at):
    """As reduce_text, a URL encoded more than once, or in which `.`, NUL or nothing is encoded."""
    first = at
    for read in range(start, end):
        byte = source[read]
        if byte < 32 or byte > 126:
            return np.int64(-1)
        target[at] = byte + 32 if 65 <= byte <= 90 else (32 if byte == 43 else byte)
        at += 1
    is_odd = False
    for read in range(first, at - 2):
        if target[read] == 37:
            high, low = target[read + 1], target[read + 2]
            is_odd = is_odd or (high == 50 and (low == 53 or low == 101)) or (high == low == 48)
    written = _decode_percent(target, first, at)
    if written < 0:
        return np.int64(-1)
    target[written] = 10
    at = written + 1
    if is_odd:
        at = _write_as_sent(source, start, end, target, at)
    return _write_views(target, first, written, at, True)


@njit(cache=True, nogil=True)
def _decode_percent(target, first, end):
    """The end of target[first:end] once it is decoded and its spaces are single; or -1."""
    for _ in range(_ROUNDS):
        read, at = first, first
        while read < end:
            byte = np.int64(target[read])
            high = _hex(target[read + 1]) if byte == 37 and read + 2 < end else np.int64(-1)
            low = _hex(target[read + 2]) if high >= 0 else np.int64(-1)
            if low >= 0:
                byte = high * 16 + low
                byte += 32 if 65 <= byte <= 90 else 0
                read += 2
            last = np.int64(target[at - 1]) if at > first else np.int64(0)
            # control characters, backslashes, letters beyond ASCII, &#  &name;  %u  0x2e
            if (
                (byte < 32 and byte != 0) or byte == 92 or byte > 126
                or (byte == 35 and last == 38) or (byte == 117 and last == 37)
                or (byte == 59 and _ends_entity(target, first, at))
                or (byte == 120 and read > first and _is_byte_escape(target, read, end))
            ):  # fmt: skip
                return np.int64(-1)
            target[at] = byte
            at += 1
            read += 1
        if at == end:
            break
        end = at
    at = first
    for read in range(first, end):
        if target[read] != 32 or at == first or target[at - 1] != 32:
            target[at] = target[read]
            at += 1
    return np.int64(at)


@njit(cache=True, nogil=True)
def _write_as_sent(source, start, end, target, at):
    """Write what was sent, but `&`, `#` and `;` decoded; a backslash is refused before."""
    first, read = at, start
    while read < end:
        byte = np.int64(source[read])
        if byte == 37 and read + 2 < end:
            high, low = np.int64(source[read + 1]), np.int64(source[read + 2])
            if high == 50 and (low == 51 or low == 54):
                byte, read = low - 16, read + 2  # %23  %26
            elif high == 51 and low | 32 == 98:
                byte, read = np.int64(59), read + 2  # %3b
        byte += 32 if 65 <= byte <= 90 else 0
        read += 1
        if byte != 32 or at == first or target[at - 1] != 32:
            target[at] = byte
            at += 1
    target[at] = 10
    return np.int64(at + 1)


@njit(cache=True, nogil=True)
def _write_views(target, first, end, at, is_url):
    """Write what other readers make of target[first:end]: SQL without NUL, a shell, and paths."""
    is_quoted = has_braces = is_path = has_nul = False
    for read in range(first, end):
        byte, after = target[read], target[read + 1]
        if _SIMPLE[byte]:
            continue
        if byte == 120 and read > first and _is_byte_escape(target, read, end):
            return np.int64(-1)
        if byte == 47:
            if after == 42:
                return np.int64(-1)
            is_path = is_path or after == 47 or after == 46
        elif byte == 36:
            if after == 64 or after == 42 or _is_field_separator(target, read + 1, end):
                return np.int64(-1)  # $@  $*  $ifs  ${ifs  ${@
            is_quoted = is_quoted or after == 123 or after == 105
        elif byte == 34 or byte == 39 or byte == 94 or byte == 96:
            is_quoted = True
        elif byte == 123:
            has_braces = True
        elif byte == 59:
            is_path = True
        elif byte == 0:
            has_nul = is_path = True
    if has_nul:
        at = _write_without_nul(target, first, end, at)
        if at < 0:
            return np.int64(-1)
    if is_quoted or (has_braces and _lists_in_braces(target, first, end)):
        at = _write_for_shell(target, first, end, at)
    if is_path and is_url:
        at = _write_as_path(target, first, end, at)
    return np.int64(at)


@njit(cache=True, nogil=True)
def _is_field_separator(text, at, end):
    """Whether there is `ifs`, `{ifs`, `{@` or `{*`."""
    if at < end and text[at] == 123:
        at += 1
        if at < end and (text[at] == 64 or text[at] == 42):
            return True
    return at + 2 < end and text[at] == 105 and text[at + 1] == 102 and text[at + 2] == 115


@njit(cache=True, nogil=True)
def _write_without_nul(target, first, end, at):
    """Write target[first:end] as SQL reads it; -1 where that has a comment."""
    begin = at
    for read in range(first, end):
        byte = target[read]
        last = target[at - 1] if at > begin else np.uint8(0)
        if (byte == 42 and last == 47) or (byte == 47 and last == 42):
            return np.int64(-1)
        if byte and (byte != 32 or last != 32):
            target[at] = byte
            at += 1
    target[at] = 10
    return np.int64(at + 1)


@njit(cache=True, nogil=True)
def _is_byte_escape(text, at, end):
    """Whether the `x` at this position is that of `0x2e`, `0x2f` or `0x5c`."""
    if text[at - 1] != 48 or at + 2 >= end:
        return False
    high, low = text[at + 1], text[at + 2] | 32
    return (high == 50 and (low == 101 or low == 102)) or (high == 53 and low == 99)


@njit(cache=True, nogil=True)
def _ends_entity(text, first, at):
    """Whether a `;` at this position would end `&name;`."""
    begin = at
    while begin > first and (48 <= text[begin - 1] <= 57 or 97 <= text[begin - 1] <= 122):
        begin -= 1
    return begin > first and begin < at and text[begin - 1] == 38


@njit(cache=True, nogil=True)
def _lists_in_braces(text, first, end):
    """Whether there is `{`, 1 to 200 other characters than braces, and a comma."""
    opened = np.int64(-1)
    for at in range(first, end):
        if text[at] == 123:
            opened = at
        elif text[at] == 125:
            opened = np.int64(-1)
        elif text[at] == 44 and opened >= 0 and 2 <= at - opened <= 201:
            return True
    return False


@njit(cache=True, nogil=True)
def _write_for_shell(target, first, end, at):
    """Write target[first:end] without quotes, `^` and braces."""
    begin = at
    for read in range(first, end):
        byte = target[read]
        if byte != 34 and byte != 39 and byte != 94 and byte != 96:
            target[at] = byte
            at += 1
    written, opened = at, np.int64(-1)
    for read in range(begin, written):
        if target[read] == 123:
            opened = read
        elif target[read] == 125:
            if opened >= 0 and 2 <= read - opened <= 201:
                target[opened] = target[read] = 32
                for inner in range(opened, read):
                    if target[inner] == 44:
                        target[inner] = 32
            opened = np.int64(-1)
    at = begin
    for read in range(begin, written):
        if target[read] != 32 or at == begin or target[at - 1] != 32:
            target[at] = target[read]
            at += 1
    target[at] = 10
    return at + 1


@njit(cache=True, nogil=True)
def _write_as_path(target, first, end, at):
    """Write target[first:end] without parameters, `/./` and `//`; with `..`, resolved, too."""
    begin, read = at, first
    while read < end:
        if target[read] == 0:
            read += 1
            continue
        if target[read] == 59:
            stop = read + 1
            while stop < end and target[stop] != 47 and target[stop] != 63 and target[stop] != 59:
                stop += 1
            if stop == end or target[stop] == 47:
                read = stop
                continue
        target[at] = target[read]
        at += 1
        read += 1
    written, at, read = at, begin, begin
    while read < written:
        byte = target[read]
        target[at] = byte
        at += 1
        read += 1
        if byte == 47:
            while read < written:
                if target[read] == 47:
                    read += 1
                elif target[read] == 46 and read + 1 < written and target[read + 1] == 47:
                    read += 2
                else:
                    break
    target[at] = 10
    written, at = at, at + 1
    # parts between slashes; `..` takes the one before it away, but for the first
    parts, read = 0, begin
    while read <= written:
        stop = read
        while stop < written and target[stop] != 47:
            stop += 1
        if stop - read == 2 and target[read] == 46 and target[read + 1] == 46:
            if parts > 1:
                at -= 1
                while target[at] != 47:
                    at -= 1
                parts -= 1
        else:
            if parts > 0:
                target[at] = 47
                at += 1
            for inner in range(read, stop):
                target[at] = target[inner]
                at += 1
            parts += 1
        read = stop + 1
    target[at] = 10
    return at + 1


@njit(cache=True, nogil=True)
def reduce_requests(first, seed, requests, paths, methods, method_count, original, query, ends):
    """
    Reduce the targets and queries of new requests from *first* on; number methods and paths.

    A request without a path is not a plain `METHOD /target HTTP/1.1`. ends[row] has the ends in
    both buffers after each request.

    Returns:
        How far it got: the table of paths may be full.
    """
    o, q, row = np.int64(0), np.int64(0), np.int64(0)
    number = np.int64(first)
    arena = requests.arena
    while number < requests.size[0] and _has_room(paths, 1, 0):
        record = requests.records[number]
        start = np.int64(record[OFFSET])
        end = start + record[LENGTH]
        method = _read_method(arena, start, end, methods, method_count)
        target = start
        while target < end and arena[target] != 32:
            target += 1
        target += 1
        stop = _target_end(arena, target, end)
        record[CLASS] = DIRTY
        if method >= 0 and stop >= 0:
            mark = target
            while (
                mark < stop and arena[mark] != 63 and 32 < arena[mark] < 127 and arena[mark] != 92
            ):
                mark += 1
            if mark == stop or arena[mark] == 63:
                record[METHOD], record[TARGET_END] = method, stop
                h = _hash_text(arena, target, mark - target, seed)
                record[PATH] = _number_text(arena, target, mark, KIND_PATH, h, paths)
                new_o, new_q = _reduce_plain(arena, target, stop, original, o), q
                if new_o < 0:
                    new_o = reduce_text(arena, target, stop, True, original, o)
                    if mark + 1 < stop:
                        new_q = reduce_text(arena, mark + 1, stop, True, query, q)
                elif mark + 1 < stop:
                    # what is read byte by byte reads alike from any of them on
                    for read in range(o + mark + 1 - target, new_o):
                        query[new_q] = original[read]
                        new_q += 1
                if new_o >= 0 and new_q >= 0:
                    o, q = new_o, new_q
                    record[CLASS] = CLEAN
        ends[row, 0], ends[row, 1] = o, q
        row += 1
        number += 1
    return number


@njit(cache=True, nogil=True)
def reduce_paths(first, paths, target, ends):
    """Reduce new paths from *first* on."""
    at = np.int64(0)
    for number in range(first, paths.size[0]):
        record = paths.records[number]
        start = np.int64(record[OFFSET])
        end = start + record[LENGTH]
        done = reduce_text(paths.arena, start, end, True, target, at)
        record[CLASS] = DIRTY if done < 0 else CLEAN
        at = max(at, done)
        ends[number - first] = at


@njit(cache=True, nogil=True)
def reduce_others(first, others, referrer, agent, ends):
    """Reduce new referrers and user agents from *first* on."""
    r, a = np.int64(0), np.int64(0)
    for number in range(first, others.size[0]):
        record = others.records[number]
        start = np.int64(record[OFFSET])
        end = start + record[LENGTH]
        if record[KIND] == KIND_REFERRER:
            done = reduce_text(others.arena, start, end, True, referrer, r)
            r = max(r, done)
        else:
            done = reduce_text(others.arena, start, end, False, agent, a)
            a = max(a, done)
        record[CLASS] = DIRTY if done < 0 else CLEAN
        ends[number - first, 0], ends[number - first, 1] = r, a


@njit(cache=True, nogil=True)
def spread_classes(first, count, requests, paths):
    """Requests that are clean but for their path are of the class of their path."""
    for number in range(first, count):
        if requests.records[number, CLASS] == CLEAN:
            requests.records[number, CLASS] = paths.records[requests.records[number, PATH], CLASS]


@njit(cache=True, nogil=True)
def _read_method(data, start, end, methods, method_count):
    """The number of the method before the first space; -1 if it is not 1 to 8 capital letters."""
    packed, at = _0, start
    while at < end and data[at] != 32:
        if not 65 <= data[at] <= 90 or at - start == 8:
            return np.int64(-1)
        packed = (packed << np.uint64(8)) | np.uint64(data[at])
        at += 1
    if at == start or at >= end:
        return np.int64(-1)
    for number in range(method_count[0]):
        if methods[number] == packed:
            return np.int64(number)
    if method_count[0] == methods.size:
        return np.int64(-1)
    methods[method_count[0]] = packed
    method_count[0] += 1
    return np.int64(method_count[0] - 1)


@njit(cache=True, nogil=True)
def _target_end(data, start, end):
    """Where ` HTTP/1.1` or ` HTTP/2` begins at the end of a request for a path; or -1."""
    if start >= end or data[start] != 47:
        return np.int64(-1)
    for length in (9, 7):
        at = end - length
        if (
            at > start
            and data[at] == 32
            and data[at + 1] == 72
            and data[at + 2] == 84
            and data[at + 3] == 84
            and data[at + 4] == 80
            and data[at + 5] == 47
            and 48 <= data[at + 6] <= 57
            and (length == 7 or (data[at + 7] == 46 and 48 <= data[at + 8] <= 57))
        ):
            return np.int64(at)
    return np.int64(-1)


# counting


@njit(cache=True, nogil=True)
def settle_lines(
    rows, lines, requests, paths, others, no_referrer, no_agent,
    known, keys, key_outcomes, line_keys, outcomes,
):  # fmt: skip
    """
    Find the outcome of these lines: by method and status, or by all that matters to them.

    Args:
        no_referrer: The class of lines without a referrer.
        no_agent: The class of lines without a user agent.

    Returns:
        How many of *rows* are left, at its start: those whose key, now in line_keys, has no outcome
        yet. The key is 0 where a text has no class of its own or nothing is known of a path.
    """
    left = 0
    for row in rows:
        request, referrer, agent = lines[row, REQUEST], lines[row, REFERRER], lines[row, AGENT]
        status = np.int64(lines[row, STATUS])
        class_ = np.int64(requests.records[request, CLASS])
        referrer_class = np.int64(others.records[referrer, CLASS]) if referrer >= 0 else no_referrer
        agent_class = np.int64(others.records[agent, CLASS]) if agent >= 0 else no_agent
        method, path = np.int64(requests.records[request, METHOD]), requests.records[request, PATH]
        outcome, key = np.int64(-1), _0
        if class_ == CLEAN and referrer_class == CLEAN and agent_class == CLEAN:
            outcome = np.int64(known[method, status])
        if outcome < 0 and class_ >= 0 and referrer_class >= 0 and agent_class >= 0:
            facts = np.int64(paths.records[path, FACTS]) if path >= 0 else np.int64(0)
            if facts >= 0:
                key = pack_key(class_, referrer_class, agent_class, facts, method, status)
                outcome = np.int64(key_outcomes[np.int64(_find_key(key, keys, key_outcomes))])
        line_keys[row], outcomes[row] = key, outcome
        if outcome < 0:
            rows[left] = row
            left += 1
    return left


@njit(cache=True, nogil=True)
def pack_key(class_, referrer_class, agent_class, facts, method, status):
    """What lines with the same outcome share; never 0."""
    return (
        (np.uint64(class_) << np.uint64(48))
        | (np.uint64(referrer_class) << np.uint64(38))
        | (np.uint64(agent_class) << np.uint64(28))
        | (np.uint64(facts) << np.uint64(16))
        | (np.uint64(method) << np.uint64(10))
        | np.uint64(status + 1)
    )


@njit(cache=True, nogil=True)
def _find_key(key, keys, key_outcomes):
    mask = np.uint64(keys.size - 1)
    slot = key * _P1
    slot = (slot ^ (slot >> np.uint64(32))) & mask
    while key_outcomes[np.int64(slot)] >= 0 and keys[np.int64(slot)] != key:
        slot = (slot + _1) & mask
    return slot


@njit(cache=True, nogil=True)
def outcome_of(key, keys, key_outcomes):
    """The outcome of lines with this key, or -1."""
    return np.int64(key_outcomes[np.int64(_find_key(key, keys, key_outcomes))])


@njit(cache=True, nogil=True)
def learn_outcome(key, outcome, keys, key_outcomes):
    """Lines with this key have this outcome from now on."""
    slot = np.int64(_find_key(key, keys, key_outcomes))
    keys[slot], key_outcomes[slot] = key, outcome


@njit(cache=True, nogil=True)
def count_lines(start, count, lines, outcomes, outcome_counters, keys, counts, used):
    """
    Add the rows [start, count) to a table keyed by (IP, minute, counters), packed into 64 bits.

    Returns:
        Where it had to stop: at *count*, or where the table is too full.
    """
    mask = np.uint64(keys.size - 1)
    for row in range(start, count):
        if 2 * used[0] >= keys.size:
            return np.int64(row)
        key = (
            (np.uint64(lines[row, IP]) << np.uint64(40))
            | (np.uint64(lines[row, MINUTE]) << np.uint64(13))
            | np.uint64(outcome_counters[outcomes[row]])
        )
        slot = key * _P1
        slot = (slot ^ (slot >> np.uint64(32))) & mask
        while counts[np.int64(slot)] and keys[np.int64(slot)] != key:
            slot = (slot + _1) & mask
        if not counts[np.int64(slot)]:
            keys[np.int64(slot)] = key
            used[0] += 1
        counts[np.int64(slot)] += 1
    return np.int64(count)
