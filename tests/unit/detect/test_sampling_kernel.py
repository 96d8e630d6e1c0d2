"""Which lines are samples, and their texts, beside plain Python."""

from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.detect import sampling_kernel as sampling
from tasks.detect import scanning_kernel as scanning
from tasks.detect.columns import END_OF_TEXT

LIMITS = np.array([1, 2, 4, 9])
"""By outcome, which is its own combination of counters here."""
lines = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 30)), max_size=60)
"""IP, outcome and hash."""


@given(lines)
def test_no_line_is_passed_over_that_could_be_a_sample(given_lines):
    """The lowest hashes of each place are among those that are chosen, whatever is full."""
    count = len(given_lines)
    table = np.zeros((count, scanning.LINE_COLUMNS), np.int32)
    table[:, scanning.IP] = [ip for ip, _, _ in given_lines]
    shares, has_values = np.array([0, 0, 1, 3], np.uint64), np.array([True, False, False, True])
    samples, valued = np.empty(count, np.int32), np.empty(count, np.int32)
    found, others = sampling.choose_lines(
        count, table,
        np.array([outcome for _, outcome, _ in given_lines], np.int32),
        np.array([h for *_, h in given_lines], np.uint64),
        np.arange(4, dtype=np.uint32), shares, LIMITS, has_values,
        np.zeros(4, np.uint64), np.zeros(4, np.int32), np.zeros((4, 4), np.uint64),
        samples, valued,
    )  # fmt: skip
    chosen = samples[:found].tolist()

    wanted: defaultdict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    for row, (ip, outcome, h) in enumerate(given_lines):
        if not h & int(shares[outcome]):
            wanted[ip, outcome].setdefault(h, row)
    for (_, outcome), rows in wanted.items():
        assert {rows[h] for h in sorted(rows)[: LIMITS[outcome]]} <= set(chosen)
    assert not any(given_lines[row][2] & int(shares[given_lines[row][1]]) for row in chosen)
    assert chosen == sorted(chosen)
    assert valued[:others].tolist() == [
        row for row, (_, outcome, _) in enumerate(given_lines) if has_values[outcome]
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 9), st.integers(0, 3)),
        max_size=60,
    )
)
def test_the_lowest_hashes_of_each_slot_are_kept(given_lines):
    """Of lines with one hash the first counts, in as many slots as its combination has."""
    slots_of = [[0], [1, 2], [0, 2], []]
    limits = [1, 2, 3]
    places, extents, hashes, counters = np.array(given_lines).reshape(-1, 4).T.astype(np.uint64)
    # a combination of counters follows from the line, and so from its hash
    counters, extents = (hashes % np.uint64(4)).astype(np.int32), extents.astype(np.uint32)
    numbers = np.arange(len(given_lines))[::-1].copy()
    keep = np.zeros(len(given_lines), np.bool_)
    sampling.mark_lowest(
        np.lexsort((hashes, extents, places)), extents, places, hashes, numbers, counters,
        np.cumsum([len(slots) for slots in slots_of], dtype=np.int32),
        np.array([slot for slots in slots_of for slot in slots], np.int32), np.array(limits, np.int32),
        np.zeros(3, np.int64), np.full(3, -1), keep,
    )  # fmt: skip

    keys = zip(places.tolist(), extents.tolist(), hashes.tolist(), strict=True)
    first = {key: row for row, key in enumerate(keys)}  # the last row has the smallest number
    competing: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
    for (place, extent, _), row in sorted(first.items()):
        for slot in slots_of[counters[row]]:
            competing[place, extent, slot].append(row)
    expected = {row for (*_, slot), rows in competing.items() for row in rows[: limits[slot]]}
    assert set(keep.nonzero()[0].tolist()) == expected


@given(st.lists(st.binary(max_size=12)), st.randoms())
def test_texts_are_copied_where_they_are_short_and_plain(texts, random):
    """What is longer or not ASCII is left to Python; what is copied is gathered in any order."""
    most = 8
    lengths = np.array([len(text) for text in texts], np.int64)
    ends = np.cumsum(lengths)
    starts: np.ndarray = ends - lengths
    data = np.frombuffer(b"".join(texts), np.uint8)
    target = np.empty(len(data) + END_OF_TEXT * len(texts), np.uint8)
    sizes = np.empty(len(texts), np.int32)
    copied = target[: sampling.copy_texts(data, starts, ends, most, target, sizes)]

    plain = [text for text in texts if len(text) <= most and text.isascii()]
    assert (sizes >= 0).tolist() == [len(t) <= most and t.isascii() for t in texts]
    assert copied.tobytes() == b"".join(text + b"\r\n" for text in plain)

    sizes = sizes[sizes >= 0]
    order = random.sample(range(len(plain)), len(plain))
    gathered = np.empty(len(copied), np.uint8)
    starts = sizes.cumsum(dtype=np.int64) - sizes
    sampling.gather_texts(copied, starts[order], sizes[order], gathered)
    assert gathered.tobytes() == b"".join(plain[n] + b"\r\n" for n in order)
