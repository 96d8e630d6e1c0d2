"""A batch is counted: what cannot be read takes nothing else with it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from typing import BinaryIO

import pytest

from tasks.collect.lines import LineReader
from tasks.detect import engine
from tasks.detect.counting import count_batch
from tasks.detect.rules import load_rules
from tasks.model.errors import TransientError
from tasks.model.objects import Batch, LogObject, Plan

LINE = b'192.0.2.1 - - [22/Feb/2026:22:10:01 +0000] "GET / HTTP/1.1" 200 1 "-" "-"\n'


class Shelf:
    """Objects of which some fail whenever they are opened."""

    uri = "s3://shelf"

    def __init__(self, failing: Mapping[str, Exception]) -> None:
        self.failing = failing

    def plan(self, ledger) -> Plan:
        raise NotImplementedError

    @contextmanager
    def open(self, log_object: LogObject) -> Iterator[BinaryIO]:
        if log_object.object_key in self.failing:
            raise self.failing[log_object.object_key]
        yield BytesIO(LINE)


def batch_of(*keys: str) -> Batch:
    """One object a key."""
    now = datetime(2026, 2, 23, tzinfo=UTC)
    return Batch(1, tuple(LogObject("s3://shelf", key, "v", len(LINE), now) for key in keys))


def count(failing: Mapping[str, Exception], *keys: str, is_last_attempt: bool = True):
    """What is counted of a batch of these keys."""
    return count_batch(
        Shelf(failing), batch_of(*keys), load_rules(), UTC, is_last_attempt=is_last_attempt
    )


def test_an_object_that_never_answers_does_not_keep_the_others_of_its_batch_away():
    """It is left out of the last attempt, without an attempt counted against it."""
    counted = count({"b": TransientError("S3 answers 500.")}, "a", "b", "c")

    assert [r.log_object.object_key for r in counted.results] == ["a", "c"]
    assert [(o.object_key, o.reason) for o in counted.left_out] == [("b", "S3 answers 500.")]
    assert counted.tally.read().counts.rows["count"].sum() == 2
    assert sorted(counted.tally.read().counts.rows["extent"].unique()) == [0, 1]


def test_before_the_last_attempt_everything_is_tried_again():
    """A moment later it may answer."""
    with pytest.raises(TransientError):
        count({"b": TransientError("S3 answers 500.")}, "a", "b", is_last_attempt=False)


def test_what_the_client_has_tried_again_and_again_is_left_out_at_once():
    """The others of the batch are not read a second time for it."""
    error = TransientError("S3 answers 503.", was_retried=True)

    counted = count({"b": error}, "a", "b", "c", is_last_attempt=False)

    assert [o.object_key for o in counted.left_out] == ["b"]
    assert len(counted.results) == 2


def test_several_failures_in_a_row_are_the_sources():
    """A store that is down is not asked for five hundred objects."""
    down = {key: TransientError("S3 answers 503.") for key in "bcd"}

    with pytest.raises(TransientError):
        count(down, *"abcde")


def test_an_object_that_breaks_the_parser_is_an_error_of_that_object():
    """It names the place and not the text, which may be a log line."""
    counted = count({"b": RuntimeError("203.0.113.9 secret")}, "a", "b", "c")

    broken = counted.results[1]
    assert broken.error is not None
    assert "RuntimeError in test_counting.py" in broken.error
    assert "secret" not in broken.error
    assert counted.tally.read().counts.rows["count"].sum() == 2


def test_a_log_is_counted_in_columns_from_its_first_full_block_on():
    """That has less than was read at once: the end of its last line comes with the next."""
    block = next(LineReader(BytesIO(LINE * 20_000).read).blocks())

    assert len(block) >= vars(engine)["_COLD_BYTES"]
