"""Judging events: those that the rules cannot tell apart are judged once."""

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from tasks.detect.judged import Counters, Judged, hash_value
from tasks.detect.rules import Rule, RuleSet
from tasks.detect.selections import Test, ask_all
from tasks.model.events import Event, EventCategory

_REMEMBERED_TEXTS: Final = 16_384
_REMEMBERED_LENGTH: Final = 512
_REMEMBERED_EVENTS: Final = 65_536

_Verdict = tuple[Counters, tuple[tuple[str, Callable[[Event], Any]], ...], bool]
"""Counters; counter and field of each value of value_count rules; whether a signature hits."""


class Judge:
    """
    Says what events count for.

    That follows from the signatures that hit an event, from the answers to the questions that
    rules ask of its fields, and from which of the counted fields it has.
    """

    def __init__(self, rules: RuleSet, combine: Callable[[tuple[str, ...]], Counters]) -> None:
        """Rules are those of *rules*; *combine* makes counters of an activity and rules."""
        self._find = rules.signature_set.find
        self._signatures = rules.signatures
        self._rules = rules.rules
        self._rules_without_hits = tuple(r for r in rules.rules if not r.is_signature)
        self._combine = combine
        asked = {t.field: None for r in rules.rules for c in r.selection.clauses for t in c.tests}
        counted = {rule.field: None for rule in rules.rules if rule.field}
        names = list({**asked, **counted})
        self._read = attrgetter(*names, "category", "timestamp")
        self._questions = [_remembering(_questions_of(rules.rules, name)) for name in names]
        self._known: dict[Hashable, _Verdict] = {}

    def judge(self, event: Event, hits: tuple[int, ...] | None = None) -> Judged:
        """What *event* counts for; *hits* are its signatures where they are known, ascending."""
        hits = self._find(event) if hits is None else hits
        fields = zip(self._questions, self._read(event), strict=False)
        key = (hits, _activity(event), *[ask(value) for ask, value in fields])
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _REMEMBERED_EVENTS:
                self._known.clear()
            known = self._known[key] = self._decide(event, hits)
        counters, values, is_hit = known
        hashes = tuple([(name, hash_value(str(read(event)))) for name, read in values])
        return Judged(counters, hashes, is_hit=is_hit)

    def _decide(self, event: Event, hits: tuple[int, ...]) -> _Verdict:
        signatures = tuple(self._signatures[index] for index in hits)
        marks, values = [_activity(event)], []
        for rule in self._rules if hits else self._rules_without_hits:
            if rule.selects(event, signatures):
                if rule.type == "value_count":
                    if rule.value(event) is None:
                        continue
                    values.append((rule.counter, attrgetter(rule.field or "")))
                marks.append(rule.counter)
        return self._combine(tuple(marks)), tuple(values), bool(hits)


def _questions_of(rules: Sequence[Rule], field: str) -> Callable[[Any], int]:
    tests = (t for r in rules for c in r.selection.clauses for t in c.tests if t.field == field)
    exists = Test(field, "exists", (True,), lambda value: value is not None)
    return ask_all(tuple(dict.fromkeys((exists, *tests))))


def _remembering(ask: Callable[[Any], int]) -> Callable[[Any], int]:
    remembered = lru_cache(_REMEMBERED_TEXTS)(ask)

    def answer(value: Any) -> int:  # noqa: ANN401 -- what the field holds
        is_long = isinstance(value, str) and len(value) > _REMEMBERED_LENGTH
        return ask(value) if is_long else remembered(value)

    return answer


def _activity(event: Event) -> str:
    """The status class or login outcome; empty for what has neither."""
    if event.category is EventCategory.AUTHENTICATION:
        if not event.event_outcome or event.event_action == "http_login":
            return ""
        return f"ssh_{event.event_outcome}"
    status = (event.http_response_status_code or 0) // 100
    return f"{status}xx" if 2 <= status <= 5 else ""
