"""
Scans that are killed at a chosen point, in processes of their own that cost no import.

    with DyingScans() as scans:
        points = scans.count("statements", source, environment)   # of a scan that lives
        scans.kill("statements", 17, source, environment)         # SIGKILL at the 17th

A process that has imported everything forks one child for each scan. The kinds of points:

    lines          a line of ours runs that no thread has run before
    statements     before and after each SQL statement, and before each commit
    requests       before a request to S3, Bedrock, Tavily or Telegram, when it is sent, when the
                   answer has begun
    milliseconds   whatever happens then
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

ROOT = Path(__file__).parents[2]
KINDS = ("lines", "statements", "requests", "milliseconds")
LONGEST_SCAN_SECONDS = 120


class DyingScans:
    """Scans are forked from `with` to its end."""

    def __enter__(self) -> Self:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.dying_scans"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        self._parent.communicate(timeout=30)

    def count(self, kind: str, source: object, cwd: Path) -> int:
        """How many points of this kind an undisturbed scan with this environment has."""
        points, status = self._run(kind, 0, source, cwd)
        assert status == 0, f"the scan ended with {status}"
        return points

    def kill(self, kind: str, point: int, source: object, cwd: Path) -> bool:
        """A scan is dead at its *point*; whether it had not ended before."""
        _, status = self._run(kind, point, source, cwd)
        return status == -signal.SIGKILL

    def _run(self, kind: str, point: int, source: object, cwd: Path) -> tuple[int, int]:
        order = {
            "kind": kind,
            "point": point,
            "source": str(source),
            "cwd": str(cwd),
            "environment": dict(os.environ),
        }
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(order) + "\n")
        self._parent.stdin.flush()
        points, status = json.loads(self._parent.stdout.readline())
        return points, status


class _Points:
    """Counts points, and kills this process at one of them; 0 for none."""

    def __init__(self, fatal: int) -> None:
        self._fatal = fatal
        self._lock = threading.Lock()
        self.passed = 0

    def passes(self, *_: object, **__: object) -> None:
        """One more."""
        with self._lock:
            self.passed += 1
            if self.passed == self._fatal:
                os.kill(os.getpid(), signal.SIGKILL)


def _watch_lines(points: _Points) -> None:
    ours = (str(ROOT / "flows"), str(ROOT / "tasks"))
    seen: set[tuple[str, int]] = set()

    def on_line(frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        place = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and place not in seen:
            seen.add(place)
            points.passes()
        return on_line

    def on_call(frame: FrameType, _event: str, _argument: object) -> Callable[..., Any] | None:
        return on_line if frame.f_code.co_filename.startswith(ours) else None

    threading.settrace(on_call)
    sys.settrace(on_call)


def _watch_statements(points: _Points) -> None:
    from sqlalchemy import Engine, event

    for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(Engine, name, points.passes)


def _watch_requests(points: _Points) -> None:
    from http.client import HTTPConnection

    def watch(name: str) -> None:
        method = getattr(HTTPConnection, name)

        def passed(*args: Any, **kwargs: Any) -> Any:
            points.passes()
            return method(*args, **kwargs)

        setattr(HTTPConnection, name, passed)

    for name in ("putrequest", "getresponse"):
        watch(name)


_WATCHES: Mapping[str, Callable[[_Points], None]] = {
    "lines": _watch_lines,
    "statements": _watch_statements,
    "requests": _watch_requests,
    "milliseconds": lambda _points: None,
}


def _scan(order: dict[str, Any], report: int) -> NoReturn:
    """In the child: one scan, and how many points it passed."""
    from flows.scan import scan_logs
    from tasks.settings import settings

    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["cwd"])
    settings.cache_clear()
    is_timed = order["kind"] == "milliseconds"
    points = _Points(0 if is_timed else order["point"])
    began_at = time.monotonic()
    _WATCHES[order["kind"]](points)
    state = scan_logs(order["source"], return_state=True)
    sys.settrace(None)
    passed = int((time.monotonic() - began_at) * 1000) if is_timed else points.passed
    os.write(report, str(passed).encode())
    os._exit(0 if state.is_completed() else 1)


def _fork(order: dict[str, Any]) -> tuple[int, int]:
    """How many points it passed, as far as it lived to tell, and how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        _scan(order, writing)
    os.close(writing)
    if order["kind"] == "milliseconds" and order["point"]:
        time.sleep(order["point"] / 1000)
        os.kill(child, signal.SIGKILL)
    watchdog = threading.Timer(LONGEST_SCAN_SECONDS, os.kill, (child, signal.SIGKILL))
    watchdog.start()
    _, status = os.waitpid(child, 0)
    watchdog.cancel()
    told = os.read(reading, 100)
    os.close(reading)
    return int(told or 0), os.waitstatus_to_exitcode(status)


def _main() -> None:
    # what every scan does first, done once: no thread may be running when a child is forked
    import flows.scan  # noqa: F401 -- to have it imported
    from tasks.detect.rules import load_rules

    load_rules(None)
    threads = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    assert not any(name.startswith("polars-0") for name in threads), threads
    assert threading.active_count() == 1
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_fork(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
