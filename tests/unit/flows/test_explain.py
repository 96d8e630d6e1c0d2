"""What a command says when there is no summary."""

import logging
from contextlib import nullcontext

import pytest
from prefect.exceptions import FailedRun
from prefect.states import Failed

from flows.command import RETRIED_LATER, WRONG_USE, run_once
from tasks.model.errors import ConfigurationError, PermanentError

SECRET = "hunter2"


def explain(error, monkeypatch, capsys):
    """Exit code and what a person reads of a run that ends with this error."""
    monkeypatch.setattr("flows.command.local_server", lambda _lost: nullcontext())
    with pytest.raises(SystemExit) as ended:
        run_once(lambda: Failed(message="It failed.", data=error))
    return ended.value.code, capsys.readouterr().err


def test_an_unexpected_error_is_told_without_its_text(monkeypatch, capsys):
    """Libraries put into it whatever they had at hand, such as a URL with a password."""
    error = RuntimeError(f"mysql://root:{SECRET}@db refused")

    code, told = explain(error, monkeypatch, capsys)

    assert code == RETRIED_LATER
    assert SECRET not in told
    assert "unexpectedly (RuntimeError)" in told


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigurationError("Set it."), WRONG_USE), (PermanentError("It is gone."), RETRIED_LATER)],
)
def test_errors_in_our_own_words_are_told_in_them(monkeypatch, capsys, error, code):
    """They hold no secret, and say what to do."""
    assert explain(error, monkeypatch, capsys) == (code, f"{error}\n")


@pytest.mark.parametrize("name", ["prefect.task_runs", "prefect.flow_runs"])
@pytest.mark.parametrize("error", [PermanentError("There is no x."), FailedRun("There is no x.")])
def test_a_failure_with_words_of_its_own_is_logged_without_a_traceback(name, error):
    """Also by the worker, which logs what ended a run once more: one sentence."""
    record = logging.makeLogRecord(
        {"name": name, "msg": "unexpected exception", "exc_info": (type(error), error, None)}
    )

    assert logging.getLogger(name).filter(record)
    assert record.exc_info is None
    if name == "prefect.flow_runs":
        assert record.getMessage() == "There is no x."
