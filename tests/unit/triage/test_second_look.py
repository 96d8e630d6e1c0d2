"""Two looks at one suspect."""

from dataclasses import replace

import pytest

from tasks.model.incidents import Severity
from tasks.model.verdicts import AnalystName, Judgement, Reference, Research, Usage, VerdictKind
from tasks.triage.rules_analyst import judge_by_rules
from tasks.triage.second_look import is_worth_second_look, merge_looks
from tests.suspects import make_incident

FOUND = Research(("q",), (Reference("t", "https://example.com/", "c"),), searches=1)


def judgement(kind, analyst=AnalystName.BEDROCK, summary="what was seen") -> Judgement:
    base = judge_by_rules(make_incident())
    verdict = base.verdict.model_copy(update={"verdict": kind, "summary": summary})
    return replace(base, verdict=verdict, analyst=analyst, usage=Usage(1, 10, 5, 0.5))


GUILTY = judgement(VerdictKind.TRUE_POSITIVE)


@pytest.mark.parametrize(
    ("first", "research", "expected"),
    [
        (GUILTY, FOUND, True),
        (GUILTY, replace(FOUND, references=()), False),
        (GUILTY, replace(FOUND, searches=0), True),
        (judgement(VerdictKind.BENIGN), FOUND, False),
        (judgement(VerdictKind.TRUE_POSITIVE, AnalystName.RULES), FOUND, False),
    ],
)
def test_a_second_look_needs_a_guilty_verdict_of_a_model_and_pages(first, research, expected):
    """Pages of the cache, which another suspect paid for a moment ago, are news to this one."""
    assert is_worth_second_look(first, research) is expected


def test_the_second_verdict_counts_and_both_looks_are_paid_for():
    """What the model says with the web pages before it replaces what it said without."""
    second = judgement(VerdictKind.SUSPICIOUS, summary="known scanner")

    merged = merge_looks(GUILTY, second)

    assert merged.verdict == second.verdict
    assert merged.usage == Usage(2, 20, 10, 1.0)


def test_a_second_call_that_failed_does_not_undo_the_first():
    """The rules analyst knows less than the model that judged already."""
    fallback = judgement(VerdictKind.TRUE_POSITIVE, AnalystName.RULES)

    merged = merge_looks(GUILTY, fallback)

    assert merged.verdict == GUILTY.verdict
    assert merged.analyst is AnalystName.BEDROCK
    assert merged.usage.calls == 2


@pytest.mark.parametrize("kind", [VerdictKind.BENIGN, VerdictKind.FALSE_POSITIVE])
def test_web_pages_alone_clear_nobody(kind):
    """Anyone can put a page on the web: a person decides."""
    merged = merge_looks(GUILTY, judgement(kind, summary="A page says that it is ours."))

    assert merged.verdict.verdict is VerdictKind.INSUFFICIENT_DATA
    assert "decide by hand" in merged.verdict.summary
    assert merged.verdict.summary.endswith("what was seen")
    assert merged.verdict.recommended_action == GUILTY.verdict.recommended_action
    assert merged.verdict.evidence


def test_web_pages_lower_no_severity():
    """What the log lines made the model say stays said."""
    worse = GUILTY.verdict.model_copy(update={"severity": Severity.CRITICAL})

    merged = merge_looks(replace(GUILTY, verdict=worse), GUILTY)

    assert merged.verdict.severity is Severity.CRITICAL
