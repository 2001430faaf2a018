"""Pairing: two devices that share nothing but a one-time code read from one screen and typed into the other.

    inviter → newcomer   1 hello          element (32)
    newcomer → inviter   2 answer         element (32) ‖ confirmation (32)
    inviter → newcomer   3 offer          confirmation (32) ‖ sealed: library, inviter's keys, membership heads
    newcomer → inviter   4 introduction   sealed: newcomer's keys and name
                                          (here the inviter shows name and fingerprint, and asks)
    inviter → newcomer   5 grant          sealed: the add entry, signed by the inviter
    newcomer → inviter   6 acceptance     sealed: the newcomer's countersignature

SPAKE2 (RFC 9382; Abdalla, Pointcheval, "Simple Password-Based Encrypted Key Exchange Protocols", CT-RSA 2005) over
Ed25519 turns the code into a session key that only both ends know; whoever carries the messages may make one guess at
the code in each conversation, and learns nothing else. Both confirm the key before anything is said, the newcomer
first, so that the inviter knows of every wrong guess; and whatever goes wrong on a side ends the code on that side.
The form with two roles is used, not the symmetric one: who is who is never in doubt here, and a message that is
reflected to its sender, or passed on in the other role, is refused by construction.

Keys that a relay hands out never count: both devices' keys travel inside, sealed, each message with a key of its own
(direction and purpose are its number). Attacks and what becomes of them: docs/pairing.md.

The group arithmetic of the package `spake2` is plain Python and not constant-time. It runs once a code, on two
machines that an attacker in the network sees through a mailbox only.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from nacl.bindings import crypto_core_ed25519_is_valid_point
from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError

from crypto import exchange, signing
from crypto.aead import COMMITMENT_BYTES, TAG_BYTES, committed_key, decrypt, derive, encrypt, open_committed_key
from crypto.errors import (
    FormatError,
    KeyRefused,
    NotAMember,
    PairingCodeUsed,
    PairingFailed,
    TooLarge,
    Truncated,
)
from crypto.fingerprint import fingerprint
from crypto.genesis import ENTRY_HASH_BYTES
from crypto.membership_change import check_draft, countersign
from crypto.membership_entry import MAX_ENTRY_BYTES, MAX_HEADS, Entry, verify_entry
from crypto.padme import padded_length
from crypto.preamble import PREAMBLE_BYTES, Kind, check_preamble, preamble
from crypto.purposes import Person
from crypto.signing import SIGNATURE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from crypto.keys import DeviceSecrets
    from crypto.pairing_code import PairingCode

ELEMENT_BYTES: Final = 32
CONFIRMATION_BYTES: Final = 32
MAX_NAME_BYTES: Final = 120
_START_BYTES: Final = PREAMBLE_BYTES + 1
_LENGTH: Final = struct.Struct(">I")
_OFFER: Final = struct.Struct(">32s32s32sB")
_KEYS: Final = struct.Struct(">32s32sB")
_INVITER: Final = b"safelight/1/pairing/inviter"
_NEWCOMER: Final = b"safelight/1/pairing/newcomer"
MAX_MESSAGE_BYTES: Final = (
    _START_BYTES + CONFIRMATION_BYTES + COMMITMENT_BYTES + padded_length(_LENGTH.size + MAX_ENTRY_BYTES) + TAG_BYTES
)


class Message(IntEnum):
    """The byte after the preamble."""

    HELLO = 1
    ANSWER = 2
    OFFER = 3
    INTRODUCTION = 4
    GRANT = 5
    ACCEPTANCE = 6


@dataclass(frozen=True)
class Offer:
    """What the newcomer learns first: which library, and whose keys and membership heads to hold the relay to."""

    library_id: bytes
    device_id: bytes
    exchange: bytes
    heads: tuple[bytes, ...]

    @property
    def fingerprint(self) -> str:
        """The inviting device's fingerprint, for people."""
        return fingerprint(self.device_id, self.exchange)


@dataclass(frozen=True)
class Introduction:
    """What the inviter shows before it asks: the newcomer's name for itself, and the fingerprint of its keys."""

    device_id: bytes
    exchange: bytes
    name: str

    @property
    def fingerprint(self) -> str:
        """The newcomer's fingerprint, for people."""
        return fingerprint(self.device_id, self.exchange)


class _Side:
    """What both sides share: the exchange, the session key, and a code that dies of anything that goes wrong."""

    def __init__(self, spake: SPAKE2_A | SPAKE2_B) -> None:
        self._spake = spake
        self._next: Message | None = Message.HELLO
        self._session = b""
        self._transcript = b""

    @property
    def is_dead(self) -> bool:
        """True once the code is used up, by success or failure."""
        return self._next is None

    def close(self) -> None:
        """End the code: the user said no, or time ran out."""
        self._next = None
        self._session = b""

    @contextmanager
    def _turn(self, message: Message, then: Message | None) -> Iterator[None]:
        """Do one step; any error in it ends the code."""
        if self._next is None:
            raise PairingCodeUsed(
                "this pairing code has been used, or died with an attempt that failed",
                hint="Make a new code on the device that is already in the library: safelight device add",
            )
        if self._next is not message:
            raise ValueError(f"it is the turn of {self._next.name.lower()}, not of {message.name.lower()}")
        done = False
        try:
            yield
            done = True
        finally:
            if done and then is not None:
                self._next = then
            else:
                self.close()

    def _first(self, message: Message) -> bytes:
        """Return a message with this side's element."""
        element: bytes = self._spake.start()[1:]  # without the byte that tells the role, which ours tells as well
        return _start(message) + element

    def _agree(self, side: bytes, element: bytes, hello: bytes, answer: bytes) -> None:
        """Finish SPAKE2 with the other side's element; the transcript is both first messages."""
        # The package takes points in several spellings; libsodium only one, of the right order.
        if not crypto_core_ed25519_is_valid_point(element):
            raise KeyRefused("the pairing message holds no element that an honest device sends")
        try:
            self._session = self._spake.finish(side + element)
        except SPAKEError:
            raise _failed() from None
        self._transcript = hashlib.blake2b(hello + answer, digest_size=32).digest()

    def _confirmation(self, message: Message) -> bytes:
        return derive(self._session, Person.PAIRING_CHECK, _start(message) + self._transcript)

    def _confirm(self, message: Message, received: bytes) -> None:
        if not hmac.compare_digest(self._confirmation(message), received):
            raise _failed()

    def _seal(self, message: Message, before: bytes, data: bytes) -> bytes:
        key, commitment = committed_key(self._session, Person.PAIRING, _start(message) + self._transcript)
        packed = _LENGTH.pack(len(data)) + data
        return before + commitment + encrypt(key, packed.ljust(padded_length(len(packed)), b"\0"), before)

    def _open(self, message: Message, before: bytes, sealed: bytes) -> bytes:
        name = f"the pairing message ({message.name.lower()})"
        if len(sealed) < COMMITMENT_BYTES + TAG_BYTES:
            raise Truncated(f"{name} was cut short")
        commitment, ciphertext = sealed[:COMMITMENT_BYTES], sealed[COMMITMENT_BYTES:]
        context = _start(message) + self._transcript
        key = open_committed_key(self._session, Person.PAIRING, context, commitment, name)
        packed = decrypt(key, ciphertext, name, before)
        end = _LENGTH.size + (_LENGTH.unpack_from(packed)[0] if len(packed) >= _LENGTH.size else 0)
        if padded_length(end) != len(packed) or packed[end:].strip(b"\0"):
            raise FormatError(f"the content of {name} is not as long as it says")
        return packed[_LENGTH.size : end]


class Inviter(_Side):
    """The side that is in the library and made the code. Call its methods in the order in which they stand here."""

    def __init__(self, code: PairingCode, secrets: DeviceSecrets, library_id: bytes, heads: Sequence[bytes]) -> None:
        """Invite into `library_id`; `heads` are at most 64 membership heads the newcomer is to hold the relay to."""
        if not 1 <= len(heads) <= MAX_HEADS:
            raise ValueError(f"an invitation names 1 to {MAX_HEADS} membership heads, not {len(heads)}")
        super().__init__(SPAKE2_A(str(code).encode(), _INVITER, _NEWCOMER))
        self._secrets = secrets
        self._library_id = library_id
        self._heads = tuple(sorted(heads))
        self._hello = b""
        self._draft = b""
        self.newcomer: Introduction | None = None

    def hello(self) -> bytes:
        """Return message 1."""
        with self._turn(Message.HELLO, Message.ANSWER):
            self._hello = self._first(Message.HELLO)
        return self._hello

    def offer(self, answer: bytes) -> bytes:
        """Return message 3, after message 2 has shown that the other side knows the code.

        Raises `PairingFailed`, `KeyRefused`, or a `FormatError`; each of them ends the code.
        """
        with self._turn(Message.ANSWER, Message.INTRODUCTION):
            body = _body(answer, Message.ANSWER, ELEMENT_BYTES + CONFIRMATION_BYTES)
            element = body[:ELEMENT_BYTES]
            self._agree(b"B", element, self._hello, answer[:-CONFIRMATION_BYTES])
            self._confirm(Message.ANSWER, body[ELEMENT_BYTES:])
            before = _start(Message.OFFER) + self._confirmation(Message.OFFER)
            said = _OFFER.pack(
                self._library_id, self._secrets.device_id, self._secrets.exchange_public, len(self._heads)
            )
            return self._seal(Message.OFFER, before, said + b"".join(self._heads))

    def meet(self, introduction: bytes) -> Introduction:
        """Return who wants to join, from message 4: show it to the user, and ask.

        Raises `CommitmentMismatch`, `DecryptionFailed`, `KeyRefused` or a `FormatError`; each of them ends the code.
        """
        with self._turn(Message.INTRODUCTION, Message.GRANT):
            data = self._open(
                Message.INTRODUCTION, _start(Message.INTRODUCTION), _body(introduction, Message.INTRODUCTION)
            )
            if len(data) < _KEYS.size:
                raise Truncated("the newcomer's introduction was cut short")
            device_id, agreed, length = _KEYS.unpack_from(data)
            if length != len(data) - _KEYS.size:
                raise FormatError("the newcomer's name is not as long as it says")
            signing.check_public_key(device_id, "the newcomer")
            exchange.check_public_key(agreed)
            self.newcomer = Introduction(device_id, agreed, checked_name(data[_KEYS.size :]))
            return self.newcomer

    def grant(self, draft: bytes) -> bytes:
        """Return message 5, once the user has said yes: `draft` is `membership_change.draft_add` of the newcomer."""
        with self._turn(Message.GRANT, Message.ACCEPTANCE):
            self._draft = draft
            return self._seal(Message.GRANT, _start(Message.GRANT), draft)

    def finish(self, acceptance: bytes) -> Entry:
        """Return the finished add entry from message 6, to be given to everybody.

        Raises `SignatureInvalid` where the newcomer does not hold the keys it introduced, and what `meet` raises.
        """
        with self._turn(Message.ACCEPTANCE, None):
            data = self._open(Message.ACCEPTANCE, _start(Message.ACCEPTANCE), _body(acceptance, Message.ACCEPTANCE))
            if len(data) != SIGNATURE_BYTES:
                raise FormatError(f"an acceptance is a signature of {SIGNATURE_BYTES} bytes, not {len(data)}")
            return verify_entry(self._draft + data, self._library_id)


class Newcomer(_Side):
    """The side that wants in and was given the code. Call its methods in the order in which they stand here."""

    def __init__(self, code: PairingCode, secrets: DeviceSecrets, name: str) -> None:
        """Ask to join with fresh `secrets`, under a name of at most 120 bytes of UTF-8 without control characters."""
        super().__init__(SPAKE2_B(str(code).encode(), _INVITER, _NEWCOMER))
        self._secrets = secrets
        self._name = checked_name(name.encode(), ValueError).encode()
        self.library: Offer | None = None

    def answer(self, hello: bytes) -> bytes:
        """Return message 2, the answer to message 1; raises `PairingFailed`, `KeyRefused` or a `FormatError`."""
        with self._turn(Message.HELLO, Message.OFFER):
            element = _body(hello, Message.HELLO, ELEMENT_BYTES)
            answer = self._first(Message.ANSWER)
            self._agree(b"A", element, hello, answer)
            answer += self._confirmation(Message.ANSWER)
        return answer

    def introduce(self, offer: bytes) -> bytes:
        """Return message 4, after message 3 has shown that the other side knows the code; `library` says what it is.

        Raises `PairingFailed`, `CommitmentMismatch`, `DecryptionFailed`, `KeyRefused` or a `FormatError`; each of them
        ends the code.
        """
        with self._turn(Message.OFFER, Message.GRANT):
            body = _body(offer, Message.OFFER)
            if len(body) < CONFIRMATION_BYTES:
                raise Truncated("the pairing message (offer) was cut short")
            self._confirm(Message.OFFER, body[:CONFIRMATION_BYTES])
            data = self._open(Message.OFFER, offer[: _START_BYTES + CONFIRMATION_BYTES], body[CONFIRMATION_BYTES:])
            self.library = _read_offer(data)
            said = _KEYS.pack(self._secrets.device_id, self._secrets.exchange_public, len(self._name)) + self._name
            return self._seal(Message.INTRODUCTION, _start(Message.INTRODUCTION), said)

    def accept(self, grant: bytes) -> tuple[bytes, Entry]:
        """Return message 6 and the add entry, countersigned, from message 5.

        Raises `NotAMember` where the entry adds another device or is by another than the inviter, and otherwise what
        `introduce` and `membership_change.check_draft` raise. It does not make this device a member by itself: the
        entry counts beside the others, which come from the relay and have to lead to the heads in `library`.
        """
        with self._turn(Message.GRANT, None):
            draft = self._open(Message.GRANT, _start(Message.GRANT), _body(grant, Message.GRANT))
            if self.library is None:
                raise ValueError("there is no offer yet")
            entry = check_draft(draft, self.library.library_id, self._secrets)
            if entry.author != self.library.device_id or entry.admission.continues:
                raise NotAMember("the entry that adds this device was not made by the device that invited it")
            finished = countersign(draft, self.library.library_id, self._secrets)
            signature = finished.data[-SIGNATURE_BYTES:]
            return self._seal(Message.ACCEPTANCE, _start(Message.ACCEPTANCE), signature), finished


def _failed() -> PairingFailed:
    return PairingFailed(
        "the other side does not know this pairing code: it was mistyped, or somebody stands between",
        hint="The code cannot be used again. Make a new one: safelight device add",
    )


def _start(message: Message) -> bytes:
    return preamble(Kind.PAIRING) + bytes([message])


def _body(data: bytes, message: Message, length: int | None = None) -> bytes:
    """Return what follows the start of a message, after checking that it is this one."""
    check_preamble(data, Kind.PAIRING)
    if len(data) > MAX_MESSAGE_BYTES:
        raise TooLarge(f"{len(data)} bytes are too many for a pairing message (at most {MAX_MESSAGE_BYTES})")
    if data[PREAMBLE_BYTES:_START_BYTES] != bytes([message]):
        raise FormatError(f"this is not the pairing message that is expected now ({message.name.lower()})")
    body = data[_START_BYTES:]
    if length is not None and len(body) < length:
        raise Truncated(f"the pairing message ({message.name.lower()}) was cut short")
    if length is not None and len(body) > length:
        raise FormatError(f"bytes stand behind the end of the pairing message ({message.name.lower()})")
    return body


def _read_offer(data: bytes) -> Offer:
    if len(data) < _OFFER.size:
        raise Truncated("the pairing offer was cut short")
    library_id, device_id, agreed, count = _OFFER.unpack_from(data)
    joined = data[_OFFER.size :]
    if not 1 <= count <= MAX_HEADS or len(joined) != count * ENTRY_HASH_BYTES:
        raise FormatError("the pairing offer does not name as many membership heads as it says")
    signing.check_public_key(device_id, "the inviting device")
    exchange.check_public_key(agreed)
    heads = tuple(joined[at : at + ENTRY_HASH_BYTES] for at in range(0, len(joined), ENTRY_HASH_BYTES))
    return Offer(library_id, device_id, agreed, heads)


def checked_name(data: bytes, error: Callable[[str], Exception] = FormatError) -> str:
    """Return a device's name; raises `error` for one that is empty, too long, or could garble a terminal."""
    try:
        name = data.decode()
    except UnicodeDecodeError:
        raise error("a device's name that is not UTF-8") from None
    if not 1 <= len(data) <= MAX_NAME_BYTES or name != name.strip():
        raise error(f"a device's name is 1 to {MAX_NAME_BYTES} bytes, with no blanks around it")
    # Control and format characters (escape sequences, reversed text), surrogates, private use, line separators.
    if any(unicodedata.category(letter)[0] == "C" or unicodedata.category(letter) in {"Zl", "Zp"} for letter in name):
        raise error("a device's name with characters that cannot be shown")
    return name
