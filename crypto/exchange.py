"""Sealing a few bytes to one member's X25519 key.

The sender uses a fresh ephemeral key and not its own X25519 key, for two reasons. Each box gets a key that has never
been used before, so the rule "each key seals once" needs no counter. And whoever later takes the *sender's* secrets
cannot open what it sealed to others. Who sealed the box is not told by the box: the signature over the entry it
stands in says so.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from nacl import exceptions
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base

from crypto.aead import (
    COMMITMENT_BYTES,
    TAG_BYTES,
    committed_key,
    decrypt,
    encrypt,
    open_committed_key,
    require_length,
)
from crypto.errors import KeyRefused, Truncated

if TYPE_CHECKING:
    from crypto.purposes import Person

EXCHANGE_BYTES: Final = 32
BOX_OVERHEAD: Final = EXCHANGE_BYTES + COMMITMENT_BYTES + TAG_BYTES

_FIELD_PRIME: Final = 2**255 - 19
# X25519 clamps every scalar to a multiple of the cofactor, so any scalar finds a point of low order.
_PROBE: Final = bytes(EXCHANGE_BYTES)


def public_key(secret: bytes) -> bytes:
    """Return the 32-byte X25519 public key of a 32-byte secret."""
    require_length(secret, EXCHANGE_BYTES, "an X25519 secret")
    return crypto_scalarmult_base(secret)


def shared_secret(secret: bytes, public: bytes) -> bytes:
    """Return the raw 32-byte X25519 output, to be hashed before use; raises `KeyRefused` if it is zero."""
    # crypto_scalarmult checks no lengths: a short argument would let libsodium read past the end of the bytes object.
    require_length(secret, EXCHANGE_BYTES, "an X25519 secret")
    require_length(public, EXCHANGE_BYTES, "an X25519 public key")
    try:
        return crypto_scalarmult(secret, public)
    except exceptions.RuntimeError:
        raise KeyRefused(
            "an X25519 public key of low order: any two parties would share the same zero secret"
        ) from None


def check_public_key(public: bytes) -> None:
    """Raise `KeyRefused` for a point of low order, or in a second spelling (not reduced, or with the top bit set)."""
    require_length(public, EXCHANGE_BYTES, "an X25519 public key")
    if int.from_bytes(public, "little") >= _FIELD_PRIME:
        raise KeyRefused("an X25519 public key that is not in its one canonical spelling")
    shared_secret(_PROBE, public)


def new_secret() -> bytes:
    """Return a fresh X25519 secret of 32 bytes from the system's random generator."""
    return secrets.token_bytes(EXCHANGE_BYTES)


def seal_to(recipient: bytes, person: Person, context: bytes, plaintext: bytes, *, ephemeral: bytes) -> bytes:
    """Return a box: ephemeral public key (32) ‖ commitment (32) ‖ ciphertext (length of `plaintext` + 16).

    `context` are the public bytes the box belongs to; it opens only beside the same bytes. `ephemeral` is a
    `new_secret()` that is used for this box alone and forgotten. Raises `KeyRefused`.
    """
    public = public_key(ephemeral)
    shared = shared_secret(ephemeral, recipient)
    aead_key, commitment = committed_key(shared, person, context + recipient + public)
    return public + commitment + encrypt(aead_key, plaintext)


def open_box(secret: bytes, person: Person, context: bytes, box: bytes, thing: str) -> bytes:
    """Return what `seal_to` sealed.

    Raises `KeyRefused`, `CommitmentMismatch`, `DecryptionFailed` or `Truncated`, naming `thing`.
    """
    if len(box) < BOX_OVERHEAD:
        raise Truncated(f"{thing} is shorter than a sealed box")
    public = box[:EXCHANGE_BYTES]
    commitment = box[EXCHANGE_BYTES : EXCHANGE_BYTES + COMMITMENT_BYTES]
    shared = shared_secret(secret, public)
    aead_key = open_committed_key(shared, person, context + public_key(secret) + public, commitment, thing)
    return decrypt(aead_key, box[EXCHANGE_BYTES + COMMITMENT_BYTES :], thing)
