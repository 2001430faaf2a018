"""Blobs: files encrypted so that devices of one epoch make the same ciphertext of the same bytes.

    preamble (8) ‖ commitment (32) ‖ stream (`crypto.stream`)

The blob key is a keyed hash of the plaintext under the epoch's key. Members can therefore tell that two blobs are the
same file; nobody else can, or can confirm a guess, without that key. There is no random part, because the key itself
belongs to one content only. That is also the one rule callers must keep: a key must be the hash of exactly the bytes
encrypted with it, or two texts would be sealed under one key and one nonce. Where bytes come from a file, which may
change between two reads, it is checked.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, BinaryIO, Final

from crypto.aead import COMMITMENT_BYTES, KEY_BYTES, committed_key, open_committed_key, require_length
from crypto.errors import BlobDamaged, BlobSourceChanged, DecryptionFailed, FormatError, Truncated, UnknownVersion
from crypto.hashing import HASH_BYTES, Blake2b, hash_stream
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crypto.keys import EpochKeys

CHUNK: Final = CHUNK_BYTES
BLOB_ID_BYTES: Final = HASH_BYTES
BLOB_HEADER_BYTES: Final = PREAMBLE_BYTES + COMMITMENT_BYTES
_HINT: Final = "Run `safelight verify` to see what else is damaged."


def blob_key_hasher(epoch: EpochKeys) -> Blake2b:
    """Return a hasher whose 32-byte digest of a plaintext is its blob key in this epoch."""
    return Blake2b(KEY_BYTES, epoch.epoch_key, Person.BLOB_KEY)


def encrypted_size(size: int) -> int:
    """Return the size in bytes of the blob of a plaintext of `size` bytes."""
    return BLOB_HEADER_BYTES + sealed_bytes(size)


def encrypt_blob(
    plaintext: bytes | memoryview | BinaryIO,
    size: int,
    key: bytes,
    write: Callable[[bytes], object],
    *,
    rehash: Blake2b | None = None,
) -> bytes:
    """Encrypt `size` bytes of `plaintext` chunk by chunk into `write`; return the blob's id (32 bytes).

    The id is BLAKE2b-256 of the whole ciphertext. `key` must be the digest of `blob_key_hasher` over exactly these
    bytes. From a stream, `rehash` (a fresh `blob_key_hasher`) is required: it is fed what was encrypted, and if its
    digest is not `key`, or the stream is not `size` bytes long, `BlobSourceChanged` is raised and what was written
    must be thrown away, never named or sent. Memory does not grow with `size`.
    """
    require_length(key, KEY_BYTES, "a blob key")
    start = preamble(Kind.BLOB)
    aead_key, commitment = committed_key(key, Person.BLOB, start)
    header = start + commitment
    if isinstance(plaintext, (bytes, bytearray, memoryview)):
        view = memoryview(plaintext).cast("B")
        if len(view) != size:
            raise ValueError(f"the plaintext is {len(view)} bytes, not {size}")
        frames = frame(view)
    elif rehash is None:
        raise TypeError("encrypting from a stream needs `rehash`: the file may change between hashing and encrypting")
    else:
        frames = _frame_stream(plaintext, size, rehash)
    identity = Blake2b(BLOB_ID_BYTES)
    identity.update(header)
    write(header)
    for sealed in seal_chunks(aead_key, header, frames, -(-framed_bytes(size) // CHUNK)):
        identity.update(sealed)
        write(sealed)
    if rehash is not None:
        if isinstance(plaintext, (bytes, bytearray, memoryview)):
            rehash.update(plaintext)
        if not hmac.compare_digest(rehash.digest(), key):
            raise BlobSourceChanged("the file changed while it was being encrypted", hint="Try it again.")
    return identity.digest()


def _frame_stream(source: BinaryIO, size: int, rehash: Blake2b) -> Iterator[bytes]:
    framed = framed_bytes(size)
    left = size
    carried = size.to_bytes(FRAME_BYTES, "big")
    for offset in range(0, framed, CHUNK):
        wanted = min(CHUNK, framed - offset)
        data = _read_exactly(source, min(left, wanted - len(carried)))
        rehash.update(data)
        left -= len(data)
        yield (carried + data).ljust(wanted, b"\0")
        carried = b""
    if source.read(1):
        raise BlobSourceChanged(f"the file is longer than the {size} bytes it had before", hint="Try it again.")


def _read_exactly(source: BinaryIO, length: int) -> bytes:
    data = source.read(length) if length else b""
    while len(data) < length:  # pipes and raw files may give less than asked
        more = source.read(length - len(data))
        if not more:
            raise BlobSourceChanged("the file is shorter than it was before", hint="Try it again.")
        data += more
    return data


def check_blob_id(source: BinaryIO, blob_id: bytes) -> None:
    """Raise `BlobDamaged` unless the ciphertext in `source`, from where it stands to its end, has the id `blob_id`."""
    if hash_stream(source) != blob_id:
        raise BlobDamaged(f"blob {blob_id.hex()[:16]} does not have the content its name stands for", hint=_HINT)


class BlobReader:
    """Random access to the plaintext of one blob, decrypting only the chunks a read touches.

    `source` is the seekable ciphertext, which the caller closes; `name` is what errors call the blob (its id).
    Opening reads the first chunk: it tells the true `size` (in bytes), and with it whether the blob was cut short or
    extended. Raises `BlobDamaged`, `UnknownVersion`, and `CommitmentMismatch` where `key` is not this blob's. Not
    thread-safe.
    """

    size: int

    def __init__(self, source: BinaryIO, key: bytes, *, name: str = "") -> None:
        """Check the header and the first chunk."""
        require_length(key, KEY_BYTES, "a blob key")
        self._thing = f"blob {name[:16]}" if name else "the blob"
        self._source = source
        total = source.seek(0, 2)
        source.seek(0)
        self._header = source.read(BLOB_HEADER_BYTES)
        try:
            check_preamble(self._header, Kind.BLOB)
        except UnknownVersion:
            raise
        except FormatError as error:
            raise self._damaged(error) from None
        if len(self._header) < BLOB_HEADER_BYTES:
            raise self._damaged(Truncated("it was cut short"))
        start, commitment = self._header[:PREAMBLE_BYTES], self._header[PREAMBLE_BYTES:]
        aead_key = open_committed_key(key, Person.BLOB, start, commitment, self._thing)
        # The last chunk opened is kept: neighbours in a bundle are read one after the other and share chunks.
        self._kept = (-1, b"")
        try:
            self._stream = SealedStream(aead_key, self._header, total - BLOB_HEADER_BYTES, self._thing)
            self.size = self._stream.true_length(self._chunk(0))
        except FormatError as error:
            raise self._damaged(error) from None

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """Return up to `length` bytes from `offset` (all that follow, by default; fewer at the end, as a file would).

        Raises `BlobDamaged` if a chunk it touches was changed, and `ValueError` for negative numbers.
        """
        if offset < 0 or (length is not None and length < 0):
            raise ValueError("offset and length cannot be negative")
        end = self.size if length is None else min(self.size, offset + length)
        if offset >= end:
            return b""
        begin = offset + FRAME_BYTES
        finish = end + FRAME_BYTES
        first, last = begin // CHUNK, (finish - 1) // CHUNK
        if first == last:
            return self._chunk(first)[begin - first * CHUNK : finish - first * CHUNK]
        out = output_buffer(end - offset)
        for index in range(first, last + 1):
            chunk = memoryview(self._chunk(index))
            out.write(chunk[max(begin - index * CHUNK, 0) : self._stream.end_in_chunk(index, finish)])
        return out.getvalue()

    def iter_chunks(self) -> Iterator[bytes]:
        """Yield the whole plaintext in parts of at most 64 KiB, checking everything, the padding included."""
        begin = FRAME_BYTES
        finish = FRAME_BYTES + self.size
        for index in range(self._stream.chunks):
            chunk = self._chunk(index)
            end = self._stream.end_in_chunk(index, finish)
            if end < len(chunk):
                try:
                    self._stream.check_padding(memoryview(chunk)[end:])
                except FormatError as error:
                    raise self._damaged(error) from None
            if begin < end:
                yield chunk[begin:end]
            begin = 0

    def _chunk(self, index: int) -> bytes:
        if self._kept[0] != index:
            self._source.seek(BLOB_HEADER_BYTES + index * SEALED_CHUNK_BYTES)
            sealed = self._source.read(SEALED_CHUNK_BYTES)
            try:
                opened = self._stream.open(sealed, index)
            except (DecryptionFailed, Truncated) as error:
                raise self._damaged(error) from None
            self._kept = (index, opened)
        return self._kept[1]

    def _damaged(self, error: Exception) -> BlobDamaged:
        return BlobDamaged(f"{self._thing} is damaged: {error}", hint=_HINT)
