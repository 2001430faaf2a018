from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from crypto.errors import KeyRefused, SignatureInvalid
from crypto.purposes import Signed
from crypto.signing import check_public_key, public_key, sign, verify

GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
IDENTITY = (1).to_bytes(32, "little")
SMALL_ORDER = [
    IDENTITY,
    bytes(32),
    (2**255 - 19 - 1).to_bytes(32, "little"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]
seeds = st.binary(min_size=32, max_size=32)


@given(seeds, st.sampled_from(Signed), st.binary(max_size=200), st.data())
def test_a_signature_holds_for_its_bytes_purpose_and_key_only(
    seed: bytes, purpose: Signed, message: bytes, data: st.DataObject
) -> None:
    signature = sign(seed, purpose, message)
    public = public_key(seed)
    verify(public, purpose, message, signature, "it")

    bit = data.draw(st.integers(0, 511))
    changed = bytearray(signature)
    changed[bit // 8] ^= 1 << bit % 8
    other_purpose = data.draw(st.sampled_from(Signed).filter(lambda other: other is not purpose))
    other_public = public_key(data.draw(seeds.filter(lambda other: other != seed)))
    for key, named, signed, mark in (
        (public, purpose, message, bytes(changed)),
        (public, purpose, message + b"\0", signature),
        (public, other_purpose, message, signature),
        (other_public, purpose, message, signature),
    ):
        with pytest.raises(SignatureInvalid, match="the entry"):
            verify(key, named, signed, mark, "the entry")


def test_a_signature_without_our_prefix_does_not_hold() -> None:
    public, secret = crypto_sign_seed_keypair(bytes(32))
    signature = crypto_sign(b"message", secret)[:64]
    with pytest.raises(SignatureInvalid):
        verify(public, Signed.ENVELOPE, b"message", signature, "it")


def test_a_signature_in_a_second_spelling_does_not_hold() -> None:
    # S + L is the same scalar; accepting it would give one envelope two hashes.
    signature = sign(bytes(32), Signed.ENVELOPE, b"message")
    scalar = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    with pytest.raises(SignatureInvalid):
        verify(
            public_key(bytes(32)),
            Signed.ENVELOPE,
            b"message",
            signature[:32] + scalar.to_bytes(32, "little"),
            "it",
        )


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_a_key_of_small_order_signs_nothing(public: bytes) -> None:
    # With the identity as key, R = identity and S = 0 verify for every message in a lenient verifier.
    for commitment in SMALL_ORDER:
        with pytest.raises(SignatureInvalid):
            verify(public, Signed.ENVELOPE, b"message", commitment + bytes(32), "it")
    with pytest.raises(KeyRefused):
        check_public_key(public, "it")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_lengths_are_checked_before_libsodium_reads_past_them(length: int) -> None:
    signature = sign(bytes(32), Signed.ENVELOPE, b"")
    with pytest.raises(ValueError, match="32 bytes"):
        verify(bytes(length), Signed.ENVELOPE, b"", signature, "it")
    with pytest.raises(ValueError, match="64 bytes"):
        verify(public_key(bytes(32)), Signed.ENVELOPE, b"", signature[: length + 30], "it")
    with pytest.raises(ValueError, match="32 bytes"):
        sign(bytes(length), Signed.ENVELOPE, b"")
    with pytest.raises(ValueError, match="32 bytes"):
        check_public_key(bytes(length), "it")
