"""Evaluation: what is on record of a namespace is brought to what all its counts say."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Final

import polars as pl

from tasks.detect.addressed import Addressed
from tasks.detect.allowlist import Allowlist
from tasks.detect.counted_hours import (
    CountedHours,
    add_lines,
    affected_by_hours,
    count_without_lines,
    evaluate_hours,
    needed_hours,
)
from tasks.detect.digests import read_digests
from tasks.detect.evaluate import judge
from tasks.detect.incidents import chain, reach, reconcile
from tasks.detect.loading import Loaded, LoadedTally, candidates, load, load_within
from tasks.detect.networks import Grouping, Watch, reach_of, touched_groups
from tasks.detect.rules import GroupBy, RuleSet
from tasks.detect.subjects import roll_up
from tasks.detect.suspect_hours import SuspectHour
from tasks.detect.tally import Tally
from tasks.detect.touched import (
    Span,
    Touched,
    affected_hours,
    merge_spans,
    needed_minutes,
    told_minutes,
)
from tasks.model.incidents import Incident
from tasks.store.counted_hours import load_counted, replace_counted
from tasks.store.engine import Transaction, chunks
from tasks.store.incidents import close_incident, load_findings, stored_incidents, write_evidence
from tasks.store.suspects import known_suspects, load_hours, replace_hours, suspected_hours
from tasks.store.tallies import (
    LOAD_BYTES,
    StoredSegment,
    load_overlapping,
    load_pending,
    mark_evaluated,
    pending,
)

TOGETHER: Final = 200
"""Source IPs whose incidents are written together."""
MAX_NAMED: Final = 5
"""Of the source IPs that a shadow rule would have found."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What one evaluation did."""

    segments: int
    """With something that was counted or withdrawn since the last evaluation."""
    allowed: int
    """Incidents that the allowlist kept away."""
    shadow: Mapping[str, Collection[str]]
    """Ids of shadow rules, with the source IPs that they would have found in what is new."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What shadow rules would have found, one sentence each, for the report of the run."""
        return tuple(
            f"Shadow rule {rule_id} would have found {len(found):,} in what is new:"
            f" {', '.join(sorted(found)[:MAX_NAMED])}"
            f"{', ...' if len(found) > MAX_NAMED else '.'}"
            for rule_id, found in sorted(self.shadow.items())
            if found
        )


def bring_up_to_date(
    connection: Transaction,
    namespace: str,
    rules: RuleSet,
    allowlist: Allowlist,
    *,
    groupings: Sequence[Grouping] = (),
    run_id: str,
    now: datetime,
) -> Evaluated:
    """
    What was counted or withdrawn since the last evaluation is held against the rules.

    All of it belongs into one transaction: a run that dies here leaves everything to the next.

    Args:
        groupings: Of open_groupings(), for the rules that count by network.
    """
    waiting = pending(connection, namespace)
    evaluation = _Evaluation(connection, namespace, rules, groupings, allowlist, run_id, now)
    evaluation.update(load_pending(connection, namespace, waiting))
    mark_evaluated(connection, waiting)
    return Evaluated(len(waiting.segments), evaluation.allowed, evaluation.shadow)


class _Evaluation:
    """The suspicious hours, and then the incidents, of what is touched."""

    def __init__(
        self,
        connection: Transaction,
        namespace: str,
        rules: RuleSet,
        groupings: Sequence[Grouping],
        allowlist: Allowlist,
        run_id: str,
        now: datetime,
    ) -> None:
        self._connection = connection
        self._namespace = namespace
        self._all_rules = rules
        self._counted = rules.by(GroupBy.SOURCE_IP)
        self._rules, self._shadow_rules = _without_shadow(self._counted), _shadow(self._counted)
        self._groupings = groupings
        self._allowlist = allowlist
        self._run_id = run_id
        self._now = now
        self.allowed = 0
        self.shadow: dict[str, set[str]] = {rule.id: set() for rule in _shadow(rules).rules}

    def update(self, pending_segments: Iterator[StoredSegment]) -> None:
        """What these segments touch is up to date, as far as what is on record says it."""
        touched, counted = self._touched(pending_segments)
        watches = [Watch(grouping) for grouping in self._groupings]
        affected: dict[str, list[Span]] = defaultdict(list)
        candidates: list[set[str]] = [set() for _ in watches]
        for piece in touched.slices():
            for source_ip, spans in self._update_hours(piece, watches).items():
                affected[source_ip] += spans
            for names, watch in zip(candidates, watches, strict=True):
                names.update(watch.candidates())
        # what is told of addresses is not told of their networks: all addresses come first
        suspects = dict(affected)
        for grouping, own, names in zip(self._groupings, counted, candidates, strict=True):
            groups = touched_groups(grouping, own, suspects)
            for piece in groups.slices():
                for name, spans in self._update_groups(grouping, piece, names).items():
                    affected[name] += spans
        # a long window reaches over many pieces, and so may an incident: all hours come first
        for piece in touched.slices(is_by_hour=False) if self._has_slow_rules else ():
            for source_ip, spans in self._update_slow_hours(piece).items():
                affected[source_ip] += spans
        self._update_incidents(affected)

    def _touched(self, segments: Iterator[StoredSegment]) -> tuple[Touched, list[Touched]]:
        """By any line, and of each grouping by a line that it counts."""
        counted: list[list[pl.DataFrame]] = [[] for _ in self._groupings]

        def pieces() -> Iterator[pl.DataFrame]:
            for segment in segments:
                tally = _load(segment, self._all_rules, without=b"VS").tally
                for own, grouping in zip(counted, self._groupings, strict=True):
                    own.append(grouping.touched(tally).hours)
                yield Touched.by([tally]).hours

        return Touched.united(pieces()), [Touched.united(own) for own in counted]

    def _update_hours(self, touched: Touched, watches: Sequence[Watch]) -> dict[str, list[Span]]:
        connection, namespace = self._connection, self._namespace
        needed = needed_minutes(touched, self._all_rules)

        def tallies() -> Iterator[LoadedTally]:
            for segment in load_overlapping(connection, namespace, needed):
                loaded = _load(segment, self._all_rules, without=b"S")
                for watch in watches:
                    watch.notice(loaded.tally, needed)
                yield loaded

        loaded = load(tallies(), touched, self._counted)
        found, busy = count_without_lines(self._counted, loaded, touched)
        fast = [rule for rule in self._counted.rules if not rule.is_slow]
        ips = pl.concat([candidates(fast, loaded.counts, loaded.values), busy.ips]).unique()
        samples = self._lines(ips, told_minutes(touched, self._all_rules))
        few = Loaded(loaded.counts, loaded.values, samples).only(ips)
        del loaded
        if self._has_slow_rules:
            self._store_hours(
                add_lines(found, self._counted, samples, busy, self._all_rules), touched
            )
        self._note_shadow(judge(self._shadow_rules, few, touched))
        hours = judge(self._rules, few, touched, self._all_rules)
        around = (needed[0][0] // 60, -(-needed[-1][1] // 60))
        suspects = known_suspects(connection, namespace, around) | {h.source_ip for h in hours}
        affected = affected_hours(touched, self._rules, suspects)
        stored = [(h.source_ip, h.hour, h) for h in hours]
        replace_hours(connection, namespace, affected, stored)
        return affected

    def _lines(self, ips: pl.Series, told: Sequence[Span]) -> Addressed:
        """The sample lines of those with these hashes: most source IPs need not show any."""
        stored = load_overlapping(self._connection, self._namespace, told)
        tallies = (_load(segment, self._all_rules, without=b"CV") for segment in stored)
        return load_within(tallies, ips, (told[0][0], told[-1][1])).samples

    def _update_groups(
        self, grouping: Grouping, touched: Touched, noticed: set[str]
    ) -> dict[str, list[Span]]:
        connection, namespace = self._connection, self._namespace
        around = reach_of(touched, grouping)
        known = known_suspects(connection, namespace, around)
        touched = touched.only(noticed | known)
        if touched.is_empty:
            return {}
        alone = pl.DataFrame(
            suspected_hours(connection, namespace, around),
            schema={"source_ip": pl.String, "hour": pl.Int32},
            orient="row",
        )
        is_allowed = self._is_allowed_in if self._allowlist else None
        needed = needed_minutes(touched, grouping.rules)
        stored = load_overlapping(connection, namespace, needed)
        tallies = (_load(segment, self._all_rules) for segment in stored)
        united = (grouping.unite(tally, alone, is_allowed) for tally in tallies)
        loaded = load(united, touched, grouping.rules)
        self._note_shadow(judge(_shadow(grouping.rules), loaded, touched))
        hours = judge(_without_shadow(grouping.rules), loaded, touched, self._all_rules)
        suspects = known | {hour.source_ip for hour in hours}
        affected = affected_hours(touched, grouping.rules, suspects)
        found = [(h.source_ip, h.hour, h) for h in hours]
        replace_hours(connection, namespace, affected, found)
        return affected

    def _is_allowed_in(self, source_ip: str, minute: int) -> bool:
        at = _EPOCH + timedelta(minutes=minute)
        return self._allowlist.reason(source_ip, at) is not None

    @property
    def _has_slow_rules(self) -> bool:
        return any(rule.is_slow for rule in self._counted.rules)

    def _store_hours(self, found: CountedHours, touched: Touched) -> None:
        payloads = {}
        new = found.by_hour()
        for (hour,), here in touched.hours.partition_by("hour", as_dict=True).items():
            parts = load_counted(self._connection, self._namespace, (hour, hour + 1))
            before = self._read_counted(part for _, part in parts)
            after = before.replaced(Touched(here), new.get(hour, CountedHours.united([])))
            payloads[hour] = after.to_payloads()
        replace_counted(self._connection, self._namespace, payloads)

    def _read_counted(self, parts: Iterable[bytes]) -> CountedHours:
        stored = CountedHours.from_payloads(parts)
        return CountedHours(*(read_digests(t, self._all_rules) for t in stored.tables))

    def _update_slow_hours(self, touched: Touched) -> dict[str, list[Span]]:
        connection, namespace = self._connection, self._namespace
        needed = needed_hours(touched, self._counted)
        mine = touched.ips
        parts = (part for span in needed for _, part in load_counted(connection, namespace, span))
        pieces = map(self._read_counted, _some_at_a_time(parts))
        counted = CountedHours.united(piece.only(mine) for piece in pieces)
        self._note_shadow(evaluate_hours(self._shadow_rules, counted, touched))
        hours = evaluate_hours(self._rules, counted, touched)
        around = (needed[0][0], needed[-1][1])
        suspects = known_suspects(connection, namespace, around, is_slow=True)
        affected = affected_by_hours(
            touched, self._counted, suspects | {h.source_ip for h in hours}
        )
        found = [(h.source_ip, h.hour, h) for h in hours]
        replace_hours(connection, namespace, affected, found, is_slow=True)
        return affected

    def _note_shadow(self, hours: Sequence[SuspectHour]) -> None:
        for hour in hours:
            for finding in hour.findings:
                self.shadow[finding.rule_id].add(hour.source_ip)

    def _update_incidents(self, affected: Mapping[str, Sequence[Span]]) -> None:
        for some in chunks(sorted(affected), TOGETHER):
            spans = (merge_spans(affected[source_ip]) for source_ip in some)
            # each of the spans of one IP sees what became of its incidents in the one before
            for turn in zip_longest(*spans):
                now = zip(some, turn, strict=True)
                self._update_some({source_ip: span for source_ip, span in now if span})

    def _update_some(self, affected: Mapping[str, Span]) -> None:
        connection, namespace, now = self._connection, self._namespace, self._now
        existing = stored_incidents(connection, namespace, list(affected))
        wanted: list[Incident] = []
        merged: list[tuple[str, str]] = []
        withdrawn: list[str] = []
        for source_ip, span in affected.items():
            known = existing[source_ip]
            within = reach(span, known, self._rules)
            payloads = load_hours(connection, namespace, source_ip, within)
            chains = chain(map(SuspectHour.from_json, payloads), self._rules, namespace)
            outcome = reconcile(chains, known, self._rules, within)
            wanted += self._without_allowed(outcome.upserts, {i.id for i in known})
            merged += outcome.merged
            withdrawn += outcome.withdrawn
        write_evidence(connection, wanted, self._run_id, now)
        for closed, into in merged:
            close_incident(connection, closed, "merged into an earlier incident", now, into)
        for closed in self._found_by_these_rules(withdrawn):
            close_incident(connection, closed, "its evidence was replaced", now)

    def _found_by_these_rules(self, withdrawn: Sequence[str]) -> list[str]:
        """
        Without those that rules or thresholds of another run have found.

        That these rules find nothing there says nothing about its evidence: no run takes back what
        another one has told with thresholds of its own, or before the rules were changed.
        """
        ours = {(r.id, r.version, r.threshold, r.timespan_seconds) for r in self._all_rules.rules}
        found = load_findings(self._connection, withdrawn)
        return [
            incident_id
            for incident_id in withdrawn
            if all(
                (f.rule_id, f.rule_version, f.threshold, f.timespan_seconds) in ours
                for f in found[incident_id]
            )
        ]

    def _without_allowed(self, found: Sequence[Incident], known: set[str]) -> list[Incident]:
        """The allowlist keeps incidents away, but takes none back that is on record."""
        wanted = [i for i in found if i.id in known or not self._is_allowed(i)]
        self.allowed += len(found) - len(wanted)
        return wanted

    def _is_allowed(self, incident: Incident) -> bool:
        return self._allowlist.reason(incident.source_ip, incident.last_seen) is not None


def _some_at_a_time(parts: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Each join with what is touched costs as much as that is large, so there are few joins."""
    waiting: list[bytes] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= LOAD_BYTES:
            yield waiting
            waiting = []
    yield waiting


def _shadow(rules: RuleSet) -> RuleSet:
    return rules.only(lambda rule: rule.is_shadow)


def _without_shadow(rules: RuleSet) -> RuleSet:
    return rules.only(lambda rule: not rule.is_shadow)


def _load(segment: StoredSegment, rules: RuleSet, *, without: bytes = b"") -> LoadedTally:
    stored = Tally.from_payloads(segment.payloads, segment.objects.keys(), without)
    tally = Tally(*(read_digests(table, rules) for table in stored.tables))
    return LoadedTally(roll_up(tally, rules.ipv6_prefix), segment.objects)
