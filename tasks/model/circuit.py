"""Circuits: what does not answer is not asked again and again in one run."""

import time
from collections.abc import Callable
from functools import lru_cache
from threading import Lock

FAILURES = 3
"""In a row, of whatever is asked for whomever; any answer begins a new row."""
PATIENCE_SECONDS = 20.0
"""A row of failures that may pass is waited out for this long: throttling lasts some seconds."""


class Circuit:
    """Whether one service is still worth asking. Safe to share between threads."""

    def __init__(
        self,
        service: str,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing has failed yet; *service* is for people."""
        self._service = service
        self._patience_seconds = patience_seconds
        self.clock = clock
        self._lock = Lock()
        self._failures = 0
        self._final = 0
        self._since = 0.0
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Why the service is given up, one sentence; None while it is worth asking."""
        return self._reason

    def record_success(self) -> None:
        """It answered, if only with a refusal of this one request."""
        with self._lock:
            self._failures = self._final = 0

    def record_failure(self, message: str, began_at: float, *, is_final: bool = False) -> None:
        """
        It did not do what it is there for.

        Args:
            message: One sentence that says what happened.
            began_at: When it was asked, by *clock*.
            is_final: Waiting would not help, and after some of these nobody waits.
        """
        with self._lock:
            self._since = min(self._since, began_at) if self._failures else began_at
            self._failures += 1
            self._final += is_final
            has_waited = self.clock() - self._since >= self._patience_seconds
            is_row = self._final >= FAILURES or (self._failures >= FAILURES and has_waited)
            if is_row and self._reason is None:
                self._reason = (
                    f"{self._service} was given up for the rest of this run after"
                    f" {self._failures} failures in a row, the last one: {message}"
                )


_opening = Lock()


def circuit_of_run(
    service: str, run_id: str, patience_seconds: float = PATIENCE_SECONDS
) -> Circuit:
    """The one circuit of this process for *service* in this run."""
    with _opening:  # a cache alone gives one to each of those who ask first at the same time
        return _open_circuit(service, run_id, patience_seconds)


@lru_cache(maxsize=64)
def _open_circuit(
    service: str,
    run_id: str,  # noqa: ARG001 -- a part of the key
    patience_seconds: float,
) -> Circuit:
    return Circuit(service, patience_seconds)
