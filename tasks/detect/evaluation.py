"""Evaluation: what is on record of a namespace is brought to what all its counts say."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain as chain_of
from itertools import groupby, zip_longest
from operator import itemgetter
from typing import Final

import polars as pl

from tasks.detect.addressed import hash_names
from tasks.detect.allowlist import Allowlist
from tasks.detect.columns import IsWanted, Rows
from tasks.detect.counted_hours import (
    CountedHours,
    HourCounter,
    add_lines,
    affected_by_hours,
    evaluate_hours,
    needed_hours,
    slow_candidates,
    slow_reach,
)
from tasks.detect.digests import read_digests
from tasks.detect.evaluate import judge
from tasks.detect.incidents import chain, reach, reconcile
from tasks.detect.loading import LoadedTally, Recent, Survey, load, load_within
from tasks.detect.networks import Grouping, Watch, touched_groups
from tasks.detect.rules import GroupBy, RuleSet
from tasks.detect.subjects import among, roll_up
from tasks.detect.suspect_hours import SuspectHour
from tasks.detect.tally import Tally, read_lines
from tasks.detect.touched import (
    HOUR,
    MARGIN,
    Span,
    Touched,
    Weight,
    affected_hours,
    hours_around,
    merge_spans,
    needed_minutes,
    told_minutes,
)
from tasks.model.incidents import Incident
from tasks.model.parts import PartKey
from tasks.store.counted_hours import load_counted, replace_counted
from tasks.store.engine import Transaction, chunks
from tasks.store.incidents import close_incident, load_findings, stored_incidents, write_evidence
from tasks.store.suspects import known_suspects, load_hours, replace_hours, suspected_hours
from tasks.store.tallies import (
    StoredPart,
    load_overlapping,
    load_part,
    load_pending,
    mark_evaluated,
    pending,
)

TOGETHER: Final = 200
"""Source IPs whose incidents are written together."""
SLOW_HOURS: Final = 96
"""That slow rules speak of at once; each takes a window more on both sides."""
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
        self._recent = Recent()
        self.allowed = 0
        self.shadow: dict[str, set[str]] = {rule.id: set() for rule in _shadow(rules).rules}

    def update(self, new: Iterator[StoredPart]) -> None:
        """What these parts touch is up to date, as far as what is on record says it."""
        weights: list[Weight] = []
        touched, counted = self._touched(new, weights)
        watches = [Watch(grouping) for grouping in self._groupings]
        affected: dict[str, list[Span]] = defaultdict(list)
        candidates: list[set[str]] = [set() for _ in watches]
        for piece in touched.slices(weights=weights):
            for source_ip, spans in self._update_hours(piece, watches).items():
                affected[source_ip] += spans
            for names, watch in zip(candidates, watches, strict=True):
                names.update(watch.candidates())
        self._recent = Recent(0)
        # what is told of addresses is not told of their networks: all addresses come first
        suspects = dict(affected)
        for grouping, own, names in zip(self._groupings, counted, candidates, strict=True):
            groups = touched_groups(grouping, own, suspects)
            for piece in groups.slices():
                for name, spans in self._update_groups(grouping, piece, names).items():
                    affected[name] += spans
        # a long window reaches over many pieces, and so may an incident: all hours come first
        for piece in self._slow_slices(touched):
            for source_ip, spans in self._update_slow_hours(piece).items():
                affected[source_ip] += spans
        self._update_incidents(affected)

    def _touched(
        self, parts: Iterator[StoredPart], weights: list[Weight]
    ) -> tuple[Touched, list[Touched]]:
        """By any line, and of each grouping by a line that it counts; parts are weighed."""
        counted: list[list[pl.DataFrame]] = [[] for _ in self._groupings]

        def pieces() -> Iterator[pl.DataFrame]:
            for part in parts:
                weights.append((*part.minutes, len(part.payload)))
                tally = self._read(part, without=b"VS").tally
                for own, grouping in zip(counted, self._groupings, strict=True):
                    own.append(grouping.touched(tally).hours)
                yield Touched.by([tally]).hours

        return Touched.united(pieces()), [Touched.united(own) for own in counted]

    def _update_hours(self, touched: Touched, watches: Sequence[Watch]) -> dict[str, list[Span]]:
        connection, namespace = self._connection, self._namespace
        needed = needed_minutes(touched, self._all_rules)
        if not needed:
            return {}
        told, within = told_minutes(touched, self._all_rules), (needed[0][0], needed[-1][1])
        fast = [rule for rule in self._counted.rules if not rule.is_slow]
        survey = Survey(fast, (told[0][0], told[-1][1]))
        counter = HourCounter(self._counted, touched.own)
        if touched.shares > 1 and touched.share == 0:
            self._notice_all(watches, touched.spoken)
        for part in self._load_counts(needed, touched):
            if touched.shares == 1:
                _notice(watches, part, needed)
            near = part.tally.within(within)
            survey.notice(near.counts, near.values)
            counter.add(near.counts, near.values)
        found, busy = counter.count()
        ips = touched.only(pl.concat([survey.candidates(), busy.ips])).ips
        # most source IPs need not show any lines
        lines = self._load(told, among(ips, self._all_rules.ipv6_prefix), without=b"CV")
        counts = self._load_counts(needed, touched.only(ips))
        few = load_within(chain_of(counts, lines), ips, within)
        judged = judge(self._rules, few, touched, self._all_rules)
        in_shadow = judge(self._shadow_rules, few, touched)
        if self._has_slow_rules:
            self._store_hours(
                add_lines(found, self._counted, few, busy, self._all_rules), touched.own
            )
        self._note_shadow(in_shadow)
        hours = list(judged)
        known = known_suspects(connection, namespace, hours_around(needed))
        suspects = known | {hour.source_ip for hour in hours}
        affected = affected_hours(touched, self._rules, suspects)
        stored = [(h.source_ip, h.hour, h) for h in hours]
        replace_hours(connection, namespace, affected, stored)
        return affected

    def _load(
        self, spans: Sequence[Span], is_wanted: IsWanted | None = None, *, without: bytes = b""
    ) -> Iterator[LoadedTally]:
        """What is on record of these minutes."""
        for part in load_overlapping(self._connection, self._namespace, spans):
            loaded = self._read(part, is_wanted, without=without)
            if not loaded.is_empty:
                yield loaded

    def _notice_all(self, watches: Sequence[Watch], hours: Span) -> None:
        """What the IPs of all shares did, whichever minutes of theirs are touched."""
        around = [((hours[0] - MARGIN) * HOUR, (hours[1] + MARGIN) * HOUR)]
        for part in self._load(around, without=b"VS") if watches else ():
            _notice(watches, part, around)

    def _load_counts(
        self, spans: Sequence[Span], touched: Touched | None = None
    ) -> Iterator[LoadedTally]:
        """
        The same but for samples; slices that follow each other share most of it.

        Of a share of the IPs that are *touched*, only what is about these.
        """
        if touched is not None and touched.shares > 1:
            mine = among(touched.ips, self._all_rules.ipv6_prefix)
            return self._load(spans, mine, without=b"S")
        known = self._recent.keys()
        parts = load_overlapping(self._connection, self._namespace, spans, known)
        loads = ((part.key, partial(self._read, part, without=b"S")) for part in parts)
        return (loaded for loaded in self._recent.read(loads) if not loaded.is_empty)

    def _read(
        self, part: StoredPart, is_wanted: IsWanted | None = None, *, without: bytes = b""
    ) -> LoadedTally:
        stored = Tally.from_payloads(
            [part.payload], part.objects.keys(), without, is_wanted, is_light=True
        )
        tally = Tally(*(read_digests(table, self._all_rules) for table in stored.tables))
        lines = partial(self._read_lines, part.key)
        return LoadedTally(roll_up(tally, self._all_rules.ipv6_prefix), part.objects, lines)

    def _read_lines(self, key: PartKey, rows: Rows) -> pl.Series:
        return read_lines(load_part(self._connection, self._namespace, key), rows)

    def _update_groups(
        self, grouping: Grouping, touched: Touched, noticed: set[str]
    ) -> dict[str, list[Span]]:
        connection, namespace = self._connection, self._namespace
        around = hours_around(needed_minutes(touched, grouping.rules))
        known = known_suspects(connection, namespace, around)
        touched = touched.only(_hashes(noticed | known))
        needed = needed_minutes(touched, grouping.rules)
        if not needed:
            return {}
        alone = pl.DataFrame(
            suspected_hours(connection, namespace, around),
            schema={"source_ip": pl.String, "hour": pl.Int32},
            orient="row",
        )
        is_allowed = self._is_allowed_in if self._allowlist else None
        united = (grouping.unite(tally, alone, is_allowed) for tally in self._load(needed))
        loaded = load(united, touched, grouping.rules)
        self._note_shadow(judge(_shadow(grouping.rules), loaded, touched))
        hours = list(judge(_without_shadow(grouping.rules), loaded, touched, self._all_rules))
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

    def _counted_hours(
        self, spans: Sequence[Span], is_wanted: IsWanted, *, without: bytes = b""
    ) -> Iterator[CountedHours]:
        """What is counted of each of these hours."""
        for span in spans:
            parts = load_counted(self._connection, self._namespace, span)
            for _, own in groupby(parts, key=itemgetter(0)):
                yield self._read_counted((part for _, part in own), without, is_wanted)

    def _read_counted(
        self, parts: Iterable[bytes], without: bytes = b"", is_wanted: IsWanted | None = None
    ) -> CountedHours:
        stored = CountedHours.from_payloads(parts, without, is_wanted)
        return CountedHours(*(read_digests(t, self._all_rules) for t in stored.tables))

    def _slow_slices(self, touched: Touched) -> Iterator[Touched]:
        """Only what is touched of those whom slow rules may find, or have found."""
        if touched.is_empty or not self._has_slow_rules:
            return
        spans = needed_hours(touched, self._counted)
        hours = self._counted_hours(spans, among(touched.ips), without=b"SA")
        found = slow_candidates(self._counted, hours)
        around = (spans[0][0], spans[-1][1])
        known = known_suspects(self._connection, self._namespace, around, is_slow=True)
        few = touched.only(pl.concat([found, _hashes(known)]))
        yield from few.slices(slow_reach(self._counted), SLOW_HOURS, is_by_hour=False)

    def _update_slow_hours(self, touched: Touched) -> dict[str, list[Span]]:
        connection, namespace = self._connection, self._namespace
        needed = needed_hours(touched, self._counted)
        counted = CountedHours.united(self._counted_hours(needed, among(touched.ips)))
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

    def _note_shadow(self, hours: Iterable[SuspectHour]) -> None:
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
        reached = {ip: reach(span, existing[ip], self._rules) for ip, span in affected.items()}
        payloads = load_hours(connection, namespace, reached)
        for source_ip, within in reached.items():
            known = existing[source_ip]
            hours = map(SuspectHour.from_json, payloads[source_ip])
            chains = chain(hours, self._rules, namespace)
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


def _notice(watches: Sequence[Watch], part: LoadedTally, minutes: Sequence[Span]) -> None:
    for watch in watches:
        watch.notice(part.tally, minutes)


def _hashes(source_ips: Collection[str]) -> pl.Series:
    return hash_names(pl.Series(list(source_ips), dtype=pl.String))


def _shadow(rules: RuleSet) -> RuleSet:
    return rules.only(lambda rule: rule.is_shadow)


def _without_shadow(rules: RuleSet) -> RuleSet:
    return rules.only(lambda rule: not rule.is_shadow)
