"""How much memory a process and those that it started take together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SECONDS = 0.05


class Peak:
    """The most that was seen."""

    mib = 0.0


@contextmanager
def peak_of(process: int) -> Iterator[Peak]:
    """
    Watch a process and all that it starts.

    What is theirs adds up; pages of files, such as libraries, are shared: those of the process
    that has most of them. Where there is no /proc, nothing is seen.
    """
    peak, is_over = Peak(), threading.Event()

    def watch() -> None:
        while not is_over.wait(_SECONDS):
            found = [pages for p in _family(process) if (pages := _pages(p))]
            if found:
                kib = sum(own for own, _ in found) + max(shared for _, shared in found)
                peak.mib = max(peak.mib, kib / 1024)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        is_over.set()
        watcher.join()


def _family(process: int) -> Iterator[int]:
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, children.read_text().split()):
                yield from _family(child)


def _pages(process: int) -> tuple[int, int] | None:
    """KiB of its own, and of files."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return None
    sizes = {
        name: text.split()[0] for name, _, text in (x.partition(":") for x in lines) if text.strip()
    }
    if "RssAnon" not in sizes:  # it has just ended
        return None
    return int(sizes["RssAnon"]) + int(sizes["RssShmem"]), int(sizes["RssFile"])
