from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import CommitmentMismatch, CryptoError, KeyRefused, Truncated
from crypto.exchange import BOX_OVERHEAD, check_public_key, new_secret, open_box, public_key, seal_to, shared_secret
from crypto.purposes import Person

# Every X25519 input that gives zero for every secret: the low-order points, in all their spellings below 2**255.
LOW_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 19 - 1).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 19 + 1).to_bytes(32, "little"),
]
secrets = st.binary(min_size=32, max_size=32)


def seal(recipient: bytes, context: bytes, plaintext: bytes) -> bytes:
    return seal_to(recipient, Person.EPOCH_BOX, context, plaintext, ephemeral=new_secret())


@given(secrets, st.binary(max_size=100), st.binary(max_size=100))
def test_a_box_opens_for_its_recipient(secret: bytes, context: bytes, plaintext: bytes) -> None:
    box = seal(public_key(secret), context, plaintext)
    assert len(box) == BOX_OVERHEAD + len(plaintext)
    assert open_box(secret, Person.EPOCH_BOX, context, box, "it") == plaintext


@given(secrets, secrets, st.binary(max_size=40))
def test_a_box_opens_for_nobody_else_and_nowhere_else(secret: bytes, other: bytes, context: bytes) -> None:
    box = seal(public_key(secret), context, b"epoch keys")
    if public_key(other) != public_key(secret):
        with pytest.raises(CommitmentMismatch):
            open_box(other, Person.EPOCH_BOX, context, box, "it")
    with pytest.raises(CommitmentMismatch):
        open_box(secret, Person.EPOCH_BOX, context + b"\0", box, "it")
    with pytest.raises(CommitmentMismatch):
        open_box(secret, Person.ENVELOPE, context, box, "it")


@given(secrets, st.data())
def test_any_changed_bit_of_a_box_is_noticed(secret: bytes, data: st.DataObject) -> None:
    box = bytearray(seal(public_key(secret), b"context", b"epoch keys"))
    bit = data.draw(st.integers(0, len(box) * 8 - 1))
    box[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CryptoError):
        open_box(secret, Person.EPOCH_BOX, b"context", bytes(box), "it")


def test_two_boxes_of_the_same_bytes_share_nothing() -> None:
    public = public_key(new_secret())
    one, other = seal(public, b"", bytes(64)), seal(public, b"", bytes(64))
    assert one[:32] != other[:32]
    assert one[64:] != other[64:]


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_low_order_key_is_refused_on_both_sides(point: bytes) -> None:
    with pytest.raises(KeyRefused):
        shared_secret(new_secret(), point)
    with pytest.raises(KeyRefused):
        check_public_key(point)
    with pytest.raises(KeyRefused):
        seal(point, b"", b"keys")
    with pytest.raises(KeyRefused):
        open_box(new_secret(), Person.EPOCH_BOX, b"", point + bytes(32 + 16), "it")


def test_a_public_key_in_a_second_spelling_is_refused() -> None:
    public = public_key(new_secret())
    check_public_key(public)
    with pytest.raises(KeyRefused, match="canonical"):
        check_public_key(public[:31] + bytes([public[31] | 0x80]))
    with pytest.raises(KeyRefused, match="canonical"):
        check_public_key((2**255 - 19 + 9).to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_lengths_are_checked_before_libsodium_reads_past_them(length: int) -> None:
    for arguments in ((bytes(length), public_key(bytes(32))), (bytes(32), bytes(length))):
        with pytest.raises(ValueError, match="32 bytes"):
            shared_secret(*arguments)
    with pytest.raises(ValueError, match="32 bytes"):
        public_key(bytes(length))


def test_a_short_box_is_truncated() -> None:
    with pytest.raises(Truncated):
        open_box(new_secret(), Person.EPOCH_BOX, b"", bytes(BOX_OVERHEAD - 1), "it")
