from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from hypothesis import given
from hypothesis import strategies as st

from crypto.aead import committed_key, decrypt, derive, encrypt, open_committed_key
from crypto.errors import CommitmentMismatch, DecryptionFailed, Truncated
from crypto.purposes import Person

keys = st.binary(min_size=32, max_size=32)


@given(keys, st.binary(max_size=500), st.binary(max_size=60))
def test_what_was_encrypted_is_decrypted(key: bytes, plaintext: bytes, associated: bytes) -> None:
    assert decrypt(key, encrypt(key, plaintext, associated), "it", associated) == plaintext


@given(keys, st.binary(max_size=100), st.data())
def test_any_changed_bit_is_noticed(key: bytes, plaintext: bytes, data: st.DataObject) -> None:
    sealed = bytearray(encrypt(key, plaintext))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DecryptionFailed, match="the photo") as caught:
        decrypt(key, bytes(sealed), "the photo")
    assert caught.value.hint


@pytest.mark.parametrize("length", range(16))
def test_a_ciphertext_without_room_for_a_tag_is_truncated(length: int) -> None:
    # PyNaCl would allocate a buffer of negative length here, and raise something that is no CryptoError.
    with pytest.raises(Truncated, match="the photo"):
        decrypt(bytes(32), bytes(length), "the photo")


def test_a_mistake_in_our_own_code_is_not_reported_as_an_attack() -> None:
    # PyNaCl's TypeError is a subclass of its CryptoError: catching the latter would turn this into DecryptionFailed.
    with pytest.raises(TypeError):
        decrypt(bytes(32), bytearray(40), "it")  # type: ignore[arg-type]


def poly1305_key(aead_key: bytes) -> tuple[int, int]:
    """Return r and s of the one-time authenticator under the zero nonce (RFC 8439, 2.6)."""
    stream = Cipher(algorithms.ChaCha20(aead_key, bytes(16)), mode=None).encryptor().update(bytes(32))
    clamp = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    return int.from_bytes(stream[:16], "little") & clamp, int.from_bytes(stream[16:], "little")


def opened_by_both(one: bytes, other: bytes) -> bytes:
    """Return a ciphertext of 32 bytes and its tag, which both AEAD keys open.

    Dodis, Grubbs, Ristenpart, Woodage: "Fast Message Franking" (CRYPTO 2018): a tag is a polynomial in r, so two tags
    are two linear equations, and two blocks of ciphertext solve them; one solution in sixteen is of 128 bits.
    """
    p = (1 << 130) - 5
    lengths = (1 << 128) + (32 << 64)
    (r1, s1), (r2, s2) = poly1305_key(one), poly1305_key(other)
    inverse = pow(r1 - r2, -1, p)
    for number in range(10_000):
        tag = int.from_bytes(hashlib.sha256(number.to_bytes(4, "big")).digest()[:16], "little")
        # tag = (c1 r^3 + c2 r^2 + lengths r) + s, for both; divided by r^2: c1 r + c2 = (tag - s) / r^2 - lengths / r.
        right1 = ((tag - s1) % (1 << 128) * pow(r1, -2, p) - lengths * pow(r1, -1, p)) % p
        right2 = ((tag - s2) % (1 << 128) * pow(r2, -2, p) - lengths * pow(r2, -1, p)) % p
        first = (right1 - right2) * inverse % p
        second = (right1 - first * r1) % p
        if first >> 128 == second >> 128 == 1:
            blocks = ((block - (1 << 128)).to_bytes(16, "little") for block in (first, second))
            return b"".join(blocks) + tag.to_bytes(16, "little")
    raise AssertionError("no solution in ten thousand")


def test_a_ciphertext_that_two_keys_open_is_refused_under_the_second() -> None:
    """The AEAD alone lets a member show each device another content; the commitment does not."""
    context = b"a header and 32 random bytes"
    keys = bytes(32), b"k" * 32
    (first, commitment), (second, _) = (committed_key(key, Person.ENVELOPE, context) for key in keys)
    sealed = opened_by_both(first, second)
    assert decrypt(first, sealed, "it") != decrypt(second, sealed, "it")
    assert open_committed_key(keys[0], Person.ENVELOPE, context, commitment, "it") == first
    with pytest.raises(CommitmentMismatch):
        open_committed_key(keys[1], Person.ENVELOPE, context, commitment, "it")


@given(keys, st.sampled_from(Person), st.binary(max_size=80), st.data())
def test_another_key_purpose_or_context_does_not_match_the_commitment(
    key: bytes, person: Person, context: bytes, data: st.DataObject
) -> None:
    aead_key, commitment = committed_key(key, person, context)
    assert open_committed_key(key, person, context, commitment, "it") == aead_key
    other_key = data.draw(keys.filter(lambda other: other != key))
    other_person = data.draw(st.sampled_from(Person).filter(lambda other: other is not person))
    for used, purpose, given_context, compared in (
        (other_key, person, context, commitment),
        (key, other_person, context, commitment),
        (key, person, context + b"\0", commitment),
        (key, person, context, commitment[:-1]),
        (key, person, context, b""),
    ):
        with pytest.raises(CommitmentMismatch, match="the photo"):
            open_committed_key(used, purpose, given_context, compared, "the photo")


@pytest.mark.parametrize("length", [0, 16, 31, 33, 63, 65])
def test_a_key_of_an_odd_length_is_refused(length: int) -> None:
    # hashlib would take an empty key for no key at all.
    with pytest.raises(ValueError, match="32 or 64"):
        derive(bytes(length), Person.ENVELOPE, b"")
