"""Thresholds of one run, as a form gives them and as a command does."""

import pytest

from tasks.detect.rules import Override, RuleOverride, by_rule
from tasks.model.errors import ConfigurationError

LISTED = [{"rule": "http-request-volume", "threshold": 300, "timespan": "5m"}]


def test_a_list_and_a_mapping_say_the_same():
    """The form of the UI fills a list; `--param` and earlier versions give a mapping."""
    override = Override(threshold=300, timespan="5m")

    assert by_rule([RuleOverride(**one) for one in LISTED]) == {"http-request-volume": override}
    assert by_rule({"http-request-volume": override}) == {"http-request-volume": override}
    assert by_rule(None) == by_rule([]) == {}


def test_a_rule_that_is_listed_twice_is_refused():
    """Nobody could say which of the two counts."""
    with pytest.raises(ConfigurationError, match="name a rule twice"):
        by_rule([RuleOverride(rule="a", threshold=n) for n in (1, 2)])
