from __future__ import annotations

import pytest
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
