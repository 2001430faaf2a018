"""The one AEAD of every format: ChaCha20-Poly1305 (IETF) under a key that is derived for one use and committed to.

ChaCha20-Poly1305 alone does not commit to its key: two keys can open one ciphertext to two different texts. Whoever
may choose keys (a hostile member) could show one thing to one device and another to the next. So each key comes
together with a commitment that stands before the ciphertext and is compared before anything is decrypted.

Since every derived key seals once (a fresh random part, a fresh ephemeral key, or the content itself goes into it),
nonces need not be random: a single message uses the zero nonce, a stream counts (`crypto.stream`).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from nacl import exceptions
from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)

from crypto.errors import CommitmentMismatch, DecryptionFailed, Truncated

if TYPE_CHECKING:
    from crypto.purposes import Person

KEY_BYTES: Final = 32
RANDOM_BYTES: Final = 32
COMMITMENT_BYTES: Final = 32
TAG_BYTES: Final = 16
NONCE_BYTES: Final = 12

_ZERO_NONCE: Final = bytes(NONCE_BYTES)


def require_length(value: bytes, length: int, name: str) -> None:
    """Raise `TypeError` or `ValueError` unless `value` is `bytes` of exactly `length`.

    Not a formality. hashlib takes an empty key for "no key" and hashes on, and several PyNaCl bindings hand the
    pointer of a short key to libsodium, which reads past its end.
    """
    if not isinstance(value, bytes):
        raise TypeError(f"{name} must be bytes, not {type(value).__name__}")
    if len(value) != length:
        raise ValueError(f"{name} must be {length} bytes, not {len(value)}")


def derive(key: bytes, person: Person, message: bytes, length: int = KEY_BYTES) -> bytes:
    """Return `length` bytes (16, 32 or 64) of BLAKE2b keyed with `key` (32 or 64 bytes), personalised for `person`."""
    if len(key) not in {KEY_BYTES, 64}:
        raise ValueError(f"a key is 32 or 64 bytes, not {len(key)}")
    return hashlib.blake2b(message, digest_size=length, key=key, person=person.value).digest()


def committed_key(key: bytes, person: Person, context: bytes) -> tuple[bytes, bytes]:
    """Return (AEAD key, commitment), 32 bytes each: the halves of BLAKE2b-512(key, person, context).

    `context` must be different every time something is sealed: it is where the random part goes.
    """
    both = derive(key, person, context, KEY_BYTES + COMMITMENT_BYTES)
    return both[:KEY_BYTES], both[KEY_BYTES:]


def open_committed_key(key: bytes, person: Person, context: bytes, commitment: bytes, thing: str) -> bytes:
    """Return the AEAD key, after comparing the commitment in constant time.

    Raises `CommitmentMismatch`, naming `thing`.
    """
    aead_key, expected = committed_key(key, person, context)
    if not hmac.compare_digest(expected, commitment):
        raise CommitmentMismatch(
            f"{thing} was not sealed with this key, or its first bytes were changed",
            hint="Run `safelight verify` to see what else is damaged.",
        )
    return aead_key


def encrypt(aead_key: bytes, plaintext: bytes, associated: bytes = b"", nonce: bytes = _ZERO_NONCE) -> bytes:
    """Return ciphertext ‖ tag: 16 bytes longer than `plaintext`. An `aead_key` must never meet the same nonce twice."""
    return crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, associated, nonce, aead_key)


def decrypt(
    aead_key: bytes, ciphertext: bytes, thing: str, associated: bytes = b"", nonce: bytes = _ZERO_NONCE
) -> bytes:
    """Return the plaintext of ciphertext ‖ tag.

    Raises `Truncated` where there is no room for a tag (PyNaCl would ask for a buffer of negative length and fail
    with an error of its own) and `DecryptionFailed` where the tag does not hold; both name `thing`.
    """
    if len(ciphertext) < TAG_BYTES:
        raise Truncated(f"{thing} ends before its authentication tag")
    try:
        return crypto_aead_chacha20poly1305_ietf_decrypt(ciphertext, associated, nonce, aead_key)
    except (TypeError, ValueError):
        # PyNaCl's own TypeError and ValueError are CryptoErrors too: a caller's mistake must not be reported as an
        # attack.
        raise
    except exceptions.CryptoError:
        raise DecryptionFailed(
            f"{thing} was changed after it was sealed",
            hint="Run `safelight verify` to see what else is damaged.",
        ) from None
