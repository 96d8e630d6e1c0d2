"""Scans without Prefect: the functions below the tasks, over a real database."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import md5
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Engine, select

from tasks.collect.batches import make_batches
from tasks.collect.source import Ledger as KnownLedger
from tasks.collect.source import Source, recall
from tasks.detect.allowlist import Allowlist, AllowlistEntry
from tasks.detect.counting import commit_batch, count_batch
from tasks.detect.evaluation import Evaluated, bring_up_to_date
from tasks.detect.rules import RuleSet
from tasks.detect.subjects import open_groupings
from tasks.model.errors import ObjectError
from tasks.model.incidents import Incident
from tasks.model.objects import BatchResult, LogObject, Plan, cover
from tasks.store.engine import transaction
from tasks.store.incidents import load_incident
from tasks.store.ledger import Ledger
from tasks.store.tables import incidents
from tests.counting import RULES

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Shelf:
    """Objects that are overwritten as a whole, as S3 has them: a version is an etag."""

    objects: dict[str, bytes] = field(default_factory=dict)
    uri: str = "s3://shelf"
    modified_at: datetime = NOW

    def plan(self, ledger: KnownLedger) -> Plan:
        listed = [
            LogObject(self.uri, key, _etag(content), len(content), self.modified_at)
            for key, content in sorted(self.objects.items())
        ]
        known = recall(ledger, self.uri, listed)
        return Plan(
            self.uri, len(listed), known.unchanged, known.to_read, quarantined=known.quarantined
        )

    @contextmanager
    def open(self, log_object: LogObject) -> Iterator[BinaryIO]:
        content = self.objects.get(log_object.object_key)
        if content is None or _etag(content) != log_object.version:
            raise ObjectError(f"'{log_object.object_key}' was gone before it could be read.")
        yield BytesIO(content)


def _etag(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()


@dataclass
class Scans:
    """One namespace of a database, and what scans of it do."""

    engine: Engine
    namespace: str = "live"
    rules: RuleSet = RULES
    now: datetime = NOW
    allowlist: tuple[AllowlistEntry, ...] = ()
    asn_database: Path | None = None
    zone: tzinfo = UTC
    """Of times that name none."""

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.engine, self.namespace)

    def count(self, source: Source, *, objects_per_batch: int = 500) -> list[BatchResult]:
        """All that is new is counted and committed; every listed object is accounted for."""
        self.now += timedelta(minutes=5)
        plan = source.plan(self.ledger)
        self.ledger.record_seen(plan.seen)
        results = []
        for batch in make_batches(plan.to_read, max_objects=objects_per_batch):
            counted = count_batch(source, batch, self.rules, self.zone)
            results.append(commit_batch(self.ledger, batch, counted, "run", self.now))
        assert cover(plan, results).holds, cover(plan, results)
        return results

    def evaluate(self) -> Evaluated:
        """What was counted is held against the rules."""
        with transaction(self.engine) as connection:
            return bring_up_to_date(
                connection,
                self.namespace,
                self.rules,
                Allowlist(self.allowlist),
                groupings=open_groupings(self.rules, self.asn_database),
                run_id="run",
                now=self.now,
            )

    def run(self, *sources: Source, objects_per_batch: int = 500) -> list[BatchResult]:
        """One scan of each source, evaluated."""
        results = [r for s in sources for r in self.count(s, objects_per_batch=objects_per_batch)]
        self.evaluate()
        return results

    def incidents(self) -> list[Incident]:
        """What is open, without ids and references into objects, in an order of its own."""
        open_ids = select(incidents.c.id).where(
            incidents.c.namespace == self.namespace, incidents.c.status != "closed"
        )
        with transaction(self.engine) as connection:
            ids = list(connection.scalars(open_ids))
        found = (load_incident(self.engine, incident_id) for incident_id in ids)
        return sorted(map(_comparable, found), key=lambda i: (i.source_ip, i.first_seen))


def _comparable(incident: Incident) -> Incident:
    lines = tuple(replace(e, object_key="", line_number=0) for e in incident.evidence)
    return replace(incident, id="", namespace="", evidence=lines)


def shelf(objects: Mapping[str, str]) -> Shelf:
    """Objects with these lines."""
    return Shelf({key: text.encode() for key, text in objects.items()})
