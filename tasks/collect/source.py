"""What every place that logs are read from offers, and what it asks of the ledger."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import BinaryIO, NamedTuple, Protocol

from tasks.collect.credentials import account_from_block
from tasks.collect.pattern import Pattern
from tasks.model.errors import ConfigurationError
from tasks.model.objects import FileStream, KnownObject, Location, LogObject, Plan
from tasks.model.text import make_visible

_LOOK_UP_AT_ONCE = 1000
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_FILE = re.compile(r"file://(localhost)?/")


class Ledger(Protocol):
    """What is on record of a source."""

    def known_objects(
        self, source: str, keys_and_versions: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], KnownObject]:
        """Return what is on record of these versions; unknown ones are absent."""

    def file_streams(self, source: str) -> Sequence[FileStream]:
        """Return all streams that were last read from a directory."""

    def file_sources(self) -> Sequence[str]:
        """Return all directories that anything was ever read from."""


class Source(Protocol):
    """A place that log objects are listed in and read from."""

    uri: str
    """Its identity in the ledger."""

    def plan(self, ledger: Ledger) -> Plan:
        """
        List everything, and say what of it is new.

        Raises:
            ConfigurationError: It can never be listed as it is configured.
            TransientError: It cannot be listed now.
        """

    def open(self, log_object: LogObject) -> AbstractContextManager[BinaryIO]:
        """
        The stored bytes of the version that was planned, as a stream.

        Raises:
            ObjectError: It is gone, was replaced or must not be read; also on leaving the
                context, when it changed while it was read.
            TransientError: It cannot be read now.
        """


class Remembered(NamedTuple):
    """Versions that are to be read, and how many the ledger says need not be."""

    to_read: tuple[LogObject, ...]
    unchanged: int
    quarantined: int


def open_source(location: Location) -> Source:
    """
    The directory or the bucket that *location* names; nothing is touched yet.

    Raises:
        ConfigurationError: The location is malformed, or its credentials are not on record.
    """
    pattern = Pattern(location.pattern)
    if location.uri.startswith("s3://"):
        from tasks.collect.s3 import Bucket

        block = location.aws_credentials_block
        return Bucket(location.uri, pattern, account_from_block(block) if block else None)
    if _SCHEME.match(location.uri) and not _FILE.match(location.uri):
        raise ConfigurationError(
            f"The source '{make_visible(location.uri)}' is of a kind that is not read: give a "
            "directory, file:///path or s3://bucket/prefix."
        )

    from tasks.collect.directory import Directory

    return Directory(location.uri, pattern)


def recall(ledger: Ledger, source: str, objects: Iterable[LogObject]) -> Remembered:
    """Which of these versions are still to be read, with the attempts that failed before."""
    listed = list(objects)
    to_read: list[LogObject] = []
    unchanged = quarantined = 0
    for start in range(0, len(listed), _LOOK_UP_AT_ONCE):
        page = listed[start : start + _LOOK_UP_AT_ONCE]
        known = ledger.known_objects(source, [(o.object_key, o.version) for o in page])
        for log_object in page:
            record = known.get((log_object.object_key, log_object.version))
            if record is None:
                to_read.append(log_object)
            elif record.state == "done":
                unchanged += 1
            elif record.state == "quarantined" and _is_as_tried(log_object, record):
                quarantined += 1
            else:
                to_read.append(replace(log_object, attempts=record.attempts))
    return Remembered(tuple(to_read), unchanged, quarantined)


def _is_as_tried(log_object: LogObject, record: KnownObject) -> bool:
    """A file that grew may be whole by now, such as a log compressed while it is written."""
    return record.size_bytes in (None, log_object.size_bytes)
