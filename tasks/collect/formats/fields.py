"""What all formats share: client addresses and text fields, made from an attacker's bytes."""

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from tasks.model.events import Event, Unparsed

Parsed = tuple[Event, ...] | Unparsed
"""The events of a line: none when it was understood and says nothing that is counted."""

IMPOSSIBLE_TIME = Unparsed("its time does not exist")
HOST_NAME = Unparsed(
    "its client is not an IP address; turn host name lookups off where the log is written"
)
"""A name comes from the client's own reverse DNS, so it could accuse anybody."""

_SOCKET = Unparsed(
    "its client is a unix socket; have the server log the address that the proxy before it forwards"
)

_LONGEST_ADDRESS = 80
_ADDRESS = re.compile(rb"\[?([0-9A-Fa-f:.]+)(?:%[^\]\s]*)?\]?")
_ADDRESS_AND_PORT = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)(?:%[^\]\s]*)?\]|([0-9.]+)):\d{1,5}")
_ESCAPE = re.compile(rb'\\(?:x([0-9A-Fa-f]{2})|(["\\bfnrtv]))')
_ESCAPED = {
    b'"': b'"', b"\\": b"\\", b"b": b"\b", b"f": b"\f",
    b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v",
}  # fmt: skip


def read_address(field: bytes) -> str | None:
    """
    Canonical text of an IP address with or without brackets and port; None for anything else.

    An IPv6 zone is dropped, and an IPv4-mapped IPv6 address is the IPv4 one.
    """
    return _read_address(field) if len(field) <= _LONGEST_ADDRESS else None


@lru_cache(maxsize=100_000)
def _read_address(field: bytes) -> str | None:
    for pattern in (_ADDRESS, _ADDRESS_AND_PORT):
        match = pattern.fullmatch(field)
        text = next(filter(None, match.groups()), b"") if match else b""
        try:
            address = ip_address(text.decode())
        except ValueError:
            continue
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return str(mapped or address)
    return None


def refuse_client(field: bytes) -> Unparsed:
    """Why *field*, which is no address, names no client."""
    return _SOCKET if field.startswith(b"unix:") else HOST_NAME


def strip_port(field: bytes) -> bytes:
    """
    The address in what is an address and a port for certain.

    Without brackets around it, the port looks like one more group of an IPv6 address.
    """
    address, _, port = field.rpartition(b":")
    is_bare = b":" in address and not address.startswith(b"[") and port.isdigit()
    return address if is_bare and read_address(address) else field


def read_text(field: bytes) -> str | None:
    r"""
    The text of a quoted field, unescaped one level; None for `-` and for nothing.

    Bytes that are not UTF-8 are written as \xNN, so that the text fits any database.
    """
    if field in (b"-", b""):
        return None
    if b"\\" in field:
        field = _ESCAPE.sub(_unescape, field)
    return field.decode("utf-8", "backslashreplace")


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode()) if match[1] else _ESCAPED[match[2]]
