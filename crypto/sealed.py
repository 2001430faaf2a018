"""Whole files sealed for one device: the derived files, which are rewritten as a whole.

    preamble (8) ‖ random (32) ‖ commitment (32) ‖ stream (`crypto.stream`)

The random part gives every version of a file its own key, so a file may be rewritten any number of times under one storage key.
"""

from __future__ import annotations

import secrets as system_random

from crypto.aead import (
    COMMITMENT_BYTES,
    KEY_BYTES,
    RANDOM_BYTES,
    committed_key,
    open_committed_key,
    require_length,
)
from crypto.errors import Truncated
from crypto.preamble import PREAMBLE_BYTES, Kind, check_preamble, preamble
from crypto.purposes import Person
from crypto.stream import (
    CHUNK_BYTES,
    FRAME_BYTES,
    SEALED_CHUNK_BYTES,
    Layout,
    check_padding,
    frame,
    framed_bytes,
    open_chunk,
    seal_chunks,
    sealed_bytes,
)

SEALED_HEADER_BYTES = PREAMBLE_BYTES + RANDOM_BYTES + COMMITMENT_BYTES


def sealed_size(length: int) -> int:
    """Return the size in bytes of `length` bytes once sealed."""
    return SEALED_HEADER_BYTES + sealed_bytes(length)


def seal(plaintext: bytes | memoryview, key: bytes, purpose: str, associated: bytes = b"") -> bytes:
    """Return `plaintext` sealed under a 32-byte key, for one purpose, together with `associated` (which is not stored)."""
    return _seal_with(system_random.token_bytes(RANDOM_BYTES), plaintext, key, purpose, associated)


def _seal_with(random: bytes, plaintext: bytes | memoryview, key: bytes, purpose: str, associated: bytes) -> bytes:
    require_length(key, KEY_BYTES, "a storage key")
    start = preamble(Kind.SEALED) + random
    aead_key, commitment = committed_key(key, Person.SEALED, start + purpose.encode())
    view = memoryview(plaintext).cast("B")
    chunks = -(-framed_bytes(len(view)) // CHUNK_BYTES)
    return b"".join((start, commitment, *seal_chunks(aead_key, start + commitment + associated, frame(view), chunks)))


def open_sealed(sealed: bytes, key: bytes, purpose: str, associated: bytes = b"") -> bytes:
    """Return what `seal` sealed under the same key, purpose and `associated`.

    Raises `Truncated`, `FormatError`, `UnknownVersion`, `CommitmentMismatch` (another key or purpose, or a changed header) or
    `DecryptionFailed` (changed content, or another `associated`).
    """
    require_length(key, KEY_BYTES, "a storage key")
    thing = f"the sealed file for {purpose}"
    check_preamble(sealed, Kind.SEALED)
    if len(sealed) <= SEALED_HEADER_BYTES:
        raise Truncated(f"{thing} was cut short")
    start = sealed[: PREAMBLE_BYTES + RANDOM_BYTES]
    commitment = sealed[len(start) : SEALED_HEADER_BYTES]
    aead_key = open_committed_key(key, Person.SEALED, start + purpose.encode(), commitment, thing)
    layout = Layout(len(sealed) - SEALED_HEADER_BYTES, thing)
    bound = start + commitment + associated
    view = memoryview(sealed)

    def plain(index: int) -> bytes:
        at = SEALED_HEADER_BYTES + index * SEALED_CHUNK_BYTES
        return open_chunk(aead_key, bound, bytes(view[at : at + SEALED_CHUNK_BYTES]), index, layout, thing)

    first = plain(0)
    length = int.from_bytes(first[:FRAME_BYTES], "big")
    layout.check_length(length, thing)
    framed = memoryview(b"".join((first, *(plain(index) for index in range(1, layout.chunks)))))
    check_padding(framed[FRAME_BYTES + length :], thing)
    return bytes(framed[FRAME_BYTES : FRAME_BYTES + length])
