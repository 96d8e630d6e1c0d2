"""Selections: which events a rule counts, in Sigma's words."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from enum import StrEnum
from typing import Any, Final, get_args, get_type_hints

from tasks.detect.signatures import PatternError, Signature, compile_filter, compile_pattern
from tasks.model.events import Event

SIGNATURE_KEYS: Final = ("signature_id", "signature_family", "signature_strength")


class Kind(StrEnum):
    """What a field of an event holds."""

    TEXT = "text"
    NUMBER = "a number"
    FLAG = "true or false"


def _kind(hint: Any) -> Kind:  # noqa: ANN401 -- a type annotation has no narrower type
    types = set(get_args(hint)) or {hint}
    if bool in types:
        return Kind.FLAG
    return Kind.NUMBER if int in types else Kind.TEXT


FIELDS: Final = {
    name: _kind(hint) for name, hint in get_type_hints(Event).items() if name != "timestamp"
}
_MODIFIERS_OF_KIND: Final = {
    Kind.TEXT: ("contains", "startswith", "endswith", "re", "exists"),
    Kind.NUMBER: ("gte", "lte", "exists"),
    Kind.FLAG: (),
}
_TEXT_TESTS: Final[Mapping[str | None, Callable[[str, str], bool]]] = {
    None: str.__eq__,
    "contains": str.__contains__,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
_FORMS: Final = {
    None: r"\A{}\z",
    "contains": "{}",
    "startswith": r"\A{}",
    "endswith": r"{}\z",
}
_PLAIN: Final = re.compile(r"[ ->@-~]+")
"""Not a question mark: in what RE2 is given, it can stand for what is not UTF-8."""


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on one field of an event."""

    field: str
    modifier: str | None
    values: tuple[Any, ...]
    accepts: Callable[[Any], bool] = dataclass_field(compare=False, repr=False)
    """Whether it holds for a value of the field."""

    def holds(self, event: Event) -> bool:
        """Whether it holds for *event*."""
        return self.accepts(getattr(event, self.field))


@dataclass(frozen=True, slots=True)
class Clause:
    """Conditions that must all hold."""

    tests: tuple[Test, ...]
    signature_ids: frozenset[str] | None
    """At least one of these has to hit; None when the clause asks for no signature."""

    def selects(self, event: Event, hits: tuple[Signature, ...]) -> bool:
        """Whether *event*, with the signatures that hit it, is meant."""
        ids = self.signature_ids
        if ids is not None and not any(hit.id in ids for hit in hits):
            return False
        return all(test.holds(event) for test in self.tests)


@dataclass(frozen=True, slots=True)
class Selection:
    """Clauses of which one must hold."""

    clauses: tuple[Clause, ...]

    @property
    def is_signature(self) -> bool:
        """Every clause asks for a signature, so each selected event is evidence by its content."""
        return all(clause.signature_ids is not None for clause in self.clauses)

    def selects(self, event: Event, hits: tuple[Signature, ...]) -> bool:
        """Whether a rule with this selection counts *event*."""
        if not hits and self.is_signature:
            return False
        return any(clause.selects(event, hits) for clause in self.clauses)


def check_selection(
    raw: Mapping[str, Any] | Sequence[Mapping[str, Any]], signatures: Sequence[Signature]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Everything that is wrong with *raw*: where in it, and what to do."""
    for position, clause in _clauses(raw):
        if not clause:
            yield position, "selects everything; name at least one field"
        wrong_before = False
        for key, value in clause.items():
            for problem in _check_condition(str(key), value):
                wrong_before = True
                yield (*position, key), problem
        if not wrong_before and _select_signatures(clause, signatures) == frozenset():
            yield position, "selects no signature of this file"


def build_selection(
    raw: Mapping[str, Any] | Sequence[Mapping[str, Any]], signatures: Sequence[Signature]
) -> Selection:
    """The selection that *raw* describes; *raw* has passed `check_selection`."""
    return Selection(
        tuple(
            Clause(
                tests=tuple(
                    _build_test(key, value)
                    for key, value in clause.items()
                    if _field(key) not in SIGNATURE_KEYS
                ),
                signature_ids=_select_signatures(clause, signatures),
            )
            for _, clause in _clauses(raw)
        )
    )


def _clauses(
    raw: Mapping[str, Any] | Sequence[Mapping[str, Any]],
) -> Iterator[tuple[tuple[int, ...], Mapping[str, Any]]]:
    if isinstance(raw, Mapping):
        yield (), raw
    else:
        yield from (((number,), clause) for number, clause in enumerate(raw))


def _check_condition(key: str, value: Any) -> Iterator[str]:  # noqa: ANN401 -- YAML
    field, *modifiers = key.split("|")
    kind = Kind.TEXT if field in SIGNATURE_KEYS else FIELDS.get(field)
    if kind is None:
        known = ", ".join((*FIELDS, *SIGNATURE_KEYS))
        yield f"no event has the field {field!r}; use one of {known}"
        return
    allowed = _MODIFIERS_OF_KIND[kind]
    if len(modifiers) > 1 or any(m not in allowed for m in modifiers):
        yield f"{field} takes one modifier of {', '.join(allowed) or 'none'}"
        return
    modifier = modifiers[0] if modifiers else None
    if field in SIGNATURE_KEYS and modifier == "exists":
        yield "write signature_family and its values instead"
        return
    values = _values(value)
    if not values:
        yield "an empty list selects nothing; give at least one value"
    for one in values:
        yield from _check_value(kind, modifier, one)


def _check_value(kind: Kind, modifier: str | None, value: Any) -> Iterator[str]:  # noqa: ANN401
    if modifier == "exists":
        kind = Kind.FLAG
    expected = {Kind.TEXT: str, Kind.NUMBER: int, Kind.FLAG: bool}[kind]
    if type(value) is not expected:
        yield f"must be {kind.value}, not {value!r}"
    elif isinstance(value, str) and modifier == "re":
        try:
            compile_pattern(value)
        except PatternError as error:
            yield str(error)


def _select_signatures(
    clause: Mapping[str, Any], signatures: Sequence[Signature]
) -> frozenset[str] | None:
    conditions = [
        (_field(key).removeprefix("signature_"), _text_test(_modifier(key), _values(value)))
        for key, value in clause.items()
        if _field(key) in SIGNATURE_KEYS
    ]
    if not conditions:
        return None
    return frozenset(
        s.id for s in signatures if all(test(getattr(s, name)) for name, test in conditions)
    )


def ask_all(tests: Sequence[Test]) -> Callable[[Any], int]:
    """
    What *tests* of one field say of a value, a bit for each.

    All that can be asked by an expression is searched for at once.
    """
    expressions = [
        (1 << bit, pattern) for bit, test in enumerate(tests) for pattern in _expressions(test)
    ]
    others = [(bit, t.accepts) for bit, t in enumerate(tests) if not _expressions(t)]
    if not expressions:
        return lambda value: sum(accepts(value) << bit for bit, accepts in others)
    match = compile_filter([pattern for _, pattern in expressions]).Match
    bits = [bit for bit, _ in expressions]

    def ask(text: str | None) -> int:
        answers = sum([accepts(text) << bit for bit, accepts in others])
        if text is not None:
            for index in match(_clean(text)) or ():
                answers |= bits[index]
        return answers

    return ask


def _expressions(test: Test) -> Sequence[str]:
    """Expressions of which one is found in a text where *test* holds; none if there are not."""
    if test.modifier == "re":
        return test.values
    form = _FORMS.get(test.modifier)
    if form is None or not all(isinstance(v, str) and _PLAIN.fullmatch(v) for v in test.values):
        return ()
    return [form.format(re.escape(value.lower())) for value in test.values]


def _build_test(key: str, value: Any) -> Test:  # noqa: ANN401 -- YAML
    asked = (_field(key), _modifier(key), _values(value))
    return Test(*asked, _build_condition(*asked))


def _build_condition(
    field: str, modifier: str | None, values: Sequence[Any]
) -> Callable[[Any], bool]:
    if modifier == "exists":
        wanted = values[0]
        return lambda value: (value is not None) is wanted
    if FIELDS[field] is not Kind.TEXT:
        return _build_other_condition(modifier, values)
    test = _text_test(modifier, values)
    return lambda text: text is not None and test(text)


def _build_other_condition(modifier: str | None, values: Sequence[Any]) -> Callable[[Any], bool]:
    if modifier == "gte":
        lowest = min(values)
        return lambda value: value is not None and value >= lowest
    if modifier == "lte":
        highest = max(values)
        return lambda value: value is not None and value <= highest
    wanted = frozenset(values)
    return lambda value: value in wanted


def _text_test(modifier: str | None, values: Sequence[str]) -> Callable[[str], bool]:
    if modifier == "re":
        patterns = [compile_pattern(value) for value in values]
        return lambda text: _is_found(patterns, _clean(text))
    test = _TEXT_TESTS[modifier]
    wanted = tuple(value.lower() for value in values)
    return lambda text: any(test(text.lower(), value) for value in wanted)


def _is_found(patterns: Sequence[Any], text: bytes) -> bool:
    return any(pattern.search(text) for pattern in patterns)


def _clean(text: str) -> bytes:
    # RE2 takes UTF-8 only
    return text.lower().encode("utf-8", "replace")


def _field(key: str) -> str:
    return key.partition("|")[0]


def _modifier(key: str) -> str | None:
    return key.partition("|")[2] or None


def _values(value: Any) -> tuple[Any, ...]:  # noqa: ANN401 -- YAML
    return tuple(value) if isinstance(value, list) else (value,)
