r"""Membership entries after genesis, byte by byte: read, and checked as far as one entry alone can be.

    preamble (8) ‖ kind (1) ‖ created at, UTC seconds (8) ‖ library (32) ‖ author (32)
    ‖ number of heads (1) ‖ heads (32 each, ascending) ‖ what the kind says ‖ signatures (64 each)

An entry is named by its hash. It names as heads all the newest entries its author knows, so what it has seen cannot
be disputed; whether its author might say what it says is decided beside those (`crypto.membership`). Each entry holds
for one library only, whose id it names.

Kinds: *add* a device, countersigned by it; *revoke* a device; *rotate*: a new epoch, its key sealed to every remaining
member and the keys before it wrapped under it; *replace* the recovery phrase, countersigned by the new one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import Final

from crypto import exchange, signing
from crypto.aead import COMMITMENT_BYTES, KEY_BYTES, TAG_BYTES
from crypto.errors import FormatError, MembershipInvalid, TooLarge, Truncated, UnknownVersion, WrongLibrary
from crypto.genesis import ENTRY_HASH_BYTES, GENESIS_KIND, entry_hash
from crypto.preamble import PREAMBLE_BYTES, Kind, check_preamble
from crypto.purposes import Signed
from crypto.signing import SIGNATURE_BYTES

MAX_HEADS: Final = 64
MAX_WRAPS: Final = 64
MAX_RECIPIENTS: Final = 1024
END_OF_TIME: Final = 253_402_300_800  # the year 10000, which no calendar of ours can show
START: Final = struct.Struct(">BQ32s32sB")
MEMBER: Final = struct.Struct(">32s32s32sB")
REVOKED: Final = struct.Struct(">32sQ32s")
COUNTS: Final = struct.Struct(">BH")
NOTHING_ACCEPTED: Final = bytes(ENTRY_HASH_BYTES)
"""The hash of a cut before the first envelope."""

CHECK_BYTES: Final = 32
MEMBER_BOX_BYTES: Final = exchange.BOX_OVERHEAD + 2 * KEY_BYTES
EPOCH_BOX_BYTES: Final = exchange.BOX_OVERHEAD + KEY_BYTES
WRAP_BYTES: Final = COMMITMENT_BYTES + KEY_BYTES + TAG_BYTES
MAX_ENTRY_BYTES: Final = (
    PREAMBLE_BYTES
    + START.size
    + MAX_HEADS * ENTRY_HASH_BYTES
    + COUNTS.size
    + MAX_WRAPS * (ENTRY_HASH_BYTES + WRAP_BYTES)
    + MAX_RECIPIENTS * (ENTRY_HASH_BYTES + EPOCH_BOX_BYTES)
    + CHECK_BYTES
    + SIGNATURE_BYTES
)


class EntryKind(IntEnum):
    """The byte after the preamble; genesis has a form of its own (`crypto.genesis`)."""

    GENESIS = GENESIS_KIND
    ADD = 2
    REVOKE = 3
    ROTATE = 4
    REPLACE = 5


@dataclass(frozen=True)
class Admission:
    """What *add* and *replace* say: a new member, and the keys of an epoch sealed to it.

    `continues` (of an add) says that the newcomer is a copy of its author, whose replica actors it goes on with.
    `box` opens beside `context` to epoch key ‖ photo id key of `epoch_id`.
    """

    device_id: bytes
    exchange: bytes
    epoch_id: bytes
    continues: bool
    context: bytes = field(repr=False)
    box: bytes = field(repr=False)


@dataclass(frozen=True)
class Cut:
    """The last envelope that was accepted of a device: number and hash; 0 and zeros if none was."""

    seq: int
    hash: bytes

    def __post_init__(self) -> None:
        """Raise `FormatError` for a place no chain has."""
        if not 0 <= self.seq < 1 << 63 or (self.seq == 0) != (self.hash == NOTHING_ACCEPTED):
            raise FormatError(f"a cut after envelope {self.seq} with a hash that does not go with it")


NO_ENVELOPE: Final = Cut(0, NOTHING_ACCEPTED)
"""The cut of a device of which nothing was accepted."""


@dataclass(frozen=True)
class Revocation:
    """What *revoke* says: the device, and the last of its envelopes that the author accepted."""

    device_id: bytes
    cut: Cut


@dataclass(frozen=True)
class Rotation:
    """What *rotate* says: the epochs it wraps, the members it is sealed to, and the check of its keys.

    `context` are the bytes boxes and wrapped keys are bound to; `checked` those before the check.
    """

    wrapped: dict[bytes, bytes] = field(repr=False)
    boxes: dict[bytes, bytes] = field(repr=False)
    check: bytes = field(repr=False)
    context: bytes = field(repr=False)

    @property
    def checked(self) -> bytes:
        """The bytes the check is made over, together with the keys."""
        return self.context[:-CHECK_BYTES]


@dataclass(frozen=True, eq=False)
class Entry:
    """One entry whose form and signatures hold; whether it counts is for `crypto.membership` to say.

    `data` are its bytes and `hash` their name; `created_at` is in UTC seconds, as its author's clock had it.
    """

    data: bytes = field(repr=False)
    hash: bytes
    kind: EntryKind
    created_at: int
    library_id: bytes
    author: bytes
    heads: tuple[bytes, ...]
    content: Admission | Revocation | Rotation

    @property
    def name(self) -> str:
        """How errors name this entry."""
        return f"membership entry {self.hash.hex()[:8]} ({self.kind.name.lower()}) of device {self.author.hex()[:8]}"

    @property
    def admission(self) -> Admission:
        """What an *add* or a *replace* says; `TypeError` for the other kinds."""
        if not isinstance(self.content, Admission):
            raise TypeError(f"{self.name} admits nobody")
        return self.content

    @property
    def rotation(self) -> Rotation:
        """What a *rotate* says; `TypeError` for the other kinds."""
        if not isinstance(self.content, Rotation):
            raise TypeError(f"{self.name} makes no epoch")
        return self.content

    def __eq__(self, other: object) -> bool:
        """Compare the bytes."""
        return isinstance(other, Entry) and self.data == other.data

    def __hash__(self) -> int:
        """Hash the name."""
        return hash(self.hash)


class _Reader:
    """Takes fields from the front of bytes; raises `Truncated` where they end."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def take(self, length: int) -> bytes:
        if len(self.data) - self.at < length:
            raise Truncated(f"a membership entry ends after {len(self.data)} bytes, in the middle of a field")
        self.at += length
        return self.data[self.at - length : self.at]

    def hashes(self, count: int, what: str) -> tuple[bytes, ...]:
        joined = self.take(count * ENTRY_HASH_BYTES)
        found = tuple(joined[at : at + ENTRY_HASH_BYTES] for at in range(0, len(joined), ENTRY_HASH_BYTES))
        if any(one >= other for one, other in pairwise(found)):
            raise FormatError(f"the {what} of a membership entry are not in ascending order")
        return found


def verify_entry(data: bytes, library_id: bytes) -> Entry:
    """Return what an entry after genesis says, once its form, its keys, its library and its signatures were checked.

    Raises `Truncated`, `TooLarge`, `FormatError`, `UnknownVersion` (also for a kind of entry that this program does
    not know), `KeyRefused`, `MembershipInvalid`, `WrongLibrary` or `SignatureInvalid`. That its author is a member is
    not checked here.
    """
    entry = read_entry(data, library_id)
    countersigned = isinstance(entry.content, Admission)
    end = len(data) - SIGNATURE_BYTES * (1 + countersigned)
    signing.verify(entry.author, Signed.MEMBERSHIP, data[:end], data[end : end + SIGNATURE_BYTES], entry.name)
    if isinstance(entry.content, Admission):
        signed = data[:-SIGNATURE_BYTES]
        signing.verify(
            entry.content.device_id,
            Signed.COUNTERSIGNATURE,
            signed,
            data[-SIGNATURE_BYTES:],
            f"{entry.name} (the new member's)",
        )
    return entry


def read_entry(data: bytes, library_id: bytes, *, draft: bool = False) -> Entry:
    """Return what an entry says, its signatures unchecked: to show it, never to believe it.

    A `draft` lacks the countersignature. Raises what `verify_entry` raises, but `SignatureInvalid`.
    """
    check_preamble(data, Kind.MEMBERSHIP)
    if len(data) > MAX_ENTRY_BYTES:
        raise TooLarge(f"{len(data)} bytes are too many for a membership entry (at most {MAX_ENTRY_BYTES})")
    reader = _Reader(data, PREAMBLE_BYTES)
    number, created_at, library, author, count = START.unpack(reader.take(START.size))
    kind = _kind(number)
    if created_at >= END_OF_TIME:
        raise FormatError("a membership entry made after the year 9999")
    if library != library_id:
        raise WrongLibrary(f"a membership entry of library {library.hex()[:8]}, not of {library_id.hex()[:8]}")
    signing.check_public_key(author, "the author of a membership entry")
    if not 1 <= count <= MAX_HEADS:
        raise FormatError(f"a membership entry names 1 to {MAX_HEADS} heads, not {count}")
    heads = reader.hashes(count, "heads")
    content = _read_content(reader, kind, author)
    signatures = 1 + (isinstance(content, Admission) and not draft)
    reader.take(SIGNATURE_BYTES * signatures)
    if reader.at != len(data):
        raise FormatError(f"{len(data) - reader.at} bytes stand behind the end of a membership entry")
    return Entry(data, entry_hash(data), kind, created_at, library, author, heads, content)


def _kind(number: int) -> EntryKind:
    if number == EntryKind.GENESIS:
        raise MembershipInvalid("a second genesis entry: a library has one")
    try:
        return EntryKind(number)
    except ValueError:
        raise UnknownVersion(
            f"a membership entry of kind {number}, which this program does not know", hint="Update Safelight."
        ) from None


def _read_content(reader: _Reader, kind: EntryKind, author: bytes) -> Admission | Revocation | Rotation:
    if kind is EntryKind.REVOKE:
        device_id, seq, cut = REVOKED.unpack(reader.take(REVOKED.size))
        return Revocation(device_id, Cut(seq, cut))
    if kind is EntryKind.ROTATE:
        return _read_rotation(reader)
    device_id, agreed, epoch_id, flags = MEMBER.unpack(reader.take(MEMBER.size))
    if flags > (kind is EntryKind.ADD):
        raise FormatError(f"a membership entry with unknown flags {flags:#04x}")
    if device_id == author:
        raise MembershipInvalid("a member that adds itself")
    signing.check_public_key(device_id, "the new member in a membership entry")
    exchange.check_public_key(agreed)
    context = reader.data[: reader.at]
    return Admission(device_id, agreed, epoch_id, bool(flags), context, reader.take(MEMBER_BOX_BYTES))


def _read_rotation(reader: _Reader) -> Rotation:
    wraps, recipients = COUNTS.unpack(reader.take(COUNTS.size))
    if not 1 <= wraps <= MAX_WRAPS:
        raise FormatError(f"a rotation wraps the keys of 1 to {MAX_WRAPS} epochs, not of {wraps}")
    if not 1 <= recipients <= MAX_RECIPIENTS:
        raise FormatError(f"a rotation is sealed to 1 to {MAX_RECIPIENTS} members, not to {recipients}")
    epoch_ids = reader.hashes(wraps, "wrapped epochs")
    members = reader.hashes(recipients, "recipients")
    check = reader.take(CHECK_BYTES)
    context = reader.data[: reader.at]
    wrapped = {epoch_id: reader.take(WRAP_BYTES) for epoch_id in epoch_ids}
    boxes = {member: reader.take(EPOCH_BOX_BYTES) for member in members}
    return Rotation(wrapped, boxes, check, context)
