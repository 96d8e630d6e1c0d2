"""The form in which a tally is stored."""

from dataclasses import dataclass

PartKey = tuple[str, int]
"""Id of a segment, and the number of a part in it."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some of what a batch was counted to."""

    first_minute: int
    """Minutes since the epoch; nothing in it is earlier."""
    last_minute: int
    """Nothing in it is later."""
    payload: bytes
