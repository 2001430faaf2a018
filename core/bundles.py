"""Bundles: one blob that holds the thumbnails or the vectors of many photos, read by ranges.

A bundle has no header: its parts lie one after another, and the `bundle` map of each shard says where those of its
photos are. Vectors are little-endian float16: half the bytes, and cosines that differ in the fourth digit.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from crdt.records import BundleEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crypto.blob import BlobReader

MAX_BUNDLE_BYTES = 4 << 20
"""About where a bundle ends; one part may go over it."""

_VECTOR_TYPE = np.dtype("<f2")
VECTOR_ITEM_BYTES = _VECTOR_TYPE.itemsize
MAX_DIMENSIONS = 8_192
"""Longer vectors are nothing that a known model makes; they would only cost memory."""


def build(parts: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, list[BundleEntry]]:
    """Join (pid, bytes) parts into a bundle; return it with its entries, in the same order."""
    joined = bytearray()
    entries = []
    for pid, data in parts:
        entries.append(BundleEntry(pid, len(joined), len(data)))
        joined += data
    return bytes(joined), entries


def alike(parts: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return those of the (pid, vector) parts that are as long as most are, and none that is no vector.

    One bundle holds vectors of one length; a decoder that a photo has taken over answers what it likes.
    """
    vectors = [(pid, data) for pid, data in parts if _is_vector(data)]
    usual = Counter(len(data) for _, data in vectors).most_common(1)
    return [(pid, data) for pid, data in vectors if len(data) == usual[0][0]]


def _is_vector(data: bytes) -> bool:
    return 0 < len(data) <= MAX_DIMENSIONS * VECTOR_ITEM_BYTES and len(data) % VECTOR_ITEM_BYTES == 0


def read_part(bundle: BlobReader, offset: int, length: int) -> bytes:
    """Return one part of an open bundle; only the chunks it lies in are read.

    Raises:
        ValueError: the range is not in the bundle.
    """
    if offset < 0 or length < 0 or offset + length > bundle.size:
        raise ValueError(f"bytes {offset} to {offset + length} are not in a bundle of {bundle.size}")
    return bundle.read(offset, length)


def vector_bytes(vector: Iterable[float]) -> bytes:
    """Return a vector as a part of a bundle."""
    return np.asarray(list(vector), dtype=np.float32).astype(_VECTOR_TYPE).tobytes()


def read_vectors(data: bytes, dimensions: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return the vectors in (part of) a bundle as float32, [count, dimensions].

    Raises:
        ValueError: the bytes do not divide into such vectors.
    """
    if dimensions < 1 or len(data) % (_VECTOR_TYPE.itemsize * dimensions):
        raise ValueError(f"{len(data)} bytes are no vectors of {dimensions} dimensions")
    return np.frombuffer(data, dtype=_VECTOR_TYPE).reshape(-1, dimensions).astype(np.float32)
