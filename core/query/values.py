"""Values of the fields that hold numbers and dates: reading them, and printing them back.

A value that cannot be read raises :class:`ValueError` with a message for the user; the parser adds the column.
"""

from __future__ import annotations

import calendar
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from core.query.nodes import Bound, Range, plain

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the wall clock: a time without a zone is what is meant
_LAST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_TOO_LARGE = 10**15
_SIZE_UNITS = {
    "": 1, "b": 1,
    "k": 10**3, "kb": 10**3, "kib": 2**10,
    "m": 10**6, "mb": 10**6, "mib": 2**20,
    "g": 10**9, "gb": 10**9, "gib": 2**30,
}  # fmt: skip
_MONTH_NAMES = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MOMENT = re.compile(
    r"(?P<year>\d{4})"
    r"(?:-(?P<month>\d{1,2}|[a-z]+)(?:-(?P<day>\d{1,2})"
    r"(?:t(?P<hour>\d{2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<milli>\d{3}))?)?)?)?)?)?",
    re.ASCII,
)
_AGO = re.compile(r"(\d{1,4})(d|w|m|y)", re.ASCII)
_STAMP = re.compile(r"@(-?\d{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one value covers, both ends included: one number, or the milliseconds of a day or month."""

    low: float
    high: float


def number(text: str, *, whole: bool) -> Stretch:
    """Return a plain number."""
    if not _NUMBER.fullmatch(text) or len(text) > 18:  # noqa: PLR2004 - more digits than a double holds
        raise ValueError(f"{text!r} is not a number")
    value = float(text)
    if whole:
        if not value.is_integer():
            raise ValueError(f"{text} is not a whole number")
        value = int(value)
    return Stretch(value, value)


def size(text: str) -> Stretch:
    """Return a size such as ``800k``, ``2MB`` (1,000,000 each) or ``1.5GiB`` (1,073,741,824 each), in bytes."""
    found = _NUMBER.match(text)
    unit = None if found is None else _SIZE_UNITS.get(text[found.end() :].strip().lower())
    if found is None or unit is None or len(found.group()) > 15:  # noqa: PLR2004 - as many digits as a double holds
        raise ValueError(f"{text!r} is not a size; sizes look like 800k, 2MB or 1.5GiB")
    value = round(float(found.group()) * unit)
    if abs(value) >= _TOO_LARGE:
        raise ValueError(f"{text} is more than any file holds")
    return Stretch(value, value)


def aperture(text: str) -> Stretch:
    """Return an f-number, with or without ``f/`` before it."""
    return number(text.lower().removeprefix("f/").removeprefix("f"), whole=False)


def focal_length(text: str) -> Stretch:
    """Millimetres, with or without ``mm`` after them."""
    return number(text.lower().removesuffix("mm"), whole=False)


def percentage(text: str) -> Stretch:
    """Return a number of hundredths, with or without ``%`` after it."""
    return number(text.removesuffix("%"), whole=False)


def wall_clock_ms(moment: datetime) -> int:
    """Milliseconds between 1970-01-01T00:00 and a time without zone, on the same wall clock."""
    return round((moment - _EPOCH) / timedelta(milliseconds=1))


def wall_clock_text(milliseconds: float) -> str:
    """Return a wall clock as ``YYYY-MM-DDTHH:MM:SS``, with milliseconds where there are any."""
    # Whole seconds make half the arithmetic of a timedelta from milliseconds: this runs for every photo listed.
    seconds, rest = divmod(round(milliseconds), 1000)
    moment = (_EPOCH + timedelta(0, seconds)).isoformat()
    return f"{moment}.{rest:03}" if rest else moment


def date(text: str, now: datetime) -> Stretch:
    """Return a year, month, day, hour, minute or second of the wall clock, or a word for one, as milliseconds.

    Args:
        text: ``2024``, ``2024-05``, ``2024-may``, ``2024-05-17``, ``2024-05-17T14:30``, ``today``, ``yesterday``,
            ``this-week``, ``last-month``, ``30d`` (the day 30 days ago; also weeks, months, years) ….
        now: the wall clock that the words are counted from.

    Raises:
        ValueError: if it is none of these, or no such day exists.
    """
    lowered = text.lower()
    start, end = _named_date(lowered, now) or _written_date(lowered, text)
    return Stretch(wall_clock_ms(start), wall_clock_ms(end) - 1)


def _written_date(lowered: str, text: str) -> tuple[datetime, datetime]:
    found = _MOMENT.fullmatch(lowered)
    if found is None:
        raise ValueError(f"{text!r} is not a date; dates look like 2024, 2024-05, 2024-05-17 or 2024-05..2024-08")
    year, day = int(found["year"]), int(found["day"] or 1)
    month = _month(found["month"], text)
    try:
        start = _EPOCH.replace(
            year, month, day, int(found["hour"] or 0), int(found["minute"] or 0), int(found["second"] or 0),
            int(found["milli"] or 0) * 1000,
        )  # fmt: skip
    except ValueError:
        raise ValueError(f"{text!r} is no day or time of the calendar") from None
    if found["milli"]:
        return start, _later(start, timedelta(milliseconds=1))
    for part, length in (("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400)):
        if found[part]:
            return start, _later(start, timedelta(seconds=length))
    return start, _month_later(start, 1 if found["month"] else 12)


def _month(text: str | None, whole: str) -> int:
    if text is None:
        return 1
    if text.isdigit():
        return int(text)
    matches = [number for number, name in enumerate(_MONTH_NAMES, start=1) if name.startswith(text)]
    if len(matches) != 1:
        raise ValueError(f"{whole!r} names no month")
    return matches[0]


def _named_date(  # noqa: PLR0911 - one answer a word
    text: str, now: datetime
) -> tuple[datetime, datetime] | None:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    monday = today - timedelta(days=today.weekday())
    first = today.replace(day=1)
    january = first.replace(month=1)
    match text:
        case "today":
            return today, _later(today, timedelta(days=1))
        case "yesterday":
            return today - timedelta(days=1), today
        case "this-week":
            return monday, _later(monday, timedelta(days=7))
        case "last-week":
            return monday - timedelta(days=7), monday
        case "this-month":
            return first, _month_later(first, 1)
        case "last-month":
            return _month_later(first, -1), first
        case "this-year":
            return january, _month_later(january, 12)
        case "last-year":
            return _month_later(january, -12), january
        case _:
            return _ago(text, today)


def _ago(text: str, today: datetime) -> tuple[datetime, datetime] | None:
    found = _AGO.fullmatch(text)
    if found is None or (len(found[1]) == 4 and found[2] != "d"):  # noqa: PLR2004 - a year, not an age
        return None
    count, unit = int(found[1]), found[2]
    try:
        if unit in "dw":
            day = today - timedelta(days=count * (7 if unit == "w" else 1))
        else:
            first = _month_later(today.replace(day=1), -count * (12 if unit == "y" else 1))
            day = first.replace(day=min(today.day, calendar.monthrange(first.year, first.month)[1]))
    except (OverflowError, ValueError):
        raise ValueError(f"{text} ago is before the year 1") from None
    return day, _later(day, timedelta(days=1))


def _later(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        return datetime.max  # noqa: DTZ901 - the end of the wall clock


def _month_later(first: datetime, months: int) -> datetime:
    index = first.year * 12 + first.month - 1 + months
    if index // 12 > 9999:  # noqa: PLR2004 - the last year a date can have
        return datetime.max  # noqa: DTZ901 - the end of the wall clock
    return first.replace(year=index // 12, month=index % 12 + 1, day=1)


def import_date(text: str, now: datetime) -> Stretch:
    """Return a date as :func:`date` reads it, in this machine's zone, as UTC seconds; ``@N`` gives those outright."""
    stamp = _STAMP.fullmatch(text)
    if stamp is not None:
        return Stretch(int(stamp[1]), int(stamp[1]))
    stretch = date(text, now)
    return Stretch(_utc(stretch.low), _utc(stretch.high + 1) - 1)


def _utc(milliseconds: float) -> int:
    moment = _EPOCH + timedelta(milliseconds=min(milliseconds, _LAST_MS))
    try:
        return math.floor(moment.astimezone(UTC).timestamp())
    except (OverflowError, ValueError, OSError):
        # The first and last days of the calendar have no other time zone to be seen from.
        return math.floor(moment.replace(tzinfo=UTC).timestamp())


def read_range(  # noqa: PLR0911 - one answer a form
    text: str, read: Callable[[str], Stretch]
) -> tuple[Bound | None, Bound | None]:
    """Return the ends of ``V``, ``<V``, ``<=V``, ``>V``, ``>=V``, ``V..W``, ``V..`` or ``..W``.

    Raises:
        ValueError: if the text is none of these, if ``read`` refuses a value, or if the range runs backwards.
    """
    for sign in ("<=", ">=", "<", ">", "="):
        if text.startswith(sign):
            stretch = read(text.removeprefix(sign))
            match sign:
                case "<":
                    return None, Bound(stretch.low, inclusive=False)
                case "<=":
                    return None, Bound(stretch.high)
                case ">":
                    return Bound(stretch.high, inclusive=False), None
                case ">=":
                    return Bound(stretch.low), None
                case _:
                    return Bound(stretch.low), Bound(stretch.high)
    first, dots, last = text.partition("..")
    if not dots:
        stretch = read(text)
        return Bound(stretch.low), Bound(stretch.high)
    if not first and not last:
        raise ValueError("a range needs at least one end, as in 3.. or ..3")
    low = Bound(read(first).low) if first else None
    high = Bound(read(last).high) if last else None
    if low is not None and high is not None and low.value > high.value:
        raise ValueError(f"the range runs backwards: {first} comes after {last}")
    return low, high


def range_text(node: Range) -> str:
    """Return a range as :func:`read_range` reads it back to the same ends."""
    low, high = node.low, node.high
    if low is not None and high is not None:
        text, other = _end_text(node.field, low), _end_text(node.field, high)
        return text if text == other and node.field != "date" else f"{text}..{other}"
    if low is not None:
        return f"{'>=' if low.inclusive else '>'}{_end_text(node.field, low)}"
    if high is not None:
        return f"{'<=' if high.inclusive else '<'}{_end_text(node.field, high)}"
    raise ValueError("a range without ends cannot be written")


def _end_text(field: str, bound: Bound) -> str:
    if field == "date":
        moment = _EPOCH + timedelta(milliseconds=bound.value)
        return moment.isoformat(timespec="milliseconds")
    if field == "imported":
        return f"@{int(bound.value)}"
    return plain(bound.value)
