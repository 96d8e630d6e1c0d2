"""Keys and counts of the compiled kernel, beside plain Python."""

from collections import Counter

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.detect import scanning_kernel as scanning
from tasks.detect import settling_kernel as settling
from tasks.detect.packed import pack

MOST_IPS, MOST_MINUTES, MOST_COUNTERS = (
    (1 << bits) - 1 for bits in (settling.IP_BITS, settling.MINUTE_BITS, settling.COUNTER_BITS)
)
parts = st.tuples(
    st.integers(0, settling.MAX_REQUEST_CLASS),
    st.integers(0, settling.MAX_OTHER_CLASS),
    st.integers(0, settling.MAX_OTHER_CLASS),
    st.integers(0, settling.MAX_FACTS),
    st.integers(0, 63),
    st.integers(0, scanning.NO_STATUS),
)
places = st.tuples(
    st.integers(0, MOST_IPS), st.integers(0, MOST_MINUTES), st.integers(0, MOST_COUNTERS)
)


def lines_of(places: list[tuple[int, int, int]]) -> np.ndarray:
    lines = np.zeros((len(places), scanning.LINE_COLUMNS), np.int32)
    for line, (ip, minute, _) in zip(lines, places, strict=True):
        line[scanning.IP], line[scanning.MINUTE] = ip, minute
    return lines


@given(parts, parts)
def test_lines_have_one_key_where_all_that_matters_is_the_same(one, other):
    """No part reaches into the next one, and the classes can be read again."""
    keys = [int(settling.pack_key(*each)) for each in (one, other)]

    assert (keys[0] == keys[1]) is (one == other)
    assert settling.classes_of(keys[0]) == one[:3]
    assert keys[0] > 0
    assert (keys[0] >> settling.CLASSES_SHIFT == 0) is (one[:3] == (0, 0, 0))


@given(st.lists(places, min_size=1))
def test_places_are_packed_alike_in_both_halves(places):
    """What the kernel counts is read by columns."""
    counters = [counter for *_, counter in places]
    keys = [
        int(settling.pack_place(line, counter)[0])
        for line, counter in zip(lines_of(places), counters, strict=True)
    ]

    assert keys == pack(*zip(*places, strict=True)).tolist()
    assert len(set(keys)) == len(set(places))


@given(st.dictionaries(st.integers(1, 2**64 - 1), st.integers(0, 99), max_size=32))
def test_outcomes_are_those_that_were_learnt(learnt):
    """However full the table is; of other keys there is none."""
    keys, outcomes = np.zeros(64, np.uint64), np.full(64, -1, np.int32)
    for key, outcome in learnt.items():
        settling.learn_outcome(np.uint64(key), outcome, keys, outcomes)
    found = {key: settling.outcome_of(np.uint64(key), keys, outcomes) for key in learnt}

    assert found == learnt
    assert settling.outcome_of(np.uint64(0), keys, outcomes) == -1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 4)), max_size=80))
@example([(n, n, n) for n in range(40)])
def test_lines_are_counted_by_place(places):
    """In a table that is emptied whenever it is half full."""
    lines = lines_of(places)
    outcomes = np.array([counter for *_, counter in places], np.int32)
    counters_of = np.arange(max(outcomes, default=0) + 1, dtype=np.uint32)[::-1].copy()
    keys, counts = np.zeros(16, np.uint64), np.zeros(16, np.uint32)
    used = np.zeros(1, np.int64)
    counted: Counter[int] = Counter()
    row = 0
    while row < len(places):
        row = settling.count_lines(
            row, len(places), lines, outcomes, counters_of, keys, counts, used
        )
        there = counts.nonzero()[0]
        counted.update(dict(zip(keys[there].tolist(), counts[there].tolist(), strict=True)))
        counts.fill(0)
        used.fill(0)

    expected = [(ip, minute, int(counters_of[outcome])) for ip, minute, outcome in places]
    assert counted == Counter(pack(*zip(*expected, strict=True)).tolist() if expected else [])
