"""Programs of ours as processes of their own."""

import os
import subprocess
import sys
from typing import Any

from tests.conftest import ROOT


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Python with these arguments, without input, heard out; Popen's *options* on top of that."""
    usual: dict[str, Any] = {
        "env": os.environ | {"PYTHONPATH": str(ROOT)},
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    return subprocess.Popen([sys.executable, *arguments], **(usual | options))


def children(process: int) -> dict[int, str]:
    """The processes that a process has started, and with which program and arguments."""
    found = _ps("-ww", "--ppid", str(process), "-o", "pid=,args=")
    return {int(pid): args for pid, args in (line.split(maxsplit=1) for line in found.splitlines())}


def is_alive(process: int) -> bool:
    """Whether it is still at work, whoever its parent is by now."""
    return _ps("-p", str(process), "-o", "stat=").strip()[:1] not in ("", "Z")


def _ps(*arguments: str) -> str:
    return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False).stdout
