"""Faults that come by themselves, and runs that have to bear them."""

import random
import threading
from contextlib import contextmanager

from tasks.model.errors import MiddlewatchError
from tests.scans import scan


def run_until_it_works(logs):
    """A scan that may end in any way of ours, and one more that nothing disturbs."""
    try:
        return scan(logs)
    except MiddlewatchError as error:
        return error


@contextmanager
def now_and_then(do, seed, longest_pause=0.6):
    """Do it at random moments for as long as it takes."""
    is_over = threading.Event()
    moments = random.Random(seed)

    def repeat():
        while not is_over.wait(moments.uniform(0.05, longest_pause)):
            do()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
