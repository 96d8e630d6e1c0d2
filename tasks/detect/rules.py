"""Rules: what rules.yml says, checked, and ready to ask of an event. tally_builder counts."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from tasks.detect.selections import (
    FIELDS,
    Kind,
    Selection,
    build_selection,
    check_selection,
)
from tasks.detect.signatures import (
    DEFAULT_FIELDS,
    PatternError,
    Signature,
    SignatureSet,
    Strength,
    TextField,
    compile_pattern,
)
from tasks.model.document import Document, Entry, EntryModel, Location, read_document
from tasks.model.errors import ConfigurationError
from tasks.model.events import Event
from tasks.model.incidents import Family, Severity

SHIPPED_RULES: Final = Path(__file__).with_name("rules.yml")
MAX_DISTINCT_VALUES: Final = 128
"""A tally keeps this many distinct values per rule and minute, so no more can be asked for."""
MINUTE_TIMESPAN_SECONDS: Final = 3600
"""Up to here windows are of whole minutes; longer ones are of whole hours."""
MAX_TIMESPAN_SECONDS: Final = 24 * 3600
MIN_INCIDENT_GAP_SECONDS: Final = 3600

MIN_NETWORK_ADDRESSES: Final = 5
"""A network or autonomous system is suspicious when so many of its addresses take part."""

RuleType = Literal["event_count", "value_count", "temporal_ordered"]


class GroupBy(StrEnum):
    """Whose events a rule counts together."""

    SOURCE_IP = "source_ip"
    """One address; of IPv6 one network of `ipv6-prefix` bits."""
    SOURCE_NETWORK = "source_network"
    """All addresses of an IPv4 /24 or IPv6 /48 that no rule finds suspicious by themselves."""
    SOURCE_ASN = "source_asn"
    """The same of an autonomous system."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: which events it counts per subject, and from how many on it matches."""

    id: str
    version: int
    title: str
    type: RuleType
    field: str | None
    """value_count: the field whose distinct values are counted."""
    timespan_seconds: int
    """Whole minutes; above an hour whole hours."""
    threshold: int
    """The rule matches at this count or more within the timespan."""
    family: Family
    severity: Severity
    techniques: tuple[str, ...]
    """ATT&CK ids."""
    is_signature: bool
    """A selected event is evidence by its content."""
    counter: str
    """Names the tally column; what another version of the rule has counted is not its own."""
    selection: Selection = dataclasses.field(compare=False, repr=False)
    after: str | None = None
    """temporal_ordered: the counter of the rule whose events are counted before a selected one."""
    group_by: GroupBy = GroupBy.SOURCE_IP
    is_shadow: bool = False
    """Counted and reported, but never a finding."""
    references: tuple[str, ...] = ()
    threshold_reason: str = ""
    falsepositives: tuple[str, ...] = ()
    matches: tuple[tuple[str, ...], ...] = dataclasses.field(default=(), compare=False, repr=False)
    """Examples: groups of log lines of one source IP that the rule matches."""
    ignores: tuple[tuple[str, ...], ...] = dataclasses.field(default=(), compare=False, repr=False)
    """Examples: groups of log lines that it does not match."""

    @property
    def is_slow(self) -> bool:
        """Whether its windows are of whole hours."""
        return self.timespan_seconds > MINUTE_TIMESPAN_SECONDS

    def selects(self, event: Event, hits: tuple[Signature, ...]) -> bool:
        """Whether the rule counts *event*, which the signatures *hits* hit."""
        return self.selection.selects(event, hits)

    def value(self, event: Event) -> str | None:
        """value_count: the value to count; None when the event has none, or nothing to count."""
        found = getattr(event, self.field) if self.field else None
        return None if found is None else str(found)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Everything that rules.yml says."""

    rules: tuple[Rule, ...]
    signatures: tuple[Signature, ...]
    incident_gap_seconds: int
    signature_set: SignatureSet = dataclasses.field(compare=False, repr=False)
    ipv6_prefix: int = 64
    """IPv6 clients are counted by networks of this size."""

    def by(self, *group_by: GroupBy) -> Self:
        """The rules that count by one of these."""
        return self.only(lambda rule: rule.group_by in group_by)

    @property
    def max_timespan_seconds(self) -> int:
        """How far the longest window reaches."""
        return max((rule.timespan_seconds for rule in self.rules), default=60)

    def only(self, is_wanted: Callable[[Rule], bool]) -> Self:
        """These rules without the others; what is counted stays as it is."""
        return replace(self, rules=tuple(filter(is_wanted, self.rules)))


class Override(BaseModel):
    """Another threshold or timespan for one rule, in one run."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"threshold": 100, "timespan": "10m"}]},
    )

    threshold: Annotated[
        int | None,
        Field(ge=1, description="The rule matches at this count or more. Unset: as in rules.yml."),
    ] = None
    timespan: Annotated[
        str | None,
        Field(
            description="Width of the window: 1m to 1h in whole minutes, for a rule with a longer "
            "one 2h to 24h in whole hours. Unset: as in rules.yml.",
            examples=["5m", "1h"],
        ),
    ] = None

    @field_validator("timespan")
    @classmethod
    def _is_timespan(cls, timespan: str | None) -> str | None:
        if timespan is not None:
            parse_rule_timespan(timespan)
        return timespan


class RuleOverride(Override):
    """Another threshold or timespan for the rule that it names: a form can ask for these."""

    rule: Annotated[
        str, Field(description="Id of a rule in rules.yml.", examples=["http-request-volume"])
    ]


Overrides = list[RuleOverride] | dict[str, Override]
"""One by one, each with the rule it is for, or by rule id."""


def by_rule(overrides: Overrides | None) -> dict[str, Override]:
    """
    Each override by the id of its rule.

    Raises:
        ConfigurationError: Two are for the same rule.
    """
    if overrides is None or isinstance(overrides, dict):
        return overrides or {}
    found = {o.rule: Override(threshold=o.threshold, timespan=o.timespan) for o in overrides}
    if len(found) < len(overrides):
        raise ConfigurationError("The thresholds name a rule twice: give one of each rule.")
    return found


def load_rules(path: Path | None = None) -> RuleSet:
    """
    The shipped rules with those in *path* laid over them. The same text is compiled once.

    An entry of *path* with the id of a shipped one replaces those of its keys that it names; any
    other id is a new rule or signature. With `extends: none` nothing of the shipped rules remains.

    Raises:
        ConfigurationError: The file cannot be read, or says something that makes no sense; one
            message names every problem with its line and field.
    """
    shipped = read_document("rules file", SHIPPED_RULES)
    if path is None or path == SHIPPED_RULES:
        return _parse(str(SHIPPED_RULES), shipped, None)
    return _parse(str(path), read_document("rules file", path), shipped)


def with_thresholds(rules: RuleSet, overrides: Mapping[str, Override]) -> RuleSet:
    """
    *rules* with other thresholds and timespans; counters stay, so stored tallies still serve.

    Raises:
        ConfigurationError: A rule id is unknown, or a threshold cannot be counted.
    """
    known = {rule.id for rule in rules.rules}
    unknown = sorted(set(overrides) - known)
    if unknown:
        raise ConfigurationError(
            f"No rule is called {', '.join(unknown)}; thresholds can be given for "
            f"{', '.join(sorted(known))}."
        )
    return replace(rules, rules=tuple(_override(r, overrides.get(r.id)) for r in rules.rules))


def _override(rule: Rule, override: Override | None) -> Rule:
    if override is None:
        return rule
    threshold = rule.threshold if override.threshold is None else override.threshold
    timespan = override.timespan
    if rule.type == "value_count" and threshold > MAX_DISTINCT_VALUES:
        raise ConfigurationError(
            f"The threshold {threshold} of rule {rule.id} is beyond the {MAX_DISTINCT_VALUES} "
            "distinct values that are kept; choose a smaller one."
        )
    changed = replace(
        rule,
        threshold=threshold,
        timespan_seconds=parse_rule_timespan(timespan) if timespan else rule.timespan_seconds,
    )
    if changed.is_slow is not rule.is_slow:
        raise ConfigurationError(
            f"The timespan {timespan} of rule {rule.id} cannot be counted in one run, because "
            "up to 1h minutes are counted and above it hours; change it in the rules file."
        )
    return changed


# what the file may say


def parse_timespan(text: object) -> int:
    """
    Seconds of a timespan in Sigma's spelling.

    >>> parse_timespan("10m")
    600
    """
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"{text!r} is no timespan; write a number and s, m, h or d, such as 10m")
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def parse_rule_timespan(text: object) -> int:
    """Seconds of a timespan that a rule can have: whole minutes to 1h, then whole hours to 24h."""
    seconds = parse_timespan(text)
    unit = 60 if seconds <= MINUTE_TIMESPAN_SECONDS else 3600
    if seconds % unit or seconds > MAX_TIMESPAN_SECONDS:
        raise ValueError(f"{text!r} must be whole minutes from 1m to 1h, or whole hours to 24h")
    return seconds


def _parse_gap(text: object) -> int:
    seconds = parse_timespan(text)
    if seconds < MIN_INCIDENT_GAP_SECONDS or seconds % 60:
        raise ValueError(f"{text!r} must be whole minutes, at least 1h")
    return seconds


Id = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Sentence = Annotated[str, Field(min_length=1)]
Technique = Annotated[str, Field(pattern=r"^T\d{4}(\.\d{3})?$")]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class _SignatureEntry(Entry):
    id: Id
    family: Family
    strength: Strength
    fields: Annotated[tuple[TextField, ...], Field(min_length=1)] = DEFAULT_FIELDS
    pattern: Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1)]
    matches: Annotated[tuple[str | dict[TextField, str], ...], Field(min_length=1)]
    ignores: tuple[str | dict[TextField, str], ...] = ()


class _Repeated(Entry):
    line: str
    """`{n}` in it counts from 1."""
    times: Annotated[int, Field(ge=2, le=10_000)]


class _Examples(Entry):
    matches: Annotated[tuple[tuple[str | _Repeated, ...], ...], Field(min_length=1)]
    ignores: Annotated[tuple[tuple[str | _Repeated, ...], ...], Field(min_length=1)]


class _Condition(Entry):
    gte: Annotated[int, Field(ge=1)]


class _RuleEntry(Entry):
    id: Id
    version: Annotated[int, Field(ge=1)]
    title: Sentence
    type: RuleType
    field: str | None = None
    selection: dict[str, Any] | list[dict[str, Any]]
    after: Id | None = None
    group_by: Annotated[tuple[GroupBy], Field(alias="group-by")]
    timespan: Annotated[int, BeforeValidator(parse_rule_timespan)]
    condition: _Condition
    family: Family
    severity: Severity
    techniques: Annotated[tuple[Technique, ...], Field(min_length=1)]
    references: tuple[str, ...] = ()
    threshold: Sentence
    falsepositives: Annotated[tuple[str, ...], Field(min_length=1)]
    examples: _Examples
    disabled: bool = False
    shadow: bool = False

    @model_validator(mode="after")
    def _counts_something(self) -> Self:
        if self.type != "value_count" and self.field is not None:
            raise ValueError(f"{self.type} counts events; leave `field` out or use value_count")
        if (self.type == "temporal_ordered") is (self.after is None):
            raise ValueError("`after` names the rule that is counted before: temporal_ordered only")
        if self.type == "temporal_ordered" and self.timespan > MINUTE_TIMESPAN_SECONDS:
            raise ValueError("temporal_ordered looks at minutes; its timespan is 1h at most")
        if self.group_by[0] is not GroupBy.SOURCE_IP and (
            self.type == "temporal_ordered" or self.timespan > MINUTE_TIMESPAN_SECONDS
        ):
            raise ValueError(f"{self.group_by[0]} is for event_count and value_count of 1h at most")
        if self.type == "value_count":
            if FIELDS.get(self.field or "") is not Kind.TEXT:
                texts = ", ".join(name for name, kind in FIELDS.items() if kind is Kind.TEXT)
                raise ValueError(f"value_count needs a `field` to count, one of {texts}")
            if self.condition.gte > MAX_DISTINCT_VALUES:
                raise ValueError(f"value_count can ask for {MAX_DISTINCT_VALUES} at most")
        return self


class _RulesFile(Entry):
    extends: Literal["shipped", "none"] = "shipped"
    incident_gap: Annotated[
        int | None, Field(alias="incident-gap"), BeforeValidator(_parse_gap)
    ] = None
    ipv6_prefix: Annotated[int | None, Field(alias="ipv6-prefix", ge=16, le=128)] = None
    words: dict[Id, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    signatures: list[Any] = Field(default_factory=list)
    rules: list[Any] = Field(default_factory=list)


# reading it, with every problem at once

_WORDS = re.compile(r"<<([a-z0-9-]+)>>")
_UPPER_CASE = re.compile(r"(?<!\\)[A-Z]")


@dataclass(frozen=True, slots=True)
class _Raw:
    """One entry of a section, before it is checked."""

    content: Any
    at: Location
    """Where the file that is read says it; nowhere for an entry that is shipped."""
    shipped_as: str = ""


@lru_cache(maxsize=8)
def _parse(name: str, text: str, shipped: str | None) -> RuleSet:
    """The rules that *text* says, laid over those that *shipped* says."""
    document = Document("rules file", name, text)
    file = document.validate(_RulesFile, document.content, ())
    base = _content(shipped) if shipped and (file is None or file.extends == "shipped") else {}
    content = document.content if isinstance(document.content, dict) else {}
    words = {**base.get("words", {}), **(file.words if file else {})}
    signatures = [
        _build_signature(entry, _build_pattern(document, raw, entry.pattern, words))
        for raw, entry in _entries(document, _SignatureEntry, base, content, "signatures")
    ]
    entries = list(_entries(document, _RuleEntry, base, content, "rules"))
    _check_rules(document, entries, signatures)
    if not entries and not document.problems:
        document.note(("rules",), "there is none; write at least one")
    document.refuse()
    counters = {e.id: _counter_of(e) for _, e in entries}
    settings = {**base, **content}
    return RuleSet(
        rules=tuple(
            _build_rule(entry, signatures, counters) for _, entry in entries if not entry.disabled
        ),
        signatures=tuple(signatures),
        incident_gap_seconds=_parse_gap(settings.get("incident-gap", "1h")),
        signature_set=SignatureSet(signatures),
        ipv6_prefix=settings.get("ipv6-prefix", 64),
    )


@lru_cache(maxsize=1)
def _content(shipped: str) -> dict[str, Any]:
    content: dict[str, Any] = Document("rules file", str(SHIPPED_RULES), shipped).content
    return content


def _entries(
    document: Document,
    model: type[EntryModel],
    base: Mapping[str, Any],
    content: Mapping[str, Any],
    section: str,
) -> Iterator[tuple[_Raw, EntryModel]]:
    for raw in _lay_over(document, base.get(section, []), content.get(section), section):
        entry = document.validate(model, raw.content, raw.at, raw.shipped_as)
        if entry is not None:
            yield raw, entry


def _lay_over(
    document: Document,
    shipped: Sequence[Mapping[str, Any]],
    own: object,
    section: str,
) -> list[_Raw]:
    """All entries in the order of the shipped ones, with those that are new behind them."""
    found = {e["id"]: _Raw(e, (), f"shipped {section}.{e['id']}") for e in shipped}
    seen: set[str] = set()
    for number, content in enumerate(own if isinstance(own, list) else ()):
        name = content.get("id") if isinstance(content, dict) else None
        if isinstance(name, str) and name in seen:
            document.note((section, number, "id"), f"{name} is taken; ids are used once")
        key = name if isinstance(name, str) and name not in seen else f"{section} {number}"
        seen.add(str(name))
        if key in found:
            content = {**found[key].content, **content}  # noqa: PLW2901 -- the same entry, whole
        found[key] = _Raw(content, (section, number))
    return list(found.values())


def _check_rules(
    document: Document,
    entries: Sequence[tuple[_Raw, _RuleEntry]],
    signatures: Sequence[Signature],
) -> None:
    enabled = {e.id: e for _, e in entries if not e.disabled}
    for raw, entry in entries:
        if entry.disabled:
            continue
        for at, problem in check_selection(entry.selection, signatures):
            document.note((*raw.at, "selection", *at), problem, raw.shipped_as)
        before = enabled.get(entry.after or "")
        if entry.after is not None and (before is None or before.type != "event_count"):
            problem = f"{entry.after} is no event_count rule that is enabled; name one, or disable"
            document.note((*raw.at, "after"), f"{problem} {entry.id}", raw.shipped_as)


def _build_pattern(
    document: Document,
    raw: _Raw,
    alternatives: Sequence[str],
    words: Mapping[str, Sequence[str]],
) -> str:
    """One pattern of *alternatives*, with `<<name>>` replaced by any of the words of that name."""
    used = {name for text in alternatives for name in _WORDS.findall(text)}
    unknown = sorted(used - words.keys())
    problems = [f"no `words` are called {name}" for name in unknown]
    expanded = [
        _WORDS.sub(lambda found: f"(?:{'|'.join(words.get(found[1], ()))})", text)
        for text in alternatives
    ]
    for position, text in enumerate([] if unknown else expanded):
        problems += (f"alternative {position + 1} {p}" for p in _check_pattern(text))
    for problem in problems:
        document.note((*raw.at, "pattern"), problem, raw.shipped_as)
    return "|".join(expanded)


def _check_pattern(pattern: str) -> Iterator[str]:
    try:
        compile_pattern(pattern)
    except PatternError as error:
        yield f"is {error}"
    if _UPPER_CASE.search(pattern):
        yield "has upper-case letters, and the text it is held against never has"


def _build_signature(entry: _SignatureEntry, pattern: str) -> Signature:
    return Signature(
        id=entry.id,
        family=entry.family,
        strength=entry.strength,
        fields=entry.fields,
        pattern=pattern,
        matches=tuple(_example(e) for e in entry.matches),
        ignores=tuple(_example(e) for e in entry.ignores),
    )


def _example(example: str | dict[TextField, str]) -> tuple[tuple[str, str], ...]:
    fields = {"url_original": example} if isinstance(example, str) else example
    return tuple(fields.items())


def _build_rule(
    entry: _RuleEntry, signatures: Sequence[Signature], counters: Mapping[str, str]
) -> Rule:
    selection = build_selection(entry.selection, signatures)
    return Rule(
        id=entry.id,
        version=entry.version,
        title=entry.title,
        type=entry.type,
        field=entry.field,
        timespan_seconds=entry.timespan,
        threshold=entry.condition.gte,
        family=entry.family,
        severity=entry.severity,
        techniques=entry.techniques,
        is_signature=selection.is_signature,
        counter=counters[entry.id],
        selection=selection,
        after=counters[entry.after] if entry.after else None,
        group_by=entry.group_by[0],
        is_shadow=entry.shadow,
        references=entry.references,
        threshold_reason=entry.threshold,
        falsepositives=entry.falsepositives,
        matches=tuple(_lines(group) for group in entry.examples.matches),
        ignores=tuple(_lines(group) for group in entry.examples.ignores),
    )


def _counter_of(entry: _RuleEntry) -> str:
    """
    Not made of what is selected: signatures learn, and what they knew before was counted as well.

    Otherwise windows that reach over such a change would be short of what came before it.
    """
    return f"{entry.id}:v{entry.version}"


def _lines(group: tuple[str | _Repeated, ...]) -> tuple[str, ...]:
    return tuple(
        line
        for item in group
        for line in (
            (item,)
            if isinstance(item, str)
            else (item.line.replace("{n}", str(n)) for n in range(1, item.times + 1))
        )
    )
