"""Trusted proxies: a header counts as far as whoever wrote it is trusted, and no further."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.collect.formats.forwarded import TrustedProxies

PROXIES = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")])


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("192.0.2.7", "198.51.100.9", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "198.51.100.9, 192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "198.51.100.9, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("2001:db8:1::1", "192.0.2.7:4711, 10.1.1.1", "192.0.2.7"),
        ("10.0.0.1", '"[2001:db8::9]:4711"', "2001:db8::9"),
        ("10.0.0.1", "::ffff:192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.9,", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", None, "10.0.0.1"),
    ],
)
def test_client(peer, forwarded_for, client):
    """The client is the last address that no trusted proxy has."""
    assert PROXIES.find_client(peer, forwarded_for) == client


def test_nobody_is_trusted():
    """Without trusted proxies no header counts."""
    assert TrustedProxies().find_client("10.0.0.1", "192.0.2.7") == "10.0.0.1"


@given(st.text(max_size=60))
def test_spoofed_header(text):
    """Whatever a client sends, the proxy adds the client, and it is the client."""
    assert PROXIES.find_client("10.0.0.1", f"{text}, 192.0.2.7") == "192.0.2.7"
    assert PROXIES.find_client("192.0.2.7", text) == "192.0.2.7"
