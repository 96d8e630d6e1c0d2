"""The compiled half of samples: which lines may be kept, which are, and their texts."""

import numpy as np

from tasks.collect.kernel import ZERO, njit
from tasks.detect.columns import END_OF_TEXT
from tasks.detect.settling_kernel import pack_place


@njit()
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
        if h & outcome_shares[outcome] != ZERO:
            continue
        key, mixed = pack_place(lines[row], outcome_counters[outcome])
        slot = np.int64(mixed & mask)
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


@njit()
def mark_lowest(
    order, extents, places, hashes, numbers, counters, slot_ends, slots, limits, seen, group, keep
):
    """
    Mark the lines that are among the lowest hashes of a slot of theirs.

    Args:
        order: Rows by place, extent and hash.
        slot_ends: Where the slots of each combination of counters end in *slots*.
        limits: By slot.
        seen, group: By slot, how many lines there were in a group, which is -1 so far.
        keep: False so far. Of lines with the same hash the one with the smallest number is kept.
    """
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


@njit()
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


@njit()
def gather_texts(texts, starts, sizes, target):
    """Copy the texts of these starts and sizes to *target*, one after the other."""
    at = np.int64(0)
    for number in range(starts.size):
        start, size = starts[number], np.int64(sizes[number])
        text, copy = texts[start : start + size], target[at : at + size]
        for offset in range(size):
            copy[offset] = text[offset]
        at += size
