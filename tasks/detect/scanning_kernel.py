"""
The compiled half of lines: bytes become columns, in one pass.

`scan_lines` takes the regular lines of `formats.access`, whose grammar is there, and refuses the
others; addresses and texts have numbers in the end.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tasks.collect.kernel import (
    BACKSLASH,
    CLOSING,
    COLON,
    CR,
    DASH,
    DOT,
    LF,
    ONE,
    OPENING,
    P1,
    P2,
    P3,
    P4,
    P5,
    PADDING,
    PLUS,
    QUOTE,
    SLASH,
    SPACE,
    UNDERSCORE,
    ZERO,
    count_trailing_zeros,
    is_digit,
    load,
    load64,
    njit,
    read_hex,
    splat,
)
from tasks.detect.numbering_kernel import (
    KIND_AGENT,
    KIND_REFERRER,
    KIND_REQUEST,
    MAX_LINE,
    OFFSET,
    TEXT_COLUMNS,
    has_room,
    hash_text,
    number_text,
)

# columns of a scanned line
START, END, IP, MINUTE, STATUS, REQUEST, REFERRER, AGENT, NUMBER = range(9)
REQUEST_END, REFERRER_END, AGENT_END = range(9, 12)
LINE_COLUMNS: Final = 12
# 64-bit columns: hashes of the texts, both halves of the address, and the hash of the line
OF_REQUEST, OF_REFERRER, OF_AGENT, IP_HIGH, IP_LOW, OF_LINE = range(6)
WORD_COLUMNS: Final = 6
MIN_LINE: Final = 48
"""Bytes; no regular line is shorter."""
NO_STATUS: Final = 1000
# which user names are taken
ALL_USERS, PLAIN_USERS, NO_USERS = range(3)
# what is carried from call to call
S_POSITION, S_LINES, S_REFUSED, S_COUNT, S_MINUTE, S_MINUTE_START, S_IPS, S_FIRST, S_LAST = range(9)
STATE_SIZE: Final = 9
_TIME_SIZE: Final = len(' [22/Feb/2026:22:10:01 +0300] "')
_VECTOR = ir.VectorType(ir.IntType(8), PADDING)


# lines


@njit()
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
        row, size = state[S_LINES], position - start
        if (
            row == lines.shape[0]
            or state[S_REFUSED] == refused.shape[0]
            or 2 * (state[S_IPS] + row + 1) > ip_slots.size
            or not has_room(requests, row + 1, size)
            or not has_room(others, 2 * (row + 1), size)
        ):
            break
        feed = _find(data, position, end, np.uint8(LF), np.uint8(LF))
        stop = feed - 1 if feed > position and data[feed - 1] == CR else feed
        state[S_COUNT] += 1
        timestamp = _scan_line(data, position, stop, users, state, lines[row], words[row])
        if timestamp < 0:
            place = refused[state[S_REFUSED]]
            place[0], place[1], place[2] = position, stop, state[S_COUNT]
            state[S_REFUSED] += 1
        elif since <= timestamp < until:
            _hash_texts(data, seed, lines[row], words[row])
            lines[row, NUMBER], lines[row, MINUTE] = state[S_COUNT], timestamp // 60
            words[row, OF_LINE] = hash_bytes(data, position, stop, ZERO)
            state[S_FIRST] = min(state[S_FIRST], timestamp)
            state[S_LAST] = max(state[S_LAST], timestamp)
            state[S_LINES] = row + 1
        position = feed + 1
    state[S_POSITION] = position
    _number_lines(data, state, lines, words, ip_slots, ip_keys, requests, others)


@njit(inline="always")
def _scan_line(data, start, stop, users, state, line, word):
    """
    The second of a regular line, whose row says where its parts are; -1 for any other line.

    Regular is, of what formats.access reads:
    `client - user [22/Feb/2026:22:10:01 +0300] "request" 200 1234`, after which there is nothing,
    or ` "referrer" "agent"` and anything after a space.
    """
    if stop - start > MAX_LINE or stop - start < MIN_LINE:
        return np.int64(-1)
    at, word[IP_HIGH], word[IP_LOW] = _read_client(data, start, stop)
    if at < 0 or at + 34 > stop:
        return np.int64(-1)
    if data[at] != SPACE or data[at + 1] != DASH or data[at + 2] != SPACE:
        return np.int64(-1)
    user = at + 3
    user_end = _find_end_of_user(data, user, stop)
    timestamp = _read_time(data, user_end, stop, state)
    if user_end == user or timestamp < 0:
        return np.int64(-1)
    request = user_end + _TIME_SIZE
    request_end = _close_quote(data, request, stop)
    if request_end < 0 or request_end + 4 > stop:
        return np.int64(-1)
    status_end, status = _read_status(data, request_end + 1, stop)
    if status_end < 0 or not _takes_user(users[status], data, user, user_end):
        return np.int64(-1)
    at = _find_end_of_size(data, status_end, stop)
    if at < 0:
        return np.int64(-1)
    referrer_end = agent_end = at
    line[REFERRER] = line[AGENT] = -1
    if at < stop:
        referrer_end = _close_field(data, at, stop)
        if referrer_end < 0:
            return np.int64(-1)
        agent_end = _close_field(data, referrer_end + 1, stop)
        if agent_end < 0 or (agent_end + 1 < stop and data[agent_end + 1] != SPACE):
            return np.int64(-1)
        line[REFERRER] = _find_text(data, at + 2, referrer_end)
        line[AGENT] = _find_text(data, referrer_end + 3, agent_end)
    line[START], line[END], line[STATUS] = start, stop, status
    line[REQUEST], line[REQUEST_END] = request, request_end
    line[REFERRER_END], line[AGENT_END] = referrer_end, agent_end
    return timestamp


@njit(inline="always")
def _hash_texts(data, seed, line, word):
    """Texts of the two kinds in one table have two seeds."""
    word[OF_REQUEST] = _hash_part(data, line[REQUEST], line[REQUEST_END], seed)
    word[OF_REFERRER] = _hash_part(data, line[REFERRER], line[REFERRER_END], seed)
    word[OF_AGENT] = _hash_part(data, line[AGENT], line[AGENT_END], seed + ONE)


@njit(inline="always")
def _hash_part(data, start, end, seed):
    return hash_text(data, np.int64(start), np.int64(end - start), seed) if start >= 0 else ZERO


# the parts of a line


@njit(inline="always")
def _read_client(data, start, stop):
    """End of the address and its halves; -1 for none, and for one of IPv4 in the form of IPv6."""
    address, at = _read_ipv4(data, start, stop)
    if address >= 0:
        return np.int64(at), ZERO, np.uint64(address) | np.uint64(0xFFFF00000000)
    at, high, low = _read_ipv6(data, start, stop)
    if high == ZERO and (low >> np.uint64(32)) == np.uint64(0xFFFF):
        at = np.int64(-1)
    return np.int64(at), high, low


@njit(inline="always")
def _find_end_of_user(data, start, stop):
    """End of a user name without white space, quotes and `[`."""
    at = start
    while at < stop and data[at] > SPACE and data[at] != QUOTE and data[at] != OPENING:
        at += 1
    return at


@njit(inline="always")
def _takes_user(taken, data, start, end):
    """Whether a line can have this user name; `-` is none."""
    if taken == ALL_USERS or (end == start + 1 and data[start] == DASH):
        return True
    return taken == PLAIN_USERS and _is_plain_name(data, start, end)


@njit(inline="always")
def _read_time(data, at, stop, state):
    """The second of ` [22/Feb/2026:22:10:01 +0300] "`, or -1; a leap second is the one before."""
    if at + 32 > stop or data[at] != SPACE or data[at + 1] != OPENING or data[at + 28] != CLOSING:
        return np.int64(-1)
    if data[at + 29] != SPACE or data[at + 30] != QUOTE:
        return np.int64(-1)
    minute_start, second = _recall_minute(data, at + 2, state), _digits(data, at + 20, 2)
    if minute_start < 0 or second < 0 or second > 60:
        return np.int64(-1)
    return minute_start + min(second, np.int64(59))


@njit(inline="always")
def _recall_minute(data, at, state):
    """As _read_minute, which is asked only where the minute is not that of the line before."""
    known = state[S_MINUTE]
    if known >= 0 and (
        load64(data, at) == load64(data, known)
        and load64(data, at + 8) == load64(data, known + 8)
        and data[at + 16] == data[known + 16]
        and data[at + 17] == data[known + 17]
        and data[at + 20] == data[known + 20]
        and data[at + 21] == data[known + 21]
        and load64(data, at + 18) >> np.uint64(32) == load64(data, known + 18) >> np.uint64(32)
    ):
        return state[S_MINUTE_START]
    minute_start = _read_minute(data, at)
    if minute_start >= 0:
        state[S_MINUTE], state[S_MINUTE_START] = at, minute_start
    return minute_start


@njit(inline="always")
def _read_status(data, at, stop):
    """End of ` 200` or ` -` and the number, if another field follows; -1 else."""
    start, status = at + 1, np.int64(NO_STATUS)
    if data[at] != SPACE:
        return np.int64(-1), status
    if data[start] == DASH:
        at = start + 1
    else:
        at, status = start, np.int64(0)
        while at < stop and is_digit(data[at]):
            status = status * 10 + data[at] - 48
            at += 1
        if not 1 <= at - start <= 3:
            return np.int64(-1), status
    return np.int64(at if at + 1 < stop else -1), status


@njit(inline="always")
def _find_end_of_size(data, at, stop):
    """End of ` 1234` or ` -`, or -1."""
    if data[at] != SPACE:
        return np.int64(-1)
    start = at + 1
    if data[start] == DASH:
        return np.int64(start + 1)
    at = start + _count_digits(data, start)
    if at == start + 8:
        while at < stop and is_digit(data[at]):
            at += 1
    return np.int64(at if 1 <= at - start <= 18 and at <= stop else -1)


@njit(inline="always")
def _close_field(data, at, stop):
    """Position of the quote that ends ` "text"`, or -1."""
    if data[at] != SPACE or data[at + 1] != QUOTE:
        return np.int64(-1)
    return _close_quote(data, at + 2, stop)


@njit(inline="always")
def _find_text(data, start, end):
    """Where a quoted text starts; -1 for nothing and for `-`."""
    is_nothing = end <= start or (end == start + 1 and data[start] == DASH)
    return np.int64(-1) if is_nothing else start


@njit(inline="always")
def _read_ipv4(data, start, end):
    """(the address, its end), or (-1, 0) for all but a dotted quad without leading zeros."""
    address, part, digits, parts, at = 0, 0, 0, 0, start
    while at < end:
        byte = data[at]
        if is_digit(byte):
            if digits and part == 0:
                return -1, 0
            part = part * 10 + byte - 48
            digits += 1
            if part > 255:
                return -1, 0
        elif byte == DOT:
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


@njit()
def _read_ipv6(data, start, end):
    """
    End of the IPv6 address and its halves; -1 for all but hexadecimal groups and one `::`.

    Groups are shifted into the halves; those before `::` are kept apart.
    """
    high = low = high_before = low_before = ZERO
    count, gap, at = 0, -1, start
    if at + 1 < end and data[at] == COLON:
        if data[at + 1] != COLON:
            return np.int64(-1), ZERO, ZERO
        gap, at = 0, at + 2
    while at < end and data[at] != SPACE:
        value, digits = 0, 0
        while at < end and digits < 5:
            digit = read_hex(data[at])
            if digit < 0:
                break
            value, digits, at = value * 16 + digit, digits + 1, at + 1
        if not 1 <= digits <= 4 or count == 8 or at >= end:
            return np.int64(-1), ZERO, ZERO
        high, low = _shift(high, low, 16)
        low |= np.uint64(value)
        count += 1
        if data[at] == SPACE:
            break
        if data[at] != COLON or at + 1 >= end:
            return np.int64(-1), ZERO, ZERO
        at += 1
        if data[at] == COLON:
            if gap >= 0:
                return np.int64(-1), ZERO, ZERO
            gap, at = count, at + 1
            high_before, low_before, high, low = high, low, ZERO, ZERO
        elif data[at] == SPACE:
            return np.int64(-1), ZERO, ZERO
    if at >= end or (count > 7 if gap >= 0 else count != 8):
        return np.int64(-1), ZERO, ZERO
    if gap >= 0:
        high_before, low_before = _shift(high_before, low_before, 16 * (8 - gap))
    return np.int64(at), high | high_before, low | low_before


@njit(inline="always")
def _shift(high, low, bits):
    """A number of 128 bits, shifted to the left by 16 or more."""
    if bits >= 128:
        return ZERO, ZERO
    if bits >= 64:
        return low << np.uint64(bits - 64), ZERO
    carried = low >> np.uint64(64 - bits)
    return (high << np.uint64(bits)) | carried, low << np.uint64(bits)


@njit()
def _read_minute(data, at):
    """Seconds since the epoch of `22/Feb/2026:22:10:.. +0300` without the seconds; or -1."""
    day, year = _digits(data, at, 2), _digits(data, at + 7, 4)
    month = _read_month(data, at + 3)
    hour, minute = _digits(data, at + 12, 2), _digits(data, at + 15, 2)
    zone_hours, zone_minutes = _digits(data, at + 22, 2), _digits(data, at + 24, 2)
    sign = data[at + 21]
    if (
        data[at + 2] != SLASH
        or data[at + 6] != SLASH
        or data[at + 11] != COLON
        or data[at + 14] != COLON
    ):
        return np.int64(-1)
    if data[at + 17] != COLON or data[at + 20] != SPACE or (sign != PLUS and sign != DASH):
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
    start -= ahead if sign == PLUS else -ahead
    return np.int64(start if start >= 0 else -1)


@njit()
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


@njit(inline="always")
def _digits(data, at, count):
    """The number in *count* digits, or -1."""
    value = 0
    for offset in range(count):
        digit = np.int64(data[at + offset]) - 48
        if digit < 0 or digit > 9:
            return np.int64(-1)
        value = value * 10 + digit
    return np.int64(value)


@njit(inline="always")
def _count_digits(data, at):
    """
    How many digits there are from a position on, up to eight.

    Of a digit, the sum has no highest bit; a carry reaches only what is after another character.
    """
    word = load64(data, at) ^ np.uint64(0x3030303030303030)
    others = (word + np.uint64(0x7676767676767676)) | word
    others &= np.uint64(0x8080808080808080)
    return np.int64(count_trailing_zeros(others) >> np.uint64(3)) if others != ZERO else np.int64(8)


@njit()
def _is_plain_name(data, start, stop):
    """As PLAIN_NAME of signatures has it: at most 64 letters, digits, and `.` `_` `@` `-`."""
    for at in range(start, stop):
        byte = data[at]
        if not (
            is_digit(byte) or 64 <= byte <= 90 or 97 <= byte <= 122
            or byte == DASH or byte == DOT or byte == UNDERSCORE
        ):  # fmt: skip
            return False
    return stop - start <= 64


@njit(inline="always")
def _close_quote(data, start, end):
    """Position of the quote that ends a quoted text, or -1."""
    at = start
    while True:
        at = _find(data, at, end, np.uint8(QUOTE), np.uint8(BACKSLASH))
        if at >= end:
            return np.int64(-1)
        if data[at] == QUOTE:
            return np.int64(at)
        at += 2


@intrinsic
def _find_mask(_typing: Any, array: Any, _index: Any, _first: Any, _second: Any) -> Any:
    """Which of the 64 bytes from a position on are one of two bytes: a bit each."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        loaded = load(context, builder, signature.args[0], args[0], args[1], _VECTOR)
        found = builder.or_(
            *(
                builder.icmp_unsigned("==", loaded, splat(builder, byte, _VECTOR))
                for byte in args[2:]
            )
        )
        return builder.bitcast(found, ir.IntType(64))

    return types.uint64(array, types.intp, types.uint8, types.uint8), generate


@njit(inline="always")
def _find(data, start, end, first, second):
    """Position of the first of two bytes in data[start:end], or *end*."""
    position = start
    while position < end:
        mask = _find_mask(data, position, first, second)
        if mask != ZERO:
            position += np.int64(count_trailing_zeros(mask))
            return position if position < end else end
        position += 64
    return end


# numbers


@njit()
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
            if entry != ZERO:
                number = np.int64(entry & np.uint64(0xFFFFFFFF)) - 1
                _prefetch(requests.records, number * TEXT_COLUMNS)
                _prefetch(requests.arena, np.int64(requests.records[number, OFFSET]))
            slot = _ip_slot(words[near, IP_HIGH], words[near, IP_LOW], ip_mask)
            if ip_slots[np.int64(slot)] >= 0:
                _prefetch(ip_keys, np.int64(ip_slots[np.int64(slot)]) * 2)
        line, word = lines[row], words[row]
        line[IP] = _number_ip(word[IP_HIGH], word[IP_LOW], ip_slots, ip_keys, state)
        line[REQUEST] = number_text(
            data, np.int64(line[REQUEST]), np.int64(line[REQUEST_END]), KIND_REQUEST,
            word[OF_REQUEST], requests,
        )  # fmt: skip
        if line[REFERRER] >= 0:
            line[REFERRER] = number_text(
                data, np.int64(line[REFERRER]), np.int64(line[REFERRER_END]), KIND_REFERRER,
                word[OF_REFERRER], others,
            )  # fmt: skip
        if line[AGENT] >= 0:
            line[AGENT] = number_text(
                data, np.int64(line[AGENT]), np.int64(line[AGENT_END]), KIND_AGENT,
                word[OF_AGENT], others,
            )  # fmt: skip


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


@njit(inline="always")
def _ip_slot(high, low, mask):
    mixed = (high ^ P5) * P1 ^ low * P2
    return ((mixed ^ (mixed >> np.uint64(29))) * P3 >> np.uint64(17)) & mask


@njit(inline="always")
def _number_ip(high, low, slots, keys, state):
    """The number of an address: one is given when it has none."""
    mask = np.uint64(slots.size - 1)
    slot = _ip_slot(high, low, mask)
    number = np.int64(slots[np.int64(slot)])
    while number >= 0 and (keys[number, 1] != low or keys[number, 0] != high):
        slot = (slot + ONE) & mask
        number = np.int64(slots[np.int64(slot)])
    if number < 0:
        number = state[S_IPS]
        slots[np.int64(slot)] = number
        keys[number, 0], keys[number, 1] = high, low
        state[S_IPS] = number + 1
    return number


@njit()
def regrow_ips(slots, keys, state):
    """*slots* anew for all *keys* that are numbered."""
    count, state[S_IPS] = state[S_IPS], 0
    for number in range(count):
        _number_ip(keys[number, 0], keys[number, 1], slots, keys, state)


# hashes of lines


@njit()
def hash_bytes(data, start, end, seed):
    """XXH64 of data[start:end]. Source: https://github.com/Cyan4973/xxHash, xxhash_spec.md"""
    length = end - start
    at = start
    if length >= 32:
        a, b, c, d = seed + P1 + P2, seed + P2, seed, seed - P1
        while at + 32 <= end:
            a = _rotate(a + load64(data, at) * P2, 31, 33) * P1
            b = _rotate(b + load64(data, at + 8) * P2, 31, 33) * P1
            c = _rotate(c + load64(data, at + 16) * P2, 31, 33) * P1
            d = _rotate(d + load64(data, at + 24) * P2, 31, 33) * P1
            at += 32
        h = _rotate(a, 1, 63) + _rotate(b, 7, 57) + _rotate(c, 12, 52) + _rotate(d, 18, 46)
        for lane in (a, b, c, d):
            h = (h ^ (_rotate(lane * P2, 31, 33) * P1)) * P1 + P4
    else:
        h = seed + P5
    h += np.uint64(length)
    # without branches: how many steps there are cannot be foreseen
    for _ in range(3):
        step = _rotate(h ^ (_rotate(load64(data, at) * P2, 31, 33) * P1), 27, 37) * P1 + P4
        is_taken = at + 8 <= end
        h, at = _choose(is_taken, step, h), at + 8 * is_taken
    word = load64(data, at) & np.uint64(0xFFFFFFFF)
    is_taken = at + 4 <= end
    h = _choose(is_taken, _rotate(h ^ (word * P1), 23, 41) * P2 + P3, h)
    at += 4 * is_taken
    for _ in range(3):
        is_taken = at < end
        h = _choose(is_taken, _rotate(h ^ (np.uint64(data[at]) * P5), 11, 53) * P1, h)
        at += is_taken
    h = (h ^ (h >> np.uint64(33))) * P2
    h = (h ^ (h >> np.uint64(29))) * P3
    return h ^ (h >> np.uint64(32))


@njit(inline="always")
def _rotate(value, left, right):
    return (value << np.uint64(left)) | (value >> np.uint64(right))


@njit(inline="always")
def _choose(condition, one, other):
    """One number where a condition holds, the other one else, without a branch."""
    mask = ZERO - np.uint64(condition)
    return other ^ ((one ^ other) & mask)


@njit()
def hash_lines(data, places, rows, hashes):
    """Hash the lines with these 1-based numbers; *places* has their starts and ends in *data*."""
    for at in range(rows.size):
        start, stop = np.int64(places[rows[at] - 1, 0]), np.int64(places[rows[at] - 1, 1])
        hashes[at] = hash_bytes(data, start, stop, ZERO)
