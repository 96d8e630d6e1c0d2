"""Evaluation: what is on record of a namespace is brought to what all its counts say."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tasks.detect.allowlist import Allowlist
from tasks.detect.counted_hours import (
    CountedHours,
    affected_by_hours,
    count_hours,
    evaluate_hours,
    needed_hours,
)
from tasks.detect.evaluate import (
    Loaded,
    LoadedTally,
    Span,
    Touched,
    affected_hours,
    judge,
    load,
    merge_spans,
    needed_minutes,
)
from tasks.detect.incidents import chain, reach, reconcile
from tasks.detect.rules import RuleSet
from tasks.detect.subjects import roll_up
from tasks.detect.suspect_hours import SuspectHour
from tasks.detect.tally import Tally
from tasks.model.incidents import Incident
from tasks.store.counted_hours import load_counted, replace_counted
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
    shadow: Mapping[str, Collection[str]]
    """Ids of shadow rules, with the source IPs that they would have found in what is new."""


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
    touched = Touched.by(_load(segment, rules).tally for segment in stored)
    evaluation = _Evaluation(connection, namespace, rules, allowlist, run_id, now)
    evaluation.update(touched)
    mark_evaluated(connection, waiting)
    return Evaluated(len(waiting.segments), evaluation.allowed, evaluation.shadow)


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
        self._counted = rules
        self._rules = rules.only(lambda rule: not rule.is_shadow)
        self._shadow_rules = rules.only(lambda rule: rule.is_shadow)
        self._allowlist = allowlist
        self._run_id = run_id
        self._now = now
        self.allowed = 0
        self.shadow: dict[str, set[str]] = {rule.id: set() for rule in self._shadow_rules.rules}

    def update(self, touched: Touched) -> None:
        affected: dict[str, list[Span]] = defaultdict(list)
        for piece in touched.slices():
            for source_ip, spans in self._update_hours(piece).items():
                affected[source_ip] += spans
        # a long window reaches over many pieces, and so may an incident: all hours come first
        for piece in touched.slices() if self._has_slow_rules else ():
            for source_ip, spans in self._update_slow_hours(piece).items():
                affected[source_ip] += spans
        for source_ip in sorted(affected):
            for span in merge_spans(affected[source_ip]):
                self._update_incidents(source_ip, span)

    def _update_hours(self, touched: Touched) -> dict[str, list[Span]]:
        connection, namespace = self._connection, self._namespace
        needed = needed_minutes(touched, self._counted)
        stored = load_overlapping(connection, namespace, needed)
        loaded = load((_load(s, self._rules) for s in stored), touched, self._counted)
        if self._has_slow_rules:
            self._count_hours(loaded, touched)
        self._note_shadow(judge(self._shadow_rules, loaded, touched))
        hours = judge(self._rules, loaded, touched)
        around = (needed[0][0] // 60, -(-needed[-1][1] // 60))
        suspects = known_suspects(connection, namespace, around) | {h.source_ip for h in hours}
        affected = affected_hours(touched, self._rules, suspects)
        found = [(h.source_ip, h.hour, h.to_json()) for h in hours]
        replace_hours(connection, namespace, affected, found)
        return affected

    @property
    def _has_slow_rules(self) -> bool:
        return any(rule.is_slow for rule in self._counted.rules)

    def _count_hours(self, loaded: Loaded, touched: Touched) -> None:
        found = count_hours(self._counted, loaded, touched)
        payloads = {}
        for hour in touched.hours["hour"].unique().to_list():
            parts = load_counted(self._connection, self._namespace, (hour, hour + 1))
            before = CountedHours.from_payloads(part for _, part in parts)
            payloads[hour] = before.replaced(touched, found.of_hour(hour)).to_payloads()
        replace_counted(self._connection, self._namespace, payloads)

    def _update_slow_hours(self, touched: Touched) -> dict[str, list[Span]]:
        connection, namespace = self._connection, self._namespace
        needed = needed_hours(touched, self._counted)
        mine = touched.hours.select("source_ip").unique()
        parts = (part for span in needed for _, part in load_counted(connection, namespace, span))
        counted = CountedHours.united(CountedHours.from_payloads([p]).only(mine) for p in parts)
        self._note_shadow(evaluate_hours(self._shadow_rules, counted, touched))
        hours = evaluate_hours(self._rules, counted, touched)
        around = (needed[0][0], needed[-1][1])
        suspects = known_suspects(connection, namespace, around, is_slow=True)
        affected = affected_by_hours(
            touched, self._counted, suspects | {h.source_ip for h in hours}
        )
        found = [(h.source_ip, h.hour, h.to_json()) for h in hours]
        replace_hours(connection, namespace, affected, found, is_slow=True)
        return affected

    def _note_shadow(self, hours: Sequence[SuspectHour]) -> None:
        for hour in hours:
            for finding in hour.findings:
                self.shadow[finding.rule_id].add(hour.source_ip)

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


def _load(segment: StoredSegment, rules: RuleSet) -> LoadedTally:
    tally = Tally.from_payloads(segment.payloads, keep=segment.objects.keys())
    return LoadedTally(roll_up(tally, rules.ipv6_prefix), segment.objects)
