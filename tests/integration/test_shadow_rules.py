"""Shadow rules are counted and told of, and lead to nothing."""

from dataclasses import replace

import pytest

from tests.bare_scans import shelf
from tests.counting import RULES

LINE = (
    '203.0.113.{} - - [01/Jan/2026:00:0{}:01 +0000] "GET /a?id=1+union+select+2 HTTP/1.1" 200 9\n'
)
FAILURE = (
    "2026-01-01T0{}:00:00+00:00 bastion sshd[7]: Failed password for root from 203.0.113.9 port 5\n"
)


def with_shadow(*rule_ids):
    rules = (replace(rule, is_shadow=rule.id in rule_ids) for rule in RULES.rules)
    return replace(RULES, rules=tuple(rules))


def test_a_shadow_rule_makes_no_incident(scans):
    """What it would have found is told once, by source IP, and nothing is on record."""
    scans.rules = with_shadow("attack")
    scans.count(shelf({"a.log": LINE.format(1, 0) + LINE.format(1, 5) + LINE.format(2, 1)}))
    first, second = scans.evaluate(), scans.evaluate()

    assert first.shadow == {"attack": {"203.0.113.1", "203.0.113.2"}}
    assert second.shadow == {"attack": set()}
    assert scans.incidents() == []


def test_the_report_of_a_run_names_what_it_would_have_found(scans):
    """One sentence per rule that found something, with the first of the addresses in it."""
    scans.rules = with_shadow("attack", "volume")
    scans.count(shelf({"a.log": "".join(LINE.format(n, 0) for n in range(1, 8))}))

    (note,) = scans.evaluate().notes

    assert note == (
        "Shadow rule attack would have found 7 in what is new: 203.0.113.1, 203.0.113.2,"
        " 203.0.113.3, 203.0.113.4, 203.0.113.5, ..."
    )
    assert scans.evaluate().notes == ()


@pytest.mark.parametrize("shadow", [True, False])
def test_a_slow_rule_in_the_shadow(scans, shadow):
    """A long window is looked at over several runs, in the shadow or not."""
    scans.rules = with_shadow(*(["slow-logins"] if shadow else []))
    text = "".join(FAILURE.format(n) * 2 for n in (1, 3))
    scans.run(shelf({"a.log": text[: len(text) // 2]}))
    scans.count(shelf({"b.log": text[len(text) // 2 :]}))
    evaluated = scans.evaluate()

    assert evaluated.shadow == ({"slow-logins": {"203.0.113.9"}} if shadow else {})
    assert len(scans.incidents()) == (0 if shadow else 1)
