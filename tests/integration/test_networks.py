"""What addresses of one network do together, each of them below what an address is noticed for."""

import ipaddress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from tasks.detect.allowlist import AllowlistEntry
from tasks.detect.rules import GroupBy, load_rules
from tasks.detect.subjects import open_groupings
from tasks.detect.touched import Touched
from tasks.model.errors import ConfigurationError
from tests.bare_scans import shelf
from tests.conftest import ROOT

SHIPPED = load_rules()
NETWORKS = ROOT / "tests" / "data" / "rules" / "networks.yml"


@pytest.fixture
def scans(scans):
    scans.rules = load_rules(NETWORKS)
    return scans


@pytest.fixture
def by_system(tmp_path):
    """The same rules by autonomous system instead of network."""
    path = tmp_path / "rules.yml"
    path.write_text(NETWORKS.read_text().replace("source_network", "source_asn"))
    return load_rules(path)


@pytest.fixture
def asn_database(tmp_path):
    """An mmdb file in which AS64500 has two networks, in the words of MaxMind or of IPinfo."""

    def write(**record) -> Path:
        writer = MMDBWriter(6, ipv4_compatible=True, database_type="GeoLite2-ASN")
        writer.insert_network(IPSet(["203.0.113.0/24", "198.51.100.0/24", "2001:db8::/32"]), record)
        writer.to_db_file(str(path := tmp_path / "asn.mmdb"))
        return path

    return write


def failure(source_ip, minute=0, hour=3, user="root"):
    return (
        f"2026-01-01T{hour:02}:{minute:02}:00+00:00 bastion sshd[7]: "
        f"Failed password for {user} from {source_ip} port 5 ssh2\n"
    )


def missing(number):
    return (
        f"2001:db8:1:2::{number:x} - - [01/Jan/2026:00:00:{number % 60:02} +0000] "
        f'"GET /missing-{number} HTTP/1.1" 404 9 "-" "x"\n'
    )


def spread(count=8, *, addresses=8, network="203.0.113.{}", **when):
    return "".join(failure(network.format(1 + n % addresses), **when) for n in range(count))


def test_a_network_is_one_incident(scans):
    """Eight addresses with one failure each are told as their /24, and who did most."""
    scans.run(shelf({"a.log": spread() + failure("203.0.113.7", 1)}))
    (incident,) = scans.incidents()

    assert incident.source_ip == "203.0.113.0/24"
    assert incident.subject == "203.0.113.0/24 (mostly 203.0.113.7)"
    assert incident.activity.request_count == 9
    assert incident.activity.responses == {"ssh_failure": 9}
    assert [(f.rule_id, f.count) for f in incident.findings] == [("network-failures", 9)]
    assert all("Failed password" in line.line for line in incident.evidence)


def test_an_hour_that_is_evaluated_in_shares_of_its_addresses(scans, monkeypatch):
    """What the addresses of other shares do is their network's, too."""
    slices = Touched.slices

    def shares(touched, margin=1, hours=24, **how):
        return slices(touched, margin, hours, 1, **how)

    monkeypatch.setattr(Touched, "slices", shares)

    test_a_network_is_one_incident(scans)


def test_an_ipv6_network_is_a_48(scans):
    """Clients are /64 networks, and eight of those in a /48 are its incident."""
    scans.run(shelf({"a.log": spread(network="2001:db8:7:{}::9")}))
    (incident,) = scans.incidents()

    assert incident.subject == "2001:db8:7::/48 (mostly 2001:db8:7:1::/64)"


def test_a_client_that_changes_its_address_within_a_64_is_one_client(scans):
    """Each address asks for one page that is missing; their /64 asks for as many as it takes."""
    scans.rules = SHIPPED
    scans.run(shelf({"a.log": "".join(map(missing, range(1, 301)))}))
    (incident,) = scans.incidents()

    assert incident.source_ip == "2001:db8:1:2::/64"
    assert "http-missing-paths" in {f.rule_id for f in incident.findings}


@pytest.mark.parametrize(
    "text",
    [
        spread(7),
        spread(10, addresses=4),
        spread(4) + spread(4, network="203.0.114.{}"),
        spread(4) + spread(4, minute=30),
    ],
    ids=["too few failures", "too few addresses", "two networks", "two windows"],
)
def test_less_is_nothing(scans, text):
    scans.run(shelf({"a.log": text}))

    assert scans.incidents() == []


def test_runs_add_up(scans):
    """Each run sees a part, no address returns, and together they are the incident."""
    for n in range(8):
        scans.run(shelf({f"{n}.log": failure(f"203.0.113.{n}", n % 5)}))

    assert [i.source_ip for i in scans.incidents()] == ["203.0.113.0/24"]


def test_what_is_told_of_an_address_is_not_told_of_its_network(scans):
    """Loud addresses are incidents of their own, and the others are too few then."""
    loud = "".join(failure(f"203.0.113.{n}") for n in range(1, 6) for _ in range(4))
    scans.run(shelf({"a.log": loud + spread(4, addresses=4, network="203.0.113.1{}")}))

    assert [i.source_ip for i in scans.incidents()] == [f"203.0.113.{n}" for n in range(1, 6)]


def test_an_address_that_gets_loud_leaves_its_network(scans):
    """Also half an hour later, when no line of the network is new: the rest is five failures."""
    scans.run(shelf({"a.log": spread(8, addresses=5)}))
    assert [i.source_ip for i in scans.incidents()] == ["203.0.113.0/24"]

    scans.run(shelf({"b.log": failure("203.0.113.1", 50) * 4}))
    assert [i.source_ip for i in scans.incidents()] == ["203.0.113.1"]

    scans.run(shelf({"b.log": failure("203.0.113.1", 50, hour=7)}))
    (incident,) = scans.incidents()
    assert incident.source_ip == "203.0.113.0/24"
    assert incident.activity.request_count == 8


def test_an_address_whose_window_reaches_back_leaves_its_network(scans, tmp_path):
    """Its fourth failure in an hour makes it a suspect of the hour before, which is closed."""
    path = tmp_path / "rules.yml"
    path.write_text(
        NETWORKS.read_text()
        .replace("timespan: 5m", "timespan: 1h", 1)
        .replace("condition: {gte: 8}", "timespan: 5m\n    condition: {gte: 8}")
    )
    scans.rules = load_rules(path)
    scans.run(shelf({"a.log": spread(8, addresses=5, minute=35)}))
    assert [i.source_ip for i in scans.incidents()] == ["203.0.113.0/24"]

    scans.run(shelf({"b.log": failure("203.0.113.1", 30, hour=4) * 2}))
    assert [i.source_ip for i in scans.incidents()] == ["203.0.113.1"]


def allow(cidr, expires=None):
    return AllowlistEntry(cidr=cidr, reason="ours", expires=expires)


@pytest.mark.parametrize(
    ("entry", "is_found"),
    [
        (allow("203.0.113.3/32"), False),
        (allow("203.0.113.0/24"), False),
        (allow("203.0.0.0/16"), False),
        (allow("203.0.113.77/32"), True),
        (allow("203.0.113.3", datetime(2026, 1, 1, tzinfo=UTC)), True),
        (allow("203.0.113.3", datetime(2026, 1, 2, tzinfo=UTC)), False),
    ],
)
def test_an_allowed_address_does_not_count_for_its_network(scans, entry, is_found):
    """Eight failures of eight addresses are one too few when one of them is allowed."""
    scans.allowlist = (entry,)
    scans.run(shelf({"a.log": spread()}))

    assert [i.source_ip for i in scans.incidents()] == ["203.0.113.0/24"] * is_found


def test_a_shadow_rule_of_networks_is_told(scans, tmp_path):
    """It names the networks that it would have found, and nothing is on record."""
    path = tmp_path / "rules.yml"
    path.write_text(
        NETWORKS.read_text().replace(
            "group-by: [source_network]", "group-by: [source_network]\n    shadow: true"
        )
    )
    scans.rules = load_rules(path)
    scans.count(shelf({"a.log": spread()}))

    assert scans.evaluate().shadow == {
        "network-failures": {"203.0.113.0/24"},
        "network-accounts": set(),
    }
    assert scans.incidents() == []


@pytest.mark.parametrize(
    "record", [{"autonomous_system_number": 64500}, {"asn": "AS64500", "name": "Example"}]
)
def test_a_system_is_one_incident(scans, by_system, asn_database, record):
    """Its addresses in several networks add up, and it has the name that people search for."""
    scans.rules, scans.asn_database = by_system, asn_database(**record)
    text = spread(3) + spread(3, network="198.51.100.{}") + spread(2, network="2001:db8:{}::1")
    scans.run(shelf({"a.log": text + spread(8, network="192.0.2.{}")}))
    (incident,) = scans.incidents()

    assert incident.subject == "AS64500 (mostly 198.51.100.1)"
    assert incident.activity.request_count == 8


def test_a_system_that_is_allowed_in_parts(scans, by_system, asn_database):
    """Networks of a system can be allowed, a system cannot."""
    scans.rules, scans.asn_database = by_system, asn_database(asn="AS64500")
    scans.allowlist = (allow("203.0.113.0/24"),)
    scans.run(shelf({"a.log": spread() + spread(7, network="198.51.100.{}")}))
    assert scans.incidents() == []

    scans.run(shelf({"b.log": failure("198.51.100.200", 1)}))
    assert [i.source_ip for i in scans.incidents()] == ["AS64500"]


def test_a_rule_by_system_needs_the_database(by_system, tmp_path, asn_database):
    """Without it, or with a file that is something else, the configuration is refused."""
    with pytest.raises(ConfigurationError, match="network-failures counts by source_asn: set MIDD"):
        open_groupings(by_system, None)
    with pytest.raises(ConfigurationError, match="No such file"):
        open_groupings(by_system, tmp_path / "missing.mmdb")
    (text := tmp_path / "text.mmdb").write_text("AS64500\n")
    with pytest.raises(ConfigurationError, match="it is no mmdb file"):
        open_groupings(by_system, text)
    with pytest.raises(ConfigurationError, match="names no autonomous systems"):
        open_groupings(by_system, asn_database(country="IT"))


def test_systems_are_found_by_the_text_of_an_address(by_system, asn_database):
    """An address outside of the file has none, and a /64 has that of its first address."""
    (grouping,) = open_groupings(by_system, asn_database(asn=64500))
    inside = ["203.0.113.9", "2001:db8:0:7::/64", str(ipaddress.ip_address("2001:db8::1"))]

    assert grouping.name([*inside, "192.0.2.1"]) == dict.fromkeys(inside, "AS64500")


@pytest.mark.parametrize(
    ("rule_id", "lines"),
    [(r.id, lines) for r in SHIPPED.by(GroupBy.SOURCE_NETWORK).rules for lines in r.matches],
)
def test_a_shipped_rule_finds_what_no_rule_of_addresses_finds(scans, rule_id, lines):
    """Its examples are one incident, of the network and of nobody in it."""
    scans.rules = SHIPPED
    scans.run(shelf({"a.log": "\n".join(lines)}))
    (incident,) = scans.incidents()

    assert "/" in incident.source_ip
    assert rule_id in {finding.rule_id for finding in incident.findings}


def test_the_rule_for_systems_is_one_line_away(scans, tmp_path, asn_database):
    """It is shipped disabled, because it needs a file that we may not ship."""
    (path := tmp_path / "own.yml").write_text(
        "rules:\n  - {id: ssh-login-failures-asn, disabled: false}\n"
    )
    scans.rules, scans.asn_database = load_rules(path), asn_database(asn="AS64500")
    (rule,) = scans.rules.by(GroupBy.SOURCE_ASN).rules
    lines = "\n".join(rule.matches[0]).replace("192.0.2.", "203.0.113.")
    scans.run(shelf({"a.log": lines}))

    assert {i.source_ip for i in scans.incidents()} == {"203.0.113.0/24", "AS64500"}
