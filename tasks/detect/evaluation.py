"""Evaluation: what is on record of a namespace is brought to what all its counts say."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tasks.detect.allowlist import Allowlist
from tasks.detect.evaluate import (
    LoadedTally,
    Span,
    Touched,
    affected_hours,
    evaluate,
    merge_spans,
    needed_minutes,
)
from tasks.detect.incidents import chain, reach, reconcile
from tasks.detect.rules import RuleSet
from tasks.detect.suspect_hours import SuspectHour
from tasks.detect.tally import Tally
from tasks.model.incidents import Incident
from tasks.store.engine import Transaction
from tasks.store.incidents import close_incident, stored_incidents, write_evidence
from tasks.store.suspects import known_suspects, load_hours, replace_hours
from tasks.store.tallies import (
    StoredSegment,
    load_overlapping,
    load_pending,
    mark_evaluated,
    pending,
)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What one evaluation did."""

    segments: int
    """With something that was counted or withdrawn since the last evaluation."""
    allowed: int
    """Incidents that the allowlist kept away."""


def bring_up_to_date(
    connection: Transaction,
    namespace: str,
    rules: RuleSet,
    allowlist: Allowlist,
    *,
    run_id: str,
    now: datetime,
) -> Evaluated:
    """
    What was counted or withdrawn since the last evaluation is held against the rules.

    All of it belongs into one transaction: a run that dies here leaves everything to the next.
    """
    waiting = pending(connection, namespace)
    stored = load_pending(connection, namespace, waiting)
    touched = Touched.by(_load(segment).tally for segment in stored)
    evaluation = _Evaluation(connection, namespace, rules, allowlist, run_id, now)
    evaluation.update(touched)
    mark_evaluated(connection, waiting)
    return Evaluated(len(waiting.segments), evaluation.allowed)


class _Evaluation:
    """The suspicious hours, and then the incidents, of what is touched."""

    def __init__(
        self,
        connection: Transaction,
        namespace: str,
        rules: RuleSet,
        allowlist: Allowlist,
        run_id: str,
        now: datetime,
    ) -> None:
        self._connection = connection
        self._namespace = namespace
        self._rules = rules
        self._allowlist = allowlist
        self._run_id = run_id
        self._now = now
        self.allowed = 0

    def update(self, touched: Touched) -> None:
        affected: dict[str, list[Span]] = defaultdict(list)
        for piece in touched.slices():
            for source_ip, spans in self._update_hours(piece).items():
                affected[source_ip] += spans
        # an incident may reach over many pieces, so all hours come first
        for source_ip in sorted(affected):
            for span in merge_spans(affected[source_ip]):
                self._update_incidents(source_ip, span)

    def _update_hours(self, touched: Touched) -> dict[str, list[Span]]:
        connection, namespace = self._connection, self._namespace
        needed = needed_minutes(touched, self._rules)
        stored = load_overlapping(connection, namespace, needed)
        hours = evaluate(self._rules, map(_load, stored), touched)
        around = (needed[0][0] // 60, -(-needed[-1][1] // 60))
        suspects = known_suspects(connection, namespace, around) | {h.source_ip for h in hours}
        affected = affected_hours(touched, self._rules, suspects)
        found = [(h.source_ip, h.hour, h.to_json()) for h in hours]
        replace_hours(connection, namespace, affected, found)
        return affected

    def _update_incidents(self, source_ip: str, affected: Span) -> None:
        connection, namespace = self._connection, self._namespace
        existing = stored_incidents(connection, namespace, source_ip)
        within = reach(affected, existing, self._rules)
        payloads = load_hours(connection, namespace, source_ip, within)
        chains = chain(map(SuspectHour.from_json, payloads), self._rules, namespace)
        outcome = reconcile(chains, existing, self._rules, within)
        known = {incident.id for incident in existing}
        wanted = self._without_allowed(outcome.upserts, known)
        write_evidence(connection, wanted, self._run_id, self._now)
        for closed, into in outcome.merged:
            close_incident(connection, closed, "merged into an earlier incident", self._now, into)
        for closed in outcome.withdrawn:
            close_incident(connection, closed, "its evidence was replaced", self._now)

    def _without_allowed(self, found: Sequence[Incident], known: set[str]) -> list[Incident]:
        """The allowlist keeps incidents away, but takes none back that is on record."""
        wanted = [i for i in found if i.id in known or not self._is_allowed(i)]
        self.allowed += len(found) - len(wanted)
        return wanted

    def _is_allowed(self, incident: Incident) -> bool:
        return self._allowlist.reason(incident.source_ip, incident.last_seen) is not None


def _load(segment: StoredSegment) -> LoadedTally:
    tally = Tally.from_payloads(segment.payloads, keep=segment.objects.keys())
    return LoadedTally(tally, segment.objects)
