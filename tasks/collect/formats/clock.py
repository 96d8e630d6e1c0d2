"""The time that a log line states, in seconds since the epoch; it never reads the wall clock."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

MONTHS = {
    name: number
    for number, name in enumerate(
        b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1
    )
}
_YEARS = range(1970, 2101)
_LAST_SECOND = int(datetime(2101, 1, 1, tzinfo=UTC).timestamp())
_YEARS_BACK = 9
"""February 29 is eight years from the next one around 2100."""
_DAY_SECONDS = 86_400
_CACHED_MINUTES = 10_000
_ACCESS_TIME = re.compile(
    rb"\[?(\d\d/[A-Z][a-z][a-z]/\d{4}[: ]\d\d:\d\d):(\d\d)(?:\.\d+)? ([+-]\d{4})\]?"
)
_ISO_TIME = re.compile(
    rb"(\d{4}[-/]\d\d[-/]\d\d)[T ](\d\d:\d\d):(\d\d)(?:[.,]\d+)?(?: ?(Z|UTC|[+-]\d\d:?\d\d))?"
)
_EPOCH = re.compile(rb"(\d{1,19})(?:\.\d*)?")
_EPOCH_UNITS = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (10**20, 10**9))
"""Seconds, milli-, micro- or nanoseconds: as seconds, the smallest of the next is in year 5138."""


class ObjectClock:
    """
    Reads the times in the lines of one log object.

    Every method takes the stated minute and second as bytes that have the right shape, and
    returns None when there is no such time. A leap second counts as the second before it.
    Neighbouring lines share their minute, so a minute is understood once and looked up after.
    """

    def __init__(self, modified_at: datetime, zone: tzinfo = UTC) -> None:
        """Year-less times end at *modified_at*; times without an offset are in *zone*."""
        self._modified_at = modified_at.astimezone(zone)
        self._latest = modified_at.timestamp() + _DAY_SECONDS
        self._zone = zone
        self._minutes: dict[bytes, int | None] = {}

    @property
    def is_utc(self) -> bool:
        """Whether times without an offset are UTC."""
        return str(self._zone) == "UTC"

    def read_access_time(self, minute: bytes, second: bytes, offset: bytes) -> int | None:
        """`22/Feb/2026:22:10`, `01`, `+0300`."""
        return self._read(minute + offset, second, _read_access_minute)

    def read_iso_time(self, minute: bytes, second: bytes, offset: bytes) -> int | None:
        """`2026-02-22T22:10`, `01`, and `Z`, `+03:00` or nothing."""
        return self._read(minute + offset, second, self._read_iso_minute)

    def read_yearless_time(self, minute: bytes, second: bytes) -> int | None:
        """
        `Feb 22 22:10` and `01`, in the latest year that fits.

        That is the latest year in which the line is at most one day younger than its object;
        the day covers clocks and zones that differ.
        """
        return self._read(minute, second, self._read_yearless_minute)

    def read_local_time(self, day: bytes, month: bytes, year: bytes, time: bytes) -> int | None:
        """`6`, `Feb` or `02`, `2026` and `22:10:01`, in the zone of the object."""
        number = MONTHS.get(month) or (int(month) if month.isdigit() else 0)
        minute = b"%b-%02d-%02dT%b" % (year, number, int(day), time[:5])
        return self.read_iso_time(minute, time[6:8], b"")

    def read_time(self, text: bytes) -> int | None:
        """
        A time in any of the spellings that formats with named fields use.

        That is ISO 8601, the one of access logs, and seconds, milli-, micro- or nanoseconds
        since the epoch.
        """
        if match := _ISO_TIME.fullmatch(text):
            offset = (match[4] or b"").replace(b"UTC", b"Z")
            return self.read_iso_time(match[1] + b"T" + match[2], match[3], offset)
        if match := _EPOCH.fullmatch(text):
            return _epoch_seconds(int(match[1]))
        if match := _ACCESS_TIME.fullmatch(text):
            return self.read_access_time(match[1], match[2], match[3])
        return None

    def _read(
        self, text: bytes, second: bytes, read_minute: Callable[[bytes], int | None]
    ) -> int | None:
        try:
            start = self._minutes[text]
        except KeyError:
            if len(self._minutes) >= _CACHED_MINUTES:
                self._minutes.clear()
            start = self._minutes[text] = _or_none(read_minute, text)
        seconds = int(second)
        if start is None or seconds > 60:
            return None
        return start + min(seconds, 59)

    def _read_iso_minute(self, text: bytes) -> int | None:
        offset = text[16:]
        parts = (text[:4], text[5:7], text[8:10], text[11:13], text[14:16])
        year, month, day, hour, minute = map(int, parts)
        if offset:
            return _utc_seconds(year, month, day, hour, minute, offset.replace(b":", b""))
        if year not in _YEARS:
            return None
        return int(datetime(year, month, day, hour, minute, tzinfo=self._zone).timestamp())

    def _read_yearless_minute(self, text: bytes) -> int | None:
        month, day = MONTHS[text[:3]], int(text[4:6])
        hour, minute = int(text[7:9]), int(text[10:12])
        latest = self._modified_at.year + 1
        for year in range(latest, latest - _YEARS_BACK, -1):
            if day == 29 and month == 2 and not _is_leap(year):
                continue
            start = datetime(year, month, day, hour, minute, tzinfo=self._zone).timestamp()
            if start <= self._latest:
                return int(start)
        return None


def _epoch_seconds(count: int) -> int | None:
    seconds = next(count // unit for limit, unit in _EPOCH_UNITS if count < limit)
    return seconds if seconds < _LAST_SECOND else None


def _or_none(read_minute: Callable[[bytes], int | None], text: bytes) -> int | None:
    try:
        return read_minute(text)
    except (KeyError, ValueError, OverflowError):  # no such month, day, hour or year
        return None


def _read_access_minute(text: bytes) -> int | None:
    month, year = MONTHS[text[3:6]], int(text[7:11])
    return _utc_seconds(year, month, int(text[:2]), int(text[12:14]), int(text[15:17]), text[17:])


def _utc_seconds(
    year: int, month: int, day: int, hour: int, minute: int, offset: bytes
) -> int | None:
    ahead = _offset_seconds(offset)
    if ahead is None or year not in _YEARS:
        return None
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) - ahead


def _offset_seconds(offset: bytes) -> int | None:
    """`+0330` is 12,600; None outside the offsets that exist."""
    if offset == b"Z":
        return 0
    hours, minutes = int(offset[1:3]), int(offset[3:5])
    if hours > 15 or minutes > 59:
        return None
    seconds = hours * 3600 + minutes * 60
    return -seconds if offset[:1] == b"-" else seconds


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
