"""What is kept of counted lines is called and read as the libraries have it."""

from ipaddress import IPv4Address, IPv6Address

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.detect.columns import read_texts
from tasks.detect.packed import name_addresses

groups = st.lists(st.sampled_from([0, 0, 0, 1, 0xF0, 0xFFFF]), min_size=8, max_size=8)


def names_of(addresses: list[tuple[int, int]]) -> list[str]:
    return name_addresses(np.array(addresses, np.uint64).reshape(-1, 2)).to_list()


@given(st.lists(st.integers(0, (1 << 32) - 1), max_size=20))
@example([0, (1 << 32) - 1, 0x0A00640C])
def test_names_of_ipv4(addresses):
    """An IPv4 address is written as ipaddress writes it."""
    assert names_of([(0, 0xFFFF << 32 | a) for a in addresses]) == [
        str(IPv4Address(a)) for a in addresses
    ]


@given(st.lists(groups, max_size=20))
@example([[0] * 8, [1] * 8, [0] * 7 + [1], [1] + [0] * 7, [1, 0, 0, 1, 0, 0, 0, 1]])
def test_names_of_ipv6(many):
    """An IPv6 address is written as ipaddress writes it, the first of the longest gaps left out."""
    addresses = [int("".join(f"{g:04x}" for g in some), 16) for some in many]
    addresses = [a for a in addresses if a >> 32 != 0xFFFF]

    assert names_of([(a >> 64, a & (1 << 64) - 1) for a in addresses]) == [
        str(IPv6Address(a)) for a in addresses
    ]


def test_texts_are_read_as_they_are():
    """A text may be empty and may hold or end with what ends lines elsewhere."""
    texts = ["", "a\r", "\r", "a\rb\n\r"[:3], "\x00\x0b\x0c\x1e\x85\u2028é", ""]
    data = "".join(f"{text}\r\n" for text in texts).encode()

    assert read_texts(np.frombuffer(data, np.uint8)).to_list() == texts
