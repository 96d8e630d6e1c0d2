"""
The compiled half of counting: what lines count for, by the classes of their texts, and how often.

There are two kinds of 64-bit keys: that of an outcome says all that matters to rules of a line, and
that of a place whose line it is, when, and what it counts for (`packed` has it for columns).
"""

from typing import Final

import numpy as np

from tasks.collect.kernel import ONE, P1, ZERO, njit
from tasks.detect.numbering_kernel import CLASS, CLEAN, FACTS, METHOD, PATH
from tasks.detect.scanning_kernel import AGENT, IP, MINUTE, REFERRER, REQUEST, STATUS

# bits of the key of an outcome: classes of the request, referrer and user agent, what the rules'
# own tests find in the path, method, and status plus one
_REQUEST_BITS, _OTHER_BITS, _FACTS_BITS, _METHOD_BITS, _STATUS_BITS = 12, 10, 12, 6, 10
MAX_REQUEST_CLASS, MAX_OTHER_CLASS = (1 << _REQUEST_BITS) - 1, (1 << _OTHER_BITS) - 1
MAX_FACTS: Final = (1 << _FACTS_BITS) - 1
CLASSES_SHIFT: Final = _FACTS_BITS + _METHOD_BITS + _STATUS_BITS
"""Of a key, what is above that are classes: zero where all texts are clean."""

# bits of the key of a place
IP_BITS: Final = 24
MINUTE_BITS: Final = 27
"""Minutes since the epoch, up to the year 2225."""
COUNTER_BITS: Final = 13


@njit()
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
        outcome, key = np.int64(-1), ZERO
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


@njit()
def pack_key(class_, referrer_class, agent_class, facts, method, status):
    """What lines with the same outcome share; never 0."""
    key = np.uint64(class_)
    key = (key << np.uint64(_OTHER_BITS)) | np.uint64(referrer_class)
    key = (key << np.uint64(_OTHER_BITS)) | np.uint64(agent_class)
    key = (key << np.uint64(_FACTS_BITS)) | np.uint64(facts)
    key = (key << np.uint64(_METHOD_BITS)) | np.uint64(method)
    return (key << np.uint64(_STATUS_BITS)) | np.uint64(status + 1)


def classes_of(key: int) -> tuple[int, int, int]:
    """The classes of request, referrer and user agent in a key."""
    classes = key >> CLASSES_SHIFT
    others, agent = classes >> _OTHER_BITS, classes & MAX_OTHER_CLASS
    return others >> _OTHER_BITS, others & MAX_OTHER_CLASS, agent


@njit()
def _find_key(key, keys, key_outcomes):
    mask = np.uint64(keys.size - 1)
    slot = _mix(key) & mask
    while key_outcomes[np.int64(slot)] >= 0 and keys[np.int64(slot)] != key:
        slot = (slot + ONE) & mask
    return slot


@njit()
def outcome_of(key, keys, key_outcomes):
    """The outcome of lines with this key, or -1."""
    return np.int64(key_outcomes[np.int64(_find_key(key, keys, key_outcomes))])


@njit()
def learn_outcome(key, outcome, keys, key_outcomes):
    """Lines with this key have this outcome from now on."""
    slot = np.int64(_find_key(key, keys, key_outcomes))
    keys[slot], key_outcomes[slot] = key, outcome


@njit()
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
        key, mixed = pack_place(lines[row], outcome_counters[outcomes[row]])
        slot = mixed & mask
        while counts[np.int64(slot)] and keys[np.int64(slot)] != key:
            slot = (slot + ONE) & mask
        if not counts[np.int64(slot)]:
            keys[np.int64(slot)] = key
            used[0] += 1
        counts[np.int64(slot)] += 1
    return np.int64(count)


@njit(inline="always")
def pack_place(line, counters):
    """The key of the place of a line, and a number that is its own as far as it can be."""
    key = (np.uint64(line[IP]) << np.uint64(MINUTE_BITS)) | np.uint64(line[MINUTE])
    key = (key << np.uint64(COUNTER_BITS)) | np.uint64(counters)
    return key, _mix(key)


@njit(inline="always")
def _mix(key):
    mixed = key * P1
    return mixed ^ (mixed >> np.uint64(32))
