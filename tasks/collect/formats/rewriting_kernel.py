"""
The compiled half of `rewriting`: lines of other formats into access lines.

A line of which it is not sure is left to its own format, which defines what it says; what it
accepts it writes as an access line of which `parse_access` says the same. A line is taken apart
into the spans of what it says, by slots, and written from them.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tasks.collect.kernel import (
    ONE,
    P1,
    P2,
    ZERO,
    count_trailing_zeros,
    load,
    load64,
    locate,
    low_bytes,
    njit,
    read_hex,
    splat,
)

MAX_PLANS = 128
MAX_DEPTH = 32

# what is kept of a line, by slot
(CLIENT, USER, TIME, METHOD, TARGET, PATH, QUERY, REQUEST, STATUS, REFERRER, AGENT, LINE, STREAM,
 DAY, DATE, CLOCK, ZONE, SECONDS) = range(18)  # fmt: skip
SLOTS = 18
START, END, KIND = range(3)
# how it is written: LETTERS has some beyond ASCII; ODD is what only the line's own format can read;
# PEER has a port behind the address
NOTHING, PLAIN, LETTERS, ESCAPED, INTEGER, FLOAT, PLUS, PERCENT, ODD, PEER = range(10)
# what says the target of a request, or what else there is
NO_MODE, OF_TARGET, OF_PATH, OF_REQUEST, OF_LINE, OF_LOG, OF_TIME = range(7)

# what is carried from call to call
S_POSITION, S_LINES, S_ROWS, S_REFUSED, S_WRITTEN, S_PLANS, S_PLAN = range(7)
STATE_SIZE = 7

# columns of a shape, and what its rows do; see `shapes`
R_OP, R_OF, R_LEAST, R_MOST, R_STOP, R_FIRST, R_SECOND, R_SLOT, R_KIND, R_NEXT, R_ELSE = range(11)
RUN, PICTURE, UNTIL, ACCEPT = range(4)

# columns of a key: the object that it is in, where its text is, and whether objects matter below it
PARENT, BEGIN, LENGTH, IS_PARENT = range(4)
KEY_COLUMNS = 4
# what else a value can be in: an object or a list that does not matter; below, lists that do
_UNKNOWN, _LIST = -1, -2

_MONTHS = tuple(b"JanFebMarAprMayJunJulAugSepOctNovDec")
_QUOTE, _NO_IDENTITY, _TIME, _REQUEST = (tuple(text) for text in (b' "', b" - ", b" [", b'] "'))
_STATUS, _NO_SIZE, _PROTOCOL, _UTC = (
    tuple(text) for text in (b'" ', b" -", b" HTTP/1.1", b" +0000")
)
_ESCAPES = tuple(b'"\\/bfnrt')
_STDOUT, _STDERR = (np.uint64(int.from_bytes(name, "little")) for name in (b"stdout", b"stderr"))


class Shape(NamedTuple):
    """How lines are laid out."""

    rows: Any
    start: int
    classes: Any
    """By class and byte: whether it belongs to the class."""
    ranges: Any
    """By picture: the least that its bytes can be, and the most that they can exceed it by."""


class Keys(NamedTuple):
    """Keys of JSON that say something, numbered; 0 is the whole object."""

    slots: Any
    """Numbers, at hashes."""
    records: Any
    arena: Any


class Scratch(NamedTuple):
    """What the line at hand says."""

    spans: Any
    """By slot: start, end and kind."""
    values: Any
    """By key: likewise."""
    containers: Any
    """Of JSON: what the objects and lists are in which a value is."""


class Plans(NamedTuple):
    """What objects say that have certain keys."""

    present: Any
    """By plan: which keys they are, a bit each."""
    keys: Any
    """By plan and slot: the key, or -1."""
    is_only: Any
    """By plan and slot: whether no other key could say it where this one says nothing."""
    modes: Any


_VECTOR = ir.VectorType(ir.IntType(8), 32)


@intrinsic
def _copy32(_typing: Any, source: Any, _from: Any, target: Any, _to: Any) -> Any:
    """Copy 32 bytes from any position to any other."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        loaded = load(context, builder, kinds[0], args[0], args[1], _VECTOR)
        place = locate(context, builder, kinds[2], args[2], args[3], _VECTOR)
        builder.store(loaded, place).align = 1
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), generate


@intrinsic
def _is_within(_typing: Any, array: Any, _index: Any, ranges: Any, _at: Any) -> Any:
    """Whether 32 bytes are all in ranges: 32 bytes that each begin with, and 32 of their sizes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds, size = signature.args, ir.IntType(64)(32)
        loaded = load(context, builder, kinds[0], args[0], args[1], _VECTOR)
        least = load(context, builder, kinds[2], args[2], args[3], _VECTOR)
        more = load(context, builder, kinds[2], args[2], builder.add(args[3], size), _VECTOR)
        within = builder.icmp_unsigned("<=", builder.sub(loaded, least), more)
        found = builder.bitcast(within, ir.IntType(32))
        return builder.icmp_unsigned("==", found, ir.IntType(32)(0xFFFFFFFF))

    return types.boolean(array, types.intp, ranges, types.intp), generate


@intrinsic
def _find_odd(_typing: Any, array: Any, _index: Any, _first: Any, _second: Any) -> Any:
    """Which of 32 bytes are not printable ASCII, or are one of two: a bit each."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8)
        loaded = load(context, builder, signature.args[0], args[0], args[1], _VECTOR)
        shifted = builder.sub(loaded, splat(builder, byte(32), _VECTOR))
        found = builder.icmp_unsigned(">", shifted, splat(builder, byte(94), _VECTOR))
        for wanted in args[2:]:
            same = builder.icmp_unsigned("==", loaded, splat(builder, wanted, _VECTOR))
            found = builder.or_(found, same)
        return builder.bitcast(found, ir.IntType(32))

    return types.uint32(array, types.intp, types.uint8, types.uint8), generate


@njit(inline="always")
def _find(data, start, end, first, second):
    """Position of the first byte that is not printable ASCII or one of two; or *end*."""
    position = start
    while position < end:
        mask = _find_odd(data, position, first, second)
        if mask:
            position += np.int64(count_trailing_zeros(mask))
            return position if position < end else end
        position += 32
    return end


@njit(inline="always")
def _find_feed(data, start, end):
    position = _find(data, start, end, np.uint8(10), np.uint8(10))
    while position < end and data[position] != 10:
        position = _find(data, position + 1, end, np.uint8(10), np.uint8(10))
    return position


@njit(inline="always")
def _is_digit(byte):
    return 48 <= byte <= 57


@njit(inline="always")
def _is_letter(byte):
    return 65 <= byte <= 90 or 97 <= byte <= 122


@njit(inline="always")
def _read_byte(data, at):
    """The value of two hexadecimal digits, or -1."""
    high, low = read_hex(data[at]), read_hex(data[at + 1])
    return high * 16 + low if high >= 0 and low >= 0 else np.int64(-1)


# fields


@njit()
def _read_fields(data, start, stop, shape, spans):
    """The mode of a line that has this shape, whose spans are known then; NO_MODE for another."""
    rows, classes, ranges = shape.rows, shape.classes, shape.ranges
    at, number = start, shape.start
    while number:
        op, of, ending = rows[number, R_OP], rows[number, R_OF], rows[number, R_STOP]
        end, most = at, at + rows[number, R_MOST]
        if op == RUN:
            while end < most and classes[of + data[end]]:
                end += 1
        elif op == PICTURE:
            if _is_within(data, at, ranges, of):
                end = most
        elif op == UNTIL:
            if classes[of + data[at]]:
                first, second = np.uint8(rows[number, R_FIRST]), np.uint8(rows[number, R_SECOND])
                end = _find_ending(data, at, stop, first, second)
        else:
            return rows[number, R_KIND]
        is_ended = ending < 0 or (data[end] == ending if end < stop else ending == 10)
        if is_ended and rows[number, R_LEAST] <= end - at:
            if rows[number, R_SLOT] >= 0:
                _fill(spans, rows[number, R_SLOT], data, at, end, rows[number, R_KIND])
            at = end + (ending >= 0)
            number = rows[number, R_NEXT]
        else:
            number = rows[number, R_ELSE]
    return NO_MODE


@njit(inline="always")
def _find_ending(data, start, stop, first, second):
    """Position of the first of two bytes, or of a control character; or *stop*."""
    end = _find(data, start, stop, first, second)
    while end < stop and data[end] > 127:
        end = _find(data, end + 1, stop, first, second)
    return end


@njit(inline="always")
def _fill(spans, slot, data, start, end, kind):
    is_nothing = end == start or (end == start + 1 and data[start] == 45)
    spans[slot, START], spans[slot, END] = start, end
    spans[slot, KIND] = NOTHING if is_nothing else kind


@njit()
def rewrite_fields(data, end, shape, spans, state, out, places, refused):
    """Rewrite the lines that have this shape."""
    position = state[S_POSITION]
    while position < end:
        feed = _find_feed(data, position, end)
        stop = feed - 1 if feed > position and data[feed - 1] == 13 else feed
        last = stop
        while last > position and data[last - 1] == 32:
            last -= 1
        for slot in range(SLOTS):
            spans[slot, KIND] = NOTHING
        state[S_LINES] += 1
        mode = _read_fields(data, position, last, shape, spans)
        written = _write_line(data, spans, mode, out, state[S_WRITTEN])
        _keep_line(position, stop, written, state, places, refused)
        position = feed + 1
    state[S_POSITION] = position


# writing


@njit(inline="always")
def _copy(data, start, end, out, at):
    for offset in range(0, end - start, 32):
        _copy32(data, start + offset, out, at + offset)
    return at + end - start


@njit(inline="always")
def _put(out, at, text):
    for offset in range(len(text)):
        out[at + offset] = text[offset]
    return at + len(text)


@njit()
def _write_decoded(data, span, mark, is_line, out, at):
    r"""
    Write a text with each `%20` or `\u0020` decoded, or -1 where an access line cannot say it.

    Args:
        mark: With what these begin.
        is_line: Whether the text is an access line itself, in which quotes can be.
    """
    read, end, first = span[START], span[END], at
    while read < end:
        run = _find(data, read, end, mark, mark)
        at, read = _copy(data, read, run, out, at), run
        if run == end:
            break
        if data[run] != mark:
            return np.int64(-1)
        byte, read = np.int64(data[run + 1]), run + 2
        if mark == 37:
            byte, read = _read_byte(data, run + 1), run + 3
            if byte < 0:
                byte, read = np.int64(37), run + 1
        elif byte == 117:
            byte, read = _read_byte(data, run + 4), run + 6
            if data[run + 2] != 48 or data[run + 3] != 48 or byte > 126:
                return np.int64(-1)
        elif byte != 47 and byte != 34 and byte != 92:
            return np.int64(-1)
        if byte < 32 or byte == 127 or (not is_line and (byte == 34 or byte == 92)):
            return np.int64(-1)
        out[at] = byte
        at += 1
    is_nothing = at == first + 1 and out[first] == 45
    return np.int64(-1 if is_nothing or read > end else at)


@njit(inline="always")
def _write_text(data, span, out, at):
    """Write what a span says, or -1."""
    start, end, kind = span[START], span[END], span[KIND]
    if kind == PLAIN or kind == LETTERS or kind == INTEGER:
        return _copy(data, start, end, out, at)
    if kind == PLUS:
        for offset in range(end - start):
            byte = data[start + offset]
            out[at + offset] = 32 if byte == 43 else byte
        return at + end - start
    if kind == ESCAPED or kind == PERCENT:
        return _write_decoded(data, span, np.uint8(37 if kind == PERCENT else 92), False, out, at)
    return np.int64(-1)


@njit(inline="always")
def _write_quoted(data, span, out, at):
    """Write ` "text"`, or -1."""
    at = _put(out, at, _QUOTE)
    if span[KIND] == NOTHING:
        out[at] = 45
        at += 1
    else:
        at = _write_text(data, span, out, at)
    if at >= 0:
        out[at] = 34
        at += 1
    return at


@njit(inline="always")
def _write_client(data, span, out, at):
    """Write an address without brackets and port, or -1; whether it is one is for the scanner."""
    start, end, kind = span[START], span[END], span[KIND]
    if (kind != PLAIN and kind != PEER) or end - start > 80:
        return np.int64(-1)
    colons, colon = 0, end
    for position in range(start, end):
        if data[position] == 58:
            colons += 1
            colon = position
    is_bracketed = data[start] == 91
    # elsewhere a port looks like a group
    if kind == PEER or colons == 1 or (is_bracketed and data[end - 1] != 93):
        if not 1 <= end - colon - 1 <= 5:
            return np.int64(-1)
        for position in range(colon + 1, end):
            if not _is_digit(data[position]):
                return np.int64(-1)
        end = colon
    if is_bracketed:
        if data[end - 1] != 93:
            return np.int64(-1)
        start, end = start + 1, end - 1
    for position in range(start, end):
        byte = data[position]
        if byte != 58 and byte != 46 and read_hex(byte) < 0:
            return np.int64(-1)
        out[at] = byte
        at += 1
    return at


@njit(inline="always")
def _write_two(value, out, at):
    out[at], out[at + 1] = 48 + value // 10, 48 + value % 10


@njit(inline="always")
def _write_month(month, out, at):
    for offset in range(3):
        out[at + offset] = _MONTHS[3 * (month - 1) + offset]


@njit()
def _write_epoch(data, span, out, at):
    """Write `22/Feb/2026:22:10:01` for seconds, milli-, micro- or nanoseconds since 1970; or -1."""
    count = np.int64(0)
    for position in range(span[START], span[END]):
        count = count * 10 + np.int64(data[position]) - 48
    unit = 1 if count < 10**11 else 10**3 if count < 10**14 else 10**6 if count < 10**17 else 10**9
    days, second = count // unit // 86400, count // unit % 86400
    # civil from days: https://howardhinnant.github.io/date_algorithms.html
    shifted = days + 719468
    era, of_era = shifted // 146097, shifted % 146097
    of_years = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * of_years + of_years // 4 - of_years // 100)
    of_months = (5 * of_year + 2) // 153
    month = of_months + (3 if of_months < 10 else -9)
    year = of_years + era * 400 + (month <= 2)
    if count < 0 or year > 2100:
        return np.int64(-1)
    _write_two(of_year - (153 * of_months + 2) // 5 + 1, out, at)
    _write_month(month, out, at + 3)
    _write_two(year // 100, out, at + 7)
    _write_two(year % 100, out, at + 9)
    _write_two(second // 3600, out, at + 12)
    _write_two(second // 60 % 60, out, at + 15)
    _write_two(second % 60, out, at + 18)
    out[at + 2], out[at + 6], out[at + 11], out[at + 14], out[at + 17] = 47, 47, 58, 58, 58
    return at + 20


@njit(inline="always")
def _write_time(data, spans, out, at):
    """
    Write `22/Feb/2026:22:10:01 +0300`, or -1.

    Whether there is such a time is for the scanner.
    """
    if spans[DAY, KIND] == PLAIN:
        _copy32(data, spans[DAY, START], out, at)
    elif spans[DATE, KIND] == PLAIN:
        date = spans[DATE, START]
        month = (np.int64(data[date + 5]) - 48) * 10 + np.int64(data[date + 6]) - 48
        if not 1 <= month <= 12:
            return np.int64(-1)
        _copy32(data, spans[CLOCK, START], out, at + 12)
        out[at], out[at + 1] = data[date + 8], data[date + 9]
        _write_month(month, out, at + 3)
        for offset in range(4):
            out[at + 7 + offset] = data[date + offset]
        out[at + 2], out[at + 6], out[at + 11] = 47, 47, 58
    elif spans[SECONDS, KIND] != PLAIN or _write_epoch(data, spans[SECONDS], out, at) < 0:
        return np.int64(-1)
    if spans[ZONE, KIND] == NOTHING:
        return _put(out, at + 20, _UTC)
    start, end = spans[ZONE, START], spans[ZONE, END]
    out[at + 20] = 32
    for offset in range(3):
        out[at + 21 + offset] = data[start + offset]
    out[at + 24], out[at + 25] = data[end - 2], data[end - 1]
    return at + 26


@njit(inline="always")
def _write_request(data, spans, mode, out, at):
    """Write `GET /path HTTP/1.1`, or -1."""
    if mode == OF_REQUEST:
        if spans[REQUEST, KIND] == LETTERS:
            return np.int64(-1)
        start = at
        at = _write_text(data, spans[REQUEST], out, at)
        # a target that is nothing, or no target at all, is for the line's own format
        blank = start
        while blank < at and out[blank] != 32:
            blank += 1
        return at if blank + 1 < at and out[blank + 1] == 47 else np.int64(-1)
    start, end = spans[METHOD, START], spans[METHOD, END]
    if spans[METHOD, KIND] != PLAIN or end - start > 40:
        return np.int64(-1)
    for position in range(start, end):
        if not _is_letter(data[position]):
            return np.int64(-1)
    at = _copy(data, start, end, out, at)
    out[at] = 32
    at = _write_text(data, spans[TARGET if mode == OF_TARGET else PATH], out, at + 1)
    if mode == OF_PATH and spans[QUERY, KIND] != NOTHING and at >= 0:
        spans[QUERY, START] += data[spans[QUERY, START]] == 63
        if spans[QUERY, END] > spans[QUERY, START]:
            out[at] = 63
            at = _write_text(data, spans[QUERY], out, at + 1)
    return _put(out, at, _PROTOCOL) if at >= 0 else at


@njit()
def _write_line(data, spans, mode, out, start):
    """Write the access line that says what the spans do, and its line feed; or -1."""
    if mode == OF_LINE:
        at = _copy(data, spans[LINE, START], spans[LINE, END], out, start)
        out[at] = 10
        return at + 1
    if mode == NO_MODE:
        return np.int64(-1)
    at = _write_client(data, spans[CLIENT], out, start)
    if at < 0:
        return np.int64(-1)
    at = _put(out, at, _NO_IDENTITY)
    kind = spans[USER, KIND]
    if kind == PLAIN or kind == INTEGER:
        for position in range(spans[USER, START], spans[USER, END]):
            if data[position] == 32:
                return np.int64(-1)
        at = _copy(data, spans[USER, START], spans[USER, END], out, at)
    elif kind == NOTHING:
        out[at] = 45
        at += 1
    else:
        return np.int64(-1)
    at = _write_time(data, spans, out, _put(out, at, _TIME))
    if at < 0:
        return np.int64(-1)
    at = _write_request(data, spans, mode, out, _put(out, at, _REQUEST))
    if at < 0:
        return np.int64(-1)
    at = _put(out, at, _STATUS)
    digits, kind = spans[STATUS, START], spans[STATUS, KIND]
    is_status = (kind == PLAIN or kind == INTEGER) and spans[STATUS, END] - digits == 3
    if not is_status or data[digits] == 48:
        return np.int64(-1)
    for offset in range(3):
        if not _is_digit(data[digits + offset]):
            return np.int64(-1)
        out[at + offset] = data[digits + offset]
    at = _write_quoted(data, spans[REFERRER], out, _put(out, at + 3, _NO_SIZE))
    if at < 0:
        return np.int64(-1)
    at = _write_quoted(data, spans[AGENT], out, at)
    # nothing is escaped with a backslash elsewhere
    if at < 0 or _has_backslash(out, start, at):
        return np.int64(-1)
    out[at] = 10
    return at + 1


@njit(inline="always")
def _has_backslash(out, start, end):
    while start < end:
        start = _find(out, start, end, np.uint8(92), np.uint8(92))
        if start < end and out[start] == 92:
            return True
        start += 1
    return False


@njit(inline="always")
def _keep_line(start, stop, written, state, places, refused):
    """Note what became of a line."""
    if written < 0:
        row = state[S_REFUSED]
        refused[row, 0], refused[row, 1], refused[row, 2] = start, stop, state[S_LINES]
        state[S_REFUSED] = row + 1
    else:
        row = state[S_ROWS]
        places[row, 0], places[row, 1], places[row, 2] = start, stop, state[S_LINES]
        state[S_ROWS], state[S_WRITTEN] = row + 1, written


# JSON


@njit(inline="always")
def _hash_key(data, start, length, parent):
    first = load64(data, start) & low_bytes(length)
    last = load64(data, start + length - 8) if length >= 8 else ZERO
    h = (first ^ (np.uint64(length) << np.uint64(56)) ^ np.uint64(parent)) * P1
    h = (h ^ (h >> np.uint64(32)) ^ last) * P2
    return h ^ (h >> np.uint64(29))


@njit()
def number_key(number, keys):
    """The key with this number, whose record is complete, is found from now on."""
    record = keys.records[number]
    h = _hash_key(keys.arena, np.int64(record[BEGIN]), np.int64(record[LENGTH]), record[PARENT])
    mask = np.uint64(keys.slots.size - 1)
    slot = h & mask
    while keys.slots[np.int64(slot)]:
        slot = (slot + ONE) & mask
    keys.slots[np.int64(slot)] = number


@njit(inline="always")
def _find_key(data, start, end, parent, slots, records, arena):
    """The number of a key in a known object, or -1."""
    length = end - start
    mask = np.uint64(slots.size - 1)
    slot = _hash_key(data, start, length, parent) & mask
    number = np.int64(slots[np.int64(slot)])
    while number:
        if records[number, PARENT] == parent and records[number, LENGTH] == length:
            begin, is_equal = np.int64(records[number, BEGIN]), True
            for offset in range(0, length, 8):
                different = load64(data, start + offset) ^ load64(arena, begin + offset)
                is_equal = is_equal and different & low_bytes(length - offset) == ZERO
            if is_equal:
                return number
        slot = (slot + ONE) & mask
        number = np.int64(slots[np.int64(slot)])
    return np.int64(-1)


@njit(inline="always")
def _skip_escape(data, at):
    """The end of the escape that begins here, or -1 for none, and for halves of surrogate pairs."""
    byte = data[at + 1]
    if byte != 117:
        return np.int64(at + 2 if byte in _ESCAPES else -1)
    high = _read_byte(data, at + 2)
    is_letter = high >= 0 and not 0xD8 <= high <= 0xDF and _read_byte(data, at + 4) >= 0
    return np.int64(at + 6 if is_letter else -1)


@njit()
def _skip_letter(data, at):
    """The end of the letter beyond ASCII that begins here, or -1 for what is no UTF-8."""
    first, second = data[at], data[at + 1]
    more = np.int64(first >= 0xC2) + np.int64(first >= 0xE0) + np.int64(first >= 0xF0)
    # no letter is longer than it has to be, half of a pair, or beyond the last one
    least = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
    most = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
    if more == 0 or first > 0xF4 or not least <= second <= most:
        return np.int64(-1)
    for offset in range(2, more + 1):
        if data[at + offset] & 0xC0 != 0x80:
            return np.int64(-1)
    return np.int64(at + more + 1)


@njit(inline="always")
def _read_string(data, start, stop):
    """(position of the quote that ends a string, its kind); the position is -1 where none does."""
    at, kind = start, PLAIN
    while True:
        at = _find(data, at, stop, np.uint8(34), np.uint8(92))
        byte = data[at]
        if byte < 32:  # the line feed after all, too
            return np.int64(-1), kind
        if byte == 34:
            is_nothing = at == start or (at == start + 1 and data[start] == 45)
            return np.int64(at), NOTHING if is_nothing else kind
        if byte == 92:
            at = _skip_escape(data, at)
            kind = ESCAPED if kind == PLAIN or kind == ESCAPED else ODD
        elif byte > 127:
            at = _skip_letter(data, at)
            kind = LETTERS if kind == PLAIN or kind == LETTERS else ODD
        else:
            at += 1
            kind = ODD
        if at < 0:
            return np.int64(-1), kind


@njit(inline="always")
def _skip_digits(data, at):
    while _is_digit(data[at]):
        at += 1
    return at


@njit()
def _read_number(data, start):
    """(end of a number, its kind); the end is -1 for none, and for those that are very long."""
    begin = start + (data[start] == 45)
    at = point = _skip_digits(data, begin)
    kind = INTEGER if begin == start else ODD
    if data[point] == 46:
        at, kind = _skip_digits(data, point + 1), FLOAT if kind == INTEGER else ODD
    is_whole = point == begin + 1 or (1 <= point - begin <= 18 and data[begin] != 48)
    is_number = is_whole and at != point + 1 and at - point <= 21
    if data[at] == 69 or data[at] == 101:
        power = at + 1 + (data[at + 1] == 43 or data[at + 1] == 45)
        at, kind = _skip_digits(data, power), ODD
        is_number = is_number and 1 <= at - power <= 2
    return np.int64(at if is_number else -1), kind


@njit()
def _read_word(data, at):
    """(end of `true`, `false` or `null`, its kind); the end is -1 for anything else."""
    word = load64(data, at) & np.uint64(0xFFFFFFFF)
    if word == np.uint64(0x6C6C756E):
        return np.int64(at + 4), NOTHING
    if word == np.uint64(0x65757274):
        return np.int64(at + 4), ODD
    is_false = word == np.uint64(0x736C6166) and data[at + 4] == 101
    return np.int64(at + 5 if is_false else -1), ODD


@njit(inline="always")
def _skip_blanks(data, at):
    while data[at] == 32:
        at += 1
    return at


@njit()
def _read_object(data, start, stop, slots, records, arena, stack, present, values):
    """Whether the line is one object, as orjson has it, without known keys that come twice."""
    for word in range(present.size):
        present[word] = ZERO
    depth, at, is_first = 0, start + 1, True
    stack[0] = 0
    while True:
        at = _skip_blanks(data, at)
        container = stack[depth]
        if not (is_first and (data[at] == 125 or data[at] == 93)):
            number = np.int64(-1)
            if container > _LIST:
                if data[at] != 34:
                    return False
                begin = at + 1
                end, kind = _read_string(data, begin, stop)
                if end < 0 or ((kind == ESCAPED or kind == ODD) and container >= 0):
                    return False
                if container >= 0:
                    number = _find_key(data, begin, end, container, slots, records, arena)
                at = _skip_blanks(data, end + 1)
                if data[at] != 58:
                    return False
                at = _skip_blanks(data, at + 1)
                if number >= 0:
                    bit = ONE << np.uint64(number & 63)
                    if present[number >> 6] & bit:
                        return False
                    present[number >> 6] |= bit
            elif container < _LIST:  # its only item speaks for a list
                number = _LIST - container
                if not is_first:
                    values[number, KIND] = ODD
                    number = np.int64(-1)
            byte = data[at]
            if byte == 123 or byte == 91:
                is_known = number >= 0 and container > _LIST
                if number >= 0:
                    values[number, KIND] = NOTHING if byte == 91 and is_known else ODD
                depth += 1
                if depth == MAX_DEPTH:
                    return False
                if byte == 91:
                    stack[depth] = _LIST - number if is_known else _LIST
                else:
                    stack[depth] = number if is_known and records[number, IS_PARENT] else _UNKNOWN
                is_first, at = True, at + 1
                continue
            begin = at
            if byte == 34:
                begin = at + 1
                end, kind = _read_string(data, begin, stop)
                at = end + 1
            elif byte == 45 or _is_digit(byte):
                end, kind = _read_number(data, at)
                at = end
            else:
                end, kind = _read_word(data, at)
                at = end
            if end < 0:
                return False
            if number >= 0:
                values[number, START], values[number, END], values[number, KIND] = begin, end, kind
        while True:
            at = _skip_blanks(data, at)
            byte = data[at]
            at += 1
            if byte == 44:
                is_first = False
                break
            if byte != (93 if stack[depth] <= _LIST else 125):
                return False
            depth -= 1
            if depth < 0:
                return _skip_blanks(data, at) == stop


@njit(inline="always")
def _find_plan(present, plans, state):
    """The number of the plan for objects with these keys, or -1; it is remembered."""
    for turn in range(state[S_PLANS] + 1):
        number = state[S_PLAN] if turn == 0 else turn - 1
        if number < state[S_PLANS]:
            is_equal = True
            for word in range(present.size):
                is_equal = is_equal and plans.present[number, word] == present[word]
            if is_equal:
                state[S_PLAN] = number
                return np.int64(number)
    return np.int64(-1)


@njit()
def rewrite_json(
    data, end, keys, plans, present, scratch, wrapped, times, state, out, places, refused
):
    """
    Rewrite objects until *end*, or one whose keys, which are in *present*, have no plan.

    Args:
        wrapped: The shape of a line with something before its object.
        times: That of a time.
    """
    spans, values = scratch.spans, scratch.values
    position = state[S_POSITION]
    while position < end:
        feed = _find_feed(data, position, end)
        stop = feed - 1 if feed > position and data[feed - 1] == 13 else feed
        written, start = np.int64(-1), position
        if data[start] != 123 and _read_fields(data, start, stop, wrapped, spans) == OF_LINE:
            start = spans[LINE, START]
        if data[start] == 123 and _read_object(
            data, start, stop, keys.slots, keys.records, keys.arena, scratch.containers,
            present, values,
        ):  # fmt: skip
            plan = _find_plan(present, plans, state)
            if plan < 0:
                break
            if _follow_plan(plans.keys[plan], plans.is_only[plan], values, spans):
                mode, at = plans.modes[plan], state[S_WRITTEN]
                if mode == OF_LOG:
                    written = _write_log(data, spans, position, out, at)
                elif _read_time(data, spans, times):
                    written = _write_line(data, spans, mode, out, at)
        state[S_LINES] += 1
        _keep_line(position, stop, written, state, places, refused)
        position = feed + 1
    state[S_POSITION] = position


@njit(inline="always")
def _read_time(data, spans, times):
    """Whether it is known when it was."""
    kind = spans[TIME, KIND]
    if kind != PLAIN and kind != INTEGER and kind != FLOAT:
        return False
    return _read_fields(data, spans[TIME, START], spans[TIME, END], times, spans) == OF_TIME


@njit()
def _write_log(data, spans, start, out, at):
    """Write the access line that a container wrote, as Docker keeps it, or -1; see `container`."""
    span, name = spans[LINE], load64(data, spans[STREAM, START]) & low_bytes(6)
    is_named = name == _STDOUT or name == _STDERR
    if span[START] != start + 8 or not is_named or spans[STREAM, END] - spans[STREAM, START] != 6:
        return np.int64(-1)
    if span[KIND] != ESCAPED or read_hex(data[span[START]]) < 0:
        return np.int64(-1)
    if data[span[END] - 2] == 92 and data[span[END] - 1] == 110:
        span[END] -= 2
    at = _write_decoded(data, span, np.uint8(92), True, out, at)
    if at >= 0:
        out[at] = 10
        at += 1
    return at


@njit(inline="always")
def _follow_plan(keys, is_only, values, spans):
    """Whether the values say, without another look, what is in the slots; they are filled."""
    for slot in range(SLOTS):
        number = keys[slot]
        if number < 0:
            spans[slot, 2] = NOTHING
            continue
        spans[slot, 0], spans[slot, 1] = values[number, 0], values[number, 1]
        spans[slot, 2] = values[number, 2]
        if values[number, 2] == NOTHING and not is_only[slot]:
            return False
    return True
