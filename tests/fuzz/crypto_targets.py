"""Targets for what `crypto` reads: each format as it arrives, and behind the seals that a hostile member can make."""

from __future__ import annotations

import copy
import io
from functools import cache

from crypto import signing
from crypto.aead import committed_key, encrypt
from crypto.blob import BlobReader
from crypto.envelope import HEADER_BYTES, EnvelopeHeader, open_envelope, read_header, verify_envelope
from crypto.epochs import open_epochs
from crypto.errors import CryptoError
from crypto.genesis import open_epoch, verify_genesis
from crypto.keys import unwrap_secrets
from crypto.membership import evaluate
from crypto.membership_change import draft_add
from crypto.membership_entry import verify_entry
from crypto.padme import padded_length
from crypto.pairing import Inviter, Message, Newcomer, _start
from crypto.pairing_code import PairingCode, parse_code
from crypto.phrase import phrase_secrets
from crypto.preamble import Kind, preamble
from crypto.purposes import Person, Signed
from crypto.sealed import _seal_with, open_sealed
from crypto.stream import chunk_nonce
from tests.crypto import membership_world
from tests.fuzz.target import same, target, text_of
from tests.fuzz.world import EPOCH, FOUNDER, GENESIS, KEY, LIBRARY, NEWCOMER, PHRASE

_ENVELOPE = ("crypto.envelope", "crypto.preamble", "crypto.compression", "crypto.padme", "crypto.signing")


@target(CryptoError, covers=_ENVELOPE)
def envelope(data: bytes) -> None:
    """Any bytes, where a relay says that they are an envelope."""
    header = read_header(data)
    same(header.to_bytes(), data[:HEADER_BYTES], "the header of an envelope")
    verify_envelope(data, library_id=header.library_id, device_id=header.device_id)


@target(CryptoError, covers=_ENVELOPE)
def envelope_content(data: bytes) -> None:
    """What a hostile member seals: the lengths, the compressed bytes and the padding are its own."""
    packed = data.ljust(padded_length(len(data)), b"\0")
    header = EnvelopeHeader(LIBRARY, FOUNDER.device_id, 1, bytes(32), EPOCH.epoch_id, bytes(32))
    start = header.to_bytes() + bytes(32)
    key, commitment = committed_key(KEY, Person.ENVELOPE, start)
    unsigned = start + commitment + encrypt(key, packed)
    sealed = unsigned + signing.sign(FOUNDER.signing_seed, Signed.ENVELOPE, unsigned)
    open_envelope(sealed, EPOCH, library_id=LIBRARY, device_id=FOUNDER.device_id)


@target(CryptoError, covers=("crypto.blob", "crypto.stream", "crypto.preamble"))
def blob(data: bytes) -> None:
    """A blob: any bytes, any bytes behind a good header, or one chunk of any content, by the first byte."""
    how, data = data[:1], data[1:]
    start = preamble(Kind.BLOB)
    key, commitment = committed_key(KEY, Person.BLOB, start)
    header = start + commitment
    if how <= b"\x3f":
        sealed = data
    elif how <= b"\x7f":
        sealed = header + data
    else:
        plain = data.ljust(padded_length(len(data)), b"\0")
        sealed = header + encrypt(key, plain, header, chunk_nonce(0, last=how < b"\xf0"))
    reader = BlobReader(io.BytesIO(sealed), KEY)
    whole = b"".join(reader.iter_chunks())
    same(reader.read(), whole, "a blob read at once and chunk by chunk")
    same(len(whole), reader.size, "the size of a blob")
    same(reader.read(1, 3), whole[1:4], "a range of a blob")


@target(CryptoError, covers=("crypto.sealed", "crypto.stream", "crypto.preamble"))
def sealed_file(data: bytes) -> None:
    """A derived file's sealed part: any bytes, or behind a good header, by the first byte."""
    how, data = data[:1], data[1:]
    if how > b"\x7f":
        data = _seal_with(bytes(32), b"", KEY, "fuzz", b"")[: 8 + 32 + 32] + data
    open_sealed(data, KEY, "fuzz")


@target(CryptoError, covers=("crypto.keys", "crypto.preamble"))
def device_secrets(data: bytes) -> None:
    """The wrapped secrets of `library.toml`."""
    unwrap_secrets(data, KEY, b"")


@target(CryptoError, covers=("crypto.genesis", "crypto.exchange", "crypto.signing", "crypto.epochs"))
def genesis(data: bytes) -> None:
    """A genesis entry: any bytes, or with both signatures made anew, by the first byte."""
    how, data = data[:1], data[1:]
    if how > b"\x3f":
        data = data[:-128]
        data += signing.sign(FOUNDER.signing_seed, Signed.MEMBERSHIP, data)
        data += signing.sign(PHRASE.signing_seed, Signed.COUNTERSIGNATURE, data)
    read = verify_genesis(data)
    same(read.entry, data, "genesis")
    open_epoch(read, FOUNDER)


@target(CryptoError, covers=("crypto.membership_entry", "crypto.exchange", "crypto.signing"))
def membership_entry(data: bytes) -> None:
    """A membership entry as it arrives."""
    same(verify_entry(data, LIBRARY).data, data, "a membership entry")


@target(
    CryptoError,
    covers=(
        "crypto.membership_entry",
        "crypto.membership",
        "crypto.membership_dag",
        "crypto.epochs",
        "crypto.exchange",
    ),
)
def membership_entry_signed(data: bytes) -> None:
    """An entry of any content, signed by a founder and by the newcomer it may add, among the others of its library."""
    body = preamble(Kind.MEMBERSHIP) + data
    body += signing.sign(FOUNDER.signing_seed, Signed.MEMBERSHIP, body)
    try:
        entry = verify_entry(body, LIBRARY)
    except CryptoError:
        body += signing.sign(NEWCOMER.signing_seed, Signed.COUNTERSIGNATURE, body)
        entry = verify_entry(body, LIBRARY)
    membership = evaluate(GENESIS, [entry])
    for secrets in (FOUNDER, NEWCOMER):
        if secrets.device_id in membership.members:
            open_epochs(membership, secrets)


_WHAT = ("add", "revoke", "rotate", "odd rotate", "replace")
_STEP_BYTES = 4


@target(CryptoError, covers=("crypto.membership", "crypto.membership_dag"), longest=14 * _STEP_BYTES)
def membership_history(data: bytes) -> None:
    """Up to fourteen entries of hostile members, in any shape of history: any order of arrival comes to the same."""
    steps: list[membership_world.HostileStep] = [
        (_WHAT[what % 5], first % 7, second % 9, [back & 3, back >> 2 & 3], back < 200)
        for what, first, second, back in zip(*(iter(data[: 14 * _STEP_BYTES]),) * _STEP_BYTES, strict=False)
    ]
    entries = membership_world.play_hostile(steps)
    founded = membership_world.GENESIS
    forwards, backwards = evaluate(founded, entries), evaluate(founded, entries[::-1])
    same(forwards.members, backwards.members, "the members by any order of arrival")
    same(forwards.void, backwards.void, "the void entries by any order of arrival")


@cache
def _pairing() -> dict[str, Inviter | Newcomer]:
    """Return both sides of one conversation as they are before each message; SPAKE2 is slow, so they are copied."""
    code = PairingCode(7, ("velvet", "harbour"))
    inviter = Inviter(code, FOUNDER, LIBRARY, [LIBRARY])
    newcomer = Newcomer(code, NEWCOMER, "a laptop")
    kept: dict[str, Inviter | Newcomer] = {"newcomer at hello": _copied(newcomer)}
    answer = newcomer.answer(inviter.hello())
    kept["inviter at answer"] = _copied(inviter)
    offer = inviter.offer(answer)
    kept["newcomer at offer"] = _copied(newcomer)
    introduction = newcomer.introduce(offer)
    kept["inviter at introduction"] = _copied(inviter)
    inviter.meet(introduction)
    kept["newcomer at grant"] = _copied(newcomer)
    membership = evaluate(GENESIS, [])
    draft = draft_add(
        membership, FOUNDER, open_epochs(membership, FOUNDER), NEWCOMER.device_id, NEWCOMER.exchange_public
    )
    newcomer.accept(inviter.grant(draft))
    kept["inviter at acceptance"] = _copied(inviter)
    return kept


def _copied(side: Inviter | Newcomer) -> Inviter | Newcomer:
    copied = copy.copy(side)
    copied._spake = copy.copy(side._spake)
    return copied


def _side(name: str) -> Inviter | Newcomer:
    return _copied(_pairing()[name])


_OF_NEWCOMER = ("newcomer at hello", "newcomer at offer", "newcomer at grant")


@target(CryptoError, covers=("crypto.pairing", "crypto.membership_change", "crypto.preamble"))
def pairing_message(data: bytes) -> None:
    """Each message of a pairing, by the first byte: any bytes, or any content sealed by somebody who has the code."""
    how, data = data[:1] or b"\0", data[1:]
    which, is_sealed = how[0] % 6, how[0] >= 128
    newcomer, inviter = _side(_OF_NEWCOMER[min(which, 2)]), _side("inviter at introduction")
    if which == 0:
        _newcomer(newcomer).answer(data)
    elif which == 1:
        before = _start(Message.OFFER) + inviter._confirmation(Message.OFFER)
        _newcomer(newcomer).introduce(inviter._seal(Message.OFFER, before, data) if is_sealed else data)
    elif which == 2:
        _newcomer(newcomer).accept(inviter._seal(Message.GRANT, _start(Message.GRANT), data) if is_sealed else data)
    elif which == 3:
        _inviter(_side("inviter at answer")).offer(data)
    else:
        message = Message.INTRODUCTION if which == 4 else Message.ACCEPTANCE
        sealed = _side("newcomer at grant")._seal(message, _start(message), data) if is_sealed else data
        if message is Message.INTRODUCTION:
            _inviter(inviter).meet(sealed)
        else:
            _inviter(_side("inviter at acceptance")).finish(sealed)


def _newcomer(side: Inviter | Newcomer) -> Newcomer:
    assert isinstance(side, Newcomer)
    return side


def _inviter(side: Inviter | Newcomer) -> Inviter:
    assert isinstance(side, Inviter)
    return side


@target(CryptoError, covers=("crypto.pairing_code",))
def pairing_code(data: bytes) -> None:
    """A code as somebody types it."""
    code = parse_code(text_of(data))
    same(parse_code(str(code)), code, "a pairing code")


@target(CryptoError, covers=("crypto.phrase",))
def recovery_phrase(data: bytes) -> None:
    """A recovery phrase as somebody types it."""
    phrase_secrets(text_of(data))
