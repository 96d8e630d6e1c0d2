"""What is worth another attempt, decided once for all tasks."""

from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun

from tasks.model.errors import TransientError


def if_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry on TransientError only; everything else is a bug or a fact."""
    try:
        state.result()
    except TransientError:
        return True
    except Exception:  # noqa: BLE001 -- any other failure is final by definition
        return False
    return False
