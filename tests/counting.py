"""Lines to count, what is counted of them, and a slow reference that defines the truth."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import xxhash
from hypothesis import strategies as st

from tasks.detect.addressed import Addressed
from tasks.detect.counted_hours import CountedHours, HourCounter, add_lines
from tasks.detect.evaluate import evaluate
from tasks.detect.loading import LoadedTally, load
from tasks.detect.rules import MAX_DISTINCT_VALUES, Rule, RuleSet, load_rules
from tasks.detect.samples import ORDINARY, keep_lowest, sample_limits, sample_shares
from tasks.detect.suspect_hours import HourFinding, SuspectHour
from tasks.detect.tally import Tally, WrittenTally
from tasks.detect.tally_builder import TallyBuilder
from tasks.detect.touched import Touched
from tasks.model.events import Event, EventCategory

RULES = load_rules(Path(__file__).parent / "data" / "rules" / "counting.yml")
NEW_YEAR = 1767225600 // 60
"""2026-01-01 00:00 UTC in minutes since the epoch: an hour, a midnight and a year begin."""
ATTACKER = "203.0.113.7"


@dataclass(frozen=True)
class Line:
    """An event with its line, as a reader gives it to a sink."""

    event: Event
    text: bytes
    number: int = 1


def request(
    minute: int, path: str = "/", *, source_ip: str = ATTACKER, status: int = 200, second: int = 0
) -> Line:
    """A web request in a minute since the epoch."""
    url_path, _, query = path.partition("?")
    event = Event(
        timestamp=minute * 60 + second,
        source_ip=source_ip,
        category=EventCategory.WEB,
        http_request_method="GET",
        url_original=path,
        url_path=url_path,
        url_query=query or None,
        http_response_status_code=status,
    )
    return Line(event, f"{source_ip} {event.timestamp} GET {path} {status}".encode())


def login(
    minute: int, *, source_ip: str = ATTACKER, outcome: str = "failure", second: int = 0
) -> Line:
    """An ssh login in a minute since the epoch."""
    event = Event(
        timestamp=minute * 60 + second,
        source_ip=source_ip,
        category=EventCategory.AUTHENTICATION,
        event_action="ssh_login",
        event_outcome=outcome,
        user_name="root",
    )
    return Line(event, f"{source_ip} {event.timestamp} sshd {outcome}".encode())


def count(extents: Sequence[Sequence[Line]], rules: RuleSet = RULES) -> Tally:
    """The tally of a batch whose extents hold these lines."""
    builder = TallyBuilder(rules)
    for extent, lines in enumerate(extents):
        sink = builder.sink(extent)
        for line in lines:
            sink(line.event, line.number, line.text)
    return built(builder)


def built(builder: TallyBuilder) -> Tally:
    """Everything counted so far as one tally."""
    return added_up(builder.write(), builder._limits)


def added_up(written: WrittenTally, limits: Mapping[str, int]) -> Tally:
    """What all parts say together, in the order of the texts."""
    counts, values, samples = (table.named() for table in written.read().tables)
    place = ["extent", "source_ip", "minute"]
    rank = pl.col("value_hash").rank("ordinal").over(*place, "counter")
    once = samples.sort("line_number").unique([*place, "line_hash"], keep="first")
    tables = (
        counts.group_by(*place, "counters").agg(pl.col("count").sum()),
        values.unique().filter(rank <= MAX_DISTINCT_VALUES),
        keep_lowest(once, limits, place).select(samples.columns),
    )
    return Tally(*(Addressed.of(table.sort(_without_texts(table))) for table in tables))


def _without_texts(table: pl.DataFrame) -> list[str]:
    """What its rows are ordered by."""
    (counters,) = (name for name in table.columns if name.startswith("counter"))
    place = ["source_ip", "minute", counters, "extent"]
    return [*place, *(name for name in table.columns if name not in {*place, "line"})]


def loaded(extents: Sequence[Sequence[Line]], rules: RuleSet = RULES) -> LoadedTally:
    """The same as it comes back from a database, with an object key per extent."""
    tally = Tally.from_payloads(count(extents, rules).to_payloads())
    return LoadedTally(tally, {number: f"{number}.log" for number in range(len(extents))})


def count_hours(
    tallies: Sequence[LoadedTally], touched: Touched, rules: RuleSet = RULES
) -> CountedHours:
    """The touched hours as slow rules see them, of all that is on record of them."""
    counter = HourCounter(rules, touched)
    for each in tallies:
        counter.add(each.tally.counts, each.tally.values)
    found, busy = counter.count()
    return add_lines(found, rules, load(tallies, touched, rules), busy)


def suspect_hours(lines: Iterable[Line], rules: RuleSet = RULES) -> list[SuspectHour]:
    """What the engine says of these lines in one extent."""
    tally = loaded([list(lines)], rules)
    return evaluate(rules, [tally], Touched.by([tally.tally]))


# generated lines

_PATHS = ["/", "/a", "/b", "/c", "/admin/1", "/admin/2", "/a?id=1+union+select+2"]
_STARTS = st.one_of(
    st.sampled_from([NEW_YEAR - 121, NEW_YEAR - 61, NEW_YEAR - 3, NEW_YEAR + 58, NEW_YEAR + 61]),
    st.integers(NEW_YEAR - 130, NEW_YEAR + 130),
)
SOURCE_IPS = [ATTACKER, "2001:db8::7"]
_SOURCE_IPS = st.sampled_from([ATTACKER, *SOURCE_IPS])
_OFFSETS = st.integers(0, 6)
_REQUESTS = st.tuples(_OFFSETS, st.sampled_from(_PATHS), st.sampled_from([200, 404, 999]))
_MISSING = st.tuples(_OFFSETS, st.sampled_from(_PATHS), st.just(404))
_LOGINS = st.tuples(_OFFSETS, st.sampled_from(["failure", "failure", "success"]))


@st.composite
def bursts(draw: st.DrawFn) -> list[Line]:
    """A few lines of one IP close together."""
    source_ip, start = draw(_SOURCE_IPS), draw(_STARTS)
    if draw(st.booleans()):
        return [
            login(start + 9 * offset, source_ip=source_ip, outcome=outcome)
            for offset, outcome in draw(st.lists(_LOGINS, min_size=1, max_size=5))
        ]
    found = draw(st.lists(st.one_of(_REQUESTS, _MISSING), min_size=1, max_size=9))
    return [
        request(start + offset, path, source_ip=source_ip, status=status, second=second)
        for second, (offset, path, status) in enumerate(found)
    ]


def lines_of(max_bursts: int) -> st.SearchStrategy[list[Line]]:
    """Lines that are worth counting: quiet minutes, hot ones, and hours apart."""
    return st.lists(bursts(), max_size=max_bursts).map(lambda found: [e for b in found for e in b])


# the truth, one event at a time and window by window


def reference_hours(
    lines: Iterable[Line], rules: RuleSet = RULES, *, is_slow: bool = False
) -> list[SuspectHour]:
    """What has to be said of *lines*, without references into objects."""
    by_ip: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_ip[line.event.source_ip].append(line)
    return [h for ip in sorted(by_ip) for h in _hours_of(ip, by_ip[ip], rules, is_slow)]


def _hours_of(
    source_ip: str, lines: Sequence[Line], rules: RuleSet, is_slow: bool
) -> list[SuspectHour]:
    unit = 60 if is_slow else 1
    found = [(r, *_judge(r, lines, rules)) for r in rules.rules if r.is_slow is is_slow]
    suspicious = sorted({m for _, minutes, _ in found for m in minutes})
    hours = []
    for hour in sorted({m * unit // 60 for m in suspicious}):
        mine = [m for m in suspicious if m * unit // 60 == hour]
        there = [e for e in lines if _minute(e) // unit in mine]
        responses: dict[str, int] = defaultdict(int)
        for line in there:
            if answer := _answer(line.event):
                responses[answer] += 1
        findings = [
            _hour_finding(rule, [m for m in minutes if m in mine], hot, lines, rules)
            for rule, minutes, hot in found
            if any(m in mine for m in minutes)
        ]
        hours.append(
            SuspectHour(
                source_ip=source_ip,
                hour=hour,
                first_minute=min(f.first_minute for f in findings),
                last_minute=max(f.last_minute for f in findings),
                findings=tuple(sorted(findings, key=lambda f: f.rule_id)),
                request_count=len(there),
                responses=dict(sorted(responses.items())),
                samples=(),
            )
        )
    return hours


def _judge(
    rule: Rule, all_lines: Sequence[Line], rules: RuleSet
) -> tuple[list[int], dict[int, int]]:
    """Suspicious minutes (hours of a slow rule), and the count of each hot window by its start."""
    unit = 60 if rule.is_slow else 1
    width = rule.timespan_seconds // 60 // unit
    lines = [e for e in all_lines if _is_selected(rule, e, rules)]
    if rule.after is not None:
        (first,) = (r for r in rules.rules if r.counter == rule.after)
        before = [_minute(e) for e in all_lines if _is_selected(first, e, rules)]
        ends = {_minute(e): 0 for e in lines}
        ends = {m: sum(m - width < b <= m for b in before) for m in ends}
        hot = {m - width + 1: n for m, n in ends.items() if n >= rule.threshold}
        return sorted(s + width - 1 for s in hot), hot
    minutes = {_minute(e) // unit for e in lines}
    hot = {}
    for start in sorted({m - d for m in minutes for d in range(width)}):
        inside = [e for e in lines if start <= _minute(e) // unit < start + width]
        size = (
            len(inside)
            if rule.type == "event_count"
            else min(len({rule.value(e.event) for e in inside}), 128)
        )
        if size >= rule.threshold:
            hot[start] = size
    suspicious = sorted(m for m in minutes if any(s <= m < s + width for s in hot))
    return suspicious, {s: n for s, n in hot.items() if s in minutes}


def _hour_finding(
    rule: Rule, minutes: Sequence[int], hot: dict[int, int], lines: Sequence[Line], rules: RuleSet
) -> HourFinding:
    unit = 60 if rule.is_slow else 1
    width = rule.timespan_seconds // 60 // unit
    here = {s: n for s, n in hot.items() if any(s <= m < s + width for m in minutes)}
    if rule.after is not None:
        here = {s: n for s, n in hot.items() if s + width - 1 in minutes}
    peak = max(here.values())
    mine = [e for e in lines if _is_selected(rule, e, rules) and _minute(e) // unit in minutes]
    return HourFinding(
        rule_id=rule.id,
        rule_version=rule.version,
        rule_title=rule.title,
        family=rule.family,
        severity=rule.severity,
        techniques=rule.techniques,
        is_signature=rule.is_signature,
        timespan_seconds=rule.timespan_seconds,
        threshold=rule.threshold,
        first_minute=min(map(_minute, mine)),
        last_minute=max(map(_minute, mine)),
        event_count=len(mine),
        peak_count=peak,
        peak_minute=unit * min(s for s, n in here.items() if n == peak),
    )


def reference_samples(lines: Iterable[Line], rules: RuleSet = RULES) -> set[bytes]:
    """The lines of one IP that may be kept at all, of all its minutes."""
    limits, shares = sample_limits(rules), sample_shares(rules)
    by_slot: dict[tuple[int, str], set[bytes]] = defaultdict(set)
    for line in lines:
        counters = [r.counter for r in rules.rules if _is_selected(r, line, rules)]
        slots = [c for c in counters if c in limits]
        share = min((shares[c] for c in slots), default=shares[ORDINARY])
        for slot in slots or [""]:
            if _line_hash(line.text) % share:
                continue
            by_slot[_minute(line), slot].add(line.text)
    return {
        text
        for (_, slot), texts in by_slot.items()
        for text in sorted(texts, key=_line_hash)[: limits.get(slot, 2)]
    }


def _line_hash(text: bytes) -> int:
    return xxhash.xxh64_intdigest(text)


def _is_selected(rule: Rule, line: Line, rules: RuleSet) -> bool:
    is_selected = rule.selects(line.event, rules.signature_set.match(line.event))
    return is_selected and (rule.type != "value_count" or rule.value(line.event) is not None)


def _answer(event: Event) -> str | None:
    if event.category is EventCategory.AUTHENTICATION:
        return f"ssh_{event.event_outcome}"
    status = event.http_response_status_code or 0
    return f"{status // 100}xx" if 200 <= status < 600 else None


def _minute(line: Line) -> int:
    return line.event.timestamp // 60
