"""
The compiled half of `rewriting`: lines of other formats into access lines, without the GIL.

Numba compiles these functions as it does `tasks.detect.kernel`, and the same holds here: they only
ever refuse. A line of which they are not sure is left to its own format, which defines what it
says; what they accept they write as an access line of which `parse_access` says the same.

A line is taken apart into the spans of what it says, by slots, and written from them.
"""

from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

njit = partial(numba.njit, cache=True, nogil=True, _nrt=False)
"""Compiled without counting references to arrays: see `tasks.detect.kernel`."""

PADDING = 64
"""Bytes after the end of a buffer that may be read or written and never matter."""
MAX_PLANS = 128
MAX_DEPTH = 32

# what a line says of a request
CLIENT, USER, TIME, METHOD, TARGET, PATH, QUERY, REQUEST, STATUS, REFERRER, AGENT, DATE = range(12)
SLOTS = 12
# how it is written: LETTERS has some beyond ASCII; ODD is what only the line's own format can read;
# UTC is a time like an access line's, without an offset
NOTHING, PLAIN, LETTERS, ESCAPED, INTEGER, FLOAT, PLUS, PERCENT, ODD, UTC = range(10)
# what says the target of a request
NO_MODE, OF_TARGET, OF_PATH, OF_REQUEST = range(4)

# what is carried from call to call
S_POSITION, S_LINES, S_ROWS, S_REFUSED, S_WRITTEN, S_PLANS, S_PLAN = range(7)
STATE_SIZE = 7

# columns of a key: the object that it is in, where its text is, and whether objects matter below it
PARENT, START, LENGTH, IS_PARENT = range(4)
KEY_COLUMNS = 4
_UNKNOWN, _ARRAY = -1, -2

_P1 = np.uint64(11400714785074694791)
_P2 = np.uint64(14029467366897019727)
_0 = np.uint64(0)
_1 = np.uint64(1)


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


@intrinsic
def _load64(_typing: Any, array: Any, _index: Any) -> Any:
    """Eight bytes at any position, as a number."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        word = ir.IntType(64)
        loaded = builder.load(builder.bitcast(builder.gep(data, [args[1]]), word.as_pointer()))
        loaded.align = 1
        return loaded

    return types.uint64(array, types.intp), generate


@intrinsic
def _copy32(_typing: Any, source: Any, _from: Any, target: Any, _to: Any) -> Any:
    """Copy 32 bytes from any position to any other."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), 32).as_pointer()
        read = context.make_array(signature.args[0])(context, builder, args[0]).data
        write = context.make_array(signature.args[2])(context, builder, args[2]).data
        loaded = builder.load(builder.bitcast(builder.gep(read, [args[1]]), vector))
        loaded.align = 1
        stored = builder.store(loaded, builder.bitcast(builder.gep(write, [args[3]]), vector))
        stored.align = 1
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), generate


@intrinsic
def _find_odd(_typing: Any, array: Any, _index: Any, _first: Any, _second: Any) -> Any:
    """Which of 32 bytes are not printable ASCII, or are one of two: a bit each."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte, lane = ir.IntType(8), ir.IntType(32)
        vector = ir.VectorType(byte, 32)
        loaded = builder.load(builder.bitcast(builder.gep(data, [args[1]]), vector.as_pointer()))
        loaded.align = 1

        def splat(value: Any) -> Any:
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, lane(0))
            zeros = ir.Constant(ir.VectorType(lane, 32), [0] * 32)
            return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

        shifted = builder.sub(loaded, splat(byte(32)))
        found = builder.icmp_unsigned(">", shifted, splat(byte(94)))
        for wanted in args[2:]:
            found = builder.or_(found, builder.icmp_unsigned("==", loaded, splat(wanted)))
        return builder.bitcast(found, lane)

    return types.uint32(array, types.intp, types.uint8, types.uint8), generate


@intrinsic
def _count_trailing_zeros(_typing: Any, _mask: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.uint32(types.uint32), generate


@njit(inline="always")
def _find(data, start, end, first, second):
    """Position of the first byte that is not printable ASCII or one of two; or *end*."""
    position = start
    while position < end:
        mask = _find_odd(data, position, first, second)
        if mask:
            position += np.int64(_count_trailing_zeros(mask))
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
def _low_bytes(count):
    """Ones in so many of the low bytes."""
    return (_1 << np.uint64(8 * count)) - _1 if count < 8 else ~_0


@njit(inline="always")
def _is_digit(byte):
    return 48 <= byte <= 57


@njit(inline="always")
def _is_letter(byte):
    return 65 <= byte <= 90 or 97 <= byte <= 122


@njit(inline="always")
def _read_hex(byte):
    """The value of a hexadecimal digit, or -1."""
    if 48 <= byte <= 57:
        return np.int64(byte) - 48
    if 97 <= byte <= 102:
        return np.int64(byte) - 87
    if 65 <= byte <= 70:
        return np.int64(byte) - 55
    return np.int64(-1)


# writing


@njit(inline="always")
def _copy(data, start, end, out, at):
    for offset in range(0, end - start, 32):
        _copy32(data, start + offset, out, at + offset)
    return at + end - start


@njit()
def _write_unescaped(data, start, end, out, at):
    """Write a string of JSON with escapes of what is plain in an access line, too; or -1."""
    read = start
    while read < end:
        byte = np.int64(data[read])
        read += 1
        if byte == 92:
            byte = np.int64(data[read])
            read += 1
            if byte == 117:
                high, low = _read_hex(data[read + 2]), _read_hex(data[read + 3])
                if data[read] != 48 or data[read + 1] != 48:
                    return np.int64(-1)
                byte = high * 16 + low
                read += 4
            elif byte != 47:
                return np.int64(-1)
            if byte < 32 or byte > 126 or byte == 34 or byte == 92:
                return np.int64(-1)
        out[at] = byte
        at += 1
    return np.int64(at)


@njit()
def _write_unquoted(data, start, end, out, at):
    """Write a percent-encoded text decoded, or -1 where an access line cannot say what it is."""
    read, first = start, at
    while read < end:
        byte = np.int64(data[read])
        read += 1
        if byte > 127:
            return np.int64(-1)
        if byte == 37 and read + 1 < end:
            high, low = _read_hex(data[read]), _read_hex(data[read + 1])
            if high >= 0 and low >= 0:
                byte = high * 16 + low
                read += 2
        if byte < 32 or byte == 127 or byte == 34:
            return np.int64(-1)
        out[at] = byte
        at += 1
    is_nothing = at == first + 1 and out[first] == 45 and end > start + 1
    return np.int64(-1 if is_nothing else at)


@njit(inline="always")
def _write_text(data, span, out, at):
    """Write what a span says, or -1."""
    start, end, kind = span[0], span[1], span[2]
    if kind == PLAIN or kind == LETTERS or kind == INTEGER:
        return _copy(data, start, end, out, at)
    if kind == ESCAPED:
        # the shortest escape can be all there is: then it may say `-`
        return _write_unescaped(data, start, end, out, at) if end > start + 6 else np.int64(-1)
    if kind == PLUS:
        for offset in range(end - start):
            byte = data[start + offset]
            out[at + offset] = 32 if byte == 43 else byte
        return at + end - start
    if kind == PERCENT:
        return _write_unquoted(data, start, end, out, at)
    return np.int64(-1)


@njit(inline="always")
def _write_quoted(data, span, out, at):
    """Write ` "text"`, or -1."""
    out[at], out[at + 1] = 32, 34
    at += 2
    if span[2] == NOTHING:
        out[at] = 45
        at += 1
    else:
        at = _write_text(data, span, out, at)
        if at < 0:
            return np.int64(-1)
    out[at] = 34
    return at + 1


@njit(inline="always")
def _write_client(data, span, out, at):
    """Write an address without brackets and port, or -1; whether it is one is for the scanner."""
    start, end = span[0], span[1]
    if span[2] != PLAIN or end - start > 80:
        return np.int64(-1)
    colons, colon = 0, end
    for position in range(start, end):
        if data[position] == 58:
            colons += 1
            colon = position
    if data[start] == 91:
        close = end - 1
        if data[close] != 93:
            close = colon - 1
            if close <= start or data[close] != 93 or not _is_port(data, colon + 1, end):
                return np.int64(-1)
        start, end = start + 1, close
    elif colons == 1:
        if not _is_port(data, colon + 1, end):
            return np.int64(-1)
        end = colon
    for position in range(start, end):
        byte = data[position]
        if byte != 58 and byte != 46 and _read_hex(byte) < 0:
            return np.int64(-1)
        out[at] = byte
        at += 1
    return at


@njit(inline="always")
def _is_port(data, start, end):
    for position in range(start, end):
        if not _is_digit(data[position]):
            return False
    return 1 <= end - start <= 5


@njit(inline="always")
def _write_two(value, out, at):
    out[at], out[at + 1] = 48 + value // 10, 48 + value % 10


@njit(inline="always")
def _write_month(month, out, at):
    names = (
        0x4A616E, 0x466562, 0x4D6172, 0x417072, 0x4D6179, 0x4A756E,
        0x4A756C, 0x417567, 0x536570, 0x4F6374, 0x4E6F76, 0x446563,
    )  # fmt: skip
    name = names[month - 1]
    out[at], out[at + 1], out[at + 2] = name >> 16, (name >> 8) & 255, name & 255


@njit()
def _write_iso_time(data, date, time, end, is_utc, out, at):
    """
    Write `2026-02-22` and `22:10:01.5+03:00` as `22/Feb/2026:22:10:01 +0300`, or -1.

    Digits are copied: whether they are any, and a time that exists, is for the scanner.
    """
    month = (np.int64(data[date + 5]) - 48) * 10 + np.int64(data[date + 6]) - 48
    is_dated = data[date + 4] == 45 and data[date + 7] == 45 and 1 <= month <= 12
    if not is_dated or not 48 <= data[date + 6] <= 57 or end - time < 8:
        return np.int64(-1)
    if data[time + 2] != 58 or data[time + 5] != 58:
        return np.int64(-1)
    rest = time + 8
    if rest < end and (data[rest] == 46 or (data[rest] == 44 and not is_utc)):
        rest += 1
        if rest == end or not _is_digit(data[rest]):
            return np.int64(-1)
        while rest < end and _is_digit(data[rest]):
            rest += 1
    out[at], out[at + 1], out[at + 2] = data[date + 8], data[date + 9], 47
    _write_month(month, out, at + 3)
    out[at + 6] = 47
    for offset in range(4):
        out[at + 7 + offset] = data[date + offset]
    out[at + 11] = 58
    for offset in range(8):
        out[at + 12 + offset] = data[time + offset]
    out[at + 20], out[at + 21] = 32, 43
    out[at + 22] = out[at + 23] = out[at + 24] = out[at + 25] = 48
    if is_utc:
        return np.int64(at + 26 if rest == end else -1)
    if rest < end and data[rest] == 32:
        rest += 1
    left = end - rest
    if left == 1 and data[rest] == 90:
        return np.int64(at + 26)
    if left == 3 and data[rest] == 85 and data[rest + 1] == 84 and data[rest + 2] == 67:
        return np.int64(at + 26)
    if (left != 5 and left != 6) or (data[rest] != 43 and data[rest] != 45):
        return np.int64(-1)
    if left == 6 and data[rest + 3] != 58:
        return np.int64(-1)
    out[at + 21], out[at + 22], out[at + 23] = data[rest], data[rest + 1], data[rest + 2]
    out[at + 24], out[at + 25] = data[end - 2], data[end - 1]
    return np.int64(at + 26)


@njit()
def _write_epoch(data, start, end, kind, out, at):
    """Write seconds or a thousand times as many, thrice, since the epoch; or -1."""
    count, position = np.int64(0), start
    while position < end and _is_digit(data[position]):
        count = count * 10 + np.int64(data[position]) - 48
        position += 1
    digits = position - start
    if not 1 <= digits <= 18 and (digits != 19 or data[start] > 56):
        return np.int64(-1)
    if position < end:
        if data[position] != 46:
            return np.int64(-1)
        nines = 0
        for offset in range(position + 1, end):
            if not _is_digit(data[offset]):
                return np.int64(-1)
            nines += data[offset] == 57 and nines == offset - position - 1
        # as a number it is rounded to some 16 digits
        if kind == FLOAT and (nines >= 6 or not 9 <= digits <= 10):
            return np.int64(-1)
    for limit, unit in ((10**11, 1), (10**14, 10**3), (10**17, 10**6)):
        if count < limit:
            return _write_second(count // unit, out, at)
    return _write_second(count // 10**9, out, at)


@njit()
def _write_second(second, out, at):
    days, second = second // 86400, second % 86400
    # civil from days: https://howardhinnant.github.io/date_algorithms.html
    shifted = days + 719468
    era, of_era = shifted // 146097, shifted % 146097
    of_years = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * of_years + of_years // 4 - of_years // 100)
    of_months = (5 * of_year + 2) // 153
    month = of_months + (3 if of_months < 10 else -9)
    year = of_years + era * 400 + (month <= 2)
    if year > 2100:
        return np.int64(-1)
    _write_two(of_year - (153 * of_months + 2) // 5 + 1, out, at)
    _write_month(month, out, at + 3)
    _write_two(year // 100, out, at + 7)
    _write_two(year % 100, out, at + 9)
    _write_two(second // 3600, out, at + 12)
    _write_two(second // 60 % 60, out, at + 15)
    _write_two(second % 60, out, at + 18)
    out[at + 2], out[at + 6], out[at + 11], out[at + 14], out[at + 17] = 47, 47, 58, 58, 58
    out[at + 20], out[at + 21] = 32, 43
    out[at + 22] = out[at + 23] = out[at + 24] = out[at + 25] = 48
    return np.int64(at + 26)


@njit(inline="always")
def _write_time(data, spans, out, at):
    start, end, kind = spans[TIME, 0], spans[TIME, 1], spans[TIME, 2]
    if spans[DATE, 2] == PLAIN:
        date = spans[DATE, 0]
        if spans[DATE, 1] - date != 10 or kind != PLAIN:
            return np.int64(-1)
        return _write_iso_time(data, date, start, end, True, out, at)
    if kind == UTC:
        _copy(data, start, end, out, at)
        out[at + 20], out[at + 21] = 32, 43
        out[at + 22] = out[at + 23] = out[at + 24] = out[at + 25] = 48
        return np.int64(at + 26)
    if kind == PLAIN and end - start >= 20 and data[start + 4] == 45:
        if data[start + 10] != 84 and data[start + 10] != 32:
            return np.int64(-1)
        return _write_iso_time(data, start, start + 11, end, False, out, at)
    if kind == PLAIN and end - start == 26 and data[start + 2] == 47:
        return _copy(data, start, end, out, at)
    if kind == PLAIN or kind == INTEGER or kind == FLOAT:
        return _write_epoch(data, start, end, kind, out, at)
    return np.int64(-1)


@njit(inline="always")
def _write_request(data, spans, mode, out, at):
    """Write `GET /path HTTP/1.1`, or -1."""
    if mode == OF_REQUEST:
        if spans[REQUEST, 2] == LETTERS:
            return np.int64(-1)
        start = at
        at = _write_text(data, spans[REQUEST], out, at)
        # a target that is nothing, or no target at all, is for the line's own format
        blank = start
        while blank < at and out[blank] != 32:
            blank += 1
        return at if blank + 1 < at and out[blank + 1] == 47 else np.int64(-1)
    start, end = spans[METHOD, 0], spans[METHOD, 1]
    if spans[METHOD, 2] != PLAIN or end - start > 40:
        return np.int64(-1)
    for position in range(start, end):
        if not _is_letter(data[position]):
            return np.int64(-1)
    at = _copy(data, start, end, out, at)
    out[at] = 32
    at = _write_text(data, spans[TARGET if mode == OF_TARGET else PATH], out, at + 1)
    if at < 0:
        return np.int64(-1)
    if mode == OF_PATH and spans[QUERY, 2] != NOTHING:
        start = spans[QUERY, 0]
        if data[start] == 63:
            spans[QUERY, 0] = start = start + 1
        if spans[QUERY, 1] > start:
            out[at] = 63
            at = _write_text(data, spans[QUERY], out, at + 1)
            if at < 0:
                return np.int64(-1)
    # ` HTTP/1.1`
    protocol = (32, 72, 84, 84, 80, 47, 49, 46, 49)
    for offset in range(9):
        out[at + offset] = protocol[offset]
    return at + 9


@njit()
def _write_line(data, spans, mode, out, at):
    """Write the access line that says what the spans do, and its line feed; or -1."""
    at = _write_client(data, spans[CLIENT], out, at)
    if at < 0:
        return np.int64(-1)
    out[at], out[at + 1], out[at + 2] = 32, 45, 32
    at += 3
    if spans[USER, 2] == NOTHING:
        out[at] = 45
        at += 1
    else:
        kind = spans[USER, 2]
        if kind != PLAIN and kind != INTEGER:
            return np.int64(-1)
        for position in range(spans[USER, 0], spans[USER, 1]):
            if data[position] == 32:
                return np.int64(-1)
        at = _copy(data, spans[USER, 0], spans[USER, 1], out, at)
    out[at], out[at + 1] = 32, 91
    at = _write_time(data, spans, out, at + 2)
    if at < 0:
        return np.int64(-1)
    out[at], out[at + 1], out[at + 2] = 93, 32, 34
    at = _write_request(data, spans, mode, out, at + 3)
    if at < 0:
        return np.int64(-1)
    out[at], out[at + 1] = 34, 32
    at += 2
    start, kind = spans[STATUS, 0], spans[STATUS, 2]
    if (kind != PLAIN and kind != INTEGER) or spans[STATUS, 1] - start != 3 or data[start] == 48:
        return np.int64(-1)
    for offset in range(3):
        if not _is_digit(data[start + offset]):
            return np.int64(-1)
        out[at + offset] = data[start + offset]
    out[at + 3], out[at + 4] = 32, 45
    at = _write_quoted(data, spans[REFERRER], out, at + 5)
    if at < 0:
        return np.int64(-1)
    at = _write_quoted(data, spans[AGENT], out, at)
    if at < 0:
        return np.int64(-1)
    out[at] = 10
    return at + 1


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


# words, as in W3C


@njit(inline="always")
def _has_backslash(data, start, end):
    while start < end:
        start = _find(data, start, end, np.uint8(92), np.uint8(92))
        if start < end and data[start] == 92:
            return True
        start += 1
    return False


@njit()
def rewrite_words(data, end, columns, encoded, scratch, state, out, places, refused):
    """
    Rewrite lines of words with one blank or one tab between them.

    Args:
        columns: By word: its slot, or -1.
        encoded: By slot: whether blanks are `+` in it, or between tabs `%20`.
    """
    spans = scratch.spans
    position = state[S_POSITION]
    while position < end:
        feed = _find_feed(data, position, end)
        stop = feed - 1 if feed > position and data[feed - 1] == 13 else feed
        state[S_LINES] += 1
        written = np.int64(-1)
        if _split_words(data, position, stop, columns, encoded, spans):
            start = state[S_WRITTEN]
            written = _write_line(data, spans, OF_PATH, out, start)
            if written >= 0 and _has_backslash(out, start, written - 1):
                written = np.int64(-1)
        _keep_line(position, stop, written, state, places, refused)
        position = feed + 1
    state[S_POSITION] = position


@njit(inline="always")
def _split_words(data, start, stop, columns, encoded, spans):
    """Whether the line has these columns; if so, its spans are known."""
    while stop > start and data[stop - 1] == 32:
        stop -= 1
    # a date comes first; a tab between blanks is refused below
    separator = np.uint8(9 if data[start + 10] == 9 else 32)
    for slot in range(SLOTS):
        spans[slot, 2] = NOTHING
    at = start
    for number in range(columns.size):
        if at > stop:
            return False
        close = _find(data, at, stop, separator, np.uint8(34))
        while close < stop and data[close] != separator:  # a letter beyond ASCII
            if data[close] < 128:
                return False
            close = _find(data, close + 1, stop, separator, np.uint8(34))
        slot = columns[number]
        if slot >= 0:
            spans[slot, 0], spans[slot, 1] = at, close
            if close > at and (close > at + 1 or data[at] != 45):
                kind = PLAIN
                if encoded[slot]:
                    kind = PLUS if separator == 32 else PERCENT
                spans[slot, 2] = kind
        at = close + 1
    return at == stop + 1


# words and quoted texts, as in the logs of AWS's load balancers and of S3; see `text`


@njit()
def rewrite_amazon(data, end, scratch, state, out, places, refused):
    """Rewrite lines of application load balancers and of S3."""
    spans = scratch.spans
    position = state[S_POSITION]
    while position < end:
        feed = _find_feed(data, position, end)
        stop = feed - 1 if feed > position and data[feed - 1] == 13 else feed
        state[S_LINES] += 1
        for slot in range(SLOTS):
            spans[slot, 2] = NOTHING
        mode, written = NO_MODE, np.int64(-1)
        if _split_balancer(data, position, stop, spans):
            mode = OF_TARGET
        elif _split_bucket(data, position, stop, spans):
            mode = OF_REQUEST
        if mode != NO_MODE:
            start = state[S_WRITTEN]
            written = _write_line(data, spans, mode, out, start)
            if written >= 0 and _has_backslash(out, start, written - 1):
                written = np.int64(-1)
        _keep_line(position, stop, written, state, places, refused)
        position = feed + 1
    state[S_POSITION] = position


@njit(inline="always")
def _end_word(data, at, stop):
    """The end of a word of printable ASCII without quotes, or -1."""
    close = _find(data, at, stop, np.uint8(32), np.uint8(34))
    return close if close > at and (close == stop or data[close] == 32) else np.int64(-1)


@njit(inline="always")
def _end_quoted(data, at, stop):
    """The quote that ends a text of printable ASCII without escapes, or -1."""
    if at >= stop or data[at] != 34:
        return np.int64(-1)
    close = _find(data, at + 1, stop, np.uint8(34), np.uint8(92))
    return close if close < stop and data[close] == 34 else np.int64(-1)


@njit(inline="always")
def _fill(spans, slot, data, start, end):
    is_nothing = end == start or (end == start + 1 and data[start] == 45)
    spans[slot, 0], spans[slot, 1] = start, end
    spans[slot, 2] = NOTHING if is_nothing else PLAIN


@njit(inline="always")
def _is_scheme(data, at, end):
    """http, https, h2, grpcs, ws or wss."""
    word = _load64(data, at) & _low_bytes(end - at)
    return (
        word == np.uint64(0x70747468) or word == np.uint64(0x7370747468)
        or word == np.uint64(0x3268) or word == np.uint64(0x7363707267)
        or word == np.uint64(0x7377) or word == np.uint64(0x737377)
    )  # fmt: skip


@njit()
def _split_balancer(data, start, stop, spans):
    """Whether the line is one of an application load balancer; if so, its spans are known."""
    at = np.int64(start)
    for number in range(12):
        close = _end_word(data, at, stop)
        if close < 0 or close == stop:
            return False
        if number == 0 and not _is_scheme(data, at, close):
            return False
        if number == 1:
            is_time = close - at >= 22 and data[at + 10] == 84 and data[at + 19] == 46
            if not is_time or data[close - 1] != 90:
                return False
            _fill(spans, TIME, data, at, close)
        if number == 3 and not _has_port(data, at, close):
            return False
        if number == 3:
            _fill(spans, CLIENT, data, at, close)
        if number == 8:
            _fill(spans, STATUS, data, at, close)
        for position in range(at, close):
            byte = data[position]
            is_digit = _is_digit(byte)
            if number == 2:
                is_fit = is_digit or _is_letter(byte) or byte == 95 or byte == 47 or byte == 45
            elif 5 <= number <= 7:
                is_fit = is_digit or byte == 45 or byte == 46
            else:
                is_fit = is_digit or number < 10
            if not is_fit:
                return False
        at = close + 1
    close = _end_quoted(data, at, stop)
    if close < 0 or not _split_url(data, at + 1, close, spans) or data[close + 1] != 32:
        return False
    at = close + 2
    close = _end_quoted(data, at, stop)
    if close < 0:
        return False
    _fill(spans, AGENT, data, at + 1, close)
    at = close + 1
    for _ in range(2):
        if at >= stop or data[at] != 32:
            return False
        at = _end_word(data, at + 1, stop)
        if at < 0:
            return False
    if at == stop:
        return True
    at = _end_word(data, at + 1, stop)
    for _ in range(2):
        if at < 0 or at >= stop or data[at] != 32:
            return False
        at = _end_quoted(data, at + 1, stop)
        if at < 0:
            return False
        at += 1
    return at < stop and data[at] == 32


@njit(inline="always")
def _has_port(data, start, end):
    """Whether that is `192.0.2.7:80` or `[2001:db8::7]:80`: elsewhere a port looks like a group."""
    colons, last = 0, end
    for position in range(start, end):
        if data[position] == 58:
            colons += 1
            last = position
    return colons > 0 and _is_port(data, last + 1, end) and (colons == 1 or data[start] == 91)


@njit()
def _split_url(data, start, end, spans):
    """Whether that is `GET https://host:443/path HTTP/1.1`; if so, its spans are known."""
    blank = start
    while blank < end and _is_letter(data[blank]):
        blank += 1
    at = blank + 1
    while at < end and _is_letter(data[at]):
        at += 1
    if blank == start or data[blank] != 32 or at == blank + 1 or at + 3 >= end:
        return False
    if data[at] != 58 or data[at + 1] != 47 or data[at + 2] != 47:
        return False
    at += 3
    while at < end and data[at] != 47:
        if data[at] == 63 or data[at] == 32:
            return False
        at += 1
    for length in (9, 7):
        tail = end - length
        if (
            tail > at
            and data[tail] == 32
            and data[tail + 1] == 72
            and data[tail + 2] == 84
            and data[tail + 3] == 84
            and data[tail + 4] == 80
            and data[tail + 5] == 47
            and _is_digit(data[tail + 6])
            and (length == 7 or (data[tail + 7] == 46 and _is_digit(data[tail + 8])))
        ):
            end = tail
            break
    _fill(spans, METHOD, data, start, blank)
    _fill(spans, TARGET, data, at, end)
    return at < end


@njit()
def _split_bucket(data, start, stop, spans):
    """Whether the line is one of S3's server access logs; if so, its spans are known."""
    at = np.int64(start + 64)
    if at >= stop or data[at] != 32:
        return False
    for position in range(start, at):
        if _read_hex(data[position]) < 0 or _is_capital(data[position]):
            return False
    at += 1
    begin, is_address = at, True
    while at < stop and (
        _is_digit(data[at]) or _is_letter(data[at])
        or data[at] == 95 or data[at] == 46 or data[at] == 45
    ):  # fmt: skip
        is_address = is_address and (_is_digit(data[at]) or data[at] == 46)
        at += 1
    if at == begin or is_address or at + 30 > stop:
        return False
    if data[at] != 32 or data[at + 1] != 91 or data[at + 28] != 93 or data[at + 29] != 32:
        return False
    _fill(spans, TIME, data, at + 2, at + 28)
    at += 30
    for number in range(5):
        close = _end_word(data, at, stop)
        if close < 0 or close == stop:
            return False
        if number == 0:
            if data[at] == 91:
                return False
            _fill(spans, CLIENT, data, at, close)
        if number == 1:
            _fill(spans, USER, data, at, close)
        at = close + 1
    close = _end_quoted(data, at, stop)
    if close < 0 or data[close + 1] != 32:
        return False
    _fill(spans, REQUEST, data, at + 1, close)
    at = close + 2
    for number in range(6):
        close = _end_word(data, at, stop)
        if close < 0 or close == stop:
            return False
        if number == 0:
            _fill(spans, STATUS, data, at, close)
        if number == 2 and (close > at + 1 or data[at] != 45):
            for position in range(at, close):
                if not _is_digit(data[position]):
                    return False
        at = close + 1
    for slot in (REFERRER, AGENT):
        if data[at] == 45:
            close = at
        else:
            close = _end_quoted(data, at, stop)
            if close < 0:
                return False
            _fill(spans, slot, data, at + 1, close)
        at = close + 2
        if at > stop or data[at - 1] != 32:
            return False
    return _end_word(data, at, stop) > 0


@njit(inline="always")
def _is_capital(byte):
    return 65 <= byte <= 90


# access lines of containers; see `container`

_LOG, _STREAM, _LOGGED_AT = tuple(b'{"log":"'), tuple(b'","stream":"std'), tuple(b'","time":"')
_STD, _OUT, _ERR = tuple(b" std"), tuple(b"out"), tuple(b"err")


@njit()
def rewrite_container(data, end, state, out, places, refused):
    """Take lines out of what runtimes of containers have put around them."""
    position = state[S_POSITION]
    while position < end:
        feed = _find_feed(data, position, end)
        stop = feed - 1 if feed > position and data[feed - 1] == 13 else feed
        state[S_LINES] += 1
        begin = _end_runtime(data, position, stop)
        if begin >= 0:
            written = _copy(data, begin, stop, out, state[S_WRITTEN])
        else:
            written = _write_logged(data, position, stop, out, state[S_WRITTEN])
        if written >= 0:
            out[written] = 10
            written += 1
        _keep_line(position, stop, written, state, places, refused)
        position = feed + 1
    state[S_POSITION] = position


@njit(inline="always")
def _is_text(data, at, text):
    for offset in range(len(text)):  # noqa: SIM110 -- no generators in compiled code
        if data[at + offset] != text[offset]:
            return False
    return True


@njit()
def _end_runtime(data, start, stop):
    """Where a line begins after `2026-02-22T22:10:01.5Z stdout F `, or -1."""
    for offset in range(11):
        byte = data[start + offset]
        is_fit = _is_digit(byte)
        if offset == 4 or offset == 7 or offset == 10:
            is_fit = byte == (84 if offset == 10 else 45)
        if not is_fit:
            return np.int64(-1)
    at = start + 11
    while _is_digit(data[at]) or data[at] == 58 or data[at] == 46:
        at += 1
    if at == start + 11:
        return np.int64(-1)
    if data[at] == 90:
        at += 1
    elif (data[at] == 43 or data[at] == 45) and _is_clock(data, at + 1, 5):
        at += 6
    else:
        return np.int64(-1)
    if not _is_text(data, at, _STD) or not (
        _is_text(data, at + 4, _OUT) or _is_text(data, at + 4, _ERR)
    ):
        return np.int64(-1)
    is_whole = data[at + 7] == 32 and data[at + 8] == 70 and data[at + 9] == 32
    return np.int64(at + 10 if is_whole and at + 10 < stop else -1)


@njit()
def _write_logged(data, start, stop, out, at):
    """Write what a line of Docker's says was logged, or -1."""
    if not _is_text(data, start, _LOG):
        return np.int64(-1)
    read, first = start + 8, at
    while data[read] != 34:
        byte = np.int64(data[read])
        if byte == 92:
            read += 1
            byte = np.int64(data[read])
            if byte == 110 and data[read + 1] == 34:
                read += 1
                break
            if byte == 117:
                high, low = _read_hex(data[read + 3]), _read_hex(data[read + 4])
                if data[read + 1] != 48 or data[read + 2] != 48 or high < 0 or low < 0:
                    return np.int64(-1)
                byte = high * 16 + low
                read += 4
            elif byte != 34 and byte != 92 and byte != 47:
                return np.int64(-1)
        if byte < 32 or byte > 126:
            return np.int64(-1)
        out[at] = byte
        at += 1
        read += 1
    if at == first or not _is_text(data, read, _STREAM):
        return np.int64(-1)
    read += 15
    if not (_is_text(data, read, _OUT) or _is_text(data, read, _ERR)):
        return np.int64(-1)
    if not _is_text(data, read + 3, _LOGGED_AT):
        return np.int64(-1)
    read += 13
    while data[read] >= 43 and data[read] <= 90:
        read += 1
    return np.int64(at if data[read] == 34 and data[read + 1] == 125 and read + 2 == stop else -1)


# HAProxy's lines, alone or in syslog, and access lines in syslog; see `haproxy` and `syslog`

_HAPROXY = np.uint64(int.from_bytes(b"haproxy", "little"))
_NGINX, _HTTPD, _APACHE, _APACHE2 = (
    np.uint64(int.from_bytes(name, "little"))
    for name in (b"nginx", b"httpd", b"apache", b"apache2")
)


@njit()
def rewrite_syslog(data, end, is_utc, scratch, state, out, places, refused):
    """
    Rewrite lines of HAProxy, and take access lines out of what syslog has put before them.

    Args:
        is_utc: Whether a time without an offset is UTC.
    """
    spans = scratch.spans
    position = state[S_POSITION]
    while position < end:
        feed = _find_feed(data, position, end)
        stop = feed - 1 if feed > position and data[feed - 1] == 13 else feed
        state[S_LINES] += 1
        for slot in range(SLOTS):
            spans[slot, 2] = NOTHING
        written = np.int64(-1)
        message, program = _find_message(data, position, stop, spans)
        if program == _HAPROXY:
            if _split_haproxy(data, message, stop, is_utc, spans):
                written = _write_line(data, spans, OF_REQUEST, out, state[S_WRITTEN])
        elif (
            program == _NGINX or program == _HTTPD or program == _APACHE or program == _APACHE2
        ) and _read_hex(data[message]) >= 0:  # of an address; all else is for the line's own format
            written = _copy(data, message, stop, out, state[S_WRITTEN])
            out[written] = 10
            written += 1
        _keep_line(position, stop, written, state, places, refused)
        position = feed + 1
    state[S_POSITION] = position


@njit()
def _find_message(data, start, stop, spans):
    """(where a program's own text begins, its name); a time with an offset before it is known."""
    nowhere, at = (np.int64(-1), _0), np.int64(start)
    if data[at] == 60:
        at += 1
        while _is_digit(data[at]):
            at += 1
        if not 2 <= at - start <= 4 or data[at] != 62:
            return nowhere
        at += 1
    if _is_capital(data[at]) and data[at + 3] == 32:
        if not (97 <= data[at + 1] <= 122 and 97 <= data[at + 2] <= 122):
            return nowhere
        at += 4
        if (data[at] == 32 or _is_digit(data[at])) and _is_digit(data[at + 1]):
            at += 1
        if not _is_digit(data[at]) or data[at + 1] != 32 or not _is_clock(data, at + 2, 8):
            return nowhere
        at += 10
        if data[at] == 46 and _is_digit(data[at + 1]):
            at += 1
            while _is_digit(data[at]):
                at += 1
    elif _is_digit(data[at]) and data[at + 4] == 45 and data[at + 10] == 84:
        close = _end_word(data, at, stop)
        if close < at + 20 or not (_is_digit(data[close - 1]) or data[close - 1] == 90):
            return nowhere
        _fill(spans, TIME, data, at, close)
        at = close
    else:
        return (at, _HAPROXY) if at == start else nowhere
    if data[at] != 32:
        return nowhere
    close = _end_name(data, at + 1)
    if data[close] != 58 and data[close] != 91:  # a host
        close = _end_word(data, at + 1, stop)
        for position in range(at + 1, close):
            if data[position] == 58 or data[position] == 91:
                return nowhere
        if close < 0 or close == stop:
            return nowhere
        at = close
        close = _end_name(data, at + 1)
    length = close - at - 1
    if not 1 <= length <= 8:
        return nowhere
    program = _load64(data, at + 1) & _low_bytes(length)
    at = close
    if data[at] == 91:
        at += 1
        while _is_digit(data[at]):
            at += 1
        if at == close + 1 or data[at] != 93:
            return nowhere
        at += 1
    if data[at] != 58 or data[at + 1] != 32 or at + 2 >= stop:
        return nowhere
    return np.int64(at + 2), program


@njit(inline="always")
def _end_name(data, at):
    while 97 <= data[at] <= 122 or _is_digit(data[at]):
        at += 1
    return at


@njit(inline="always")
def _is_clock(data, at, length):
    """Whether that is `22:10:01`, or `22:10` where it has five letters."""
    for offset in range(length):
        byte = data[at + offset]
        if not (byte == 58 if offset == 2 or offset == 5 else _is_digit(byte)):
            return False
    return True


@njit()
def _split_haproxy(data, start, stop, is_utc, spans):
    """Whether that is HAProxy's text about a request; if so, its spans are known."""
    close = _end_word(data, start, stop)
    colon = close - 1
    while colon > start and data[colon] != 58:
        colon -= 1
    if colon <= start or not _is_port(data, colon + 1, close) or data[start] == 91:
        return False
    _fill(spans, CLIENT, data, start, colon)
    # `[22/Feb/2026:22:10:01.655] `
    at = close + 2
    if at + 26 > stop or data[at - 1] != 91 or data[at + 24] != 93 or data[at + 25] != 32:
        return False
    for offset in range(24):
        byte = data[at + offset]
        if offset == 2 or offset == 6:
            is_fit = byte == 47
        elif offset == 11 or offset == 20:
            is_fit = byte == (58 if offset == 11 else 46)
        elif offset == 3:
            is_fit = _is_capital(byte)
        elif offset == 4 or offset == 5:
            is_fit = 97 <= byte <= 122
        else:
            is_fit = _is_digit(byte) or offset == 14 or offset == 17
        if not is_fit:
            return False
    if not _is_clock(data, at + 12, 8) or (spans[TIME, 2] == NOTHING and not is_utc):
        return False
    if spans[TIME, 2] == NOTHING:
        spans[TIME, 0], spans[TIME, 1], spans[TIME, 2] = at, at + 20, UTC
    # frontend, backend/server, timers, status, bytes, cookies, state, connections, queues
    at += 26
    for number in range(10):
        close = _end_word(data, at, stop)
        if close < 0 or close == stop:
            return False
        has_slash = False
        for position in range(at, close):
            byte = data[position]
            is_fit = byte != 91
            if number == 2 or number == 4 or number == 8 or number == 9:
                is_fit = (
                    _is_digit(byte)
                    or (byte == 45 and number == 2)
                    or (byte == 43 and number != 9 and (number != 4 or position == at))
                    or (byte == 47 and number != 4)
                )
            if not is_fit:
                return False
            has_slash = has_slash or (byte == 47 and at < position < close - 1)
        if (number == 1 and not has_slash) or (number == 7 and close - at != 4):
            return False
        if number == 4 and not _is_digit(data[close - 1]):
            return False
        if number == 3:
            _fill(spans, STATUS, data, at, close)
        at = close + 1
    for _ in range(2):  # captured headers
        if data[at] == 123:
            close = _find(data, at + 1, stop, np.uint8(125), np.uint8(34))
            if close >= stop or data[close] != 125 or data[close + 1] != 32:
                return False
            if _find(data, at + 1, close, np.uint8(123), np.uint8(123)) != close:
                return False
            at = close + 2
    close = _end_quoted(data, at, stop)
    if close < 0 or _find(data, at + 1, close, np.uint8(35), np.uint8(35)) != close:
        return False
    _fill(spans, REQUEST, data, at + 1, close)
    return True


# JSON


@njit(inline="always")
def _hash_key(data, start, length, parent):
    first = _load64(data, start) & _low_bytes(length)
    last = _load64(data, start + length - 8) if length >= 8 else _0
    h = (first ^ (np.uint64(length) << np.uint64(56)) ^ np.uint64(parent)) * _P1
    h = (h ^ (h >> np.uint64(32)) ^ last) * _P2
    return h ^ (h >> np.uint64(29))


@njit()
def number_key(number, keys):
    """The key with this number, whose record is complete, is found from now on."""
    record = keys.records[number]
    h = _hash_key(keys.arena, np.int64(record[START]), np.int64(record[LENGTH]), record[PARENT])
    mask = np.uint64(keys.slots.size - 1)
    slot = h & mask
    while keys.slots[np.int64(slot)]:
        slot = (slot + _1) & mask
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
            begin, is_equal = np.int64(records[number, START]), True
            for offset in range(0, length, 8):
                different = _load64(data, start + offset) ^ _load64(arena, begin + offset)
                is_equal = is_equal and different & _low_bytes(length - offset) == _0
            if is_equal:
                return number
        slot = (slot + _1) & mask
        number = np.int64(slots[np.int64(slot)])
    return np.int64(-1)


@njit()
def _skip_escape(data, at, stop):
    """The end of the escape that begins here, or -1 for none, and for halves of surrogate pairs."""
    if at + 1 >= stop:
        return np.int64(-1)
    byte = data[at + 1]
    if byte != 117:
        is_known = (
            byte == 34 or byte == 92 or byte == 47 or byte == 98
            or byte == 102 or byte == 110 or byte == 114 or byte == 116
        )  # fmt: skip
        return np.int64(at + 2 if is_known else -1)
    if at + 6 > stop:
        return np.int64(-1)
    code = np.int64(0)
    for offset in range(2, 6):
        digit = _read_hex(data[at + offset])
        if digit < 0:
            return np.int64(-1)
        code = code * 16 + digit
    return np.int64(-1 if 0xD800 <= code <= 0xDFFF else at + 6)


@njit()
def _skip_letter(data, at, stop):
    """The end of the letter beyond ASCII that begins here, or -1 for what is no UTF-8."""
    byte = np.int64(data[at])
    more, least = 0, 0
    if 0xC2 <= byte <= 0xDF:
        more, code, least = 1, byte & 0x1F, 0x80
    elif 0xE0 <= byte <= 0xEF:
        more, code, least = 2, byte & 0x0F, 0x800
    elif 0xF0 <= byte <= 0xF4:
        more, code, least = 3, byte & 0x07, 0x10000
    else:
        return np.int64(-1)
    if at + more >= stop:
        return np.int64(-1)
    for offset in range(1, more + 1):
        following = np.int64(data[at + offset])
        if following & 0xC0 != 0x80:
            return np.int64(-1)
        code = code << 6 | following & 0x3F
    if code < least or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return np.int64(-1)
    return np.int64(at + more + 1)


@njit(inline="always")
def _read_string(data, start, stop):
    """(position of the quote that ends a string, its kind); the position is -1 where none does."""
    at, kind = start, PLAIN
    while True:
        at = _find(data, at, stop, np.uint8(34), np.uint8(92))
        if at >= stop:
            return np.int64(-1), kind
        byte = data[at]
        if byte == 34:
            is_nothing = at == start or (at == start + 1 and data[start] == 45)
            return np.int64(at), NOTHING if is_nothing else kind
        if byte == 92:
            at = _skip_escape(data, at, stop)
            kind = ESCAPED if kind == PLAIN or kind == ESCAPED else ODD
        elif byte > 127:
            at = _skip_letter(data, at, stop)
            kind = LETTERS if kind == PLAIN or kind == LETTERS else ODD
        elif byte == 127:
            at += 1
            kind = ODD
        else:
            return np.int64(-1), kind
        if at < 0:
            return np.int64(-1), kind


@njit()
def _read_number(data, start, stop):
    """(end of a number, its kind); the end is -1 for none, and for those that are very long."""
    at, kind = start, INTEGER
    if data[at] == 45:
        at, kind = at + 1, ODD
    begin = at
    while at < stop and _is_digit(data[at]):
        at += 1
    if not 1 <= at - begin <= 18 or (data[begin] == 48 and at > begin + 1):
        return np.int64(-1), ODD
    if at < stop and data[at] == 46:
        kind = FLOAT if kind == INTEGER else ODD
        begin = at = at + 1
        while at < stop and _is_digit(data[at]):
            at += 1
        if not 1 <= at - begin <= 20:
            return np.int64(-1), ODD
    if at < stop and (data[at] == 69 or data[at] == 101):
        kind, at = ODD, at + 1
        if at < stop and (data[at] == 43 or data[at] == 45):
            at += 1
        begin = at
        while at < stop and _is_digit(data[at]):
            at += 1
        if not 1 <= at - begin <= 2:
            return np.int64(-1), ODD
    return np.int64(at), kind


@njit()
def _read_word(data, at, stop):
    """(end of `true`, `false` or `null`, its kind); the end is -1 for anything else."""
    if at + 4 > stop:
        return np.int64(-1), ODD
    word = _load64(data, at) & np.uint64(0xFFFFFFFF)
    if word == np.uint64(0x6C6C756E):
        return np.int64(at + 4), NOTHING
    if word == np.uint64(0x65757274):
        return np.int64(at + 4), ODD
    is_false = word == np.uint64(0x736C6166) and at + 5 <= stop and data[at + 4] == 101
    return np.int64(at + 5 if is_false else -1), ODD


@njit(inline="always")
def _skip_blanks(data, at, stop):
    while at < stop and data[at] == 32:
        at += 1
    return at


@njit()
def _read_only_item(data, start, stop):
    """(start, end, kind, end of the list) of a list of one string or none; its end is -1 if not."""
    at = _skip_blanks(data, start + 1, stop)
    if at < stop and data[at] == 93:
        return np.int64(at), np.int64(at), NOTHING, np.int64(at + 1)
    if at >= stop or data[at] != 34:
        return np.int64(0), np.int64(0), ODD, np.int64(-1)
    begin = at + 1
    end, kind = _read_string(data, begin, stop)
    if end < 0:
        return np.int64(0), np.int64(0), ODD, np.int64(-1)
    at = _skip_blanks(data, end + 1, stop)
    is_only = at < stop and data[at] == 93
    return np.int64(begin), end, kind, np.int64(at + 1 if is_only else -1)


@njit()
def _read_object(data, start, stop, slots, records, arena, stack, present, values):
    """Whether the line is one object, as orjson has it, without known keys that come twice."""
    for word in range(present.size):
        present[word] = _0
    depth, at, is_first = 0, start + 1, True
    stack[0] = 0
    while True:
        at = _skip_blanks(data, at, stop)
        if at >= stop:
            return False
        container = stack[depth]
        if not (is_first and (data[at] == 125 or data[at] == 93)):
            number = np.int64(-1)
            if container != _ARRAY:
                if data[at] != 34:
                    return False
                begin = at + 1
                end, kind = _read_string(data, begin, stop)
                if end < 0 or ((kind == ESCAPED or kind == ODD) and container >= 0):
                    return False
                if container >= 0:
                    number = _find_key(data, begin, end, container, slots, records, arena)
                at = _skip_blanks(data, end + 1, stop)
                if at >= stop or data[at] != 58:
                    return False
                at = _skip_blanks(data, at + 1, stop)
                if at >= stop:
                    return False
                if number >= 0:
                    bit = _1 << np.uint64(number & 63)
                    if present[number >> 6] & bit:
                        return False
                    present[number >> 6] |= bit
            byte = data[at]
            begin = end = at
            kind = ODD
            if byte == 34:
                begin = at + 1
                end, kind = _read_string(data, begin, stop)
                at = end + 1
            elif byte == 123 or byte == 91:
                if byte == 91 and number >= 0:
                    item, item_end, item_kind, after = _read_only_item(data, at, stop)
                    values[number, 0], values[number, 1] = item, item_end
                    values[number, 2] = item_kind if after >= 0 else ODD
                    if after >= 0:
                        at = after
                        number = np.int64(-1)
                        byte = np.uint8(0)
                if byte != 0:
                    if number >= 0:
                        values[number, 2] = ODD
                    depth += 1
                    if depth == MAX_DEPTH:
                        return False
                    is_known = byte == 123 and number >= 0 and records[number, IS_PARENT]
                    stack[depth] = _ARRAY if byte == 91 else number if is_known else _UNKNOWN
                    is_first, at = True, at + 1
                    continue
            elif byte == 45 or _is_digit(byte):
                end, kind = _read_number(data, at, stop)
                at = end
            else:
                end, kind = _read_word(data, at, stop)
                at = end
            if end < 0:
                return False
            if number >= 0:
                values[number, 0], values[number, 1], values[number, 2] = begin, end, kind
        while True:
            at = _skip_blanks(data, at, stop)
            if at >= stop:
                return False
            byte = data[at]
            at += 1
            if byte == 44:
                is_first = False
                break
            if byte != (93 if stack[depth] == _ARRAY else 125):
                return False
            depth -= 1
            if depth < 0:
                return _skip_blanks(data, at, stop) == stop


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
def rewrite_json(data, end, keys, plans, present, scratch, state, out, places, refused):
    """Rewrite objects until *end*, or one whose keys, which are in *present*, have no plan."""
    spans, values = scratch.spans, scratch.values
    position = state[S_POSITION]
    while position < end:
        feed = _find_feed(data, position, end)
        stop = feed - 1 if feed > position and data[feed - 1] == 13 else feed
        written = np.int64(-1)
        if (
            stop > position
            and data[position] == 123
            and _read_object(
                data,
                position,
                stop,
                keys.slots,
                keys.records,
                keys.arena,
                scratch.containers,
                present,
                values,
            )
        ):
            plan = _find_plan(present, plans, state)
            if plan < 0:
                break
            if _follow_plan(plans.keys[plan], plans.is_only[plan], values, spans):
                mode = plans.modes[plan]
                if mode != NO_MODE:
                    written = _write_line(data, spans, mode, out, state[S_WRITTEN])
        state[S_LINES] += 1
        _keep_line(position, stop, written, state, places, refused)
        position = feed + 1
    state[S_POSITION] = position


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
