"""Subjects: an IPv6 client is its network."""

import polars as pl

from tasks.detect.addressed import hash_names
from tasks.detect.counted_hours import evaluate_hours
from tasks.detect.evaluate import evaluate
from tasks.detect.incidents import chain
from tasks.detect.loading import LoadedTally
from tasks.detect.subjects import among, name_networks, roll_up
from tasks.detect.touched import Touched
from tests.counting import NEW_YEAR, RULES, count, count_hours, login, request


def judged(lines, ipv6_prefix=64):
    tally = roll_up(count([lines]), ipv6_prefix)
    hours = evaluate(RULES, [LoadedTally(tally, {0: "0.log"})], Touched.by([tally]))
    return [i for h in hours for i in chain([h], RULES, "test")]


def from_addresses(*addresses, path="/"):
    return [request(NEW_YEAR, path, source_ip=ip, second=n) for n, ip in enumerate(addresses)]


def test_addresses_of_one_network_add_up():
    """Five requests from five addresses of a /64 are five requests of one client."""
    (incident,) = judged(from_addresses(*(f"2001:db8:0:7::{n}" for n in range(1, 6))))

    assert incident.source_ip == "2001:db8:0:7::/64"
    assert [f.rule_id for f in incident.findings] == ["volume"]


def test_neighbouring_networks_do_not():
    """Two networks with three and two of them are two clients."""
    assert judged(from_addresses(*["2001:db8:0:7::1"] * 3, *["2001:db8:0:8::1"] * 2)) == []
    assert len(judged(from_addresses(*["2001:db8:0:7::1"] * 3, *["2001:db8:0:8::1"] * 2), 48)) == 1


def test_the_most_active_address_is_told():
    """People see who it was; of equals it is always the same one."""
    addresses = ["2001:db8::b", "2001:db8::a", "2001:db8::c", "2001:db8::c", "2001:db8::9"]
    (incident,) = judged(from_addresses(*addresses))
    (tie,) = judged(from_addresses(*addresses[:2], path="/a?id=1+union+select+2"))

    assert incident.activity.most_active_address == "2001:db8::c"
    assert incident.subject == "2001:db8::/64 (mostly 2001:db8::c)"
    assert tie.activity.most_active_address == "2001:db8::a"


def test_the_most_active_address_of_many_hours_is_told():
    """Rules with long windows know it, too."""
    lines = [
        login(NEW_YEAR + 9 * n, source_ip="2001:db8::a" if n % 3 else "2001:db8::b")
        for n in range(9)
    ]
    tally = LoadedTally(roll_up(count([lines]), 64), {0: "0.log"})
    touched = Touched.by([tally.tally])
    counted = count_hours([tally], touched)
    hours = evaluate_hours(RULES, counted, touched)

    assert [h.addresses for h in hours] == [
        {"2001:db8::a": 4, "2001:db8::b": 3},
        {"2001:db8::a": 2},
    ]


def test_ipv4_stays_what_it_is():
    """An IPv4 address is a client, and nothing is said of addresses inside it."""
    (incident,) = judged([*from_addresses(*["192.0.2.1"] * 5), *from_addresses("2001:db8::1")])

    assert incident.source_ip == incident.subject == "192.0.2.1"
    assert incident.activity.most_active_address is None


def test_the_size_of_a_network_can_be_an_address():
    """With 128 bits every address counts for itself."""
    tally = count([from_addresses("2001:db8::1", "2001:db8::2")])

    assert roll_up(tally, 128) is tally
    assert tally.counts.named()["source_ip"].n_unique() == 2


def test_networks_have_the_names_that_people_use():
    """A subject that is as large as its network is in none: it would be told twice."""
    found = name_networks(["192.0.2.7", "2001:db8:7:1::/64", "2001:db8::5"], 64)

    assert found == {
        "192.0.2.7": "192.0.2.0/24",
        "2001:db8:7:1::/64": "2001:db8:7::/48",
        "2001:db8::5": "2001:db8::/48",
    }
    assert name_networks(["192.0.2.7", "2001:db8:7::/48"], 48) == {"192.0.2.7": "192.0.2.0/24"}


def test_lines_of_an_address_are_wanted_with_those_of_its_network():
    """Before a table is rolled up, its rows are about addresses; only their networks are asked."""
    is_wanted = among(hash_names(pl.Series(["2001:db8:7:1::/64"])), 64)

    addresses = pl.Series(["2001:db8:7:1::9", "2001:db8:7:2::9", "192.0.2.7"])
    assert is_wanted(addresses).to_list() == [True, False, False]
