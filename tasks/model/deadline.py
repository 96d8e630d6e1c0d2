"""One answer within a time: the time-outs of sockets only limit the wait for the next byte."""

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def answer_within(seconds: float, ask: Callable[[], T]) -> T:
    """
    What *ask* returns or raises, if it does so in time.

    One that takes longer is left alone, in a thread that keeps the process from nothing.

    Raises:
        TimeoutError: It has not come to an end.
    """
    answer: Future[T] = Future()
    context = copy_context()

    def run() -> None:
        try:
            answer.set_result(context.run(ask))
        except BaseException as error:  # noqa: BLE001 -- it is raised where the answer is awaited
            answer.set_exception(error)

    Thread(target=run, name="answer", daemon=True).start()
    return answer.result(seconds)
