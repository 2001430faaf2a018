r"""Ed25519 over a purpose and every preceding byte.

A signature always covers `safelight/1/<purpose>\\0` and then all bytes that stand before it in its format, so that it
holds for one purpose only. libsodium verifies strictly: keys and points of small order, and scalars in a second
spelling, are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nacl import exceptions
from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign, crypto_sign_open, crypto_sign_seed_keypair

from crypto.aead import require_length
from crypto.errors import KeyRefused, SignatureInvalid

if TYPE_CHECKING:
    from crypto.purposes import Signed

SIGNATURE_BYTES: Final = 64
SEED_BYTES: Final = 32
PUBLIC_BYTES: Final = 32


def public_key(seed: bytes) -> bytes:
    """Return the 32-byte Ed25519 public key of a 32-byte seed."""
    require_length(seed, SEED_BYTES, "a signing seed")
    return crypto_sign_seed_keypair(seed)[0]


def sign(seed: bytes, purpose: Signed, preceding: bytes) -> bytes:
    """Return the 64-byte signature of `purpose` ‖ `preceding` with the key of a 32-byte seed."""
    require_length(seed, SEED_BYTES, "a signing seed")
    secret = crypto_sign_seed_keypair(seed)[1]
    return crypto_sign(purpose.value + preceding, secret)[:SIGNATURE_BYTES]


def verify(public: bytes, purpose: Signed, preceding: bytes, signature: bytes, thing: str) -> None:
    """Raise `SignatureInvalid`, naming `thing`, unless `signature` holds for `purpose` ‖ `preceding`."""
    # crypto_sign_open checks no lengths: a short key would let libsodium read past the end of the bytes object.
    require_length(public, PUBLIC_BYTES, "an Ed25519 public key")
    require_length(signature, SIGNATURE_BYTES, "a signature")
    try:
        crypto_sign_open(b"".join((signature, purpose.value, preceding)), public)
    except exceptions.BadSignatureError:
        raise SignatureInvalid(
            f"the signature of {thing} does not hold",
            hint="It was damaged, or somebody else made it: it is not accepted.",
        ) from None


def check_public_key(public: bytes, thing: str) -> None:
    """Raise `KeyRefused`, naming `thing`, unless this is a point of the prime-order group in its one spelling."""
    require_length(public, PUBLIC_BYTES, "an Ed25519 public key")
    if not crypto_core_ed25519_is_valid_point(public):
        raise KeyRefused(f"the signing key of {thing} is not a key an honest device makes")
