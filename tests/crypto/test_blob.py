from __future__ import annotations

import hashlib
import io
import os
import tracemalloc
from typing import TYPE_CHECKING, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.aead import committed_key, encrypt
from crypto.blob import (
    BLOB_HEADER_BYTES,
    CHUNK,
    BlobReader,
    blob_key_hasher,
    check_blob_id,
    encrypt_blob,
    encrypted_size,
)
from crypto.errors import (
    BlobDamaged,
    BlobSourceChanged,
    CommitmentMismatch,
    CryptoError,
    UnknownVersion,
)
from crypto.keys import EpochKeys
from crypto.padme import padded_length
from crypto.preamble import Kind, preamble
from crypto.purposes import Person
from crypto.stream import FRAME_BYTES, SEALED_CHUNK_BYTES, chunk_nonce

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = EpochKeys(bytes(32), b"epoch key".ljust(32), bytes(32))
EDGES = [0, 1, 248, 249, CHUNK - FRAME_BYTES - 1, CHUNK - FRAME_BYTES, CHUNK - FRAME_BYTES + 1]
EDGES += [CHUNK, 2 * CHUNK - FRAME_BYTES, 2 * CHUNK - FRAME_BYTES + 1, 5 * CHUNK + 17]


def pattern(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def key_of(data: bytes, epoch: EpochKeys = EPOCH) -> bytes:
    hasher = blob_key_hasher(epoch)
    hasher.update(data)
    return hasher.digest()


def blob_of(data: bytes, epoch: EpochKeys = EPOCH) -> tuple[bytes, bytes, bytes]:
    """Return (key, blob id, ciphertext)."""
    out = io.BytesIO()
    key = key_of(data, epoch)
    blob_id = encrypt_blob(data, len(data), key, out.write)
    return key, blob_id, out.getvalue()


def read_all(blob: bytes, key: bytes) -> bytes:
    return b"".join(BlobReader(io.BytesIO(blob), key).iter_chunks())


def chunks_of(blob: bytes) -> list[bytes]:
    body = blob[BLOB_HEADER_BYTES:]
    return [body[at : at + SEALED_CHUNK_BYTES] for at in range(0, len(body), SEALED_CHUNK_BYTES)]


def forged(
    framed: bytes, key: bytes, last: Callable[[int, int], bool] = lambda index, count: index == count - 1
) -> bytes:
    """Seal any framed plaintext, with any flags on its chunks, as a hostile member can."""
    aead_key, commitment = committed_key(key, Person.BLOB, preamble(Kind.BLOB))
    header = preamble(Kind.BLOB) + commitment
    parts = [framed[at : at + CHUNK] for at in range(0, len(framed), CHUNK)]
    return header + b"".join(
        encrypt(aead_key, part, header, chunk_nonce(index, last=last(index, len(parts))))
        for index, part in enumerate(parts)
    )


@settings(max_examples=30)
@given(st.one_of(st.binary(max_size=600), st.integers(0, 3 * CHUNK).map(pattern)))
def test_what_was_encrypted_is_read(data: bytes) -> None:
    key, blob_id, blob = blob_of(data)
    assert len(blob) == encrypted_size(len(data))
    reader = BlobReader(io.BytesIO(blob), key)
    assert reader.size == len(data)
    assert reader.read() == data
    assert b"".join(reader.iter_chunks()) == data
    assert blob_id == hashlib.blake2b(blob, digest_size=32).digest()
    check_blob_id(io.BytesIO(blob), blob_id)


@pytest.mark.parametrize("size", EDGES)
def test_bytes_views_and_streams_give_the_same_blob(size: int) -> None:
    data = pattern(size)
    key, blob_id, blob = blob_of(data)
    for source in (bytearray(data), memoryview(data), io.BytesIO(data), Trickle(data)):
        out = io.BytesIO()
        assert encrypt_blob(source, size, key, out.write, rehash=blob_key_hasher(EPOCH)) == blob_id  # type: ignore[arg-type]
        assert out.getvalue() == blob
    assert read_all(blob, key) == data


class Trickle(io.RawIOBase):
    """A raw file that gives less than it is asked for, as pipes and network file systems do."""

    def __init__(self, data: bytes) -> None:
        self._left = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        return self._left.read(min(size, 5000) if size > 1 else size)


def test_two_devices_make_the_same_blob_and_two_epochs_do_not() -> None:
    data = pattern(1000)
    assert blob_of(data) == blob_of(data)
    later = EpochKeys(b"e" * 32, b"k" * 32, EPOCH.pid_key)
    assert set(blob_of(data, later)).isdisjoint(blob_of(data))


@settings(max_examples=40)
@given(st.data())
def test_any_range_can_be_read(data: st.DataObject) -> None:
    content = pattern(data.draw(st.sampled_from([0, 10, CHUNK - 8, CHUNK, 3 * CHUNK + 5])))
    key, _, blob = blob_of(content)
    reader = BlobReader(io.BytesIO(blob), key)
    for _ in range(5):
        offset = data.draw(st.integers(0, len(content) + 10))
        length = data.draw(st.one_of(st.none(), st.integers(0, len(content) + 10)))
        end = None if length is None else offset + length
        assert reader.read(offset, length) == content[offset:end]


def test_negative_ranges_are_mistakes() -> None:
    key, _, blob = blob_of(b"x")
    reader = BlobReader(io.BytesIO(blob), key)
    for offset, length in ((-1, None), (0, -1)):
        with pytest.raises(ValueError, match="negative"):
            reader.read(offset, length)


class CountingFile(io.BytesIO):
    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.bytes_read += len(data)
        return data


def test_a_range_read_touches_only_the_chunks_it_needs() -> None:
    content = pattern(40 * CHUNK)
    key, _, blob = blob_of(content)
    source = CountingFile(blob)
    reader = BlobReader(source, key)
    opening = source.bytes_read
    assert opening <= BLOB_HEADER_BYTES + SEALED_CHUNK_BYTES
    assert reader.read(20 * CHUNK, 1000) == content[20 * CHUNK : 20 * CHUNK + 1000]
    assert reader.read(20 * CHUNK + 1000, 1000) == content[20 * CHUNK + 1000 : 20 * CHUNK + 2000]
    assert source.bytes_read - opening <= SEALED_CHUNK_BYTES  # neighbours share a chunk, which is kept


def test_damage_far_away_does_not_touch_a_range_read() -> None:
    content = pattern(4 * CHUNK)
    key, _, blob = blob_of(content)
    damaged = bytearray(blob)
    damaged[BLOB_HEADER_BYTES + 3 * SEALED_CHUNK_BYTES] ^= 1
    reader = BlobReader(io.BytesIO(bytes(damaged)), key)
    assert reader.read(CHUNK, 100) == content[CHUNK : CHUNK + 100]
    with pytest.raises(BlobDamaged, match="chunk 3"):
        reader.read(3 * CHUNK, 100)
    with pytest.raises(BlobDamaged, match="chunk 3"):
        reader.read()


@pytest.mark.scenario(1, "in a blob")
@given(st.data())
def test_any_changed_bit_is_a_named_error(data: st.DataObject) -> None:
    key, blob_id, blob = blob_of(b"a small photo")
    changed = bytearray(blob)
    bit = data.draw(st.integers(0, len(blob) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CryptoError):
        read_all(bytes(changed), key)
    with pytest.raises(BlobDamaged, match=blob_id.hex()[:16]):
        check_blob_id(io.BytesIO(bytes(changed)), blob_id)


@pytest.mark.parametrize(
    ("place", "error"),
    [
        (0, BlobDamaged),
        (5, BlobDamaged),
        (7, UnknownVersion),
        (8, CommitmentMismatch),
        (39, CommitmentMismatch),
        (40, BlobDamaged),
        (-1, BlobDamaged),
    ],
)
def test_each_field_has_its_error(place: int, error: type[CryptoError]) -> None:
    key, _, blob = blob_of(b"a small photo")
    changed = bytearray(blob)
    changed[place] ^= 1
    with pytest.raises(error) as caught:
        BlobReader(io.BytesIO(bytes(changed)), key, name="abcdef")
    assert caught.value.hint


def test_another_blobs_key_is_named() -> None:
    _, _, blob = blob_of(b"one photo")
    with pytest.raises(CommitmentMismatch):
        BlobReader(io.BytesIO(blob), key_of(b"another photo"))


@pytest.mark.scenario(8, "they are truncated")
@pytest.mark.parametrize("size", [10, CHUNK, 3 * CHUNK + 100])
def test_truncation_is_noticed_on_opening(size: int) -> None:
    key, _, blob = blob_of(pattern(size))
    boundaries = [BLOB_HEADER_BYTES + index * SEALED_CHUNK_BYTES for index in range(len(chunks_of(blob)))]
    for length in {0, 4, 8, 20, 39, 40, 41, 56, *boundaries, *(at + 16 for at in boundaries), len(blob) - 1}:
        with pytest.raises(BlobDamaged):
            BlobReader(io.BytesIO(blob[:length]), key)


@pytest.mark.scenario(8, "they are extended")
@pytest.mark.parametrize("size", [10, CHUNK, 3 * CHUNK + 100])
def test_extension_is_noticed_on_opening(size: int) -> None:
    key, _, blob = blob_of(pattern(size))
    for tail in (b"\0", bytes(16), bytes(4096), bytes(SEALED_CHUNK_BYTES), chunks_of(blob)[-1], blob):
        with pytest.raises(BlobDamaged):
            BlobReader(io.BytesIO(blob + tail), key)


@pytest.mark.scenario(8, "they are swapped")
@settings(max_examples=20)
@given(st.permutations(range(4)))
def test_reordered_chunks_are_noticed(order: list[int]) -> None:
    data = pattern(4 * CHUNK - FRAME_BYTES)
    key, _, blob = blob_of(data)
    chunks = chunks_of(blob)
    assert len(chunks) == 4
    mixed = blob[:BLOB_HEADER_BYTES] + b"".join(chunks[index] for index in order)
    if order == sorted(order):
        assert read_all(mixed, key) == data
    else:
        with pytest.raises(BlobDamaged):
            read_all(mixed, key)


@pytest.mark.scenario(8, "chunks of two blobs are mixed")
@pytest.mark.parametrize("place", [0, 1, 2])
def test_chunks_of_two_blobs_cannot_be_mixed(place: int) -> None:
    key, _, blob = blob_of(pattern(2 * CHUNK + 50))
    _, _, donor = blob_of(b"x" + pattern(2 * CHUNK + 49))
    chunks = chunks_of(blob)
    chunks[place] = chunks_of(donor)[place]
    with pytest.raises(BlobDamaged, match=f"chunk {place}"):
        read_all(blob[:BLOB_HEADER_BYTES] + b"".join(chunks), key)


def test_duplicated_and_dropped_chunks_are_noticed() -> None:
    key, _, blob = blob_of(pattern(4 * CHUNK - FRAME_BYTES))
    chunks = chunks_of(blob)
    for changed in (chunks[:1] + chunks, [*chunks[:2], *chunks[1:]], chunks[:1] + chunks[2:], chunks[1:], chunks[:-1]):
        with pytest.raises(BlobDamaged):
            read_all(blob[:BLOB_HEADER_BYTES] + b"".join(changed), key)


@pytest.mark.scenario(8, "there are two last ones, or none")
def test_two_last_chunks_or_none_are_noticed() -> None:
    key = bytes(32)
    framed = (2 * CHUNK - FRAME_BYTES).to_bytes(8, "big") + bytes(2 * CHUNK - FRAME_BYTES)
    assert read_all(forged(framed, key), key) == bytes(2 * CHUNK - FRAME_BYTES)
    with pytest.raises(BlobDamaged, match="chunk 0"):
        read_all(forged(framed, key, last=lambda index, count: True), key)
    with pytest.raises(BlobDamaged, match="chunk 1"):
        read_all(forged(framed, key, last=lambda index, count: False), key)


def test_an_empty_last_chunk_is_no_second_form_of_a_blob() -> None:
    size = CHUNK - FRAME_BYTES
    key, _, blob = blob_of(pattern(size))
    assert len(chunks_of(blob)) == 1
    aead_key, commitment = committed_key(key, Person.BLOB, preamble(Kind.BLOB))
    header = preamble(Kind.BLOB) + commitment
    framed = size.to_bytes(8, "big") + pattern(size)
    first = encrypt(aead_key, framed, header, chunk_nonce(0, last=False))
    with pytest.raises(BlobDamaged, match="cut short"):
        read_all(header + first + encrypt(aead_key, b"", header, chunk_nonce(1, last=True)), key)


@pytest.mark.parametrize(
    "framed",
    [
        (5).to_bytes(8, "big") + b"hello" + b"\x01".rjust(243, b"\0"),  # something hidden in the padding
        (249).to_bytes(8, "big") + bytes(248),  # longer than what is there
        (1 << 63).to_bytes(8, "big") + bytes(248),
        ((1 << 64) - 1).to_bytes(8, "big") + bytes(248),
        (5).to_bytes(8, "big") + bytes(padded_length(1000) - 8),  # padded more than it should be
        (5).to_bytes(8, "big") + bytes(100),  # padded less
    ],
)
def test_an_impossible_plaintext_of_a_hostile_member_is_noticed(framed: bytes) -> None:
    key = bytes(32)
    with pytest.raises(BlobDamaged):
        read_all(forged(framed, key), key)


def test_a_file_that_changes_while_it_is_read_is_never_sealed_under_the_old_key() -> None:
    """Two contents under one key and nonce would give both away."""
    data = pattern(CHUNK)
    key = key_of(data)
    changed = data[:-1] + b"!"
    for source, size in (
        (io.BytesIO(changed), len(data)),
        (io.BytesIO(data + b"!"), len(data)),
        (io.BytesIO(data[:-1]), len(data)),
        (io.BytesIO(b""), len(data)),
    ):
        with pytest.raises(BlobSourceChanged) as caught:
            encrypt_blob(source, size, key, lambda part: None, rehash=blob_key_hasher(EPOCH))
        assert caught.value.hint
    with pytest.raises(BlobSourceChanged):
        encrypt_blob(changed, len(changed), key, lambda part: None, rehash=blob_key_hasher(EPOCH))


def test_a_stream_without_rehash_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="rehash"):
        encrypt_blob(io.BytesIO(b"x"), 1, bytes(32), lambda part: None)
    with pytest.raises(ValueError, match="not 2"):
        encrypt_blob(b"x", 2, bytes(32), lambda part: None)


class Zeros(io.RawIOBase):
    """A file of zeros that is nowhere in memory."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        taken = min(size, self._left)
        self._left -= taken
        return bytes(taken)


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_blob(tmp_path_factory: pytest.TempPathFactory) -> None:
    size = 24 << 20
    path = tmp_path_factory.mktemp("blob") / "blob"
    hasher = blob_key_hasher(EPOCH)
    hasher.update(bytes(size))
    key = hasher.digest()

    def write() -> None:
        with path.open("wb") as out:
            encrypt_blob(_stream(Zeros(size)), size, key, out.write, rehash=blob_key_hasher(EPOCH))

    def read() -> None:
        with path.open("rb") as source:
            assert sum(map(len, BlobReader(source, key).iter_chunks())) == size

    assert peak_of(write) < 1 << 20
    assert os.path.getsize(path) == encrypted_size(size)  # noqa: PTH202
    assert peak_of(read) < 1 << 20


def _stream(raw: io.RawIOBase) -> BinaryIO:
    return raw  # type: ignore[return-value]


@pytest.mark.scenario(8, "it is a blob of another library")
def test_a_blob_of_another_library_does_not_open() -> None:
    data = pattern(100)
    _, _, blob = blob_of(data, EpochKeys(b"o" * 32, b"o" * 32, b"o" * 32))
    with pytest.raises(CommitmentMismatch):
        BlobReader(io.BytesIO(blob), key_of(data))
