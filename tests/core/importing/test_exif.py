"""The bounds of our reader of EXIF, whatever a file says of itself; test_dates.py has what it reads."""

from __future__ import annotations

import struct

import pytest

from core.importing.exif import MAKE, read_exif

ENTRIES_AT = 10
BYTE, TEXT, SHORT, OPAQUE = 1, 2, 3, 7


def tiff(entries: list[tuple[int, int, int, int]], behind: bytes = b"") -> bytes:
    """Return a TIFF structure of one directory: (tag, type, count, value or offset) each, and what lies behind it."""
    listed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + listed + bytes(4) + behind


def test_a_directory_has_so_many_entries_and_no_more() -> None:
    exif = read_exif(tiff([(tag, SHORT, 1, tag) for tag in range(1, 60_000)]))
    assert len(exif.image) == 512
    assert exif.numbers(512, "image") == (512,)


@pytest.mark.parametrize(("kind", "most"), [(TEXT, 4096), (OPAQUE, 4096), (BYTE, 16), (SHORT, 16)])
def test_a_value_is_cut_where_no_camera_writes_on(kind: int, most: int) -> None:
    """Each of 512 entries may name the same megabytes: all of them together would be gigabytes."""
    behind = b"x" * (1 << 20)
    exif = read_exif(tiff([(MAKE, kind, 1 << 19, ENTRIES_AT + 12 + 4)], behind))
    value = exif.image[MAKE]
    assert len(value) == most
