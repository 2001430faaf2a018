"""zlib inside the encryption, under a bound on what comes out.

A few kilobytes can inflate to gigabytes. The reader is told the length beforehand, refuses it over the bound, and
never lets zlib produce a byte more than that.
"""

from __future__ import annotations

import zlib
from typing import Final

from crypto.errors import FormatError, TooLarge

LEVEL: Final = 6


def deflate(data: bytes) -> bytes:
    """Return `data` as a zlib stream."""
    return zlib.compress(data, LEVEL)


def inflate(compressed: bytes, length: int, bound: int, thing: str) -> bytes:
    """Return the `length` bytes of a zlib stream.

    Raises `TooLarge` where the stated length, or what really comes out, is over `bound` or over the stated length,
    and `FormatError` where the stream is damaged, ends early, or has bytes behind its end. Needs memory for `length`
    bytes only.
    """
    if length > bound:
        raise TooLarge(f"{thing} says it holds {length} bytes; at most {bound} are allowed")
    inflater = zlib.decompressobj()
    try:
        # max_length=0 would mean "no limit", so always ask for one byte more than stated.
        data = inflater.decompress(compressed, length + 1)
    except zlib.error:
        raise FormatError(f"the compressed content of {thing} is damaged") from None
    if len(data) > length:
        raise TooLarge(f"{thing} inflates to more than the {length} bytes it says")
    if len(data) != length or not inflater.eof:
        raise FormatError(f"the compressed content of {thing} ends early")
    if inflater.unused_data or inflater.unconsumed_tail:
        raise FormatError(f"{thing} has bytes behind its compressed content")
    return data
