"""Who is asked about: every suspect while there are few, the worst of each trick in a flood."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tasks.model.incidents import Suspect
from tasks.triage.likeness import Likeness

FEW = 25
"""Up to so many suspects in a run, each has a call of its own if the budget allows it."""
PER_TRICK = 10
"""Of suspects on whom the same rules matched, this many different ones in a flood."""


@dataclass(frozen=True, slots=True)
class TriagePlan:
    """Every suspect of a run is in exactly one place."""

    asked: tuple[Suspect, ...]
    """Each has a call of its own; worst first."""
    alike: tuple[tuple[Suspect, str], ...] = ()
    """With the likeness of the evidence, whose verdict they share."""
    left: tuple[Suspect, ...] = ()
    """For the rules analyst."""
    reason: str | None = None
    """Why some are left or share a verdict; None where nobody is and does."""


def plan_calls(
    suspects: Sequence[Suspect],
    likeness: Mapping[str, Likeness],
    calls: int,
    known: Collection[str] = (),
) -> TriagePlan:
    """
    Who has one of the *calls*, and who shares whose verdict.

    Args:
        suspects: Worst first.
        likeness: Of each that can be read, by incident id.
        calls: What the budget has room for.
        known: Likenesses of evidence whose verdict is on record.
    """
    if len(suspects) <= min(calls, FEW):
        return TriagePlan(tuple(suspects))
    asked: list[Suspect] = []
    alike: list[tuple[Suspect, str]] = []
    left: list[Suspect] = []
    covered = set(known)
    tricks: Counter[str] = Counter()
    for suspect in suspects:
        like = likeness.get(suspect.incident_id)
        if like is None:
            left.append(suspect)
        elif like.evidence in covered:
            alike.append((suspect, like.evidence))
        elif len(asked) < calls and tricks[like.trick] < PER_TRICK:
            asked.append(suspect)
            covered.add(like.evidence)
            tricks[like.trick] += 1
        else:
            left.append(suspect)
    reason = (
        f"budget: {len(suspects):,} suspects at once, and room for {calls:,} calls; those that"
        " behave alike share one."
    )
    return TriagePlan(tuple(asked), tuple(alike), tuple(left), reason)
