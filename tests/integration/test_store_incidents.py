"""The life of an incident in the database: found, judged, changed, closed."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from tasks.model.alerts import DeliveryState
from tasks.model.errors import PermanentError
from tasks.model.incidents import Family, Severity, Status, Suspect
from tasks.model.verdicts import Judged, VerdictKind
from tasks.store.deliveries import Outbox
from tasks.store.engine import transaction
from tasks.store.incidents import (
    close_incident,
    load_conclusions,
    load_incident,
    load_incidents,
    prepare_alerts,
    record_conclusions,
    stored_incidents,
    untold_alerts,
    waiting_suspects,
    write_evidence,
)
from tasks.store.tables import incidents
from tests.conclusions import CONCLUSION, FINDING, INCIDENT, VERDICT

NOW = INCIDENT.last_seen + timedelta(hours=1)
SUSPECT = Suspect(INCIDENT.id, INCIDENT.source_ip, INCIDENT.family, INCIDENT.severity)


def prepare_alert(engine, judged):
    """Of a single one."""
    return next(iter(prepare_alerts(engine, [judged])), None)


def record_conclusion(engine, judged, now):
    """Of a single one."""
    [conclusion] = record_conclusions(engine, [judged], now)
    return conclusion


def find(engine, incident=INCIDENT) -> None:
    """The rules say this of the incident."""
    with transaction(engine) as connection:
        write_evidence(connection, [incident], "run", NOW)


def judged(**verdict) -> Judged:
    judgement = replace(CONCLUSION.judgement, verdict=VERDICT.model_copy(update=verdict))
    return Judged(SUSPECT, judgement, CONCLUSION.research)


def waits(engine) -> bool:
    return [s.incident_id for s in waiting_suspects(engine, "live")] == [INCIDENT.id]


def row_of(engine):
    with transaction(engine) as connection:
        return connection.execute(select(incidents).where(incidents.c.id == INCIDENT.id)).one()


def louder(times: int):
    """The incident with so many times the requests."""
    activity = INCIDENT.activity
    return replace(
        INCIDENT, activity=replace(activity, request_count=activity.request_count * times)
    )


def test_what_the_rules_say_comes_back_as_it_was(engine):
    """Findings, evidence and activity survive the database; the verdict's influence is not theirs."""
    find(engine)

    found = load_incident(engine, INCIDENT.id)
    assert found == replace(INCIDENT, status=Status.SUSPECTED)
    assert waiting_suspects(engine, "live") == [SUSPECT]
    assert waiting_suspects(engine, "other") == []


def test_a_verdict_ends_the_waiting_and_is_on_record_once(engine):
    """Writing it twice is writing it once."""
    find(engine)

    for _ in range(2):
        conclusion = record_conclusion(engine, judged(), NOW)

        assert conclusion.incident.status is Status.CONFIRMED
        assert not waits(engine)
        row = row_of(engine)
        assert (row.status, row.attack_type) == ("confirmed", VERDICT.probable_attack_type)
        assert row.verdict == VERDICT.model_dump(mode="json")
        assert row.updated_at == NOW
    assert load_conclusions(engine, [judged()]) == [conclusion]


@pytest.mark.parametrize(
    "changed",
    [
        louder(10),
        replace(INCIDENT, findings=(replace(FINDING, severity=Severity.CRITICAL),)),
        replace(INCIDENT, findings=(FINDING, replace(FINDING, family=Family.SCANNER))),
    ],
    ids=["ten times the volume", "a higher severity", "a new family"],
)
def test_evidence_that_changed_in_kind_waits_for_the_analyst_again(engine, changed):
    """It keeps its verdict and its status until it is judged anew."""
    find(engine)
    record_conclusion(engine, judged(), NOW)
    severity = max(changed.findings, key=lambda f: f.severity.rank).severity

    find(engine, replace(changed, severity=severity))

    assert waits(engine)
    assert row_of(engine).status == "confirmed"
    assert prepare_alert(engine, judged()) is not None
    record_conclusion(engine, judged(), NOW)
    assert not waits(engine)
    find(engine, replace(changed, severity=severity))
    assert not waits(engine)


def test_more_of_the_same_does_not_wait_again(engine):
    """Nine times the volume is recorded, and nobody is asked."""
    find(engine)
    record_conclusion(engine, judged(), NOW)

    find(engine, louder(9))

    assert not waits(engine)
    assert load_incident(engine, INCIDENT.id).activity.request_count == 9 * 37


def test_what_waits_goes_on_waiting(engine):
    """Evidence that shrinks again before anybody judged it is still judged."""
    find(engine)
    record_conclusion(engine, judged(), NOW)
    find(engine, louder(10))

    find(engine)

    assert waits(engine)


def test_a_verdict_never_lowers_the_severity_on_record(engine):
    """What the analyst raised stays raised when more evidence comes in."""
    find(engine)
    record_conclusion(engine, judged(severity=Severity.CRITICAL), NOW)

    find(engine, louder(2))

    assert row_of(engine).severity == "critical"
    assert load_incident(engine, INCIDENT.id).severity is Severity.HIGH


def test_an_incident_is_alerted_once_per_change(engine):
    """The same state change has the same kind, however often it is prepared; another, another."""
    find(engine)
    first = prepare_alert(engine, judged())
    assert first is not None
    assert first.kind.startswith("confirmed-")
    assert prepare_alert(engine, judged()) == first
    record_conclusion(engine, judged(), NOW)

    find(engine, louder(10))
    changed = prepare_alert(engine, judged())

    assert changed is not None
    assert changed.kind.startswith("changed-")
    assert len(changed.kind) <= 32
    assert prepare_alert(engine, judged()) == changed


def test_an_incident_that_was_cleared_and_grows_is_alerted_anew(engine):
    """What was told before it was cleared is another alert than what is told now."""
    counted = replace(INCIDENT, findings=(replace(FINDING, is_signature=False),))
    find(engine, counted)
    first = prepare_alert(engine, judged())
    record_conclusion(engine, judged(), NOW)
    find(engine, replace(counted, activity=louder(10).activity))
    record_conclusion(engine, judged(verdict=VerdictKind.BENIGN), NOW)

    find(engine, replace(counted, activity=louder(100).activity))
    again = prepare_alert(engine, judged())

    assert first is not None
    assert again is not None
    assert again.kind != first.kind
    assert len(again.kind) <= 32


def test_worse_evidence_than_a_dead_run_has_told_of_is_told(engine):
    """It alerted and died before the verdict was on record; the same evidence is not told again."""
    find(engine)
    told = prepare_alert(engine, judged())
    find(engine, louder(2))
    assert told is not None
    assert prepare_alert(engine, judged()).kind == told.kind

    critical = replace(FINDING, severity=Severity.CRITICAL)
    find(engine, replace(INCIDENT, severity=Severity.CRITICAL, findings=(critical,)))

    assert prepare_alert(engine, judged()).kind != told.kind


@pytest.mark.parametrize("is_other_benign", [True, False])
def test_what_a_benign_incident_takes_in_is_judged_unless_it_was_benign(engine, is_other_benign):
    """Late lines join them: an accusation does not end under a verdict that was not about it."""
    counted = replace(INCIDENT, findings=(replace(FINDING, is_signature=False),))
    other = replace(counted, id="later")
    find(engine, counted)
    find(engine, other)
    benign = judged(verdict=VerdictKind.BENIGN)
    record_conclusion(engine, benign, NOW)
    verdict = benign if is_other_benign else judged()
    record_conclusion(engine, replace(verdict, suspect=replace(SUSPECT, incident_id="later")), NOW)

    with transaction(engine) as connection:
        close_incident(connection, "later", "merged", NOW, into=INCIDENT.id)

    assert waits(engine) is not is_other_benign


def test_a_benign_verdict_is_recorded_and_not_alerted(engine):
    """Where only counts speak, the analyst may clear it."""
    counted = replace(INCIDENT, findings=(replace(FINDING, is_signature=False),))
    find(engine, counted)

    assert prepare_alert(engine, judged(verdict=VerdictKind.BENIGN)) is None
    record_conclusion(engine, judged(verdict=VerdictKind.BENIGN), NOW)
    assert row_of(engine).status == "benign"


def test_a_closed_incident_stays_closed(engine):
    """A verdict that comes late opens nothing and alerts nobody."""
    find(engine)
    with transaction(engine) as connection:
        close_incident(connection, INCIDENT.id, "merged", NOW, into="another")

    assert not waits(engine)
    assert prepare_alert(engine, judged()) is None
    record_conclusion(engine, judged(), NOW)
    row = row_of(engine)
    assert (row.status, row.merged_into, row.closed_reason) == ("closed", "another", "merged")
    with transaction(engine) as connection:
        (stored,) = stored_incidents(connection, "live", [INCIDENT.source_ip])[INCIDENT.source_ip]
    assert stored.status is Status.CLOSED


def test_what_was_judged_while_nobody_was_to_be_told_can_be_told_later(engine):
    """With all that is on record of it, until there is a delivery; what is benign is not told."""
    find(engine)
    counted = replace(INCIDENT, id="benign", findings=(replace(FINDING, is_signature=False),))
    find(engine, counted)
    record_conclusion(engine, judged(), NOW)
    benign = replace(
        judged(verdict=VerdictKind.BENIGN), suspect=replace(SUSPECT, incident_id="benign")
    )
    record_conclusion(engine, benign, NOW)

    [alert] = untold_alerts(engine, "live", "telegram")
    Outbox(engine, "live", "telegram").add(
        [alert], state=DeliveryState.PENDING, run_id="run", now=NOW
    )

    assert alert.kind.startswith("confirmed-")
    assert alert.conclusion == CONCLUSION
    assert untold_alerts(engine, "live", "telegram") == []
    assert len(untold_alerts(engine, "live", "pager")) == 1
    assert untold_alerts(engine, "march", "telegram") == []


def spoil(engine, column, stored):
    """Another version, or somebody by hand, wrote this."""
    with transaction(engine) as connection:
        connection.execute(
            text(f"UPDATE incidents SET {column} = :stored WHERE id = :id"),
            {"stored": stored, "id": INCIDENT.id},
        )


@pytest.mark.parametrize(
    ("column", "stored"), [("findings", "[]"), ("activity", "1"), ("evidence", '[{"x": 1}]')]
)
def test_an_incident_that_cannot_be_read_is_no_other_ones_trouble(engine, column, stored):
    """It is left out where many are read, and named where it is asked for."""
    find(engine)
    find(engine, replace(INCIDENT, id="other"))
    spoil(engine, column, stored)

    assert load_incidents(engine, [INCIDENT.id, "other"]).keys() == {"other"}
    with pytest.raises(PermanentError, match="Incident incident-1 is on record in a form"):
        load_incident(engine, INCIDENT.id)


def test_an_incident_that_cannot_be_read_heals_with_new_evidence(engine):
    """The rules write all of it anew, and it is judged as if for the first time."""
    find(engine)
    record_conclusion(engine, judged(), NOW)
    spoil(engine, "judged_kind", "[]")
    spoil(engine, "findings", "[]")

    find(engine)

    assert waits(engine)
    assert load_incident(engine, INCIDENT.id).findings == INCIDENT.findings


def test_the_worst_waits_in_front(engine):
    """By severity, then by volume."""
    find(engine)
    find(engine, replace(louder(5), id="more"))
    critical = replace(FINDING, severity=Severity.CRITICAL)
    find(engine, replace(INCIDENT, id="worst", severity=Severity.CRITICAL, findings=(critical,)))

    waiting = [s.incident_id for s in waiting_suspects(engine, "live")]
    assert waiting == ["worst", "more", INCIDENT.id]
