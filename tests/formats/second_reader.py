"""A second reader of Safelight's formats, written from docs/formats.md alone. It shares no code with the program."""

from __future__ import annotations

import hashlib
import hmac
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tests.formats.edwards25519 import P, has_small_order, is_public_key

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refused(Exception):
    """Bytes that do not hold; its text is the class of error that the vectors name."""


def check(holds: bool, error: str) -> None:
    if not holds:
        raise Refused(error)


def blake(message: bytes, size: int = 32, key: bytes = b"", person: str = "") -> bytes:
    return hashlib.blake2b(message, digest_size=size, key=key, person=person.encode()).digest()


def number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def padded(length: int) -> int:
    e = max(length, 256).bit_length() - 1
    step = 1 << (e - e.bit_length())
    return 256 if length <= 256 else -(-length // step) * step


def check_start(data: bytes, kind: bytes, least: int) -> None:
    check(len(data) >= 8, "Truncated")
    check(data[:6] == b"SFLT" + kind, "FormatError")
    check(data[6:8] == b"\0\1", "UnknownVersion")
    check(len(data) >= least, "Truncated")


def committed(key: bytes, person: str, context: bytes, commitment: bytes) -> bytes:
    both = blake(context, 64, key, person)
    check(hmac.compare_digest(both[32:], commitment), "CommitmentMismatch")
    return both[:32]


def decrypt(key: bytes, sealed: bytes, bound: bytes = b"", nonce: bytes = bytes(12)) -> bytes:
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, bound)
    except InvalidTag:
        raise Refused("DecryptionFailed") from None


def shared(secret: bytes, public: bytes) -> bytes:
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Refused("KeyRefused") from None


def check_keys(signing: bytes, exchange: bytes) -> None:
    check(is_public_key(signing) and number(exchange[::-1]) < P, "KeyRefused")
    shared(bytes(32), exchange)


def check_signature(key: bytes, purpose: str, signed: bytes, signature: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, f"safelight/1/{purpose}\0".encode() + signed)
        check(not has_small_order(key) and not has_small_order(signature[:32]), "SignatureInvalid")
    except (InvalidSignature, ValueError):
        raise Refused("SignatureInvalid") from None


class Secrets(NamedTuple):
    seed: bytes
    exchange: bytes

    @property
    def id(self) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()

    @property
    def exchange_public(self) -> bytes:
        return X25519PrivateKey.from_private_bytes(self.exchange).public_key().public_bytes_raw()

    def storage_key(self, purpose: str) -> bytes:
        return blake(purpose.encode(), key=self.seed + self.exchange, person="sl1-storage")

    def open_box(self, context: bytes, box: bytes) -> bytes:
        context += self.exchange_public + box[:32]
        return decrypt(committed(shared(self.exchange, box[:32]), "sl1-epoch-box", context, box[32:64]), box[64:])


@lru_cache
def passphrase_key(passphrase: bytes, passes: int, memory: int, salt: bytes) -> bytes:
    within = 2 <= passes <= 16 and 19 << 20 <= memory <= 1 << 30 and len(salt) == 16
    check(within, "KdfParametersRefused")
    return Argon2id(salt=salt, length=32, iterations=passes, lanes=1, memory_cost=memory >> 10).derive(passphrase)


def unwrap(wrapped: bytes, key: bytes, bound: bytes) -> Secrets:
    check_start(wrapped, b"DS", 152)
    check(len(wrapped) == 152, "FormatError")
    both = blake(wrapped[:40], 64, key, "sl1-secrets")
    check(hmac.compare_digest(both[32:], wrapped[40:72]), "WrongPassphrase")
    opened = decrypt(both[:32], wrapped[72:], bound)
    return Secrets(opened[:32], opened[32:])


def open_stream(key: bytes, bound: bytes, sealed: bytes) -> bytes:
    count = -(-len(sealed) // 65_552)
    framed = len(sealed) - 16 * count
    check(framed >= 256 and len(sealed) - 65_552 * (count - 1) > 16, "Truncated")
    check(padded(framed) == framed, "FormatError")
    nonces = [i.to_bytes(11, "big") + bytes([i == count - 1]) for i in range(count)]
    pieces = [sealed[start : start + 65_552] for start in range(0, len(sealed), 65_552)]
    plain = b"".join(decrypt(key, piece, bound, nonce) for piece, nonce in zip(pieces, nonces, strict=True))
    end = 8 + number(plain[:8])
    check(padded(end) == framed and not any(plain[end:]), "FormatError")
    return plain[8:end]


def open_sealed(data: bytes, key: bytes, purpose: str, bound: bytes = b"") -> bytes:
    check_start(data, b"SE", 72)
    aead_key = committed(key, "sl1-sealed", data[:40] + purpose.encode(), data[40:72])
    return open_stream(aead_key, data[:72] + bound, data[72:])


def open_blob(data: bytes, key: bytes, blob_id: bytes | None = None) -> bytes:
    try:
        check_start(data, b"BL", 40)
        plain = open_stream(committed(key, "sl1-blob", data[:8], data[8:40]), data[:40], data[40:])
        check(blob_id is None or blake(data) == blob_id, "BlobDamaged")
    except Refused as refused:
        told = str(refused) in {"UnknownVersion", "CommitmentMismatch"}
        raise Refused(str(refused) if told else "BlobDamaged") from None
    return plain


class Envelope(NamedTuple):
    device: bytes
    seq: int
    previous: bytes
    membership: bytes
    hash: bytes
    body: bytes


def open_envelope(data: bytes, library: bytes, device: bytes, epochs: Mapping[bytes, bytes]) -> Envelope:
    """Verify an envelope of one device and open it with the key of its epoch, one of `epochs` (id: key)."""
    check_start(data, b"EN", 576)
    framed = len(data) - 320
    check(padded(framed) == framed <= padded(8 + (16 << 20) + 16_777), "FormatError")
    check(data[8:40] == library, "WrongLibrary")
    check(data[40:72] == device, "WrongDevice")
    check_signature(device, "envelope", data[:-64], data[-64:])
    seq, previous = number(data[72:80]), data[80:112]
    check(1 <= seq < 1 << 63 and (seq == 1) == (previous == bytes(32)), "FormatError")
    check(data[112:144] in epochs, "WrongEpoch")
    key = committed(epochs[data[112:144]], "sl1-envelope", data[:208], data[208:240])
    plain = decrypt(key, data[240:-64])
    length, end = number(plain[:4]), 8 + number(plain[4:8])
    check(length <= 16 << 20, "TooLarge")
    check(end <= framed == padded(end) and not any(plain[end:]), "FormatError")
    return Envelope(device, seq, previous, data[144:176], blake(data), inflate(plain[8:end], length))


def inflate(stream: bytes, length: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        out = inflater.decompress(stream, length + 1)
    except zlib.error:
        raise Refused("FormatError") from None
    check(len(out) <= length, "TooLarge")
    check(len(out) == length and inflater.eof and not inflater.unused_data, "FormatError")
    return out
