"""EXIF read strictly by its own structure (EXIF 2.32, TIFF 6.0), and leniently where cameras are careless.

Our own reader rather than an imaging library's, because the date it finds decides the photo's shard: every device, with
whatever version of a library, has to find the same one. It never raises: a broken entry is an entry that is not there.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_ENTRIES = 512
_MAX_TEXT = 4096
_CLASSIC, _BIG = 42, 43

ORIENTATION = 0x0112
MAKE = 0x010F
MODEL = 0x0110
DATE_TIME = 0x0132
XMP_PACKET = 0x02BC
RATING = 0x4746
_EXIF_IFD = 0x8769
_GPS_IFD = 0x8825

Number = int | float
Value = str | bytes | tuple[Number, ...]

# TIFF field types: struct code and size of one item in bytes.
_TYPES: Mapping[int, tuple[str, int]] = {
    1: ("B", 1),
    2: ("s", 1),
    3: ("H", 2),
    4: ("I", 4),
    5: ("II", 8),
    6: ("b", 1),
    7: ("s", 1),
    8: ("h", 2),
    9: ("i", 4),
    10: ("ii", 8),
    11: ("f", 4),
    12: ("d", 8),
    13: ("I", 4),
    16: ("Q", 8),
    17: ("q", 8),
    18: ("Q", 8),
}
_RATIONALS = frozenset({5, 10})
_TEXTS = frozenset({2})
_OPAQUE = frozenset({7})


@dataclass(frozen=True, slots=True)
class Exif:
    """The three directories that matter here, each {tag: value}; a number is a tuple even when it is one."""

    image: Mapping[int, Value]
    photo: Mapping[int, Value]
    gps: Mapping[int, Value]

    def text(self, tag: int, where: str = "photo") -> str | None:
        """Return the text of a tag, trimmed, or None when it is absent, empty or no text."""
        value = self._directory(where).get(tag)
        if isinstance(value, bytes):
            value = value.split(b"\0", 1)[0].decode("utf-8", "replace")
        if not isinstance(value, str):
            return None
        return value.strip(" \t\r\n\0") or None

    def number(self, tag: int, where: str = "photo") -> float | None:
        """Return the first number of a tag, or None when it is absent, not finite or no number."""
        value = self._directory(where).get(tag)
        if not isinstance(value, tuple) or not value or not math.isfinite(value[0]):
            return None
        return float(value[0])

    def numbers(self, tag: int, where: str = "photo") -> tuple[Number, ...]:
        """Return all numbers of a tag; empty when there are none."""
        value = self._directory(where).get(tag)
        return value if isinstance(value, tuple) else ()

    def _directory(self, where: str) -> Mapping[int, Value]:
        return {"image": self.image, "photo": self.photo, "gps": self.gps}[where]


NO_EXIF = Exif({}, {}, {})


def read_exif(data: bytes | memoryview) -> Exif:
    """Return what the EXIF block, or the whole TIFF file, `data` says. Anything unreadable is left out."""
    view = memoryview(data)
    if bytes(view[:6]) == b"Exif\0\0":
        view = view[6:]
    reader = _Reader.of(view)
    if reader is None:
        return NO_EXIF
    image = reader.directory(reader.first)
    return Exif(
        image,
        reader.directory(_pointer(image.get(_EXIF_IFD))),
        reader.directory(_pointer(image.get(_GPS_IFD))),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """One TIFF structure: the byte order, and whether offsets have four bytes (classic) or eight (BigTIFF)."""

    view: memoryview
    order: str
    big: bool
    first: int

    @classmethod
    def of(cls, view: memoryview) -> _Reader | None:
        order = {b"II": "<", b"MM": ">"}.get(bytes(view[:2]))
        if order is None or len(view) < 8:  # noqa: PLR2004  a TIFF header
            return None
        (version,) = struct.unpack_from(f"{order}H", view, 2)
        if version == _BIG and len(view) >= 16:  # noqa: PLR2004  a BigTIFF header
            return cls(view, order, big=True, first=struct.unpack_from(f"{order}Q", view, 8)[0])
        # A few cameras write another number here; the order mark is enough to go on.
        return cls(view, order, big=False, first=struct.unpack_from(f"{order}I", view, 4)[0])

    def directory(self, offset: int) -> dict[int, Value]:
        """Return the entries of the directory at `offset`, as far as they can be read."""
        entries: dict[int, Value] = {}
        count_format, entry_size = (f"{self.order}Q", 20) if self.big else (f"{self.order}H", 12)
        head = struct.calcsize(count_format)
        if not 0 < offset <= len(self.view) - head:
            return entries
        (count,) = struct.unpack_from(count_format, self.view, offset)
        for index in range(min(count, _MAX_ENTRIES)):
            at = offset + head + index * entry_size
            if at + entry_size > len(self.view):
                break
            tag, kind = struct.unpack_from(f"{self.order}HH", self.view, at)
            value = self._value(kind, at)
            # The first of two equal tags counts, as in other readers.
            if value is not None and tag not in entries:
                entries[tag] = value
        return entries

    def _value(self, kind: int, at: int) -> Value | None:
        if kind not in _TYPES:
            return None
        code, item = _TYPES[kind]
        if self.big:
            count, inline = struct.unpack_from(f"{self.order}Q", self.view, at + 4)[0], 8
        else:
            count, inline = struct.unpack_from(f"{self.order}I", self.view, at + 4)[0], 4
        start = at + 4 + inline
        size = count * item
        if size > inline:
            (start,) = struct.unpack_from(f"{self.order}{'Q' if self.big else 'I'}", self.view, start)
        if size == 0 or start + min(size, item) > len(self.view):
            return None
        if kind in _TEXTS or kind in _OPAQUE:
            raw = bytes(self.view[start : start + min(size, _MAX_TEXT)])
            return _decode(raw) if kind in _TEXTS else raw
        wanted = min(count, 16, (len(self.view) - start) // item)
        numbers = struct.unpack_from(f"{self.order}{code * wanted}", self.view, start)
        if kind in _RATIONALS:
            return tuple(
                top / bottom if bottom else math.nan for top, bottom in zip(numbers[::2], numbers[1::2], strict=True)
            )
        return tuple(numbers)


def _decode(raw: bytes) -> str:
    text = raw.split(b"\0", 1)[0]
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _pointer(value: Value | None) -> int:
    return int(value[0]) if isinstance(value, tuple) and value and isinstance(value[0], int) else 0
