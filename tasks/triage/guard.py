"""Whether one more call of the model may be made: it answers, and there is budget for it."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from tasks.model.circuit import Circuit
from tasks.model.errors import MiddlewatchError
from tasks.model.verdicts import Usage


class Budget(Protocol):
    """What is left to spend."""

    def book(self, estimate: Usage) -> str | None:
        """*estimate* is spent; or why it is not."""
        ...

    def settle(self, booked: Usage, actual: Usage) -> None:
        """What was *booked* is what it really took."""
        ...


@dataclass(frozen=True, slots=True)
class Permit:
    """One call of the model, booked."""

    booked: Usage
    began_at: float
    refused: str | None = None
    """Why it is not a call of a larger size; None where it is of the first that was asked for."""


class Guard:
    """
    Asked before and told after each single call. Share one between the threads of a run.

    It is asked when the call has its place among those at the same time, so that what waited for
    a place learns what has become of the service in the meantime.
    """

    def __init__(self, circuit: Circuit, budget: Budget | None = None) -> None:
        """Without *budget*, calls are not counted."""
        self._circuit = circuit
        self._budget = budget

    def begin(self, *sizes: Usage) -> Permit | str:
        """
        Leave to make one call, of the first of these *sizes* that there is budget for; or why not.

        Args:
            sizes: What the call takes at most; larger ones first.

        Raises:
            TransientError: The budget is not to be had now.
        """
        if self._circuit.reason is not None:
            return self._circuit.reason
        refused = None
        for size in sizes:
            reason = self._budget.book(size) if self._budget is not None else None
            if reason is None:
                return Permit(size, self._circuit.clock(), refused)
            refused = refused or reason
        return refused or "No call was asked for."

    def end(self, permit: Permit, actual: Usage) -> None:
        """What the call really took is on record."""
        if self._budget is not None:
            # an answer that is paid for is not thrown away for its bill: the estimate stays booked
            with suppress(MiddlewatchError):
                self._budget.settle(permit.booked, actual)

    def record_success(self) -> None:
        """The service answered."""
        self._circuit.record_success()

    def record_failure(self, permit: Permit, message: str, *, is_final: bool) -> None:
        """The service did not do its part."""
        self._circuit.record_failure(message, permit.began_at, is_final=is_final)

    @property
    def given_up(self) -> str | None:
        """Why trying again later in this run is pointless; None where it is not."""
        return self._circuit.reason
