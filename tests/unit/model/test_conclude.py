"""What a verdict makes of an incident."""

from dataclasses import replace

import pytest

from tasks.model.incidents import Severity, Status
from tasks.model.verdicts import AnalystName, Research, VerdictKind, conclude
from tests.conclusions import CONCLUSION

SIGNED = CONCLUSION.incident
COUNTED = replace(SIGNED, findings=tuple(replace(f, is_signature=False) for f in SIGNED.findings))


def status_of(incident, kind, **changes):
    """The status after a model's verdict of *kind*."""
    verdict = CONCLUSION.judgement.verdict.model_copy(update={"verdict": kind, **changes})
    judgement = replace(
        CONCLUSION.judgement, verdict=verdict, analyst=AnalystName.BEDROCK, model_id="m"
    )
    return conclude(incident, judgement, Research()).incident.status


@pytest.mark.parametrize("kind", [VerdictKind.BENIGN, VerdictKind.FALSE_POSITIVE])
def test_benign_never_closes_signature_evidence(kind):
    """P3: it becomes a matter for people, and they are told."""
    assert status_of(SIGNED, kind) is Status.NEEDS_REVIEW
    assert status_of(COUNTED, kind) is Status.BENIGN


def test_an_accusation_that_cites_nothing_confirms_only_what_a_line_shows():
    """A count and an opinion are not evidence."""
    assert status_of(SIGNED, VerdictKind.TRUE_POSITIVE, evidence=()) is Status.CONFIRMED
    assert status_of(COUNTED, VerdictKind.TRUE_POSITIVE, evidence=()) is Status.NEEDS_REVIEW


def test_what_nobody_can_tell_needs_review():
    """Insufficient data is not an all-clear."""
    assert status_of(COUNTED, VerdictKind.INSUFFICIENT_DATA) is Status.NEEDS_REVIEW


def test_a_verdict_never_lowers_a_severity():
    """P3: severity is what the rules say, or more."""
    incident = replace(SIGNED, severity=Severity.HIGH)
    verdict = CONCLUSION.judgement.verdict

    for named, expected in [(Severity.LOW, Severity.HIGH), (Severity.CRITICAL, Severity.CRITICAL)]:
        judgement = replace(
            CONCLUSION.judgement, verdict=verdict.model_copy(update={"severity": named})
        )
        assert conclude(incident, judgement, Research()).incident.severity is expected
