"""The analyst without a model."""

import pytest

from tasks.model.incidents import INJECTION_RULE, Activity, EvidenceLine, Family, Severity
from tasks.model.verdicts import AnalystName, Confidence, Usage, VerdictKind
from tasks.triage.rules_analyst import judge_by_rules
from tests.suspects import ATTACKER, make_finding, make_incident, make_volume_finding


def judge(*findings, **fields):
    return judge_by_rules(make_incident(*findings, **fields)).verdict


def test_the_judgement_says_who_judged_and_why():
    """No model, no prompt, no cost; the reason is kept."""
    judgement = judge_by_rules(make_incident(), "Bedrock is down.")

    assert judgement.analyst is AnalystName.RULES
    assert judgement.analyst_reason == "Bedrock is down."
    assert judgement.usage == Usage()
    assert (judgement.model_id, judgement.prompt_sha256) == (None, None)


def test_a_signature_is_an_attack():
    """The content of a line is evidence."""
    verdict = judge()

    assert verdict.verdict is VerdictKind.TRUE_POSITIVE
    assert verdict.confidence_level is Confidence.HIGH
    assert verdict.probable_attack_type == "SQL injection"


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("count", [100, 250, 600, 5000])
def test_nobody_is_cleared_and_every_text_fits(family, count):
    """A finding is at least suspicious; texts say something, within their bounds."""
    verdict = judge(make_volume_finding(family, count, threshold=100))

    assert verdict.verdict in (VerdictKind.SUSPICIOUS, VerdictKind.TRUE_POSITIVE)
    assert verdict.severity is Severity.MEDIUM
    assert ATTACKER in verdict.summary
    assert ATTACKER in verdict.recommended_action
    assert "  " not in verdict.summary + verdict.recommended_action


def test_volume_alone_is_suspicious_and_more_of_it_is_surer():
    """A busy office counts many requests, too."""
    little = judge(make_volume_finding(Family.DENIAL_OF_SERVICE, 150, threshold=100))
    much = judge(make_volume_finding(Family.DENIAL_OF_SERVICE, 5000, threshold=100))

    assert (little.verdict, little.confidence_level) == (VerdictKind.SUSPICIOUS, Confidence.LOW)
    assert (much.verdict, much.confidence_level) == (VerdictKind.SUSPICIOUS, Confidence.MEDIUM)
    assert f"Watch {ATTACKER}" in little.recommended_action


def test_the_summary_tells_what_when_how_often_and_with_what_outcome():
    """The whole text, as a person reads it."""
    verdict = judge(
        make_finding(),
        make_volume_finding(
            Family.RECONNAISSANCE, 42, threshold=30, rule_title="Guessing at paths"
        ),
    )

    assert verdict.probable_attack_type == "SQL injection, with reconnaissance"
    assert verdict.summary == (
        "203.0.113.9 made 8 web requests between 22 Feb 2026 19:12 and 19:16 UTC."
        " SQL injection in requests: 5 lines."
        " Guessing at paths: 42 within 10 minutes, where 30 are suspicious."
        " The server answered 5 of the 8 requests with success (2xx), so an attempt may have"
        " worked."
    )
    assert verdict.recommended_action.startswith(f"Block {ATTACKER} at the firewall")


def test_refused_attempts_are_told_as_such():
    """Whether it worked is the first question at night."""
    verdict = judge(activity=Activity(8, {"4xx": 8}))

    assert "No request was answered with success (2xx)." in verdict.summary


def test_guessing_ssh_passwords_that_may_have_found_one_is_worse():
    """A login in the middle of failures raises the severity and comes first in what to do."""
    guesses = make_volume_finding(Family.BRUTE_FORCE, 40, threshold=5)
    failed = judge(guesses, activity=Activity(40, {"ssh_failure": 40}))
    entered = judge(guesses, activity=Activity(41, {"ssh_failure": 40, "ssh_success": 1}))

    assert failed.probable_attack_type == "SSH password guessing"
    assert failed.severity is Severity.MEDIUM
    assert "No ssh login from this address succeeded" in failed.summary
    assert entered.severity is Severity.HIGH
    assert "1 ssh login from this address succeeded" in entered.summary
    assert entered.recommended_action.startswith("Find the account that logged in")


@pytest.mark.parametrize(
    ("source_ip", "is_internal"),
    [
        ("192.168.1.105", True),
        ("10.1.2.3", True),
        ("127.0.0.1", True),
        ("fd00::1", True),
        ("203.0.113.9", False),
        ("45.89.23.12", False),
        ("2001:db8::1", False),
        ("2001:db8::/64", False),
    ],
)
def test_an_address_of_your_own_is_looked_for_instead_of_blocked(source_ip, is_internal):
    """Blocking a host inside the network at the firewall does nothing."""
    action = judge(source_ip=source_ip).recommended_action

    assert ("is inside your network" in action) is is_internal
    assert action.startswith("Block ") is not is_internal


def test_a_system_is_no_thing_to_block():
    """It has innocent customers, and an operator who can be told."""
    finding = make_volume_finding(Family.BRUTE_FORCE, 130, 120)
    action = judge(finding, source_ip="AS64500").recommended_action

    assert action.startswith("Report this to the operator of AS64500")


def test_the_strongest_matching_lines_are_cited_as_they_are():
    """Quotes are pieces of the lines, and ordinary traffic is not cited where a rule matched."""
    evidence = tuple(
        EvidenceLine("a.log", n, f"line {n} " + "x" * 900, ("r",) if n % 2 == 0 else ())
        for n in range(1, 12)
    )

    cited = judge(evidence=evidence).evidence

    assert [c.line for c in cited] == ["2", "4", "6"]
    assert all(c.quote in evidence[int(c.line) - 1].line for c in cited)


def test_the_same_incident_gives_the_same_verdict():
    """Deterministic, to the letter."""
    assert judge_by_rules(make_incident()) == judge_by_rules(make_incident())


def test_who_talks_to_the_analyst_is_told_as_such():
    """Beside the attack, with a warning for whoever reads the lines next."""
    talk = make_finding(rule_id=INJECTION_RULE, family=Family.OTHER, severity=Severity.MEDIUM)

    beside = judge(make_finding(), talk)
    alone = judge(talk)

    assert beside.probable_attack_type == "SQL injection, with text that instructs the analyst"
    assert beside.severity is Severity.CRITICAL
    assert alone.probable_attack_type == "Text that instructs the analyst"
    for verdict in (beside, alone):
        assert "Believe nothing that its log lines say" in verdict.recommended_action


def test_of_a_count_the_answers_are_told():
    """A flood of which no line was kept is told from its counts."""
    incident = make_incident(
        make_volume_finding(Family.DENIAL_OF_SERVICE, 3200, 3000),
        lines=(),
        activity=Activity(4200, {"2xx": 4100, "5xx": 100}),
    )

    summary = judge_by_rules(incident).verdict.summary

    assert "4,200 web requests" in summary
    assert "The server answered 4,100 with 2xx and 100 with 5xx." in summary
