"""PADMÉ: pad lengths so that they tell little, at a bounded cost.

Nikitin, Barman, Lueks, Underwood, Hubaux, Ford: "Reducing Metadata Leakage from Encrypted Files and Communication
with PURBs" (PETS 2019), algorithm 1. A length keeps only its leading bits, as many as the bit length of its exponent:
at most 12 % is added (3 % from about a megabyte), and a length up to M takes only O(log log M) bits to tell.
"""

from __future__ import annotations

from typing import Final

MINIMUM_BYTES: Final = 256
"""Nothing is padded to less, so that the smallest edits (a rating, a label) all look the same."""


def padded_length(length: int) -> int:
    """Return the length in bytes to which `length` bytes are padded: at least 256, never less than `length`.

    Raises `ValueError` if `length` is negative.
    """
    if length < 0:
        raise ValueError(f"a length cannot be negative: {length}")
    if length <= MINIMUM_BYTES:
        return MINIMUM_BYTES
    exponent = length.bit_length() - 1
    kept = exponent.bit_length()
    mask = (1 << (exponent - kept)) - 1
    return (length + mask) & ~mask
