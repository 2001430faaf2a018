"""Thumbnails and previews as they are read in this process: another device may have made them, by whatever program."""

from __future__ import annotations

import io
from typing import Final

from PIL import Image

MOST_SCANS: Final = 32
"""Ours have one, progressive ones ten. Each goes over the whole picture, were it only to say that nothing changes: in
12 bytes and 1 ms for a thumbnail, in 40 bytes and 20 ms for the largest preview."""
_START_OF_SCAN: Final = b"\xff\xda"
"""Within a scan, 0xff is always followed by other bytes (ITU-T T.81, B.1.1.5)."""


def open_jpeg(data: bytes) -> Image.Image:
    """Return a JPEG of which the header has been read, and nothing decoded; no other kind of file is tried.

    Raises `ValueError` for more than `MOST_SCANS` scans, and what Pillow raises.
    """
    if data.count(_START_OF_SCAN) > MOST_SCANS:
        raise ValueError(f"a JPEG of more than {MOST_SCANS} scans")
    return Image.open(io.BytesIO(data), formats=("JPEG",))
