"""Distinct texts of the compiled kernel have a number each, beside plain Python."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.collect.kernel import PADDING
from tasks.detect import numbering_kernel as numbering

MOST = 130
NOISE = np.random.default_rng(7).integers(0, 256, MOST + PADDING, np.uint8)


def nothing_numbered(slots: int = 512, size: int = MOST * (MOST + 1)) -> numbering.Texts:
    """Room in so many slots, a power of two, for texts of *size* bytes and one line."""
    return numbering.Texts(
        slots=np.zeros(slots, np.uint64),
        records=np.zeros((slots // 2, numbering.TEXT_COLUMNS), np.int32),
        arena=np.zeros(size + numbering.MAX_LINE + PADDING, np.uint8),
        size=np.zeros(2, np.int64),
    )


def number(data: np.ndarray, length: int, texts: numbering.Texts, h: int = 0, kind: int = 0) -> int:
    return int(numbering.number_text(data, 0, length, kind, np.uint64(h), texts))


def test_texts_that_differ_in_one_byte_have_two_numbers():
    """Equal means equal bytes, wherever the difference is; what follows a text does not matter."""
    for length in (1, 7, 8, 63, 64, 65, 128, MOST):
        texts = nothing_numbered()
        noise = NOISE.copy()
        first = number(noise, length, texts)
        noise[length:] ^= 1
        same = number(noise, length, texts)
        others = set()
        for at in range(length):
            noise[at] ^= 1
            others.add(number(noise, length, texts))
            noise[at] ^= 1

        assert (first, same) == (0, 0)
        assert others == set(range(1, length + 1))


@given(st.lists(st.tuples(st.binary(max_size=3), st.integers(0, 3)), max_size=40))
def test_a_text_keeps_its_number(given_texts):
    """Texts of two kinds are two, and a slot or half a hash that two share does not matter."""
    texts = nothing_numbered(128)
    known: dict[tuple[bytes, int], int] = {}
    for text, kind in given_texts:
        h = sum(text) % 3 << 32 | len(text)
        data = np.frombuffer(text.ljust(2 * PADDING, b"?"), np.uint8).copy()
        found = number(data, len(text), texts, h, kind)

        assert found == known.setdefault((text, kind), len(known))
    for (text, kind), at in known.items():
        record = texts.records[at]
        start = record[numbering.OFFSET]
        assert texts.arena[start : start + len(text)].tobytes() == text
        assert (record[numbering.KIND], record[numbering.CLASS]) == (kind, numbering.NEW)
    assert texts.size.tolist() == [len(known), sum(len(text) for text, _ in known)]


def test_a_hash_is_of_the_text_and_of_a_seed():
    """What follows a text does not matter; with another seed everything is another one."""
    others = NOISE.copy()
    hashes = set()
    for length in range(MOST):
        others[:length], others[length:] = NOISE[:length], ~NOISE[length:]
        for seed in map(np.uint64, (1, 2**63)):
            h = int(numbering.hash_text(NOISE, 0, length, seed))
            hashes.add(h)
            assert h == int(numbering.hash_text(others, 0, length, seed))

    assert len(hashes) == 2 * MOST


def test_there_is_room_up_to_half_of_the_slots():
    """And as long as one more line fits."""
    texts = nothing_numbered(64, 1600)

    assert numbering.has_room(texts, 29, 0)
    assert not numbering.has_room(texts, 30, 0)
    assert numbering.has_room(texts, 0, 1600)
    assert not numbering.has_room(texts, 0, 1601)
