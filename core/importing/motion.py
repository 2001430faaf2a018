"""The seconds of video behind the picture of a motion photo (Pixel, Samsung): an MPEG-4 file inside the file."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mmap

    Searchable = bytes | bytearray | mmap.mmap

_BRANDS = frozenset({b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"qt  ", b"3gp4", b"MSNV"})
_TRIES = 8
_OWN_MARK = 8
_MAX_BOXES = 64
_MAX_SECONDS = 600.0


def motion_seconds(data: Searchable) -> float | None:
    """Return how long the video inside a photo's bytes is, or None when there is none that can be read."""
    # A HEIC file begins with such a mark of its own.
    at = _OWN_MARK
    for _ in range(_TRIES):
        at = data.find(b"ftyp", at + 4)
        if at < 0:
            return None
        if bytes(data[at + 4 : at + 8]) in _BRANDS:
            seconds = _duration(data, at - 4)
            if seconds is not None:
                return seconds
    return None


def _duration(data: Searchable, start: int) -> float | None:
    """Read the duration in the movie header of the MPEG-4 file at `start` (ISO/IEC 14496-12, 8.2.2)."""
    moov = _box(data, start, len(data), b"moov")
    header = None if moov is None else _box(data, moov[0], moov[1], b"mvhd")
    if header is None:
        return None
    try:
        if data[header[0]] == 1:
            scale, duration = struct.unpack_from(">IQ", data, header[0] + 20)
        else:
            scale, duration = struct.unpack_from(">II", data, header[0] + 12)
    except (struct.error, IndexError):
        return None
    seconds = duration / scale if scale else 0.0
    return seconds if 0 < seconds <= _MAX_SECONDS else None


def _box(data: Searchable, start: int, end: int, wanted: bytes) -> tuple[int, int] | None:
    """Return where the content of the first box of a kind begins and ends, among those from `start` to `end`."""
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return None
        size, header = int.from_bytes(data[start : start + 4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif size == 0:
            size = end - start
        if size < header:
            return None
        if bytes(data[start + 4 : start + 8]) == wanted:
            return start + header, min(end, start + size)
        start += size
    return None
