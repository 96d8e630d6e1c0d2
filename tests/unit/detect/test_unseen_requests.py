"""The shipped rules against requests that they were not written for, one per client."""

import pytest

from tasks.detect.rules import load_rules
from tasks.store.schema import open_database
from tests.bare_scans import Scans, shelf
from tests.unseen import SETS, read_unseen, scan
from tests.unseen_behaviour import SETS_OF_CLIENTS, read_clients, render_logs


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


@pytest.mark.parametrize("number", SETS_OF_CLIENTS)
def test_what_clients_do_over_a_while_is_found_and_called_what_it_is(number):
    """Of a hundred ways to attack by many requests 90 are found, and no harmless client is."""
    clients = read_clients(number)
    scans = Scans(open_database("sqlite://"), rules=load_rules())
    scans.run(shelf(render_logs(clients)))
    told: dict[str, set[str]] = {}
    for incident in scans.incidents():
        told.setdefault(incident.source_ip, set()).update(f.value for f in incident.families)

    attackers = [c for c in clients if c.families]
    right = [c for c in attackers if told.get(c.source_ip, set()) & set(c.families)]
    assert len(right) >= 0.9 * len(attackers)
    assert [c.about for c in clients if not c.families and c.source_ip in told] == []


def _is_right(incident, case):
    return any(family.value in case.families for family in incident.families)
