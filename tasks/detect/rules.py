"""Rules: what rules.yml says, checked, and ready to ask of an event. Counting is in tally."""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
    selected_signatures,
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
from tasks.model.document import Document, Entry, EntryModel, read_document
from tasks.model.errors import ConfigurationError
from tasks.model.events import Event
from tasks.model.incidents import Family, Severity
from tasks.model.objects import digest

SHIPPED_RULES: Final = Path(__file__).with_name("rules.yml")
MAX_DISTINCT_VALUES: Final = 128
"""A tally keeps this many distinct values per rule and minute, so no more can be asked for."""
MAX_TIMESPAN_SECONDS: Final = 3600
MIN_INCIDENT_GAP_SECONDS: Final = 3600

RuleType = Literal["event_count", "value_count"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: which events it counts per source IP, and from how many on it matches."""

    id: str
    version: int
    title: str
    type: RuleType
    field: str | None
    """value_count: the field whose distinct values are counted."""
    timespan_seconds: int
    """Whole minutes."""
    threshold: int
    """The rule matches at this count or more within the timespan."""
    family: Family
    severity: Severity
    techniques: tuple[str, ...]
    """ATT&CK ids."""
    is_signature: bool
    """A selected event is evidence by its content."""
    counter: str
    """Names the tally column; changes with what is counted, not with threshold or timespan."""
    selection: Selection = dataclasses.field(compare=False, repr=False)
    references: tuple[str, ...] = ()
    threshold_reason: str = ""
    falsepositives: tuple[str, ...] = ()
    matches: tuple[tuple[str, ...], ...] = dataclasses.field(default=(), compare=False, repr=False)
    """Examples: groups of log lines of one source IP that the rule matches."""
    ignores: tuple[tuple[str, ...], ...] = dataclasses.field(default=(), compare=False, repr=False)
    """Examples: groups of log lines that it does not match."""

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

    @property
    def max_timespan_seconds(self) -> int:
        """How far the longest window reaches."""
        return max((rule.timespan_seconds for rule in self.rules), default=60)


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
            description="Width of the window, 1m to 1h in whole minutes. Unset: as in rules.yml.",
            examples=["5m", "1h"],
        ),
    ] = None

    @field_validator("timespan")
    @classmethod
    def _is_timespan(cls, timespan: str | None) -> str | None:
        if timespan is not None:
            parse_rule_timespan(timespan)
        return timespan


def load_rules(path: Path | None = None) -> RuleSet:
    """
    The rules in *path*, or those that are shipped. The same text is compiled once per process.

    Raises:
        ConfigurationError: The file cannot be read, or says something that makes no sense; one
            message names every problem with its line and field.
    """
    path = path or SHIPPED_RULES
    return _parse(str(path), read_document("rules file", path))


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
    return replace(
        rule,
        threshold=threshold,
        timespan_seconds=parse_rule_timespan(timespan) if timespan else rule.timespan_seconds,
    )


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
    """Seconds of a timespan that a rule can have: 1m to 1h in whole minutes."""
    seconds = parse_timespan(text)
    if seconds % 60 or seconds > MAX_TIMESPAN_SECONDS:
        raise ValueError(f"{text!r} must be whole minutes, from 1m to 1h")
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
    group_by: Annotated[tuple[Literal["source_ip"]], Field(alias="group-by")]
    timespan: Annotated[int, BeforeValidator(parse_rule_timespan)]
    condition: _Condition
    family: Family
    severity: Severity
    techniques: Annotated[tuple[Technique, ...], Field(min_length=1)]
    references: tuple[str, ...] = ()
    threshold: Sentence
    falsepositives: Annotated[tuple[str, ...], Field(min_length=1)]
    examples: _Examples

    @model_validator(mode="after")
    def _counts_something(self) -> Self:
        if self.type == "event_count" and self.field is not None:
            raise ValueError("event_count counts events; leave `field` out or use value_count")
        if self.type == "value_count":
            if FIELDS.get(self.field or "") is not Kind.TEXT:
                texts = ", ".join(name for name, kind in FIELDS.items() if kind is Kind.TEXT)
                raise ValueError(f"value_count needs a `field` to count, one of {texts}")
            if self.condition.gte > MAX_DISTINCT_VALUES:
                raise ValueError(f"value_count can ask for {MAX_DISTINCT_VALUES} at most")
        return self


class _RulesFile(Entry):
    incident_gap: Annotated[int, Field(alias="incident-gap"), BeforeValidator(_parse_gap)] = 3600
    words: dict[Id, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    signatures: list[Any] = Field(default_factory=list)
    rules: Annotated[list[Any], Field(min_length=1)]


# reading it, with every problem at once

_WORDS = re.compile(r"<<([a-z0-9-]+)>>")
_UPPER_CASE = re.compile(r"(?<!\\)[A-Z]")


@lru_cache(maxsize=8)
def _parse(name: str, text: str) -> RuleSet:
    document = Document("rules file", name, text)
    file = document.validate(_RulesFile, document.content, ())
    content = document.content if isinstance(document.content, dict) else {}
    words = file.words if file else {}
    signatures = [
        _build_signature(entry, _build_pattern(document, number, entry.pattern, words))
        for number, entry in _entries(document, _SignatureEntry, content, "signatures")
    ]
    entries = list(_entries(document, _RuleEntry, content, "rules"))
    for number, rule in entries:
        for at, problem in check_selection(rule.selection, signatures):
            document.note(("rules", number, "selection", *at), problem)
    document.refuse()
    return RuleSet(
        rules=tuple(_build_rule(entry, signatures) for _, entry in entries),
        signatures=tuple(signatures),
        incident_gap_seconds=file.incident_gap if file else MIN_INCIDENT_GAP_SECONDS,
        signature_set=SignatureSet(signatures),
    )


def _entries(
    document: Document, model: type[EntryModel], content: Mapping[str, Any], section: str
) -> Iterator[tuple[int, EntryModel]]:
    raws = content.get(section)
    seen: set[str] = set()
    for number, raw in enumerate(raws if isinstance(raws, list) else ()):
        name = raw.get("id") if isinstance(raw, dict) else None
        if isinstance(name, str) and name in seen:
            document.note((section, number, "id"), f"{name} is taken; ids are used once")
        seen.add(str(name))
        entry = document.validate(model, raw, (section, number))
        if entry is not None:
            yield number, entry


def _build_pattern(
    document: Document,
    number: int,
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
        document.note(("signatures", number, "pattern"), problem)
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


def _build_rule(entry: _RuleEntry, signatures: Sequence[Signature]) -> Rule:
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
        counter=_counter(entry, selected_signatures(selection, signatures)),
        selection=selection,
        references=entry.references,
        threshold_reason=entry.threshold,
        falsepositives=entry.falsepositives,
        matches=tuple(_lines(group) for group in entry.examples.matches),
        ignores=tuple(_lines(group) for group in entry.examples.ignores),
    )


def _counter(entry: _RuleEntry, signatures: Sequence[Signature]) -> str:
    counted = json.dumps(entry.selection, sort_keys=True)
    patterns = (part for s in signatures for part in (s.id, s.pattern, *s.fields))
    return f"{entry.id}:{digest(entry.type, counted, entry.field or '', *patterns)[:8]}"


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
