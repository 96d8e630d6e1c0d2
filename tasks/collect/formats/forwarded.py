"""Who the client is when proxies stand before the server, and which proxies are believed."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

from tasks.collect.formats.fields import read_address

Network = IPv4Network | IPv6Network


class TrustedProxies:
    """The networks whose word on where a request came from is taken."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)
        self._trusts = lru_cache(maxsize=10_000)(self._is_in_a_network)

    @property
    def are_known(self) -> bool:
        """Whether there are any."""
        return bool(self._networks)

    def find_client(self, peer: str, forwarded_for: str | None) -> str:
        """
        The nearest address to the server that is not a trusted proxy's.

        Every proxy appends who spoke to it, so the header is read from its end, and only as long
        as whoever wrote the entry is trusted. What a client put into it comes before what the
        first trusted proxy wrote, and is never reached: it can accuse nobody.

        Args:
            peer: Who spoke to the server that logged, in canonical form.
            forwarded_for: The value of X-Forwarded-For; None without one.
        """
        client = peer
        hops = forwarded_for.split(",") if forwarded_for and self._networks else []
        while hops and self._trusts(client):
            hop = read_address(hops.pop().strip(' "').encode())
            if hop is None:
                break
            client = hop
        return client

    def _is_in_a_network(self, address: str) -> bool:
        parsed = ip_address(address)
        return any(parsed in network for network in self._networks)
