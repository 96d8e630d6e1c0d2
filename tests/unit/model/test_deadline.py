"""Whoever asks has an answer, an error or a time-out; never longer to wait."""

import threading
import time
from contextvars import ContextVar

import pytest

from tasks.model.deadline import answer_within

WORD = ContextVar("WORD", default="none")


def test_an_answer_in_time_is_given():
    """And the context of who asks is that of the call."""
    WORD.set("here")

    assert answer_within(5, WORD.get) == "here"


def test_an_error_in_time_is_raised():
    """As it is."""
    with pytest.raises(ZeroDivisionError):
        answer_within(5, lambda: 1 // 0)


def test_nobody_waits_for_what_never_ends():
    """The call is left alone, and nothing waits for it at the end of the process."""
    never = threading.Event()
    began_at = time.monotonic()

    with pytest.raises(TimeoutError):
        answer_within(0.1, never.wait)

    assert time.monotonic() - began_at < 5
    assert all(t.daemon for t in threading.enumerate() if t.name == "answer")
    never.set()
