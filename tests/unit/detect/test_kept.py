"""The compiled half of what is kept says what the libraries say that it stands in for."""

from ipaddress import IPv4Address, IPv6Address

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.detect import kept
from tasks.detect.columns import read_texts
from tasks.detect.judged import hash_value
from tasks.detect.packed import order_addresses

texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=400)
groups = st.lists(st.sampled_from([0, 0, 0, 1, 0xF0, 0xFFFF]), min_size=8, max_size=8)


@given(texts)
@example("x" * 127)
@example("x" * 128)
@example("x" * 129)
@example("x" * 256)
def test_hashes_of_paths_are_hashes_of_values(text):
    """A path hashes to what the exact path hashes it to, whatever its length."""
    data = np.frombuffer(b"/" + text.encode() + b"/", np.uint8)

    room = np.zeros(8, np.uint64), np.zeros(16, np.uint64)
    assert int(kept.blake2b_64(data, 1, 1 + len(text), *room)) == hash_value(text)


def names_of(addresses: list[tuple[int, int]]) -> list[str]:
    target = np.zeros(len(addresses) * kept.MAX_NAME, np.uint8)
    size = kept.write_names(np.array(addresses, np.uint64).reshape(-1, 2), target)
    return read_texts(target[:size]).to_list()


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


@given(st.lists(st.integers(0, (1 << 32) - 1), unique=True, max_size=20))
@example([0x01010101, 0x0101010A, 0x01010102, 0x010A0101, 0x0A010101, 0x64010101, 0x02000000])
def test_ipv4_addresses_are_in_the_order_of_their_texts(addresses):
    """The order that is found without the texts is theirs."""
    mapped = np.array([(0, 0xFFFF << 32 | a) for a in addresses], np.uint64).reshape(-1, 2)

    order = order_addresses(mapped)

    assert order is not None
    assert order.tolist() == sorted(
        range(len(addresses)), key=lambda number: str(IPv4Address(addresses[number]))
    )


def test_the_order_of_other_addresses_is_not_told():
    """One IPv6 address is enough."""
    assert order_addresses(np.array([(0, 0xFFFF << 32), (0, 1)], np.uint64)) is None
    assert order_addresses(np.array([(1, 0xFFFF << 32)], np.uint64)) is None


def test_texts_are_read_as_they_are():
    """A text may be empty and may hold or end with what ends lines elsewhere."""
    texts = ["", "a\r", "\r", "a\rb\n\r"[:3], "\x00\x0b\x0c\x1e\x85\u2028é", ""]
    data = "".join(f"{text}\r\n" for text in texts).encode()

    assert read_texts(np.frombuffer(data, np.uint8)).to_list() == texts
