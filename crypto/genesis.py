"""The genesis entry: the first of a library's membership DAG, made by its first device and its recovery phrase.

    preamble (8) ‖ entry kind (1) = 1 ‖ created at, UTC seconds (8)
    ‖ device: Ed25519 (32) ‖ X25519 (32) ‖ phrase member: Ed25519 (32) ‖ X25519 (32)
    ‖ check of the epoch's keys (32) ‖ box to the device (144) ‖ box to the phrase member (144)
    ‖ signature of the device (64) ‖ countersignature of the phrase member (64)

In all 593 bytes. The hash of them is the library id. An epoch is named by the hash of the entry that makes it, so the
first epoch has the same id as the library. That hash covers the boxes, hence the boxes cannot contain it; they are
bound to all bytes before them instead.

The phrase member countersigns, the device's signature included, so nobody can invent a library for somebody else's
phrase. The check is a keyed hash under the epoch's keys: a member that was given other keys than the rest
notices.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets as system_random
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from crypto import exchange, signing
from crypto.aead import KEY_BYTES, derive, require_length
from crypto.errors import FormatError, MembershipInvalid, NotAMember, Truncated, WrongLibrary
from crypto.keys import DeviceSecrets, EpochKeys
from crypto.preamble import PREAMBLE_BYTES, Kind, check_preamble, preamble
from crypto.purposes import Person, Signed
from crypto.signing import SIGNATURE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

ENTRY_HASH_BYTES: Final = 32
GENESIS_KIND: Final = 1
_END_OF_TIME: Final = 253_402_300_800  # the year 10000, which no calendar of ours can show
_FIELDS: Final = struct.Struct(">BQ32s32s32s32s")
_CHECK_BYTES: Final = 32
_EPOCH_SECRETS_BYTES: Final = 2 * KEY_BYTES
_BOX_BYTES: Final = exchange.BOX_OVERHEAD + _EPOCH_SECRETS_BYTES
_CHECK_AT: Final = PREAMBLE_BYTES + _FIELDS.size
_BOXES_AT: Final = _CHECK_AT + _CHECK_BYTES
_SIGNATURES_AT: Final = _BOXES_AT + 2 * _BOX_BYTES
GENESIS_BYTES: Final = _SIGNATURES_AT + 2 * SIGNATURE_BYTES


@dataclass(frozen=True)
class Genesis:
    """A verified genesis entry. Ids and public keys are 32 bytes; nothing here is secret.

    `entry` are its bytes; `library_id` their hash, and `epoch_id` the same; `created_at` is in UTC seconds, as its
    author's clock had it.
    """

    entry: bytes = field(repr=False)
    library_id: bytes
    created_at: int
    device_id: bytes
    device_exchange: bytes
    phrase_id: bytes
    phrase_exchange: bytes

    @property
    def epoch_id(self) -> bytes:
        """The id of the first epoch: the hash of the entry that makes it, which for genesis is the library id."""
        return self.library_id

    @property
    def context(self) -> bytes:
        """The bytes its boxes are bound to; the last 32 of them are the check of the keys."""
        return self.entry[:_BOXES_AT]

    @property
    def membership(self) -> bytes:
        """`heads_hash` while genesis is the only entry: what the headers of envelopes carry."""
        return heads_hash([self.library_id])


def entry_hash(entry: bytes) -> bytes:
    """Return BLAKE2b-256 of a whole membership entry: its name, and for genesis the library id."""
    return hashlib.blake2b(entry, digest_size=ENTRY_HASH_BYTES).digest()


def heads_hash(heads: Iterable[bytes]) -> bytes:
    """Return BLAKE2b-256 of the sorted, distinct 32-byte hashes of the heads of the membership DAG."""
    ordered = sorted(set(heads))
    if not ordered:
        raise ValueError("a membership has at least one head")
    for head in ordered:
        require_length(head, ENTRY_HASH_BYTES, "a membership head")
    return hashlib.blake2b(b"".join(ordered), digest_size=ENTRY_HASH_BYTES).digest()


def epoch_check(keys: bytes, checked: bytes) -> bytes:
    """Return the 32-byte check of an epoch's keys (epoch key ‖ photo id key) over the bytes of its entry before it."""
    return derive(keys, Person.EPOCH_CHECK, checked)


def verify_epoch_check(keys: bytes, context: bytes, thing: str) -> None:
    """Raise `MembershipInvalid`, naming `thing`, unless `context` ends with the check of these keys over the rest."""
    checked, check = context[:-_CHECK_BYTES], context[-_CHECK_BYTES:]
    if not hmac.compare_digest(epoch_check(keys, checked), check):
        raise MembershipInvalid(f"{thing} gave its members different epoch keys")


def create_genesis(device: DeviceSecrets, phrase_member: DeviceSecrets, *, created_at: int = 0) -> bytes:
    """Return the genesis entry of a new library: fresh epoch keys, sealed to both members, signed by both.

    `created_at` is in UTC seconds (0: not told). The device reads its keys back with
    `open_epoch(verify_genesis(entry), device)`.
    """
    keys = system_random.token_bytes(_EPOCH_SECRETS_BYTES)
    return _create_with(keys, (exchange.new_secret(), exchange.new_secret()), device, phrase_member, created_at)


def _create_with(
    keys: bytes, ephemerals: tuple[bytes, bytes], device: DeviceSecrets, phrase_member: DeviceSecrets, created_at: int
) -> bytes:
    if not 0 <= created_at < _END_OF_TIME:
        raise ValueError(f"{created_at} is not a time in UTC seconds from 1970 to 9999")
    start = preamble(Kind.MEMBERSHIP) + _FIELDS.pack(
        GENESIS_KIND,
        created_at,
        device.device_id,
        device.exchange_public,
        phrase_member.device_id,
        phrase_member.exchange_public,
    )
    start += epoch_check(keys, start)
    body = start + b"".join(
        exchange.seal_to(member.exchange_public, Person.EPOCH_BOX, start, keys, ephemeral=ephemeral)
        for member, ephemeral in zip((device, phrase_member), ephemerals, strict=True)
    )
    body += signing.sign(device.signing_seed, Signed.MEMBERSHIP, body)
    return body + signing.sign(phrase_member.signing_seed, Signed.COUNTERSIGNATURE, body)


def verify_genesis(entry: bytes, expected_library_id: bytes | None = None) -> Genesis:
    """Return what a genesis entry says, after checking its form, its keys, both signatures and, if given, its hash.

    Raises `Truncated`, `FormatError`, `UnknownVersion`, `KeyRefused`, `MembershipInvalid`, `SignatureInvalid`, and
    `WrongLibrary` for a valid entry of another library. Without `expected_library_id` the caller must compare
    `phrase_id` or `library_id` with one it trusts: anyone can make a valid genesis.
    """
    check_preamble(entry, Kind.MEMBERSHIP)
    if len(entry) < GENESIS_BYTES:
        raise Truncated(f"a genesis entry is {GENESIS_BYTES} bytes, not {len(entry)}")
    if len(entry) > GENESIS_BYTES:
        raise FormatError(f"a genesis entry is {GENESIS_BYTES} bytes, not {len(entry)}")
    kind, created_at, device_id, device_exchange, phrase_id, phrase_exchange = _FIELDS.unpack_from(
        entry, PREAMBLE_BYTES
    )
    if kind != GENESIS_KIND:
        raise MembershipInvalid(f"the first membership entry must be genesis (kind {GENESIS_KIND}), not kind {kind}")
    if created_at >= _END_OF_TIME:
        raise FormatError("a genesis entry made after the year 9999")
    if device_id == phrase_id or device_exchange == phrase_exchange:
        raise MembershipInvalid("the device and the recovery phrase of a genesis entry have the same key")
    for name, public, agreed in (("device", device_id, device_exchange), ("phrase", phrase_id, phrase_exchange)):
        signing.check_public_key(public, f"the {name} in a genesis entry")
        exchange.check_public_key(agreed)
    signed = entry[:-SIGNATURE_BYTES]
    signing.verify(
        device_id, Signed.MEMBERSHIP, entry[:_SIGNATURES_AT], signed[_SIGNATURES_AT:], "the genesis entry (device)"
    )
    signing.verify(
        phrase_id, Signed.COUNTERSIGNATURE, signed, entry[-SIGNATURE_BYTES:], "the genesis entry (recovery phrase)"
    )
    library_id = entry_hash(entry)
    if expected_library_id is not None and library_id != expected_library_id:
        raise WrongLibrary(f"a genesis entry of library {library_id.hex()[:8]}, not of {expected_library_id.hex()[:8]}")
    return Genesis(entry, library_id, created_at, device_id, device_exchange, phrase_id, phrase_exchange)


def open_epoch(genesis: Genesis, secrets: DeviceSecrets) -> EpochKeys:
    """Return the first epoch's keys, opened with the secrets of the device or of the recovery phrase.

    Raises `NotAMember`, `CommitmentMismatch`, `DecryptionFailed`, `KeyRefused`, or `MembershipInvalid` where this
    member was given other keys than the entry's check stands for.
    """
    members = ((genesis.device_id, genesis.device_exchange), (genesis.phrase_id, genesis.phrase_exchange))
    mine = (secrets.device_id, secrets.exchange_public)
    if mine not in members:
        raise NotAMember(
            f"device {secrets.device_id.hex()[:8]} is not a member of library {genesis.library_id.hex()[:8]}",
            hint="These secrets or this recovery phrase belong to another library.",
        )
    at = _BOXES_AT + _BOX_BYTES * members.index(mine)
    start = genesis.context
    keys = exchange.open_box(
        secrets.exchange_secret,
        Person.EPOCH_BOX,
        start,
        genesis.entry[at : at + _BOX_BYTES],
        "the epoch keys in genesis",
    )
    verify_epoch_check(keys, start, "genesis")
    return EpochKeys(genesis.epoch_id, keys[:KEY_BYTES], keys[KEY_BYTES:])
