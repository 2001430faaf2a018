"""What one file may cost, so that no file can stop an import. docs/importing.md gives the reasons to users."""

from __future__ import annotations

import msgspec

MAX_FILE_BYTES = 2 << 30
"""Largest file taken in: 2 GiB. A 128-megapixel TIFF of 16 bits and four channels has half of it."""

IN_MEMORY_BYTES = 32 << 20
"""Files up to this size are read once and handed on in memory; larger ones are read in pieces, several times."""


class Limits(msgspec.Struct, frozen=True):
    """Bounds on decoding one file.

    Attributes:
        pixels: width times height, as the header announces them; checked before anything is decoded.
        memory: bytes of address space that a worker may add to what it starts with.
        seconds: of wall-clock time; then the worker is ended, and the file fails.
        longest: pixels on the longer side of the preview, for a close look; 0 makes previews as they are kept.
    """

    pixels: int = 128_000_000
    memory: int = 2 << 30
    seconds: float = 60.0
    longest: int = 0


STANDARD = Limits()
