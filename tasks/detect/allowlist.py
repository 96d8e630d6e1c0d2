"""Source addresses that are never suspects: which, why, and until when."""

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tasks.model.incidents import is_system


class AllowlistEntry(BaseModel):
    """A network whose events lead to no finding."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"cidr": "192.0.2.0/28", "reason": "office", "expires": "2027-01-01T00:00:00Z"}
            ]
        },
    )

    cidr: Annotated[
        str,
        Field(
            description="An IPv4 or IPv6 address or network in CIDR form. IPv6 clients are counted "
            "by /64 networks (`ipv6-prefix` of the rules), and only a whole one can be allowed.",
            examples=["192.0.2.10", "198.51.100.0/24", "2001:db8:1::/48"],
        ),
    ]
    reason: Annotated[
        str, Field(min_length=1, max_length=200, description="Why, for who reads the run later.")
    ]
    expires: Annotated[
        datetime | None,
        Field(
            description="Events from this moment on count again; without a zone it is UTC. "
            "Unset: never.",
            examples=["2027-01-01T00:00:00Z", "2027-01-01"],
        ),
    ] = None

    @field_validator("cidr")
    @classmethod
    def _is_network(cls, cidr: str) -> str:
        try:
            return str(ip_network(cidr.strip()))
        except ValueError as error:
            if "host bits" in str(error):
                whole = ip_network(cidr.strip(), strict=False)
                raise ValueError(
                    f"{cidr!r} has bits set beyond its prefix; write {whole} for the whole "
                    "network, or the address alone"
                ) from None
        raise ValueError(
            f"{cidr!r} is not a network; write an address or CIDR such as 198.51.100.0/24"
        )

    @field_validator("expires")
    @classmethod
    def _is_utc(cls, expires: datetime | None) -> datetime | None:
        if expires is None:
            return None
        return expires.replace(tzinfo=expires.tzinfo or UTC).astimezone(UTC)

    @property
    def network(self) -> IPv4Network | IPv6Network:
        """The parsed *cidr*."""
        return ip_network(self.cidr)


class Allowlist:
    """Entries by network; the cost of a question does not grow with their number."""

    def __init__(self, entries: Sequence[AllowlistEntry] = ()) -> None:
        self._entries: dict[tuple[int, int, int], list[AllowlistEntry]] = {}
        for entry in entries:
            network = entry.network
            key = (network.version, network.prefixlen, int(network.network_address))
            self._entries.setdefault(key, []).append(entry)
        self._prefixes = sorted({key[:2] for key in self._entries}, reverse=True)

    def __bool__(self) -> bool:
        """Whether anything can be allowed at all."""
        return bool(self._entries)

    def reason(self, source_ip: str, at: datetime) -> str | None:
        """
        Why *source_ip* is allowed at event time *at*, or None when it is not.

        The narrowest network that holds it answers; of several for one network the first that
        counts. An entry counts while *at* is before its expiry.

        Args:
            source_ip: An address, or a network that counts as one subject. Of an autonomous
                system nothing is allowed as a whole.
        """
        if is_system(source_ip):
            return None
        network = ip_network(source_ip)
        first = int(network.network_address)
        for version, prefix in self._prefixes:
            if version != network.version or prefix > network.prefixlen:
                continue
            bits = network.max_prefixlen - prefix
            for entry in self._entries.get((version, prefix, first >> bits << bits), ()):
                if entry.expires is None or at < entry.expires:
                    return entry.reason
        return None
