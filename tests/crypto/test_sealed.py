from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import (
    CommitmentMismatch,
    CryptoError,
    DecryptionFailed,
    FormatError,
    Truncated,
    UnknownVersion,
)
from crypto.sealed import SEALED_HEADER_BYTES, open_sealed, seal, sealed_size
from crypto.stream import CHUNK_BYTES, FRAME_BYTES, SEALED_CHUNK_BYTES

KEY = bytes(range(32))
EDGES = [0, 1, 247, 248, 249, CHUNK_BYTES - FRAME_BYTES - 1, CHUNK_BYTES - FRAME_BYTES, CHUNK_BYTES - FRAME_BYTES + 1]
EDGES += [2 * CHUNK_BYTES - FRAME_BYTES, 2 * CHUNK_BYTES, 300_000]


@given(st.binary(max_size=2000), st.text(max_size=20), st.binary(max_size=50))
def test_what_was_sealed_is_opened(plaintext: bytes, purpose: str, associated: bytes) -> None:
    sealed = seal(plaintext, KEY, purpose, associated)
    assert len(sealed) == sealed_size(len(plaintext))
    assert open_sealed(sealed, KEY, purpose, associated) == plaintext


@pytest.mark.parametrize("size", EDGES)
def test_every_length_around_a_chunk_is_whole(size: int) -> None:
    plaintext = bytes(index % 251 for index in range(size))
    sealed = seal(memoryview(plaintext), KEY, "catalog")
    assert len(sealed) == sealed_size(size)
    assert open_sealed(sealed, KEY, "catalog") == plaintext
    assert open_sealed(memoryview(b"head" + sealed)[4:], KEY, "catalog") == plaintext


def test_lengths_and_repeats_do_not_show() -> None:
    assert len({len(seal(bytes(size), KEY, "names")) for size in range(249)}) == 1
    one, other = seal(b"same", KEY, "names"), seal(b"same", KEY, "names")
    assert one[8:40] != other[8:40]
    assert one[SEALED_HEADER_BYTES:] != other[SEALED_HEADER_BYTES:]


def test_another_key_purpose_or_place_is_named() -> None:
    sealed = seal(b"rows", KEY, "catalog", b"vector")
    with pytest.raises(CommitmentMismatch):
        open_sealed(sealed, bytes(32), "catalog", b"vector")
    with pytest.raises(CommitmentMismatch):
        open_sealed(sealed, KEY, "catalog2", b"vector")
    with pytest.raises(DecryptionFailed):
        open_sealed(sealed, KEY, "catalog", b"vectors")


@given(st.data())
def test_any_changed_bit_is_a_named_error(data: st.DataObject) -> None:
    sealed = bytearray(seal(b"rows", KEY, "catalog"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CryptoError):
        open_sealed(bytes(sealed), KEY, "catalog")


@pytest.mark.parametrize(
    ("place", "error"),
    [
        (0, FormatError),
        (5, FormatError),
        (7, UnknownVersion),
        (8, CommitmentMismatch),
        (40, CommitmentMismatch),
        (72, DecryptionFailed),
        (-1, DecryptionFailed),
    ],
)
def test_each_field_has_its_error(place: int, error: type[CryptoError]) -> None:
    sealed = bytearray(seal(b"rows", KEY, "catalog"))
    sealed[place] ^= 1
    with pytest.raises(error):
        open_sealed(bytes(sealed), KEY, "catalog")


@pytest.mark.parametrize("size", [100, 200_000])
def test_truncation_and_extension_are_named(size: int) -> None:
    sealed = seal(bytes(size), KEY, "catalog")
    for length in {0, 7, 8, 40, 71, 72, 73, 88, len(sealed) - 1, len(sealed) - SEALED_CHUNK_BYTES}:
        if 0 <= length < len(sealed):
            with pytest.raises((Truncated, FormatError)):
                open_sealed(sealed[:length], KEY, "catalog")
    for tail in (b"\0", bytes(16), bytes(256 + 16), sealed[SEALED_HEADER_BYTES:]):
        with pytest.raises(CryptoError):
            open_sealed(sealed + tail, KEY, "catalog")


def test_a_file_of_zeros_or_of_another_format_is_named() -> None:
    with pytest.raises(FormatError):
        open_sealed(bytes(1000), KEY, "catalog")
    with pytest.raises(FormatError):
        open_sealed(b"SFLTBL\0\1" + bytes(1000), KEY, "catalog")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        seal(b"", bytes(length), "catalog")
    with pytest.raises(ValueError, match="32 bytes"):
        open_sealed(seal(b"", KEY, "catalog"), bytes(length), "catalog")
