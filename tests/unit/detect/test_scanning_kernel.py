"""Hashes and comparisons of the compiled kernel, at every length."""

import numpy as np

from tasks.collect.kernel import PADDING
from tasks.detect import numbering_kernel as numbering
from tasks.detect.judged import hash_line
from tasks.detect.scanning_kernel import hash_bytes

MOST = 300
NOISE = np.random.default_rng(7).integers(0, 256, MOST + PADDING, np.uint8)


def test_a_line_of_any_length_is_hashed_as_the_exact_path_hashes_it():
    """Which lines are samples does not depend on the path that counted them."""
    hashes = [int(hash_bytes(NOISE, 0, n, np.uint64(0))) for n in range(MOST)]

    assert hashes == [hash_line(NOISE[:n].tobytes()) for n in range(MOST)]


def test_what_is_after_a_line_does_not_change_its_hash():
    """Blocks are read beyond their lines."""
    others = NOISE.copy()
    for length in range(MOST):
        others[:length], others[length:] = NOISE[:length], ~NOISE[length:]
        zero = np.uint64(0)

        assert hash_bytes(others, 0, length, zero) == hash_bytes(NOISE, 0, length, zero)


def test_texts_that_differ_in_one_byte_have_two_numbers():
    """Equal means equal bytes, wherever the difference is; what follows a text does not matter."""
    texts = numbering.Texts(
        slots=np.zeros(1024, np.uint64),
        records=np.zeros((512, numbering.TEXT_COLUMNS), np.int32),
        arena=np.zeros(512 * MOST + numbering.MAX_LINE + PADDING, np.uint8),
        size=np.zeros(2, np.int64),
    )
    for length in (1, 7, 8, 63, 64, 65, 128, 130):
        texts.slots.fill(0)
        texts.size.fill(0)
        noise = NOISE.copy()
        first = numbering.number_text(noise, 0, length, numbering.KIND_AGENT, np.uint64(0), texts)
        noise[length:] ^= 1
        same = numbering.number_text(noise, 0, length, numbering.KIND_AGENT, np.uint64(0), texts)
        others = set()
        for at in range(length):
            noise[at] ^= 1
            others.add(
                numbering.number_text(noise, 0, length, numbering.KIND_AGENT, np.uint64(0), texts)
            )
            noise[at] ^= 1

        assert (first, same) == (0, 0)
        assert others == set(range(1, length + 1))
