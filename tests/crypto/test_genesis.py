from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto import exchange, signing
from crypto.errors import (
    CryptoError,
    FormatError,
    KeyRefused,
    MembershipInvalid,
    NotAMember,
    SignatureInvalid,
    Truncated,
    UnknownVersion,
    WrongLibrary,
)
from crypto.keys import DeviceSecrets
from crypto.membership import GENESIS_BYTES, Genesis, create_genesis, heads_hash, open_epoch, verify_genesis
from crypto.purposes import Person, Signed

FIELDS = {
    "magic": (0, FormatError),
    "format": (4, FormatError),
    "version": (7, UnknownVersion),
    "kind": (8, MembershipInvalid),
    "created at, high": (9, FormatError),
    "created at, low": (16, SignatureInvalid),
    "check": (145, SignatureInvalid),
    "device box: ephemeral": (177, SignatureInvalid),
    "device box: commitment": (209, SignatureInvalid),
    "device box: ciphertext": (241, SignatureInvalid),
    "phrase box: ephemeral": (321, SignatureInvalid),
    "phrase box: ciphertext": (464, SignatureInvalid),
    "device signature": (465, SignatureInvalid),
    "phrase signature": (592, SignatureInvalid),
}


def resign(body: bytes, device: DeviceSecrets, phrase_member: DeviceSecrets) -> bytes:
    """Sign a changed entry again, as a hostile founder could."""
    signed = body[:465]
    signed += signing.sign(device.signing_seed, Signed.MEMBERSHIP, signed)
    return signed + signing.sign(phrase_member.signing_seed, Signed.COUNTERSIGNATURE, signed)


def test_genesis_says_who_made_it_and_is_named_by_its_hash(
    genesis: Genesis, device: DeviceSecrets, phrase_member: DeviceSecrets
) -> None:
    assert len(genesis.entry) == GENESIS_BYTES == 593
    assert genesis.created_at == 1_700_000_000
    assert (genesis.device_id, genesis.device_exchange) == (device.device_id, device.exchange_public)
    assert (genesis.phrase_id, genesis.phrase_exchange) == (phrase_member.device_id, phrase_member.exchange_public)
    assert genesis.library_id == hashlib.blake2b(genesis.entry, digest_size=32).digest() == genesis.epoch_id
    assert genesis.membership == hashlib.blake2b(genesis.library_id, digest_size=32).digest()
    assert genesis.entry.hex() not in repr(genesis)


def test_device_and_phrase_open_the_same_keys_and_nobody_else_does(
    genesis: Genesis, device: DeviceSecrets, phrase_member: DeviceSecrets
) -> None:
    keys = open_epoch(genesis, device)
    assert keys == open_epoch(genesis, phrase_member)
    assert keys.epoch_id == genesis.epoch_id
    assert keys.epoch_key != keys.pid_key
    for stranger in (
        DeviceSecrets.generate(),
        DeviceSecrets(device.signing_seed, phrase_member.exchange_secret),
        DeviceSecrets(phrase_member.signing_seed, device.exchange_secret),
    ):
        with pytest.raises(NotAMember) as caught:
            open_epoch(genesis, stranger)
        assert caught.value.hint


def test_every_library_has_keys_of_its_own(device: DeviceSecrets, phrase_member: DeviceSecrets) -> None:
    one = verify_genesis(create_genesis(device, phrase_member))
    other = verify_genesis(create_genesis(device, phrase_member))
    assert one.library_id != other.library_id
    assert open_epoch(one, device).epoch_key != open_epoch(other, device).epoch_key
    assert open_epoch(one, device).pid_key != open_epoch(other, device).pid_key


def test_the_expected_library_is_accepted_and_another_named(
    genesis: Genesis, device: DeviceSecrets, phrase_member: DeviceSecrets
) -> None:
    assert verify_genesis(genesis.entry, genesis.library_id) == genesis
    other = create_genesis(device, phrase_member)
    with pytest.raises(WrongLibrary):
        verify_genesis(other, genesis.library_id)


@pytest.mark.parametrize("field", FIELDS)
def test_a_changed_field_is_a_named_error(field: str, genesis: Genesis) -> None:
    place, error = FIELDS[field]
    changed = bytearray(genesis.entry)
    changed[place] ^= 1
    with pytest.raises(error):
        verify_genesis(bytes(changed), genesis.library_id)


@pytest.mark.scenario(1, "in a membership entry")
@given(st.integers(0, GENESIS_BYTES * 8 - 1))
def test_any_changed_bit_is_a_named_error(genesis: Genesis, bit: int) -> None:
    changed = bytearray(genesis.entry)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CryptoError):
        verify_genesis(bytes(changed))


def test_another_length_is_a_named_error(genesis: Genesis) -> None:
    for length in range(0, GENESIS_BYTES, 37):
        with pytest.raises(Truncated):
            verify_genesis(genesis.entry[:length])
    with pytest.raises(FormatError):
        verify_genesis(genesis.entry + b"\0")


@pytest.mark.scenario(10, "a library is invented for a recovery phrase")
def test_nobody_invents_a_library_for_somebody_elses_phrase(phrase_member: DeviceSecrets) -> None:
    """A relay names the phrase's public keys, which it knows, but cannot countersign."""
    relay = DeviceSecrets.generate()
    forged = create_genesis(relay, phrase_member)[:-64]
    for signature in (
        signing.sign(relay.signing_seed, Signed.COUNTERSIGNATURE, forged),
        bytes(64),
        forged[-64:],
    ):
        with pytest.raises(SignatureInvalid, match="recovery phrase"):
            verify_genesis(forged + signature)


def test_a_countersignature_of_another_genesis_does_not_hold(
    genesis: Genesis, device: DeviceSecrets, phrase_member: DeviceSecrets
) -> None:
    other = create_genesis(device, phrase_member)
    with pytest.raises(SignatureInvalid):
        verify_genesis(other[:-64] + genesis.entry[-64:])


def test_the_two_signatures_cannot_change_places(
    genesis: Genesis, device: DeviceSecrets, phrase_member: DeviceSecrets
) -> None:
    body = genesis.entry[:465]
    countersignature = signing.sign(device.signing_seed, Signed.COUNTERSIGNATURE, body)
    with pytest.raises(SignatureInvalid):
        verify_genesis(body + countersignature + genesis.entry[-64:])


def test_members_given_different_keys_notice(
    genesis: Genesis, device: DeviceSecrets, phrase_member: DeviceSecrets
) -> None:
    """A hostile founder seals other keys to the phrase, so that recovery would find nothing it can read."""
    start = genesis.entry[:177]
    other = exchange.seal_to(
        phrase_member.exchange_public,
        Person.EPOCH_BOX,
        start,
        bytes(64),
        ephemeral=exchange.new_secret(),
    )
    split = verify_genesis(resign(start + genesis.entry[177:321] + other, device, phrase_member))
    assert open_epoch(split, device).epoch_id == split.library_id
    with pytest.raises(MembershipInvalid, match="different epoch keys"):
        open_epoch(split, phrase_member)


def test_a_box_moved_from_another_genesis_does_not_open(
    genesis: Genesis, device: DeviceSecrets, phrase_member: DeviceSecrets
) -> None:
    donor = create_genesis(device, phrase_member)
    mixed = verify_genesis(resign(genesis.entry[:177] + donor[177:465], device, phrase_member))
    with pytest.raises(CryptoError):
        open_epoch(mixed, device)


@pytest.mark.parametrize("place", [17, 49, 81, 113])
@pytest.mark.parametrize("key", [bytes(32), (1).to_bytes(32, "little"), b"\xff" * 32])
def test_keys_no_honest_device_makes_are_refused(place: int, key: bytes, genesis: Genesis) -> None:
    with pytest.raises(KeyRefused):
        verify_genesis(genesis.entry[:place] + key + genesis.entry[place + 32 :])


def test_the_device_cannot_be_its_own_phrase(device: DeviceSecrets) -> None:
    with pytest.raises(MembershipInvalid, match="same key"):
        verify_genesis(create_genesis(device, device))


@pytest.mark.parametrize("created_at", [-1, 253_402_300_800, 1 << 64])
def test_a_time_no_calendar_can_show_is_a_mistake(
    created_at: int, device: DeviceSecrets, phrase_member: DeviceSecrets
) -> None:
    with pytest.raises(ValueError, match="UTC seconds"):
        create_genesis(device, phrase_member, created_at=created_at)


def test_heads_are_a_set() -> None:
    one, other = b"1" * 32, b"2" * 32
    assert heads_hash([one, other]) == heads_hash([other, one, other])
    assert heads_hash([one]) != heads_hash([other]) != heads_hash([one, other])
    with pytest.raises(ValueError, match="at least one"):
        heads_hash([])
    with pytest.raises(ValueError, match="32 bytes"):
        heads_hash([b"short"])
