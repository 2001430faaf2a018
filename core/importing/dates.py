"""When a photo was taken, from the sources users expect, in the order they expect.

1. in the file's own bytes: EXIF DateTimeOriginal, DateTimeDigitized, DateTime (each with its offset and fraction), the
   GPS date, XMP, IPTC. Only these decide the photo's shard, so that every device puts the same file in the same one;
2. a fallback, kept apart: a date in the file's name, then the file's time.

A time is wall clock plus offset-or-unknown. A date that no calendar has (`0000:00:00`, a 31st of February), and one
before photography, is no date, and the next source is asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from core.importing.exif import DATE_TIME, Exif

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_FIRST_YEAR = 1826
_LAST_YEAR = 2199
_MAX_OFFSET_MINUTES = 14 * 60 + 59
_QUARTER_SECONDS = 900
_CARELESS_SECONDS = 2
_GPS_TIME, _GPS_DATE = 7, 29
_OFFSET_TIME = 0x9010
_FILE_NAME, _FILE_TIME = "file.name", "file.time"

# (source, date tag and the directory it is in, fraction tag, offset tag); EXIF 2.32, section 4.6.
_EXIF_DATES = (
    ("exif.DateTimeOriginal", 0x9003, "photo", 0x9291, 0x9011),
    ("exif.DateTimeDigitized", 0x9004, "photo", 0x9292, 0x9012),
    ("exif.DateTime", DATE_TIME, "image", 0x9290, _OFFSET_TIME),
)
_XMP_DATES = (
    ("xmp.DateTimeOriginal", "exif:DateTimeOriginal"),
    ("xmp.DateCreated", "photoshop:DateCreated"),
    ("xmp.CreateDate", "xmp:CreateDate"),
    ("xmp.DateTimeDigitized", "exif:DateTimeDigitized"),
    ("xmp.GPSTimeStamp", "exif:GPSTimeStamp"),
)

_CLOCK = re.compile(
    r"(\d{4})[-:/.](\d{1,2})[-:/.](\d{1,2})"
    r"(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?)?\s*(Z|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})", re.ASCII)
_DATE_IN_NAME = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"
    r"(?:(?:[-_ T.]{0,3}|[ _-]at[ _-])([01]\d|2[0-3])([-_.:h]?)([0-5]\d)\6([0-5]\d)(?:[-_.]?(\d{3}))?)?(?!\d)",
    re.ASCII,
)
_UNIX_MILLISECONDS_IN_NAME = re.compile(r"(?<!\d)(1\d{12})(?!\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """A wall clock `YYYY-MM-DDTHH:MM:SS[.fff]`, its offset from UTC in minutes or None, and where it was found."""

    clock: str
    offset_minutes: int | None
    source: str

    def with_offset(self) -> str:
        """Return the clock with its offset, when known, as ISO 8601 writes it."""
        if self.offset_minutes is None:
            return self.clock
        sign = "-" if self.offset_minutes < 0 else "+"
        hours, minutes = divmod(abs(self.offset_minutes), 60)
        return f"{self.clock}{sign}{hours:02}:{minutes:02}"

    def same_moment(self, other: CaptureTime) -> bool:
        """Whether both say the same, to the second; an unknown offset contradicts none."""
        if self.clock[:19] == other.clock[:19]:
            return self.offset_minutes == other.offset_minutes or None in {self.offset_minutes, other.offset_minutes}
        if self.offset_minutes is None or other.offset_minutes is None:
            return False
        return self._utc() == other._utc()

    def corrects(self, found: CaptureTime | None) -> bool:
        """Whether this, from beside the file, is news after what the file says itself.

        A time in UTC (all that Takeout knows) is no news when it is the file's wall clock in some time zone: zones
        differ from UTC by whole quarters of an hour.
        """
        if found is None:
            return True
        if self.same_moment(found):
            return False
        if self.offset_minutes != 0 or found.offset_minutes is not None:
            return True
        difference = datetime.fromisoformat(self.clock[:19]) - datetime.fromisoformat(found.clock[:19])
        apart = abs(difference.total_seconds())
        from_quarter = min(apart % _QUARTER_SECONDS, _QUARTER_SECONDS - apart % _QUARTER_SECONDS)
        return apart > _MAX_OFFSET_MINUTES * 60 or from_quarter > _CARELESS_SECONDS

    def _utc(self) -> datetime:
        return datetime.fromisoformat(self.clock[:19]) - timedelta(minutes=self.offset_minutes or 0)


def in_file(exif: Exif, xmp: Mapping[str, Sequence[str]], iptc_created: str | None = None) -> CaptureTime | None:
    """Return the time that the file's own bytes give, or None."""
    for source, tag, where, fraction_tag, offset_tag in _EXIF_DATES:
        found = parse(exif.text(tag, where), source)
        if found is not None:
            # Some cameras give one offset for all three dates.
            return _refined(found, exif.text(fraction_tag), exif.text(offset_tag) or exif.text(_OFFSET_TIME))
    gps = _from_gps(exif)
    if gps is not None:
        return gps
    found = in_xmp(xmp)
    return found if found is not None else parse(iptc_created, "iptc.DateCreated")


def in_xmp(xmp: Mapping[str, Sequence[str]]) -> CaptureTime | None:
    """Return the time that an XMP packet gives, or None."""
    candidates = (parse(text, source) for source, name in _XMP_DATES for text in xmp.get(name, ())[:1])
    return next((found for found in candidates if found is not None), None)


def fallback(name: str, modified_at: float) -> CaptureTime | None:
    """Return the time that a file's name gives, else its time of change (Unix seconds), in this machine's zone."""
    return in_name(name) or at_local_time(modified_at, _FILE_TIME)


def in_name(name: str) -> CaptureTime | None:
    """Return the time in a file name such as `IMG_20240512_134501.jpg`, or None. Midnight stands for no time."""
    for match in _DATE_IN_NAME.finditer(name):
        year, _, month, day, hour, _, minute, second, fraction = match.groups()
        found = _checked([year, month, day, hour or 0, minute or 0, second or 0], fraction, _FILE_NAME)
        if found is not None:
            return found
    moment = _UNIX_MILLISECONDS_IN_NAME.search(name)
    return None if moment is None else at_utc(int(moment[1]) // 1000, _FILE_NAME)


def at_utc(seconds: float, source: str) -> CaptureTime | None:
    """Return a Unix time as a wall clock in UTC, or None when no calendar has it."""
    return _from_datetime(lambda: datetime.fromtimestamp(seconds, UTC), source)


def at_local_time(seconds: float, source: str) -> CaptureTime | None:
    """Return a Unix time as a wall clock of this machine's zone, or None when no calendar has it."""
    return _from_datetime(lambda: datetime.fromtimestamp(seconds, UTC).astimezone(), source)


def parse(text: str | None, source: str) -> CaptureTime | None:
    """Return what a date as EXIF or ISO 8601 writes it says, or None. Midnight stands for a missing time of day."""
    match = None if text is None else _CLOCK.match(text.strip())
    if match is None:
        return None
    *parts, fraction, offset = match.groups()
    found = _checked([part or 0 for part in parts], fraction, source)
    return found if found is None or offset is None else _refined(found, None, offset)


def _refined(found: CaptureTime, fraction: str | None, offset: str | None) -> CaptureTime:
    """Add the fraction and offset that EXIF keeps in tags of their own."""
    clock = found.clock
    digits = re.match(r"\d+", fraction or "", re.ASCII)
    if digits is not None and "." not in clock:
        clock = f"{clock}.{digits.group()[:6]}"
    minutes = _offset_minutes(offset)
    return CaptureTime(clock, found.offset_minutes if minutes is None else minutes, found.source)


def _offset_minutes(text: str | None) -> int | None:
    text = (text or "").strip()
    if text == "Z":
        return 0
    match = _OFFSET.match(text)
    if match is None:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    if minutes > _MAX_OFFSET_MINUTES or int(match[3]) > 59:  # noqa: PLR2004  minutes of an hour
        return None
    return -minutes if match[1] == "-" else minutes


def _from_gps(exif: Exif) -> CaptureTime | None:
    """GPS time is UTC. Receivers without a fix leave the time out; the day alone still beats a file's name."""
    date = exif.text(_GPS_DATE, "gps")
    if date is None:
        return None
    time = exif.numbers(_GPS_TIME, "gps")
    if len(time) < 3 or not all(0 <= part < 61 for part in time[:3]):  # noqa: PLR2004  hours, minutes, seconds
        return parse(date, "exif.GPSDateStamp")
    found = parse(f"{date} {int(time[0]):02}:{int(time[1]):02}:{int(time[2]):02}", "exif.GPSDateStamp")
    return None if found is None else CaptureTime(found.clock, 0, found.source)


def _from_datetime(make: Callable[[], datetime], source: str) -> CaptureTime | None:
    try:
        moment = make()
    except (OverflowError, OSError, ValueError):
        return None
    parts = [moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second]
    found = _checked(parts, None, source)
    offset = moment.utcoffset() or timedelta()
    return None if found is None else CaptureTime(found.clock, round(offset.total_seconds() / 60), source)


def _checked(parts: Sequence[str | int], fraction: str | None, source: str) -> CaptureTime | None:
    year, month, day, hour, minute, second = (int(part) for part in parts)
    try:
        # A leap second is written as the second before it: no calendar library has a place for it.
        moment = datetime(year, month, day, hour, minute, min(second, 59) if second == 60 else second)  # noqa: DTZ001, PLR2004
    except ValueError:
        return None
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    clock = moment.isoformat(timespec="seconds")
    return CaptureTime(f"{clock}.{fraction[:6]}" if fraction else clock, None, source)
