"""The few IPTC-IIM records that old programs wrote into photos (IIM 4.2; in Photoshop's image resource 0x0404)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_TITLE, _KEYWORD, _DATE, _TIME, _CAPTION, _CHARSET = (2, 5), (2, 25), (2, 55), (2, 60), (2, 120), (1, 90)
_UTF8 = b"\x1b%G"
_MAX_RECORDS = 1024
_RESOURCE = 0x0404


@dataclass(frozen=True, slots=True)
class Iptc:
    """Title, caption, keywords and the time of creation (as ISO 8601), each as far as it is there."""

    title: str | None = None
    caption: str | None = None
    keywords: tuple[str, ...] = ()
    created: str | None = None


def read_iptc(resources: object) -> Iptc:
    """Return what the image resources say that Pillow found in a JPEG's APP13; empty when there is nothing."""
    if not isinstance(resources, Mapping):
        return Iptc()
    data = resources.get(_RESOURCE)
    return _read(data) if isinstance(data, bytes) else Iptc()


def _read(data: bytes) -> Iptc:
    records: dict[tuple[int, int], list[bytes]] = {}
    at = 0
    for _ in range(_MAX_RECORDS):
        if at + 5 > len(data) or data[at] != 0x1C:  # noqa: PLR2004  the marker in front of every record
            break
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        # The high bit announces an extended length, which nothing we read needs.
        if size & 0x8000 or at + 5 + size > len(data):
            break
        records.setdefault((data[at + 1], data[at + 2]), []).append(data[at + 5 : at + 5 + size])
        at += 5 + size

    utf8 = _UTF8 in records.get(_CHARSET, [b""])[0]
    texts = {name: [_decode(value, utf8=utf8) for value in values] for name, values in records.items()}
    return Iptc(
        title=next(filter(None, texts.get(_TITLE, [])), None),
        caption=next(filter(None, texts.get(_CAPTION, [])), None),
        keywords=tuple(filter(None, texts.get(_KEYWORD, []))),
        created=_created(next(iter(texts.get(_DATE, [])), ""), next(iter(texts.get(_TIME, [])), "")),
    )


def _created(date: str, time: str) -> str | None:
    day = re.fullmatch(r"(\d{4})(\d{2})(\d{2})", date, re.ASCII)
    if day is None:
        return None
    clock = re.fullmatch(r"(\d{2})(\d{2})(\d{2})([+-]\d{4})?", time, re.ASCII)
    rest = "" if clock is None else f"T{clock[1]}:{clock[2]}:{clock[3]}{clock[4] or ''}"
    return f"{day[1]}-{day[2]}-{day[3]}{rest}"


def _decode(value: bytes, *, utf8: bool) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("utf-8", "replace") if utf8 else value.decode("latin-1")
    return text.strip(" \0")
