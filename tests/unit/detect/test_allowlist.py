"""The allowlist: who is never a suspect, why, and until when."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from tasks.detect.allowlist import Allowlist, AllowlistEntry

NOON = datetime(2026, 2, 22, 12, tzinfo=UTC)


def entry(cidr, reason="office", **fields):
    return AllowlistEntry(cidr=cidr, reason=reason, **fields)


def test_an_address_in_a_listed_network_has_a_reason():
    """IPv4 and IPv6, networks and single addresses."""
    allowlist = Allowlist([entry("192.0.2.0/24"), entry("2001:db8::/32", "lab"), entry("::1")])

    assert allowlist.reason("192.0.2.255", NOON) == "office"
    assert allowlist.reason("2001:db8:ffff::1", NOON) == "lab"
    assert allowlist.reason("::1", NOON) == "office"
    assert allowlist.reason("192.0.3.0", NOON) is None
    assert allowlist.reason("2001:db9::", NOON) is None
    assert allowlist.reason("2001:db8:ffff:1::/64", NOON) == "lab"
    assert allowlist.reason("::/64", NOON) is None


def test_nobody_is_allowed_by_an_empty_list():
    """The default changes nothing."""
    assert Allowlist().reason("192.0.2.1", NOON) is None


def test_the_narrowest_network_gives_the_reason():
    """A reason for one host beats the one for its network, in whatever order they are listed."""
    entries = [entry("192.0.2.0/24", "office"), entry("192.0.2.7", "scanner of our own")]

    assert Allowlist(entries).reason("192.0.2.7", NOON) == "scanner of our own"
    assert Allowlist(entries[::-1]).reason("192.0.2.7", NOON) == "scanner of our own"


def test_an_entry_counts_until_it_expires():
    """The moment of expiry is outside, and it is the event's time that is compared."""
    allowlist = Allowlist([entry("192.0.2.7", expires=NOON)])

    assert allowlist.reason("192.0.2.7", NOON - timedelta(seconds=1)) == "office"
    assert allowlist.reason("192.0.2.7", NOON) is None


def test_a_wider_entry_answers_when_the_narrow_one_has_expired():
    """An expired entry is as if it were not there."""
    entries = [entry("192.0.2.0/24"), entry("192.0.2.7", "pentest", expires=NOON)]

    assert Allowlist(entries).reason("192.0.2.7", NOON) == "office"


@pytest.mark.parametrize(
    "expires",
    [
        "2026-02-22T12:00:00Z",
        "2026-02-22T12:00:00",
        datetime(2026, 2, 22, 15, tzinfo=timezone(timedelta(hours=3))),
    ],
)
def test_expiry_is_understood_in_its_zone(expires):
    """A time without a zone is UTC."""
    assert entry("192.0.2.7", expires=expires).expires == NOON


@pytest.mark.parametrize("expires", ["2026-02-22", date(2026, 2, 22)])
def test_a_date_expires_when_it_begins(expires):
    """A date alone is its first moment, UTC."""
    assert entry("192.0.2.7", expires=expires).expires == datetime(2026, 2, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cidr", "complaint"),
    [
        ("192.0.2.0/33", "is not a network; write an address or CIDR"),
        ("office", "'office' is not a network"),
        ("", "is not a network"),
        ("192.0.2.7/24", "write 192.0.2.0/24 for the whole network, or the address alone"),
    ],
)
def test_what_is_no_network_is_refused_with_what_to_write(cidr, complaint):
    """A typo never allows more, or less, than was meant."""
    with pytest.raises(ValidationError, match=complaint):
        entry(cidr)


def test_every_entry_has_a_reason():
    """Whoever reads the run later wants to know why."""
    with pytest.raises(ValidationError, match="reason"):
        entry("192.0.2.7", reason="")


def test_the_form_explains_the_fields():
    """Flow parameters show these descriptions and an example in the UI."""
    schema = AllowlistEntry.model_json_schema()

    assert all("description" in field for field in schema["properties"].values())
    assert AllowlistEntry(**schema["examples"][0]).network.prefixlen == 28
