"""Autonomous systems: whose network an address is in, from an mmdb file."""

from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

import maxminddb

from tasks.model.errors import ConfigurationError

_PROBED: Final = 100
"""Records that are looked at to tell whether a file is about autonomous systems."""
_REMEMBERED: Final = 100_000


class AutonomousSystems:
    """
    The systems that an mmdb file names, as `AS64500`.

    MaxMind's and DB-IP's files have `autonomous_system_number`, IPinfo's have `asn`.
    """

    def __init__(self, reader: maxminddb.Reader) -> None:
        self._reader = reader
        self._find = lru_cache(_REMEMBERED)(self._look_up)

    def __call__(self, source_ips: Iterable[str]) -> dict[str, str]:
        """The system of each of these subjects that is in one."""
        named = ((ip, self._find(ip.partition("/")[0])) for ip in source_ips)
        return {ip: name for ip, name in named if name is not None}

    def _look_up(self, address: str) -> str | None:
        if ":" in address and self._reader.metadata().ip_version == 4:
            return None
        return _name(self._reader.get(address))


def open_asn_database(path: Path) -> AutonomousSystems:
    """
    The systems that *path* names; the file is read again once it is another one.

    Raises:
        ConfigurationError: It cannot be read, or is about something else.
    """
    try:
        return _open(path, path.stat().st_mtime_ns)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
    except (maxminddb.InvalidDatabaseError, ValueError):
        reason = "it is no mmdb file"
    raise ConfigurationError(
        f"MIDDLEWATCH_ASN_DATABASE is {path}, which is of no use ({reason}): name an mmdb file "
        "with autonomous systems, such as GeoLite2-ASN.mmdb."
    )


@lru_cache(maxsize=1)
def _open(path: Path, _modified_ns: int) -> AutonomousSystems:
    reader = maxminddb.open_database(str(path))
    if not any(_name(record) for _, record in islice(reader, _PROBED)):
        raise ConfigurationError(
            f"MIDDLEWATCH_ASN_DATABASE is {path}, which names no autonomous systems (it is of the "
            f"type {reader.metadata().database_type}): name a file such as GeoLite2-ASN.mmdb."
        )
    return AutonomousSystems(reader)


def _name(record: Any) -> str | None:  # noqa: ANN401 -- whatever the file holds
    if not isinstance(record, dict):
        return None
    number = record.get("autonomous_system_number", record.get("asn"))
    digits = str(number or "").upper().removeprefix("AS")
    return f"AS{int(digits)}" if digits.isascii() and digits.isdigit() else None
