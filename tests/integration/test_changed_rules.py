"""What was told before the rules were changed is not taken back."""

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.detect.rules import load_rules
from tasks.model.incidents import Status
from tests.bare_scans import shelf

COUNTING = (Path(__file__).parents[1] / "data" / "rules" / "counting.yml").read_text("utf-8")
PATTERN = "pattern: 'union select'"
LINE = '203.0.113.9 - - [01/Jan/2026:00:{:02}:01 +0000] "GET {} HTTP/1.1" 200 9\n'
ATTACK, PLAIN = "/a?id=1+union+select+2", "/"


@pytest.fixture
def changed(tmp_path):
    """Writes the rules with one text in the place of another."""

    def load(old, new):
        assert old in COUNTING
        (tmp_path / "rules.yml").write_text(COUNTING.replace(old, new, 1), "utf-8")
        return load_rules(tmp_path / "rules.yml")

    return load


def tell(scans, rules):
    """What is told of an attack, with these *rules* after a page view, and after another attack."""
    objects = {"a.log": LINE.format(1, ATTACK)}
    yield told(scans, objects)
    scans.rules = rules
    objects["b.log"] = LINE.format(2, PLAIN)
    yield told(scans, objects)
    objects["c.log"] = LINE.format(3, ATTACK)
    yield told(scans, objects)


def told(scans, objects):
    scans.run(shelf(objects))
    return [
        (i.status, f.rule_id, f.rule_version, f.event_count)
        for i in scans.incidents()
        for f in i.findings
    ]


@pytest.mark.parametrize("learned", ["pattern: ['union select', 'xp_cmdshell']", PATTERN])
def test_signatures_may_learn_between_two_runs(scans, changed, learned):
    """A finding stays and grows: a page view of its client closed it after each new version."""
    before, after_a_page, at_last = tell(scans, changed(PATTERN, learned))

    assert before == after_a_page == [(Status.SUSPECTED, "attack", 1, 1)]
    assert at_last == [(Status.SUSPECTED, "attack", 1, 2)]


def test_another_version_of_a_rule_begins_anew(scans, changed):
    """What the version before it found stays open, and what that one counted is not its own."""
    before, after_a_page, at_last = tell(scans, changed("version: 1", "version: 2"))

    assert before == after_a_page == [(Status.SUSPECTED, "attack", 1, 1)]
    assert at_last == [(Status.SUSPECTED, "attack", 2, 1)]


@pytest.mark.parametrize("version", [1, 3, 20260101])
def test_an_upgrade_takes_nothing_back(scans, changed, version):
    """Counters were named by a digest: a page view in the same hour closed what it had found."""
    today = changed("version: 1", f"version: {version}")
    named = (replace(rule, counter=f"{rule.id}:0f3c51d2") for rule in today.rules)
    scans.rules = replace(today, rules=tuple(named))

    before, after_a_page, at_last = tell(scans, today)

    assert before == after_a_page == [(Status.SUSPECTED, "attack", version, 1)]
    assert at_last == [(Status.SUSPECTED, "attack", version, 2)]
