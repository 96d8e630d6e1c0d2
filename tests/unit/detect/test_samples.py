"""Samples: which lines are kept, of however many."""

import pytest

from tasks.detect.rules import Override, load_rules, with_thresholds
from tasks.detect.samples import keep_lowest, sample_limits
from tests.counting import NEW_YEAR, RULES, Line, count, login, request


def test_identical_lines_are_one_sample():
    """The smallest line number stands for all of them."""
    line = request(NEW_YEAR, "/a?id=1+union+select+2")
    numbered = [Line(line.event, line.text, n) for n in (7, 3, 9)]

    assert count([numbered]).samples.rows["line_number"].to_list() == [3]


def test_few_lines_are_kept():
    """Four per signature rule and minute, two per other rule, two ordinary ones."""
    attacks = [request(NEW_YEAR, f"/{n}?id=1+union+select+2") for n in range(50)]
    logins = [login(NEW_YEAR, second=n) for n in range(50)]
    pages = [request(NEW_YEAR, f"/{n}") for n in range(200)]

    assert count([attacks]).samples.height == 4
    assert count([logins]).samples.height == 2
    assert count([pages]).samples.height == 2


def test_the_lowest_of_a_union_are_the_lowest_of_the_lowest():
    """Lines spread over extents leave the samples that one extent leaves."""
    attacks = [request(NEW_YEAR, f"/{n}?id=1+union+select+2") for n in range(30)]
    pages = [request(NEW_YEAR, f"/{n}", status=s) for n in range(90) for s in (200, 302, 500)]
    lines = attacks + pages
    spread = count([lines[n::4] for n in range(4)]).samples.named().unique("line_hash")
    united = keep_lowest(spread, sample_limits(RULES), ["source_ip", "minute"])

    assert sorted(united["line"]) == sorted(count([lines]).samples.rows["line"])
    assert united.height == 4 + 2


def test_benign_clients_cost_little():
    """About one of eight clients with a single page view leaves a line."""
    pages = [request(NEW_YEAR, "/", source_ip=f"198.51.{n // 250}.{n % 250}") for n in range(1000)]

    assert 85 < count([pages], load_rules(None)).samples.height < 165


@pytest.mark.parametrize("threshold", [1, 5, 12, 25, 100])
def test_who_only_comes_often_leaves_evidence_whatever_the_threshold_of_a_run(threshold):
    """It may ask for few requests or many: each of these fifty clients has a line to show."""
    asked = {"http-request-volume": Override(threshold=threshold)}
    rules = with_thresholds(load_rules(None), asked)
    clients = [f"198.51.100.{n}" for n in range(50)]
    visits = [request(NEW_YEAR, f"/{n}", source_ip=ip) for n in range(threshold) for ip in clients]

    assert set(count([visits], rules).samples.named()["source_ip"]) == set(clients)
