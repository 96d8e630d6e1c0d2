"""Incidents: what the rules say of them, what the analyst concluded, and what is still to do."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Engine, Row, select, update

from tasks.model.alerts import Alert
from tasks.model.errors import PermanentError
from tasks.model.incidents import (
    Activity,
    EvidenceKind,
    EvidenceLine,
    Family,
    Finding,
    Incident,
    Severity,
    Status,
    StoredIncident,
    Suspect,
    rate,
)
from tasks.model.objects import digest
from tasks.model.verdicts import (
    AnalystName,
    Conclusion,
    Judged,
    Judgement,
    Research,
    Verdict,
    conclude,
)
from tasks.store.engine import chunks, transaction, upsert
from tasks.store.runs import check_in_charge
from tasks.store.tables import deliveries, incidents

FINDINGS = TypeAdapter(tuple[Finding, ...])
EVIDENCE = TypeAdapter(tuple[EvidenceLine, ...])
ACTIVITY = TypeAdapter(Activity)
KIND = TypeAdapter(EvidenceKind)
RESEARCH = TypeAdapter(Research)


# what evaluation asks and writes, inside its own transaction


def stored_incidents(
    connection: Connection, namespace: str, source_ips: Sequence[str]
) -> dict[str, list[StoredIncident]]:
    """All incidents of each of these IPs, closed ones included."""
    found: dict[str, list[StoredIncident]] = {source_ip: [] for source_ip in source_ips}
    columns = (
        incidents.c.id,
        incidents.c.source_ip,
        incidents.c.status,
        incidents.c.first_seen,
        incidents.c.last_seen,
    )
    for chunk in chunks(source_ips):
        theirs = select(*columns).where(
            incidents.c.namespace == namespace, incidents.c.source_ip.in_(chunk)
        )
        for row in connection.execute(theirs):
            found[row.source_ip].append(
                StoredIncident(
                    row.id, row.source_ip, Status(row.status), row.first_seen, row.last_seen
                )
            )
    return found


def write_evidence(
    connection: Connection, found: Sequence[Incident], run_id: str, now: datetime
) -> None:
    """
    What the rules say is on record; verdicts stay.

    An incident that is new, or is of another kind than the one that was judged, waits for the
    analyst afterwards.
    """
    for chunk in chunks(found):
        columns = (
            incidents.c.id,
            incidents.c.judged_kind,
            incidents.c.verdict,
            incidents.c.needs_judgement,
        )
        known = select(*columns).where(incidents.c.id.in_([i.id for i in chunk]))
        judged = {row.id: row for row in connection.execute(known.with_for_update())}
        rows = [_evidence_row(i, judged.get(i.id), run_id, now) for i in chunk]
        upsert(connection, incidents, rows, keep={"status", "run_id", "created_at"})


def _evidence_row(
    incident: Incident, judged: Row[Any] | None, run_id: str, now: datetime
) -> dict[str, Any]:
    waits = True
    severity = incident.severity
    before = _judged_before(judged)
    if judged is not None and before is not None:
        kind, worst = before
        waits = judged.needs_judgement or kind.is_exceeded_by(incident.kind)
        severity = max(severity, worst, key=lambda s: s.rank)
    return {
        "id": incident.id,
        "namespace": incident.namespace,
        "source_ip": incident.source_ip,
        "family": incident.family.value,
        "severity": severity.value,
        "status": Status.SUSPECTED.value,
        "first_seen": incident.first_seen,
        "last_seen": incident.last_seen,
        "request_count": incident.activity.request_count,
        "activity": incident.activity,
        "findings": incident.findings,
        "evidence": incident.evidence,
        "techniques": incident.techniques,
        "needs_judgement": waits,
        "run_id": run_id,
        "created_at": now,
        "updated_at": now,
    }


def _judged_before(row: Row[Any] | None) -> tuple[EvidenceKind, Severity] | None:
    """What it was judged as, and how bad that was; None: never, or nobody can read it any more."""
    if row is None or row.judged_kind is None:
        return None
    try:
        kind, verdict = KIND.validate_python(row.judged_kind), Verdict.model_validate(row.verdict)
    except ValidationError:
        return None
    return kind, verdict.severity


def close_incident(
    connection: Connection, incident_id: str, reason: str, now: datetime, into: str | None = None
) -> None:
    """
    The incident counts no more; with *into*, because that one took it in.

    What a verdict of benign was not about does not end under it: *into* is judged again then.
    """
    if into is not None and _status(connection, incident_id) is not Status.BENIGN:
        connection.execute(
            update(incidents)
            .where(incidents.c.id == into, incidents.c.status == Status.BENIGN.value)
            .values(needs_judgement=True)
        )
    connection.execute(
        update(incidents)
        .where(incidents.c.id == incident_id)
        .values(
            status=Status.CLOSED.value,
            closed_reason=reason,
            merged_into=into,
            needs_judgement=False,
            updated_at=now,
        )
    )


def load_findings(
    connection: Connection, incident_ids: Sequence[str]
) -> dict[str, tuple[Finding, ...]]:
    """What is on record that rules found, by incident; nothing where it cannot be read."""
    found: dict[str, tuple[Finding, ...]] = {}
    for chunk in chunks(incident_ids):
        columns = (incidents.c.id, incidents.c.findings)
        for row in connection.execute(select(*columns).where(incidents.c.id.in_(chunk))):
            found[row.id] = ()
            with suppress(ValidationError):
                found[row.id] = FINDINGS.validate_python(row.findings)
    return found


def _status(connection: Connection, incident_id: str) -> Status:
    return Status(
        connection.scalars(select(incidents.c.status).where(incidents.c.id == incident_id)).one()
    )


# what the later steps ask and write


def waiting_suspects(engine: Engine, namespace: str) -> list[Suspect]:
    """Everything that waits for the analyst, also from runs that died, worst first."""
    columns = (
        incidents.c.id,
        incidents.c.source_ip,
        incidents.c.family,
        incidents.c.severity,
        incidents.c.request_count,
    )
    waiting = select(*columns).where(
        incidents.c.namespace == namespace, incidents.c.needs_judgement
    )
    with transaction(engine) as connection:
        rows = connection.execute(waiting).all()
    ordered = sorted(rows, key=lambda r: (-Severity(r.severity).rank, -r.request_count, r.id))
    return [
        Suspect(row.id, row.source_ip, Family(row.family), Severity(row.severity))
        for row in ordered
    ]


def load_incident(engine: Engine, incident_id: str) -> Incident:
    """
    The incident as the rules see it: severity and status without a verdict's influence.

    Raises:
        NoResultFound: There is none.
        PermanentError: What is on record is not what this version writes.
    """
    with transaction(engine) as connection:
        row = connection.execute(_by_id(incident_id)).one()
    with suppress(ValueError):
        return _incident(row)
    raise PermanentError(explain_unreadable(incident_id))


def load_incidents(engine: Engine, incident_ids: Sequence[str]) -> dict[str, Incident]:
    """As *load_incident*, many at once; by id, without those that cannot be read."""
    found = {}
    with transaction(engine) as connection:
        for row in _rows(connection, incident_ids):
            with suppress(ValueError):
                found[row.id] = _incident(row)
    return found


def explain_unreadable(incident_id: str) -> str:
    """What to do about an incident that cannot be read."""
    return (
        f"Incident {incident_id[:12]} is on record in a form that this version cannot read: go back"
        " to the version that wrote it, or delete this row of table incidents."
    )


def prepare_alerts(engine: Engine, judged: Sequence[Judged]) -> list[Alert]:
    """
    What people are to be told of these conclusions.

    The same state change gives the same `kind`, however often it is prepared.
    """
    with transaction(engine) as connection:
        rows = {row.id: row for row in _rows(connection, [j.suspect.incident_id for j in judged])}
    alerts = (_prepare_alert(rows[j.suspect.incident_id], j) for j in judged)
    return [alert for alert in alerts if alert is not None]


def _prepare_alert(row: Row[Any], judged: Judged) -> Alert | None:
    conclusion = conclude(_incident(row), judged.judgement, judged.research)
    status = conclusion.incident.status
    if row.status == Status.CLOSED or not status.is_alerted:
        return None
    return _alert("changed" if Status(row.status).is_alerted else status.value, conclusion)


def untold_alerts(engine: Engine, namespace: str, channel: str) -> list[Alert]:
    """What people would have been told of incidents that were judged while nobody was to be."""
    known = select(deliveries.c.id).where(
        deliveries.c.incident_id == incidents.c.id, deliveries.c.channel == channel
    )
    untold = select(incidents).where(
        incidents.c.namespace == namespace,
        incidents.c.status.in_([status.value for status in Status if status.is_alerted]),
        ~known.exists(),
    )
    alerts = []
    with transaction(engine) as connection:
        for row in connection.execute(untold.order_by(incidents.c.id)):
            with suppress(ValueError):  # then only the report of the run that judged it has it
                conclusion = _conclusion(row)
                alerts.append(_alert(conclusion.incident.status.value, conclusion))
    return alerts


def _alert(change: str, conclusion: Conclusion) -> Alert:
    kind = conclusion.incident.kind
    evidence = digest(*sorted(kind.families), kind.severity, len(str(kind.request_count)))[:12]
    return Alert(f"{change}-{evidence}", conclusion)


def _conclusion(row: Row[Any]) -> Conclusion:
    """What *_verdict_columns* has put on record."""
    judgement = Judgement(
        verdict=Verdict.model_validate(row.verdict),
        analyst=AnalystName(row.analyst),
        analyst_reason=row.analyst_reason,
        model_id=row.model_id,
        prompt_sha256=row.prompt_sha256,
    )
    return conclude(_incident(row), judgement, RESEARCH.validate_python(row.research))


def record_conclusions(
    engine: Engine, judged: Sequence[Judged], now: datetime, *, run_id: str | None = None
) -> list[Conclusion]:
    """
    The verdicts are on record, all or none; writing them twice is writing them once.

    Raises:
        PermanentError: The run *run_id* is not in charge any more.
    """
    ordered = sorted(judged, key=lambda j: j.suspect.incident_id)  # same order, no deadlocks
    with transaction(engine) as connection:
        if run_id is not None:
            check_in_charge(connection, run_id)
        return [_record_conclusion(connection, j, now) for j in ordered]


def _record_conclusion(connection: Connection, judged: Judged, now: datetime) -> Conclusion:
    row = connection.execute(_by_id(judged.suspect.incident_id).with_for_update()).one()
    incident = _incident(row)
    conclusion = conclude(incident, judged.judgement, judged.research)
    if row.status != Status.CLOSED:
        connection.execute(
            update(incidents)
            .where(incidents.c.id == incident.id)
            .values(_verdict_columns(conclusion, incident, now))
        )
    return conclusion


def _rows(connection: Connection, incident_ids: Sequence[str]) -> Iterator[Row[Any]]:
    for chunk in chunks(incident_ids):
        yield from connection.execute(select(incidents).where(incidents.c.id.in_(chunk)))


def _by_id(incident_id: str) -> Any:  # noqa: ANN401 -- a select over all columns
    return select(incidents).where(incidents.c.id == incident_id)


def _verdict_columns(conclusion: Conclusion, incident: Incident, now: datetime) -> dict[str, Any]:
    judgement = conclusion.judgement
    verdict = judgement.verdict
    return {
        "status": conclusion.incident.status.value,
        "severity": conclusion.incident.severity.value,
        "attack_type": verdict.probable_attack_type,
        "confidence": verdict.confidence_level.value,
        "summary": verdict.summary,
        "recommended_action": verdict.recommended_action,
        "analyst": judgement.analyst.value,
        "analyst_reason": judgement.analyst_reason,
        "model_id": judgement.model_id,
        "prompt_sha256": judgement.prompt_sha256,
        "llm_input_tokens": judgement.usage.input_tokens,
        "llm_output_tokens": judgement.usage.output_tokens,
        "llm_cost_usd": judgement.usage.cost_usd,
        "research": conclusion.research,
        "verdict": verdict.model_dump(mode="json"),
        "judged_kind": incident.kind,
        "needs_judgement": False,
        "updated_at": now,
    }


def _incident(row: Row[Any]) -> Incident:
    findings = FINDINGS.validate_python(row.findings)
    return Incident(
        id=row.id,
        namespace=row.namespace,
        source_ip=row.source_ip,
        family=Family(row.family),
        severity=rate(findings),
        status=Status(row.status),
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        activity=ACTIVITY.validate_python(row.activity),
        findings=findings,
        evidence=EVIDENCE.validate_python(row.evidence),
    )


def load_conclusions(engine: Engine, judged: Sequence[Judged]) -> list[Conclusion]:
    """What a run's report shows of its suspects."""
    found = load_incidents(engine, [j.suspect.incident_id for j in judged])
    return [conclude(found[j.suspect.incident_id], j.judgement, j.research) for j in judged]
