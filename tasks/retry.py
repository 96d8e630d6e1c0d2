"""What is worth another attempt, decided once for all tasks."""

from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

from tasks.model.errors import TransientError

PATIENCE_SECONDS = 60
"""A longer wait is left to the next run."""


def if_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry on TransientError, unless the client did; everything else is a bug or a fact."""
    try:
        state.result()
    except TransientError as error:
        return not error.was_retried
    except Exception:  # noqa: BLE001 -- any other failure is final by definition
        return False
    return False


def if_surely_undone(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """
    Retry on TransientError, unless the call may have taken effect although it failed, or the other
    side asks for more patience than a run has.
    """
    try:
        state.result()
    except TransientError as error:
        return not error.is_ambiguous and (error.retry_after_seconds or 0) <= PATIENCE_SECONDS
    except Exception:  # noqa: BLE001 -- any other failure is final by definition
        return False
    return False


def is_last_attempt() -> bool:
    """Whether Prefect would not retry the task run that asks; outside of one there is no retry."""
    context = TaskRunContext.get()
    return context is None or context.task_run.run_count > context.task.retries
