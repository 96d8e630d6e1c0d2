"""Fuzzing with coverage as the guide: any bytes, on the paths that nobody thought of."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = os.environ.get("FUZZ_SECONDS", "40")


@pytest.mark.matrix
@pytest.mark.skipif(find_spec("atheris") is None, reason="Atheris has no wheels for this platform")
@pytest.mark.parametrize(
    "target", ["read_object", "parse_lines", "decode_text", "count_lines", "unpack"]
)
def test_any_bytes(target, tmp_path):
    """Nothing is found in some thousand tries that breaks a promise or takes ten seconds."""
    command = [sys.executable, "-m", "tests.faults.fuzzing", target, str(tmp_path), SECONDS]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
        check=False,
    )

    found = [p for p in tmp_path.iterdir() if p.is_file()]
    assert not found, [p.read_bytes() for p in found] + [done.stderr[-3000:]]
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stderr.split("stat::number_of_executed_units:")[1].split()[0]) > 200
