"""Who answers when: the model, and the rules analyst where the model has no verdict."""

from dataclasses import replace
from typing import Protocol

from tasks.model.incidents import Incident
from tasks.model.verdicts import Judgement, Research, Usage
from tasks.triage.bedrock import BedrockBusyError, BedrockFailedError
from tasks.triage.guard import Guard
from tasks.triage.rules_analyst import judge_by_rules


class Analyst(Protocol):
    """A model that judges."""

    def judge(
        self, incident: Incident, research: Research | None = None, guard: Guard | None = None
    ) -> Judgement:
        """
        The verdict on *incident*, with as many calls as *guard* permits.

        Raises:
            BedrockBusyError: Try again later.
            BedrockFailedError: It has no verdict on this one.
        """
        ...


class Panel:
    """Gives every suspect a judgement: one that fails takes none of the others with it."""

    def __init__(self, analyst: Analyst, guard: Guard | None = None) -> None:
        """Ask *analyst* first, as long as *guard* permits it."""
        self._analyst = analyst
        self._guard = guard
        self._spent: dict[str, Usage] = {}

    def judge(
        self, incident: Incident, research: Research | None = None, *, is_last_attempt: bool = True
    ) -> Judgement:
        """
        A judgement whose usage holds all attempts on this incident, the failed ones too.

        Raises:
            BedrockBusyError: And it is not the last attempt; what it took is remembered.
        """
        try:
            judgement = self._analyst.judge(incident, research, self._guard)
        except BedrockBusyError as error:
            given_up = self._guard.given_up if self._guard is not None else None
            if not (is_last_attempt or given_up):
                self._spent[incident.id] = self._spent.get(incident.id, Usage()) + error.usage
                raise
            judgement = replace(judge_by_rules(incident, given_up or str(error)), usage=error.usage)
        except BedrockFailedError as error:
            judgement = replace(judge_by_rules(incident, str(error)), usage=error.usage)
        spent = self._spent.pop(incident.id, Usage())
        return replace(judgement, usage=spent + judgement.usage)
