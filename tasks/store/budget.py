"""What the model has been asked, per run and per day: booked before a call, settled after it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, Row, select, update

from tasks.model.budgets import CAP_REACHED, Cap
from tasks.model.verdicts import Usage
from tasks.store.engine import transaction, upsert
from tasks.store.tables import budgets


class CallBudget:
    """
    The budget of one run, and of the day it began on. Shared by threads, processes and machines.

    What a process that dies has booked stays spent, so no cap is ever exceeded.
    """

    def __init__(
        self, engine: Engine, run_id: str, started_at: datetime, per_run: Cap, per_day: Cap
    ) -> None:
        self._engine = engine
        self._now = started_at
        self._caps = {f"day:{started_at:%Y-%m-%d}": per_day, f"run:{run_id}": per_run}

    def book(self, estimate: Usage) -> str | None:
        """
        *estimate* is spent, or why it is not: the sentence begins with "budget".

        Raises:
            TransientError: Nothing is booked, so nothing may be asked.
        """
        with transaction(self._engine) as connection:
            for row in self._lock(connection):
                excess = self._caps[row.scope].find_excess(_usage(row) + estimate)
                if excess is not None:
                    return f"{CAP_REACHED} of {excess} is reached (MIDDLEWATCH_BUDGET_*)."
            self._add(connection, estimate)
        return None

    def settle(self, booked: Usage, actual: Usage) -> None:
        """What was *booked* is what it really took."""
        with transaction(self._engine) as connection:
            self._lock(connection)
            self._add(connection, actual - booked)

    def count_calls(self, each: Usage) -> int:
        """How many calls like *each* can be booked now."""
        with transaction(self._engine) as connection:
            rows = self._lock(connection)
        return min(self._caps[row.scope].count_calls(_usage(row), each) for row in rows)

    def _lock(self, connection: Connection) -> Sequence[Row[tuple[object, ...]]]:
        empty = [
            {
                "scope": scope,
                "calls": 0,
                "input_tokens": 0,
                "output_tokens": 0,
                "cost_usd": 0,
                "updated_at": self._now,
            }
            for scope in self._caps
        ]
        upsert(connection, budgets, empty, keep=set(empty[0]))
        mine = select(budgets).where(budgets.c.scope.in_(self._caps)).order_by(budgets.c.scope)
        return connection.execute(mine.with_for_update()).all()

    def _add(self, connection: Connection, usage: Usage) -> None:
        for scope in sorted(self._caps):
            connection.execute(
                update(budgets)
                .where(budgets.c.scope == scope)
                .values(
                    calls=budgets.c.calls + usage.calls,
                    input_tokens=budgets.c.input_tokens + usage.input_tokens,
                    output_tokens=budgets.c.output_tokens + usage.output_tokens,
                    cost_usd=budgets.c.cost_usd + usage.cost_usd,
                )
            )


def _usage(row: Row[tuple[object, ...]]) -> Usage:
    return Usage(row.calls, row.input_tokens, row.output_tokens, float(row.cost_usd))
