"""What rules ask of regular lines, which have some fields always and others never."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tasks.detect.proving import SIGNED
from tasks.detect.rules import Rule, RuleSet
from tasks.detect.selections import Clause, Test
from tasks.model.events import Event, EventCategory

_OF_STATUS_LINE: Final = frozenset(("category", "http_request_method", "http_response_status_code"))
_ABSENT: Final = frozenset(
    ("event_action", "event_outcome", "is_invalid_user", "url_domain", "user_name")
)
"""What no regular line has; one with a user name is refused where that could matter."""
_TESTED: Final = frozenset(("url_path", "http_request_referrer", "user_agent_original"))
"""Texts that rules may ask for by themselves."""
_VALUES: Final = frozenset(("url_path", "url_original"))
"""What may be the value of a value_count rule."""
_REGULAR: Final = Event(timestamp=0, source_ip="", category=EventCategory.WEB)


def is_within_reach(rules: RuleSet) -> bool:
    """Whether what *rules* look at in a regular line is what the engine looks at."""
    selecting = [r for r in rules.rules if any(_can_select(c) for c in r.selection.clauses)]
    values = {r.field for r in selecting if r.type == "value_count"} - {"user_name"}
    signed = {name for s in rules.signatures for name in s.fields if name != "user_name"}
    tested = {test.field for test in select_tests(rules)}
    known = _OF_STATUS_LINE | _ABSENT | _TESTED
    return tested <= known and values <= _VALUES and signed <= SIGNED


def select_tests(rules: RuleSet, field: str | None = None) -> tuple[Test, ...]:
    """What *rules* ask of regular lines, or of one field of them."""
    clauses = (c for rule in rules.rules for c in rule.selection.clauses if _can_select(c))
    tests = (t for c in clauses for t in c.tests if field is None or t.field == field)
    return tuple(dict.fromkeys(tests))


def _can_select(clause: Clause, *, has_user: bool = False) -> bool:
    """Whether *clause* can select a regular line at all, or one with any user name."""
    known = {*_ABSENT, "category"} - ({"user_name"} if has_user else set())
    return all(t.holds(_REGULAR) for t in clause.tests if t.field in known)


def users_taken(rules: RuleSet, kernel: Any) -> npt.NDArray[np.uint8]:  # noqa: ANN401 -- a module
    """By status: which user names a line can have that the kernel takes."""
    is_signed = any("user_name" in s.fields for s in rules.signatures)
    clauses = [
        clause
        for rule in rules.rules
        for clause in rule.selection.clauses
        if rule.field == "user_name" or any(t.field == "user_name" for t in clause.tests)
    ]
    asking = [c for c in clauses if _can_select(c, has_user=True)]
    tests = [[t for t in c.tests if t.field == "http_response_status_code"] for c in asking]
    statuses: list[int | None] = [*range(kernel.NO_STATUS), None]
    matters = np.array([any(all(t.accepts(s) for t in some) for some in tests) for s in statuses])
    most = kernel.PLAIN_USERS if is_signed else kernel.ALL_USERS
    taken: npt.NDArray[np.uint8] = np.where(matters, kernel.NO_USERS, most).astype(np.uint8)
    return taken


def is_decided(rule: Rule, event: Event) -> bool:
    """Whether method and status alone say if *rule* counts an event without hits."""
    is_open = False
    for clause in rule.selection.clauses:
        known = [t for t in clause.tests if t.field in _OF_STATUS_LINE | _ABSENT]
        if clause.signature_ids is None and all(test.holds(event) for test in known):
            if len(known) == len(clause.tests) and rule.type == "event_count":
                return True
            is_open = True
    return not is_open
