"""No cap is ever exceeded, whoever spends at the same time and whoever dies before he settles."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tasks.model.budgets import Cap
from tasks.model.verdicts import AnalystName, Judgement, Usage
from tasks.store.budget import CallBudget
from tasks.store.shared_verdicts import FRESH, recall_judgements, remember_judgements
from tests.conclusions import VERDICT

NOW = datetime(2026, 2, 22, 23, 30, tzinfo=UTC)
CALL = Usage(1, 3000, 1500, 0.01)
PLENTY = Cap("day", 10**6, 10**9, 10**6)


def make(engine, run_id="run", at=NOW, per_run=PLENTY, per_day=PLENTY):
    return CallBudget(engine, run_id, at, per_run, per_day)


@pytest.mark.parametrize(
    ("cap", "named"),
    [
        (Cap("run", 3, 10**9, 10**6), "3 calls per run"),
        (Cap("run", 100, 3 * 4500, 10**6), "13,500 tokens per run"),
        (Cap("run", 100, 10**9, 0.03), "0.03 USD per run"),
    ],
)
def test_a_cap_is_reached_and_named(engine, cap, named):
    """The fourth call is refused with a reason that begins with "budget"; others runs go on."""
    budget = make(engine, per_run=cap)

    assert budget.count_calls(CALL) == 3
    assert [budget.book(CALL) for _ in range(3)] == [None, None, None]
    refused = budget.book(CALL)

    assert refused is not None
    assert refused.startswith("budget")
    assert named in refused
    assert budget.count_calls(CALL) == 0
    assert make(engine, "another", per_run=cap).book(CALL) is None


def test_a_day_is_shared_by_its_runs_and_ends(engine):
    """What one run has spent the other one has not, until tomorrow."""
    cap = Cap("day", 2, 10**9, 10**6)
    one, two = make(engine, "one", per_day=cap), make(engine, "two", per_day=cap)

    assert [one.book(CALL), two.book(CALL)] == [None, None]
    assert "per day" in str(one.book(CALL))
    assert make(engine, "three", NOW + timedelta(days=1), per_day=cap).book(CALL) is None


def test_what_was_not_spent_comes_back(engine):
    """An answer shorter than it might have been makes room for another."""
    budget = make(engine, per_run=Cap("run", 100, 5000, 10**6))
    budget.book(CALL)
    assert budget.book(CALL) is not None

    budget.settle(CALL, Usage(1, 400, 100, 0.001))

    assert budget.book(CALL) is None


def test_many_threads_never_spend_more_than_there_is(engine):
    """Twenty at once for five calls: five get one."""
    cap = Cap("run", 5, 10**9, 10**6)

    with ThreadPoolExecutor(10) as threads:
        booked = list(threads.map(lambda _: make(engine, per_run=cap).book(CALL), range(20)))

    assert booked.count(None) == 5


def test_a_verdict_is_remembered_for_a_day(engine):
    """By likeness; the last one counts."""
    old = Judgement(VERDICT, AnalystName.BEDROCK, model_id="old")
    new = Judgement(VERDICT, AnalystName.BEDROCK, model_id="new", usage=CALL)
    remember_judgements(engine, [("a", old)], NOW)
    remember_judgements(engine, [("a", new), ("b", old)], NOW)

    assert recall_judgements(engine, ["a", "c"], NOW) == {"a": new}
    assert recall_judgements(engine, ["a"], NOW + FRESH) == {}
