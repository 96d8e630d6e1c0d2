"""
The compiled half of what is kept of counted lines: samples, values and the names of addresses.

A file of its own, beside `kernel`, because nothing here calls what is there: Numba would not notice
when that changes. Rows are those of `kernel.scan_lines`, keys those of `packed.pack`.
"""

import numpy as np
from numba import njit

from tasks.detect.columns import END_OF_TEXT
from tasks.detect.kernel import IP, LENGTH, MINUTE, OFFSET, PATH, REQUEST, TARGET_END

MAX_NAME = 41
"""Bytes of the longest address, with what ends it."""

_0 = np.uint64(0)
_1 = np.uint64(1)
_P1 = np.uint64(11400714785074694791)


# samples


@njit(cache=True, nogil=True)
def choose_lines(
    count, lines, outcomes, hashes, outcome_counters, outcome_shares, outcome_limits, has_values,
    full_keys, full_counts, full_hashes, samples, valued,
):  # fmt: skip
    """
    The rows that may be samples, and those that have values.

    Full are places, some of them, with the lowest hashes that were chosen there: what has a higher
    one, or the same, is not chosen any more. Lines come in the order of their numbers.

    Returns:
        How many are in *samples* and how many in *valued*.
    """
    found, others = 0, 0
    mask = np.uint64(full_keys.size - 1)
    for row in range(count):
        outcome = outcomes[row]
        if has_values[outcome]:
            valued[others] = row
            others += 1
        h = hashes[row]
        if h & outcome_shares[outcome] != _0:
            continue
        key = (
            (np.uint64(lines[row, IP]) << np.uint64(40))
            | (np.uint64(lines[row, MINUTE]) << np.uint64(13))
            | np.uint64(outcome_counters[outcome])
        )
        mixed = key * _P1
        slot = np.int64((mixed ^ (mixed >> np.uint64(32))) & mask)
        if full_keys[slot] != key:
            full_keys[slot], full_counts[slot] = key, 0
        known, limit = np.int64(full_counts[slot]), np.int64(outcome_limits[outcome])
        if limit <= full_hashes.shape[1]:
            at = known
            while at > 0 and full_hashes[slot, at - 1] >= h:
                at -= 1
            if at == limit or (at < known and full_hashes[slot, at] == h):
                continue
            for place in range(min(known, limit - 1), at, -1):
                full_hashes[slot, place] = full_hashes[slot, place - 1]
            full_hashes[slot, at], full_counts[slot] = h, min(known + 1, limit)
        samples[found] = row
        found += 1
    return found, others


@njit(cache=True, nogil=True)
def copy_texts(data, starts, ends, most, target, sizes):
    """
    Copy texts to *target*, with their ends, and their sizes to *sizes*.

    Of a text that is longer than *most* or not plain ASCII, nothing is copied; its size is -1.

    Returns:
        How many bytes are in *target*.
    """
    at = np.int64(0)
    for number in range(starts.size):
        start, end = np.int64(starts[number]), np.int64(ends[number])
        size, bits = end - start, np.uint8(0)
        if size > most:
            sizes[number] = -1
            continue
        text, copy = data[start:end], target[at : at + size]
        for offset in range(size):
            byte = text[offset]
            copy[offset] = byte
            bits |= byte
        if bits >= 128:
            sizes[number] = -1
            continue
        target[at + size], target[at + size + 1] = 13, 10
        sizes[number] = size + END_OF_TEXT
        at += size + END_OF_TEXT
    return at


@njit(cache=True, nogil=True)
def mark_lowest(order, extents, places, hashes, numbers, counters, slot_ends, slots, limits, keep):
    """
    Mark the lines that are among the lowest hashes of a slot of theirs.

    Args:
        order: Rows by place, extent and hash.
        slot_ends: Where the slots of each combination of counters end in *slots*.
        limits: By slot.
        keep: False so far. Of lines with the same hash the one with the smallest number is kept.
    """
    seen = np.zeros(limits.size, np.int64)
    group = np.full(limits.size, -1, np.int64)
    at, first, count = 0, 0, order.size
    while at < count:
        row = order[at]
        other = order[first]
        if places[row] != places[other] or extents[row] != extents[other]:
            first = at
        at += 1
        while at < count:
            other = order[at]
            if (
                hashes[other] != hashes[row]
                or places[other] != places[row]
                or extents[other] != extents[row]
            ):
                break
            if numbers[other] < numbers[row]:
                row = other
            at += 1
        kind = np.int64(counters[row])
        for index in range(slot_ends[kind - 1] if kind else 0, slot_ends[kind]):
            slot = slots[index]
            if group[slot] != first:
                group[slot], seen[slot] = first, 0
            seen[slot] += 1
            keep[row] |= seen[slot] <= limits[slot]


@njit(cache=True, nogil=True)
def pick_texts(texts, sizes, keep, target):
    """Copy those texts that are kept to *target*, and return how many bytes they are."""
    read, at = np.int64(0), np.int64(0)
    for number in range(sizes.size):
        size = np.int64(sizes[number])
        if keep[number]:
            text, copy = texts[read : read + size], target[at : at + size]
            for offset in range(size):
                copy[offset] = text[offset]
            at += size
        read += size
    return at


@njit(cache=True, nogil=True)
def order_texts(texts, sizes, order):
    """The texts in this order of their numbers."""
    starts = np.empty(sizes.size, np.int64)
    at = np.int64(0)
    for number in range(sizes.size):
        starts[number] = at
        at += np.int64(sizes[number])
    target = np.empty(at, np.uint8)
    at = np.int64(0)
    for number in order:
        start, size = starts[number], np.int64(sizes[number])
        text, copy = texts[start : start + size], target[at : at + size]
        for offset in range(size):
            copy[offset] = text[offset]
        at += size
    return target


# values


@njit(cache=True, nogil=True)
def list_values(
    lines, rows, outcomes, outcome_ends, counters, of_paths, request_records, request_arena,
    path_records, path_arena, path_hashes, target_hashes, odd_hashes, keys, hashes, unknown,
):  # fmt: skip
    """
    Keys and hashes of the values of these rows.

    Hashes that are known are in path_hashes, by path, and by request in target_hashes and in
    odd_hashes, which is for requests without a plain path; 0 is not known. Those of plain paths
    and of targets in plain ASCII are found out here.

    Args:
        outcome_ends: Where the values of each outcome end in *counters* and *of_paths*.

    Returns:
        How many there are, and how many are in *unknown*: rows of *keys* without a hash.
    """
    words, message = np.zeros(8, np.uint64), np.zeros(16, np.uint64)
    found, left = 0, 0
    for row in rows:
        outcome, request = np.int64(outcomes[row]), np.int64(lines[row, REQUEST])
        path = np.int64(request_records[request, PATH])
        place = (np.uint64(lines[row, IP]) << np.uint64(40)) | (
            np.uint64(lines[row, MINUTE]) << np.uint64(13)
        )
        for index in range(outcome_ends[outcome - 1] if outcome else 0, outcome_ends[outcome]):
            if not of_paths[index]:
                h = target_hashes[request]
                if h == _0 and path >= 0:
                    start = np.int64(request_records[request, OFFSET])
                    while request_arena[start] != 32:
                        start += 1
                    end = np.int64(request_records[request, TARGET_END])
                    if _is_plain(request_arena, start + 1, end):
                        h = blake2b_64(request_arena, start + 1, end, words, message)
                        target_hashes[request] = h
            elif path < 0:
                h = odd_hashes[request]
            else:
                h = path_hashes[path]
                if h == _0:
                    start = np.int64(path_records[path, OFFSET])
                    end = start + path_records[path, LENGTH]
                    h = blake2b_64(path_arena, start, end, words, message)
                    path_hashes[path] = h
            if h == _0:
                unknown[left, 0], unknown[left, 1], unknown[left, 2] = (
                    found,
                    request,
                    of_paths[index],
                )
                left += 1
            keys[found], hashes[found] = place | np.uint64(counters[index]), h
            found += 1
    return found, left


@njit(cache=True, nogil=True)
def _is_plain(data, start, end):
    """Whether a text is what its bytes are: printable ASCII without backslashes."""
    is_plain = True
    for byte in data[start:end]:
        is_plain &= 32 < byte < 127 and byte != 92
    return is_plain


@njit(cache=True, nogil=True)
def blake2b_64(data, start, end, words, message):
    """BLAKE2b with a digest of 8 bytes, as hash_value has it. Source: RFC 7693."""
    for number in range(8):
        words[number] = _INITIAL[number]
    words[0] ^= np.uint64(0x01010008)
    at, length = start, end - start
    done = np.int64(0)
    while True:
        size = min(length - done, 128)
        for number in range(16):
            word = _0
            for offset in range(8):
                place = number * 8 + offset
                if place < size:
                    word |= np.uint64(data[at + place]) << np.uint64(8 * offset)
            message[number] = word
        at += size
        done += size
        _compress(words, message, np.uint64(done), done == length)
        if done == length:
            return words[0]


@njit(cache=True, nogil=True, inline="always")
def _turn(word, right):
    return (word >> np.uint64(right)) | (word << np.uint64(64 - right))


@njit(cache=True, nogil=True)
def _mix(state, a, b, c, d, x, y):
    p, q, r, s = state[a], state[b], state[c], state[d]
    p += q + x
    s = _turn(s ^ p, 32)
    r += s
    q = _turn(q ^ r, 24)
    p += q + y
    s = _turn(s ^ p, 16)
    r += s
    q = _turn(q ^ r, 63)
    state[a], state[b], state[c], state[d] = p, q, r, s


@njit(cache=True, nogil=True)
def _compress(words, message, counted, is_last):
    state = np.empty(16, np.uint64)
    for number in range(8):
        state[number], state[number + 8] = words[number], _INITIAL[number]
    state[12] ^= counted
    if is_last:
        state[14] = ~state[14]
    for turn in range(12):
        order = _ORDER[turn % 10]
        for lane in range(4):
            x, y = message[order[2 * lane]], message[order[2 * lane + 1]]
            _mix(state, lane, lane + 4, lane + 8, lane + 12, x, y)
        for lane in range(4):
            x, y = message[order[2 * lane + 8]], message[order[2 * lane + 9]]
            _mix(state, lane, (lane + 1) % 4 + 4, (lane + 2) % 4 + 8, (lane + 3) % 4 + 12, x, y)
    for number in range(8):
        words[number] ^= state[number] ^ state[number + 8]


_INITIAL = np.array([
    0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
    0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
], np.uint64)  # fmt: skip
_ORDER = np.array([
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
], np.uint8)  # fmt: skip


# names


@njit(cache=True, nogil=True)
def write_names(addresses, target):
    """
    Write the canonical text of each address, with its end, as ipaddress has it.

    Returns:
        How many bytes are in *target*.
    """
    at = np.int64(0)
    groups = np.zeros(8, np.int64)
    for number in range(addresses.shape[0]):
        high, low = addresses[number, 0], addresses[number, 1]
        if high == _0 and low >> np.uint64(32) == np.uint64(0xFFFF):
            for shift in (24, 16, 8, 0):
                at = _write_decimal(
                    np.int64((low >> np.uint64(shift)) & np.uint64(255)), target, at
                )
                target[at] = 46
                at += 1
            at -= 1
        else:
            for group in range(4):
                shift = np.uint64(48 - 16 * group)
                groups[group] = np.int64((high >> shift) & np.uint64(0xFFFF))
                groups[group + 4] = np.int64((low >> shift) & np.uint64(0xFFFF))
            at = _write_groups(groups, target, at)
        target[at], target[at + 1] = 13, 10
        at += END_OF_TEXT
    return at


@njit(cache=True, nogil=True)
def _write_decimal(value, target, at):
    if value >= 100:
        target[at] = 48 + value // 100
        at += 1
    if value >= 10:
        target[at] = 48 + value // 10 % 10
        at += 1
    target[at] = 48 + value % 10
    return at + 1


@njit(cache=True, nogil=True)
def _write_groups(groups, target, at):
    """Hexadecimal groups, with `::` for the first of the longest runs of two or more zeros."""
    best, longest, run = -1, 1, 0
    for group in range(8):
        run = run + 1 if groups[group] == 0 else 0
        if run > longest:
            best, longest = group - run + 1, run
    group = 0
    while group < 8:
        if group == best:
            target[at], target[at + 1] = 58, 58
            at += 2
            group += longest
            continue
        if group and group != best + longest:
            target[at] = 58
            at += 1
        value, started = groups[group], False
        for shift in (12, 8, 4, 0):
            digit = (value >> shift) & 15
            if digit or started or shift == 0:
                target[at] = digit + (48 if digit < 10 else 87)
                at += 1
                started = True
        group += 1
    return at
