"""The shipped rules against requests that they were not written for, one per client."""

import pytest

from tasks.detect.rules import load_rules
from tests.unseen import SETS, read_unseen, scan


@pytest.mark.parametrize("number", SETS)
def test_attacks_are_found_by_one_request(number):
    """Of a hundred attacks of all kinds 94 are found, and nearly all are called what they are."""
    attacks = read_unseen("attacks", number)

    found = scan(attacks, load_rules())

    right = [c for c in attacks if c.source_ip in found and _is_right(found[c.source_ip], c)]
    assert len(found) >= 0.94 * len(attacks)
    assert len(right) >= 0.97 * len(found)


@pytest.mark.parametrize("number", SETS)
def test_what_only_looks_odd_is_left_alone(number):
    """Of a hundred requests chosen for looking like attacks not two are taken for one."""
    benign = read_unseen("benign", number)

    found = scan(benign, load_rules())

    assert len(found) <= 0.018 * len(benign), [c.written for c in benign if c.source_ip in found]


def _is_right(incident, case):
    return any(family.value in case.families for family in incident.families)
