"""Hashes of lines of the compiled kernel, at every length."""

import numpy as np

from tasks.collect.kernel import PADDING
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
