"""What a line counts for: a function of what it says, and the hashes that choose among lines."""

from dataclasses import dataclass
from hashlib import blake2b

import xxhash

from tasks.detect.rules import MAX_DISTINCT_VALUES


@dataclass(frozen=True, slots=True)
class Counters:
    """A combination of counters that lines count for together."""

    text: str
    """The status class or login outcome, then the counters of rules, with spaces between."""
    slots: tuple[tuple[str, int], ...]
    """In which its lines compete to be samples, and how many win."""
    share: int
    """One of so many of its lines does compete; a power of two."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What an event counts for."""

    counters: Counters
    values: tuple[tuple[str, int | None], ...]
    """Counter and hash of each value of value_count rules; None for the hash of the path."""
    is_hit: bool
    """Whether a signature hits it."""


def lowest(hashes: set[int]) -> set[int]:
    """As many of the lowest as are kept of a minute's values."""
    return set(sorted(hashes)[:MAX_DISTINCT_VALUES])


def hash_value(value: str) -> int:
    """64 bits that nobody can choose cheaply: attackers would fold many values into one."""
    content = value.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


def hash_line(line: bytes) -> int:
    """64 bits by which lines compete to be samples; the server writes what is left to chance."""
    return xxhash.xxh64_intdigest(line)
