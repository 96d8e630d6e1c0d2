"""Incidents: suspicious hours of one IP are chained, and matched with the incidents on record."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain as chain_of
from itertools import zip_longest
from typing import Final

from tasks.detect.rules import MAX_TIMESPAN_SECONDS, MINUTE_TIMESPAN_SECONDS, RuleSet
from tasks.detect.suspect_hours import HourFinding, SuspectHour
from tasks.model.incidents import (
    INJECTION_RULE,
    Activity,
    EvidenceLine,
    Family,
    Finding,
    Incident,
    Status,
    StoredIncident,
    rate,
)
from tasks.model.objects import digest

MAX_EVIDENCE: Final = 20

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FAMILIES: Final = list(Family)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What has to happen to the incidents on record so that they say what the chains say."""

    upserts: tuple[Incident, ...]
    """With the id they have or get; status, verdict and research on record are not theirs."""
    merged: tuple[tuple[str, str], ...]
    """(id to close, id it was merged into)."""
    withdrawn: tuple[str, ...]
    """Ids to close because nothing suspicious is left of them."""


def chain(hours: Iterable[SuspectHour], rules: RuleSet, namespace: str) -> list[Incident]:
    """
    The incidents of one IP: maximal chains of hours with gaps shorter than the incident gap.

    Two hours of one slow rule belong together when the gap is shorter than its timespan, and so
    does everything between them.

    Args:
        hours: Of rules of both kinds, in any order.

    Returns:
        In order of time, as suspected, with the id that a new incident gets.
    """
    gap = rules.incident_gap_seconds // 60
    united = _unite(hours)
    starts: list[int] = []
    end: int | None = None
    for first, last in sorted(
        [*((h.first_minute, h.last_minute) for h in united), *_bridges(united)]
    ):
        if end is None or first - (end + 1) >= gap:
            starts.append(first)
        end = last if end is None else max(end, last)
    chains: dict[int, list[SuspectHour]] = defaultdict(list)
    for hour in united:
        chains[bisect_right(starts, hour.first_minute)].append(hour)
    return [_incident(links, namespace) for links in chains.values()]


def reach(
    affected: tuple[int, int], existing: Sequence[StoredIncident], rules: RuleSet
) -> tuple[int, int]:
    """
    The hours of one IP that have to be chained again after *affected* ones were replaced.

    Incidents within the gap of the affected hours, or within the timespan of a slow rule, may grow,
    join, shrink or split, and they are chained as a whole; no other can.

    Args:
        affected: One span of affected_hours().
        existing: The incidents of the IP on record.

    Returns:
        Hours since the epoch, half-open.
    """
    gap = max(rules.incident_gap_seconds, MAX_TIMESPAN_SECONDS) // 60
    start, end = affected[0] * 60, affected[1] * 60
    waiting = [(_minute(i.first_seen), _minute(i.last_seen) + 1) for i in existing if _is_open(i)]
    while near := [(a, b) for a, b in waiting if a - end < gap and start - b < gap]:
        waiting = [span for span in waiting if span not in near]
        start, end = min(start, *(a for a, _ in near)), max(end, *(b for _, b in near))
    return start // 60, -(-end // 60)


def reconcile(
    chains: Sequence[Incident],
    existing: Sequence[StoredIncident],
    rules: RuleSet,
    within: tuple[int, int] | None = None,
) -> Reconciliation:
    """
    What makes the incidents on record say what the chains say.

    An incident on record belongs to the first chain that overlaps it, or else to the first one
    within the gap of it. A chain keeps the earliest incident that belongs to it (by first_seen,
    then id), the others are merged into that one. A chain without one is a new incident.

    Args:
        chains: All chains of one IP in *within*.
        existing: All incidents of that IP on record; closed ones only keep their ids taken.
        within: From reach(), hours; incidents on record outside are left alone. None: all time.
    """
    gap = timedelta(seconds=rules.incident_gap_seconds)
    ordered = sorted(chains, key=lambda c: c.first_seen)
    homes: dict[int, list[StoredIncident]] = defaultdict(list)
    withdrawn = []
    for incident in existing:
        if _is_open(incident) and _is_within(incident, within):
            home = _home(incident, ordered, gap)
            if home is None:
                withdrawn.append(incident.id)
            else:
                homes[home].append(incident)
    taken = {incident.id for incident in existing}
    upserts, merged = [], []
    for number, found in enumerate(ordered):
        ids = [i.id for i in sorted(homes[number], key=lambda i: (i.first_seen, i.id))]
        ids = ids or [_free_id(found, taken)]
        taken.add(ids[0])
        upserts.append(replace(found, id=ids[0]))
        merged += [(other, ids[0]) for other in ids[1:]]
    return Reconciliation(tuple(upserts), tuple(merged), tuple(sorted(withdrawn)))


# one chain


def _unite(hours: Iterable[SuspectHour]) -> list[SuspectHour]:
    """One per hour, in order of time."""
    by_hour: dict[int, list[SuspectHour]] = defaultdict(list)
    for hour in hours:
        by_hour[hour.hour].append(hour)
    return [_unite_two(*by_hour[hour]) for hour in sorted(by_hour)]


def _unite_two(one: SuspectHour, other: SuspectHour | None = None) -> SuspectHour:
    """What slow rules say of an hour is about all of it, so it holds what the others say."""
    if other is None:
        return one
    minutes, whole = sorted((one, other), key=lambda h: any(map(_is_slow, h.findings)))
    return replace(
        whole,
        first_minute=min(minutes.first_minute, whole.first_minute),
        last_minute=max(minutes.last_minute, whole.last_minute),
        findings=tuple(sorted((*minutes.findings, *whole.findings), key=lambda f: f.rule_id)),
        samples=_unite_lines(minutes.samples, whole.samples),
    )


def _unite_lines(*samples: Iterable[EvidenceLine]) -> tuple[EvidenceLine, ...]:
    lines: dict[str, EvidenceLine] = {}
    for line in chain_of(*samples):
        same = lines.get(line.line, line)
        rule_ids = tuple(sorted({*same.rule_ids, *line.rule_ids}))
        lines[line.line] = replace(same, rule_ids=rule_ids)
    return tuple(lines.values())


def _is_slow(finding: HourFinding) -> bool:
    return finding.timespan_seconds > MINUTE_TIMESPAN_SECONDS


def _bridges(hours: Sequence[SuspectHour]) -> Iterator[tuple[int, int]]:
    """From one hour of a slow rule to the next, where that is within its timespan."""
    before: dict[str, HourFinding] = {}
    for hour in hours:
        for finding in filter(_is_slow, hour.findings):
            last = before.get(finding.rule_id)
            if last and finding.first_minute - last.last_minute <= finding.timespan_seconds // 60:
                yield last.first_minute, finding.last_minute
            before[finding.rule_id] = finding


def _incident(hours: Sequence[SuspectHour], namespace: str) -> Incident:
    findings = tuple(sorted(_findings(hours), key=_strength))
    source_ip, first_minute = hours[0].source_ip, hours[0].first_minute
    return Incident(
        id=_id(namespace, source_ip, first_minute),
        namespace=namespace,
        source_ip=source_ip,
        family=_family(findings),
        severity=rate(findings),
        status=Status.SUSPECTED,
        first_seen=_time(first_minute),
        last_seen=_time(hours[-1].last_minute),
        activity=_activity(hours),
        findings=findings,
        evidence=_evidence(hours, findings),
    )


def _findings(hours: Sequence[SuspectHour]) -> Iterator[Finding]:
    by_rule: dict[str, list[HourFinding]] = defaultdict(list)
    for hour in hours:
        for found in hour.findings:
            by_rule[found.rule_id].append(found)
    return (_finding(found) for found in by_rule.values())


def _finding(found: Sequence[HourFinding]) -> Finding:
    """*found* is in order of time. Where the rule has changed, the newest version describes it."""
    rule = max(found, key=lambda f: (f.rule_version, f.first_minute))
    peak = max(found, key=lambda f: (f.peak_count, -f.peak_minute))
    return Finding(
        rule_id=rule.rule_id,
        rule_version=rule.rule_version,
        rule_title=rule.rule_title,
        family=rule.family,
        severity=rule.severity,
        techniques=rule.techniques,
        is_signature=rule.is_signature,
        timespan_seconds=rule.timespan_seconds,
        threshold=rule.threshold,
        count=peak.peak_count,
        event_count=sum(f.event_count for f in found),
        window_start=_time(peak.peak_minute),
        first_seen=_time(found[0].first_minute),
        last_seen=_time(found[-1].last_minute),
    )


def _strength(finding: Finding) -> tuple[bool, int, int, str]:
    return (
        not finding.is_signature,
        -finding.severity.rank,
        -finding.event_count,
        finding.rule_id,
    )


def _family(findings: Sequence[Finding]) -> Family:
    """
    What most of the matched content is; where only counts matched, what the worst rule says.

    An event that two rules of a family match counts twice: matched events are not kept apart.
    Text for the analyst is no attack of its own beside others: it cannot give them its name.
    """
    findings = [f for f in findings if f.rule_id != INJECTION_RULE] or findings
    signatures = [f for f in findings if f.is_signature]
    if not signatures:
        return min(findings, key=lambda f: (*_strength(f)[:3], _FAMILIES.index(f.family))).family
    events: dict[Family, int] = defaultdict(int)
    severity: dict[Family, int] = defaultdict(int)
    for finding in signatures:
        events[finding.family] += finding.event_count
        severity[finding.family] = max(severity[finding.family], finding.severity.rank)
    return min(events, key=lambda f: (-events[f], -severity[f], _FAMILIES.index(f)))


def _activity(hours: Sequence[SuspectHour]) -> Activity:
    responses: dict[str, int] = defaultdict(int)
    for hour in hours:
        for response, count in hour.responses.items():
            responses[response] += count
    addresses: dict[str, int] = defaultdict(int)
    for hour in hours:
        for address, count in hour.addresses.items():
            addresses[address] += count
    leading = sorted(addresses, key=lambda address: (-addresses[address], address))
    return Activity(
        request_count=sum(hour.request_count for hour in hours),
        responses={response: responses[response] for response in sorted(responses)},
        most_active_address=leading[0] if leading else None,
    )


def _evidence(
    hours: Sequence[SuspectHour], findings: Sequence[Finding]
) -> tuple[EvidenceLine, ...]:
    """Lines in turn from each signature rule, then from each other rule, then ordinary ones."""
    lines: dict[str, EvidenceLine] = {}
    for hour in hours:
        for sample in hour.samples:
            lines.setdefault(sample.line, sample)
    by_rule: dict[str, list[EvidenceLine]] = defaultdict(list)
    for line in lines.values():
        for rule_id in line.rule_ids:
            by_rule[rule_id].append(line)
    ranked: list[EvidenceLine] = []
    for is_signature in (True, False):
        rule_ids = [f.rule_id for f in findings if f.is_signature is is_signature]
        ranked += _take_turns([by_rule[rule_id] for rule_id in rule_ids])
    ranked += [line for line in lines.values() if not line.rule_ids]
    once = {line.line: line for line in ranked}
    return tuple(once.values())[:MAX_EVIDENCE]


def _take_turns(queues: Sequence[Sequence[EvidenceLine]]) -> Iterator[EvidenceLine]:
    for turn in zip_longest(*queues):
        yield from filter(None, turn)


# chains and what is on record


def _home(incident: StoredIncident, chains: Sequence[Incident], gap: timedelta) -> int | None:
    minute = timedelta(minutes=1)
    near = None
    for number, found in enumerate(chains):
        before = incident.first_seen - (found.last_seen + minute)
        after = found.first_seen - (incident.last_seen + minute)
        if max(before, after) < timedelta(0):
            return number
        if near is None and max(before, after) < gap:
            near = number
    return near


def _is_open(incident: StoredIncident) -> bool:
    return incident.status is not Status.CLOSED


def _is_within(incident: StoredIncident, within: tuple[int, int] | None) -> bool:
    first, last = _minute(incident.first_seen) // 60, _minute(incident.last_seen) // 60
    return within is None or (last >= within[0] and first < within[1])


def _free_id(found: Incident, taken: set[str]) -> str:
    candidate, count = found.id, 1
    while candidate in taken:
        count += 1
        candidate = digest(found.id, count)
    return candidate


def _id(namespace: str, source_ip: str, first_minute: int) -> str:
    return digest(namespace, source_ip, first_minute)


@lru_cache(maxsize=10_000)
def _time(minute: int) -> datetime:
    return _EPOCH + timedelta(minutes=minute)


def _minute(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(minutes=1)
