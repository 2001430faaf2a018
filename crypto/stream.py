"""The STREAM construction: a long plaintext as chunks of 64 KiB, each sealed at its place.

Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance" (CRYPTO
2015), as age uses it. The nonce of a chunk is its number (11 bytes, big-endian) and a byte that is 1 for the last
chunk. So a chunk opens only in its own place, and the end of the stream is part of what is authenticated. Each chunk
also authenticates the header.

The plaintext of the stream is framed: true length (8 bytes, big-endian) ‖ data ‖ zeros up to the PADMÉ length. Hence
the first chunk tells a reader what length the whole must have, and truncation or extension show before anything else
is read.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from crypto.aead import TAG_BYTES, decrypt, encrypt
from crypto.errors import FormatError, Truncated
from crypto.padme import MINIMUM_BYTES, padded_length

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES: Final = 65536
SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES
FRAME_BYTES: Final = 8


def chunk_nonce(index: int, *, last: bool) -> bytes:
    """Return the 12-byte nonce of chunk `index` (from 0)."""
    return index.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def framed_bytes(length: int) -> int:
    """Return the padded length of the framed plaintext of `length` bytes of data."""
    return padded_length(FRAME_BYTES + length)


def sealed_bytes(length: int) -> int:
    """Return how many bytes `length` bytes of data become in a stream (without the header of the format around it)."""
    framed = framed_bytes(length)
    return framed + TAG_BYTES * -(-framed // CHUNK_BYTES)


def output_buffer(total: int) -> io.BytesIO:
    """Return a buffer with room for exactly `total` bytes, into which chunks are written while they are in the cache.

    `getvalue` hands its memory over without a copy. Joining a list of chunks touches twice as much fresh memory, and
    a buffer left to grow moves it again and again: either took longer than the encryption (20 MB: 37, 21 and 4 ms).
    """
    out = io.BytesIO()
    if total:
        out.seek(total - 1)
        out.write(b"\0")
        out.seek(0)
    return out


def seal_chunks(key: bytes, associated: bytes, frames: Iterator[bytes], count: int) -> Iterator[bytes]:
    """Yield each of the `count` plaintext chunks in `frames` sealed; `key` must never seal another stream."""
    final = count - 1
    for index, chunk in enumerate(frames):
        yield encrypt(key, chunk, associated, chunk_nonce(index, last=index == final))


def frame(data: memoryview) -> Iterator[bytes]:
    """Yield the framed plaintext of `data` (a contiguous view of bytes) chunk by chunk."""
    length = len(data)
    framed = framed_bytes(length)
    start = length.to_bytes(FRAME_BYTES, "big")
    end = CHUNK_BYTES - FRAME_BYTES
    head = b"".join((start, data[:end]))
    yield head.ljust(min(CHUNK_BYTES, framed), b"\0")
    for offset in range(CHUNK_BYTES, framed, CHUNK_BYTES):
        wanted = min(CHUNK_BYTES, framed - offset)
        begin = offset - FRAME_BYTES
        yield bytes(data[begin : begin + wanted]).ljust(wanted, b"\0")


class SealedStream:
    """The reading side: one stream of `total` sealed bytes, opened chunk by chunk.

    Attributes: `framed` (bytes of plaintext, padding included) and `chunks` (how many). `thing` names it in errors.
    """

    __slots__ = ("_associated", "_key", "_thing", "chunks", "framed")

    def __init__(self, key: bytes, associated: bytes, total: int, thing: str) -> None:
        """Work out the chunks.

        Raises `Truncated` where no stream has that length, and `FormatError` where no honest writer makes one (it is
        not a padded length).
        """
        self.chunks = -(-total // SEALED_CHUNK_BYTES)
        self.framed = total - TAG_BYTES * self.chunks
        last = total - SEALED_CHUNK_BYTES * (self.chunks - 1)
        if self.framed < MINIMUM_BYTES or last <= TAG_BYTES:
            raise Truncated(f"{thing} was cut short")
        if padded_length(self.framed) != self.framed:
            raise FormatError(f"{thing} has a length that nothing is padded to: bytes were cut off or added")
        self._key = key
        self._associated = associated
        self._thing = thing

    def open(self, sealed: bytes, index: int) -> bytes:
        """Return the plaintext of chunk `index`, framing included; raises `DecryptionFailed` or `Truncated`."""
        nonce = chunk_nonce(index, last=index == self.chunks - 1)
        thing = f"chunk {index} (of {self.chunks}) of {self._thing}"
        return decrypt(self._key, sealed, thing, self._associated, nonce)

    def true_length(self, first_chunk: bytes) -> int:
        """Return the length of the data that the first chunk states.

        Raises `FormatError` unless a stream of that length is as long as this one.
        """
        length = int.from_bytes(first_chunk[:FRAME_BYTES], "big")
        if framed_bytes(length) != self.framed:
            raise FormatError(f"{self._thing} is not as long as its first bytes say: it was cut short or extended")
        return length

    def end_in_chunk(self, index: int, end: int) -> int:
        """Return where in chunk `index` the plaintext before offset `end` of the stream ends (0 to 64 KiB)."""
        return min(max(end - index * CHUNK_BYTES, 0), CHUNK_BYTES)

    def check_padding(self, padding: memoryview) -> None:
        """Raise `FormatError` unless all of `padding` is zero: one plaintext has one form."""
        if bytes(padding).strip(b"\0"):
            raise FormatError(f"the padding of {self._thing} is not empty")
