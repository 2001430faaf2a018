"""Whole files sealed for one device: the derived files, which are rewritten as a whole.

    preamble (8) ‖ random (32) ‖ commitment (32) ‖ stream (`crypto.stream`)

The random part gives every version of a file its own key, so a file may be rewritten any number of times under one
storage key.
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
    SealedStream,
    frame,
    framed_bytes,
    output_buffer,
    seal_chunks,
    sealed_bytes,
)

SEALED_HEADER_BYTES = PREAMBLE_BYTES + RANDOM_BYTES + COMMITMENT_BYTES


def sealed_size(length: int) -> int:
    """Return the size in bytes of `length` bytes once sealed."""
    return SEALED_HEADER_BYTES + sealed_bytes(length)


def seal(plaintext: bytes | memoryview, key: bytes, purpose: str, associated: bytes = b"") -> bytes:
    """Return `plaintext` sealed under a 32-byte key for one purpose, bound to `associated` (which is not stored)."""
    return _seal_with(system_random.token_bytes(RANDOM_BYTES), plaintext, key, purpose, associated)


def _seal_with(random: bytes, plaintext: bytes | memoryview, key: bytes, purpose: str, associated: bytes) -> bytes:
    require_length(key, KEY_BYTES, "a storage key")
    start = preamble(Kind.SEALED) + random
    aead_key, commitment = committed_key(key, Person.SEALED, start + purpose.encode())
    view = memoryview(plaintext).cast("B")
    chunks = -(-framed_bytes(len(view)) // CHUNK_BYTES)
    out = output_buffer(sealed_size(len(view)))
    out.write(start + commitment)
    out.writelines(seal_chunks(aead_key, start + commitment + associated, frame(view), chunks))
    return out.getvalue()


def open_sealed(sealed: bytes | memoryview, key: bytes, purpose: str, associated: bytes = b"") -> bytes:
    """Return what `seal` sealed under the same key, purpose and `associated`.

    Raises `Truncated`, `FormatError`, `UnknownVersion`, `CommitmentMismatch` (another key or purpose, or a changed
    header) or `DecryptionFailed` (changed content, or another `associated`).
    """
    require_length(key, KEY_BYTES, "a storage key")
    thing = f"the sealed file for {purpose}"
    view = memoryview(sealed).cast("B")
    header = bytes(view[:SEALED_HEADER_BYTES])
    check_preamble(header, Kind.SEALED)
    if len(view) <= SEALED_HEADER_BYTES:
        raise Truncated(f"{thing} was cut short")
    start, commitment = header[: PREAMBLE_BYTES + RANDOM_BYTES], header[PREAMBLE_BYTES + RANDOM_BYTES :]
    aead_key = open_committed_key(key, Person.SEALED, start + purpose.encode(), commitment, thing)
    stream = SealedStream(aead_key, header + associated, len(view) - SEALED_HEADER_BYTES, thing)

    def plain(index: int) -> bytes:
        at = SEALED_HEADER_BYTES + index * SEALED_CHUNK_BYTES
        return stream.open(bytes(view[at : at + SEALED_CHUNK_BYTES]), index)

    first = plain(0)
    end = FRAME_BYTES + stream.true_length(first)
    out = output_buffer(end - FRAME_BYTES)
    for index in range(stream.chunks):
        chunk = memoryview(plain(index) if index else first)
        stop = stream.end_in_chunk(index, end)
        stream.check_padding(chunk[stop:])
        out.write(chunk[0 if index else FRAME_BYTES : stop])
    return out.getvalue()
