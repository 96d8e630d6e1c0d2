"""What Numba has compiled once is loaded without what only compiling needs."""

import os
import subprocess
import sys

FUNCTION = """
import numba
import numpy as np

@numba.njit(cache=True, nogil=True)
def total(numbers):
    several = np.zeros(3, np.int64)
    for number in numbers:
        several[number % 3] += number
    return several.sum()
"""
PROGRAM = """
import sys
import numpy as np
from tasks.detect import compiled
from kept_function import total

compiled.load_quickly()
for kind in sys.argv[1:]:
    print(total(np.arange(10, dtype=kind)), "numba.misc.cffiimpl" in sys.modules)
print(sum(total.stats.cache_hits.values()))
"""


def test_what_is_kept_runs_beside_what_is_compiled_after_it(tmp_path):
    """Kept code is there before Numba can compile, and code for other numbers is compiled then."""
    (tmp_path / "kept_function.py").write_text(FUNCTION)
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path / "code"),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)]),
    }

    def run(*kinds: str) -> list[str]:
        command = [sys.executable, "-c", PROGRAM, *kinds]
        done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
        return done.stdout.splitlines()

    assert run("int64") == ["45 True", "0"]
    assert run("int64", "int32") == ["45 False", "45 True", "1"]
