"""Counting a batch: its objects are read once, and what is counted is committed with them."""

import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.collect.compression import Limits
from tasks.collect.formats.parser import ChooseFormat
from tasks.collect.reader import BlockSink, read_extents
from tasks.collect.source import Source
from tasks.detect.rules import RuleSet
from tasks.detect.tally import WrittenTally
from tasks.detect.tally_builder import TallyBuilder
from tasks.model.errors import MiddlewatchError, TransientError
from tasks.model.objects import (
    Batch,
    BatchResult,
    EventRange,
    LogObject,
    ObjectResult,
    SkippedObject,
)

if TYPE_CHECKING:
    from tasks.store.ledger import Ledger, Segment

MAX_FAILURES_IN_A_ROW = 3
MIN_LINES_TO_JUDGE = 10
"""Fewer lines of an object do not say whether its format is understood."""
MAX_UNPARSED_SAMPLES = 10


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What reading a batch came to; nothing of it is on record yet."""

    results: tuple[ObjectResult, ...]
    tally: WrittenTally
    """Extents are numbered in the order of the results, which is what the ledger expects."""
    left_out: tuple[SkippedObject, ...] = ()
    """Objects that would not be read today, through no fault of theirs: no attempt is counted."""
    slowed_by: str = ""
    """Why many lines were counted one by one; empty where they were not."""


def count_batch(
    source: Source,
    batch: Batch,
    rules: RuleSet,
    zone: tzinfo,
    event_range: EventRange | None = None,
    limits: Limits | None = None,
    *,
    choose_format: ChooseFormat | None = None,
    is_last_attempt: bool = False,
) -> Counted:
    """
    What every source IP did in these objects; of one that cannot be read, nothing is counted.

    Args:
        is_last_attempt: Leave out what cannot be read now, so that one object does not keep the
            others of its batch away for good. Several in a row are the source's fault, not theirs.

    Raises:
        TransientError: The source cannot be read now.
    """
    builder = TallyBuilder(rules)
    results: list[ObjectResult] = []
    left_out: list[SkippedObject] = []
    extent = failures_in_a_row = 0
    for log_object in batch.objects:
        numbers = count(extent)
        sink_for = partial(_next_sink, builder, numbers)
        try:
            result = read_extents(
                source, log_object, zone, sink_for, event_range, limits, choose_format=choose_format
            )
            failures_in_a_row = 0
        except TransientError as error:
            failures_in_a_row += 1
            is_final = is_last_attempt or error.was_retried
            if not is_final or failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
                raise
            left_out.append(SkippedObject(log_object.object_key, log_object.version, str(error)))
            result = None
        except MiddlewatchError:
            raise
        except Exception as error:  # noqa: BLE001 -- one bad object never stops the others
            result = ObjectResult(log_object, error=explain_unexpected(error))
        if result is None or result.error is not None:
            for dropped in range(extent, next(numbers)):
                builder.drop(dropped)
        if result is not None:
            results.append(result)
            extent += len(result.extents)
    return Counted(tuple(results), builder.write(), tuple(left_out), builder.slowed_by)


def explain_unexpected(error: Exception) -> str:
    """Where, not what: the text of an unexpected error may hold a piece of a log line."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"Reading it failed unexpectedly ({type(error).__name__} in {place}): report this."


def commit_batch(
    ledger: "Ledger", batch: Batch, counted: Counted, run_id: str, now: datetime
) -> BatchResult:
    """
    Everything that no other run has committed first is on record.

    Raises:
        TransientError: Nothing of it is; counting and committing again is safe.
    """
    commit = ledger.commit(
        counted.results, partial(_segment_without, counted), run_id=run_id, now=now
    )
    extents = [e for r in counted.results if r.log_object not in commit.taken for e in r.extents]
    samples = [(e.object_key, sample) for e in extents for sample in e.unparsed]
    return BatchResult(
        batch_number=batch.number,
        done=commit.done,
        unchanged=len(commit.taken),
        skipped=(*commit.skipped, *counted.left_out),
        quarantined=commit.quarantined,
        lines=sum(e.lines for e in extents),
        lines_unparsed=sum(e.lines_unparsed for e in extents),
        size_bytes=sum(e.size_bytes for e in extents),
        unparsed=tuple(samples[:MAX_UNPARSED_SAMPLES]),
        hardly_understood=tuple(
            e.object_key
            for e in extents
            if e.lines >= MIN_LINES_TO_JUDGE and 2 * e.lines_unparsed > e.lines
        ),
        slowed_by=counted.slowed_by,
    )


def _next_sink(builder: TallyBuilder, numbers: Iterator[int], _is_unfinished: bool) -> BlockSink:
    return builder.sink(next(numbers))


def _segment_without(counted: Counted, taken: Collection[LogObject]) -> "Segment | None":
    from tasks.store.ledger import Segment  # counting by itself needs no database

    tally = counted.tally
    if taken:
        owners = [r.log_object for r in counted.results for _ in r.extents]
        tally = tally.only([n for n, owner in enumerate(owners) if owner not in taken])
    return Segment(tally.parts) if tally.parts else None
