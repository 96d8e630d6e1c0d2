"""Who is asked about in a flood, and what the others get."""

from dataclasses import replace

from tasks.model.incidents import Family, Severity, Suspect
from tasks.model.verdicts import AnalystName, Citation, Confidence, Judgement, Usage, VerdictKind
from tasks.triage.likeness import find_likeness
from tasks.triage.plan import FEW, PER_TRICK, plan_calls
from tasks.triage.rules_analyst import judge_by_rules
from tasks.triage.sharing import share_judgement
from tests.suspects import ATTACKER, SQL_LINE, make_finding, make_incident, make_volume_finding

OTHER = "198.51.100.77"


def incident(number, line=SQL_LINE, **fields):
    """Another address with that line."""
    ip = f"198.51.{number // 250}.{number % 250 + 1}"
    fields = {"id": f"incident-{number}", "source_ip": ip} | fields
    return make_incident(lines=[line.replace(ATTACKER, ip)], **fields)


def plan(incidents, calls=100, known=()):
    suspects = [Suspect(i.id, i.source_ip, i.family, i.severity) for i in incidents]
    return plan_calls(suspects, {i.id: find_likeness(i) for i in incidents}, calls, known)


def by_model(kind=VerdictKind.TRUE_POSITIVE, of=None, **fields):
    base = judge_by_rules(of or incident(0))
    said = {
        "verdict": kind,
        "confidence_level": Confidence.LOW,
        "probable_attack_type": "Time-based blind SQL injection",
        "evidence": (Citation(line="1", quote="SLEEP(5)"),),
    }
    verdict = base.verdict.model_copy(update=said | fields)
    return Judgement(verdict, AnalystName.BEDROCK, None, "a-model", "sha", Usage(1, 9, 9, 0.1), 3)


def test_few_suspects_have_a_call_each_however_alike():
    """Sharing is for floods."""
    alike = [incident(n) for n in range(FEW)]

    assert len(plan(alike).asked) == FEW
    assert plan(alike).reason is None


def test_a_thousand_addresses_with_one_trick_share_one_call():
    """Addresses, times, numbers and random texts make no difference."""
    flood = [
        incident(
            n, SQL_LINE.replace("22:12:45", f"22:12:{n % 60}").replace("SLEEP(5)", f"SLEEP({n})")
        )
        for n in range(1000)
    ]

    planned = plan(flood)

    assert [s.incident_id for s in planned.asked] == ["incident-0"]
    assert len(planned.alike) == 999
    assert planned.left == ()
    assert planned.reason.startswith("budget")


def test_who_cannot_be_read_is_like_nobody():
    """It takes no place from the others, and is somewhere in the plan."""
    flood = [incident(n) for n in range(FEW + 5)]
    suspects = [Suspect(i.id, i.source_ip, i.family, i.severity) for i in flood]

    planned = plan_calls(suspects, {i.id: find_likeness(i) for i in flood[1:]}, 100)

    assert planned.left == (suspects[0],)
    assert planned.asked == (suspects[1],)


def test_a_trick_in_many_disguises_does_not_spend_the_budget_either():
    """Lines that differ in words: some are asked about, and there is room for another trick."""
    words = [f"{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(500)]
    disguised = [incident(n, SQL_LINE.replace("user=", f"{w}=")) for n, w in enumerate(words)]
    rare = incident(900, findings=(make_finding(rule_id="rare", family=Family.SCANNER),))

    planned = plan([*disguised, rare], calls=50)

    assert len(planned.asked) == PER_TRICK + 1
    assert planned.asked[-1].incident_id == "incident-900"
    assert len(planned.left) == 500 - PER_TRICK


def test_without_room_everybody_is_left_to_the_rules_and_nobody_is_lost():
    """Each suspect is in exactly one place, the worst asked about first."""
    words = ["alpha", "beta", "gamma", "delta"]
    incidents = [incident(n, SQL_LINE.replace("user=", f"{w}=")) for n, w in enumerate(words)]

    for calls in range(5):
        planned = plan(incidents, calls)
        assert len(planned.asked) == min(calls, 4)
        assert [*planned.asked, *(s for s, _ in planned.alike), *planned.left] == [
            Suspect(i.id, i.source_ip, i.family, i.severity) for i in incidents
        ]


def test_what_was_said_before_of_the_same_evidence_costs_nothing():
    """A flood that comes back is answered from the record."""
    flood = [incident(n) for n in range(30)]

    planned = plan(flood, known=[find_likeness(flood[0]).evidence])

    assert planned.asked == ()
    assert len(planned.alike) == 30


def test_other_rules_or_another_severity_is_another_trick():
    """Only the same kind with the same evidence is alike."""
    one = incident(1)
    other_rule = incident(2, findings=(make_finding(rule_id="other"),))
    worse = incident(3, severity=Severity.CRITICAL)

    likenesses = {find_likeness(i) for i in (one, other_rule, worse)}

    assert len({like.evidence for like in likenesses}) == 3
    assert len({like.trick for like in likenesses}) == 3


def test_a_shared_verdict_is_about_its_own_address_and_lines():
    """The kind is the model's, the facts are this suspect's, and it costs nothing."""
    mine = incident(7, activity=replace(incident(7).activity, request_count=4242))

    judgement = share_judgement(by_model(), mine, "budget: shared.")

    assert judgement.analyst is AnalystName.BEDROCK
    assert judgement.analyst_reason == "budget: shared."
    assert judgement.model_id == "a-model"
    assert judgement.usage == Usage()
    verdict = judgement.verdict
    assert verdict.ip_address == mine.source_ip
    assert verdict.probable_attack_type == "Time-based blind SQL injection"
    assert verdict.evidence == (Citation(line="1", quote="SLEEP(5)"),)
    assert incident(0).source_ip not in verdict.model_dump_json()


def test_a_quote_that_is_not_in_its_own_lines_is_not_cited():
    """Its own strongest line is, as the rules analyst would."""
    other = by_model(evidence=(Citation(line="1", quote="something else"),))

    [citation] = share_judgement(other, incident(7), "budget: shared.").verdict.evidence

    assert citation.quote in incident(7).evidence[0].line


def test_nobody_is_cleared_without_having_been_looked_at():
    """Benign is the one verdict that is not shared."""
    counted = make_volume_finding(Family.DENIAL_OF_SERVICE, 5000, 300)

    judgement = share_judgement(
        by_model(VerdictKind.BENIGN), incident(7, findings=(counted,)), "budget"
    )

    assert judgement.analyst is AnalystName.RULES
    assert not judgement.verdict.verdict.is_benign


def test_where_the_model_failed_the_reason_is_shared():
    """The rules answer, and say why."""
    failed = judge_by_rules(incident(0), "Bedrock was given up.")

    assert share_judgement(failed, incident(7), "budget").analyst_reason == "Bedrock was given up."


def test_an_attack_type_that_names_another_address_is_not_shared():
    """Nobody is accused under another's name."""
    said = by_model(probable_attack_type=f"SQL injection by {incident(0).source_ip}")

    verdict = share_judgement(said, incident(7), "budget").verdict

    assert incident(0).source_ip not in verdict.probable_attack_type


def test_an_attack_type_that_names_an_address_of_another_network_is_not_shared():
    """An IPv6 suspect is a network, and any address in it is somebody."""
    said = by_model(probable_attack_type="SQL injection by 2001:db8:bad::7")

    verdict = share_judgement(said, incident(7), "budget").verdict

    assert "2001" not in verdict.probable_attack_type
