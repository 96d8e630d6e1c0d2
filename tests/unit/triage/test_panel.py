"""Who answers when."""

import pytest

from tasks.model.verdicts import AnalystName, Usage
from tasks.triage.bedrock import BedrockBusyError, BedrockFailedError
from tasks.triage.panel import Panel
from tasks.triage.rules_analyst import judge_by_rules
from tests.suspects import make_incident

INCIDENT = make_incident()
COST = Usage(1, 100, 10, 0.01)


class ScriptedAnalyst:
    """Gives what it was told to give, one after the other."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)

    def judge(self, incident, research=None, guard=None):
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def by_model():
    base = judge_by_rules(INCIDENT)
    return type(base)(base.verdict, AnalystName.BEDROCK, usage=COST)


def test_what_failed_for_good_is_answered_by_the_rules_with_the_reason_and_its_cost():
    """The others go on, and what was paid is counted."""
    panel = Panel(ScriptedAnalyst(BedrockFailedError("No access.", COST), by_model()))

    failed, fine = panel.judge(INCIDENT, is_last_attempt=False), panel.judge(INCIDENT)

    assert failed.analyst is AnalystName.RULES
    assert failed.analyst_reason == "No access."
    assert failed.usage == COST
    assert fine.analyst is AnalystName.BEDROCK


def test_a_busy_model_is_asked_again_and_every_attempt_is_paid_for():
    """The judgement after two failed attempts holds the usage of three."""
    busy = BedrockBusyError("Throttled.", COST)
    panel = Panel(ScriptedAnalyst(busy, busy, by_model(), by_model()))

    for _ in range(2):
        with pytest.raises(BedrockBusyError):
            panel.judge(INCIDENT, is_last_attempt=False)

    assert panel.judge(INCIDENT).usage == COST + COST + COST
    assert panel.judge(INCIDENT).usage == COST


def test_at_the_last_attempt_the_rules_answer():
    """A busy model costs a suspect its model, never its verdict."""
    busy = BedrockBusyError("Throttled.", COST)
    panel = Panel(ScriptedAnalyst(busy, busy))
    with pytest.raises(BedrockBusyError):
        panel.judge(INCIDENT, is_last_attempt=False)

    judgement = panel.judge(INCIDENT, is_last_attempt=True)

    assert judgement.analyst is AnalystName.RULES
    assert judgement.analyst_reason == "Throttled."
    assert judgement.usage == COST + COST
