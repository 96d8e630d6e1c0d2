"""What Numba has compiled once is loaded without what only compiling needs."""

import os
import subprocess
import sys

import pytest

FUNCTION = """
import numpy as np
from tasks.collect.kernel import njit

@njit(_nrt=True)
def total(numbers):
    several = np.zeros(3, np.int64)
    for number in numbers:
        several[number % 3] += number
    return several.sum()
"""
PROGRAM = """
import os
import sys
import numpy as np
from tasks.collect import kernel

kernel._STAMP += os.environ["OTHER"]
from kept_function import total

kernel.load_quickly()
for kind in sys.argv[1:]:
    print(total(np.arange(10, dtype=kind)), "numba.misc.cffiimpl" in sys.modules)
print(sum(total.stats.cache_hits.values()))
"""


@pytest.fixture
def run(tmp_path):
    """Runs the program as a process of its own, beside functions of which *other* says more."""
    (tmp_path / "kept_function.py").write_text(FUNCTION)
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path / "code"),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)]),
    }

    def run(*kinds: str, other: str = "") -> list[str]:
        command = [sys.executable, "-c", PROGRAM, *kinds]
        done = subprocess.run(
            command, env={**environment, "OTHER": other}, capture_output=True, check=True, text=True
        )
        return done.stdout.splitlines()

    return run


def test_what_is_kept_runs_beside_what_is_compiled_after_it(run):
    """Kept code is there before Numba can compile, and code for other numbers is compiled then."""
    assert run("int64") == ["45 True", "0"]
    assert run("int64", "int32") == ["45 False", "45 True", "1"]


def test_what_is_kept_is_compiled_again_once_another_module_changes(run):
    """What a function calls may be in another file than the function, which Numba would not see."""
    assert run("int64") == ["45 True", "0"]
    assert run("int64", other="changed") == ["45 True", "0"]
    assert run("int64", other="changed") == ["45 False", "1"]
