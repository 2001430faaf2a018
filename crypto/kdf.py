"""Argon2id: from a passphrase to the key that unwraps a device's secrets.

Parameters are stored beside the secrets they protect, in the clear, so they are the first thing an attacker can write
to. Below the floor, a typed passphrase would be stretched too little to be safe; above the ceiling, opening a library
would take the machine down. Both are refused before Argon2 runs.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final, NamedTuple

from nacl import exceptions
from nacl.bindings import crypto_pwhash_alg, crypto_pwhash_ALG_ARGON2ID13, crypto_pwhash_SALTBYTES

from crypto.aead import KEY_BYTES
from crypto.errors import KdfParametersRefused

MEBIBYTE: Final = 1 << 20
SALT_BYTES: Final = crypto_pwhash_SALTBYTES


class KdfCost(NamedTuple):
    """What Argon2id costs: passes over the memory, and bytes of memory. One lane, as libsodium always has it."""

    opslimit: int
    memlimit: int


FLOOR: Final = KdfCost(2, 19 * MEBIBYTE)
"""OWASP's minimum for Argon2id (Password Storage Cheat Sheet: m=19 MiB, t=2, p=1). Tests use it because it is fast."""

CEILING: Final = KdfCost(16, 1024 * MEBIBYTE)
"""1 GiB is what a small machine can spare; 16 passes over it are about 20 s."""

DEFAULT_OPSLIMIT: Final = 3
DEFAULT_MEMLIMIT: Final = 256 * MEBIBYTE


@dataclass(frozen=True)
class KdfParameters:
    """Argon2id parameters within the bounds: passes, memory in bytes, and a salt of 16 bytes. Not secret."""

    opslimit: int
    memlimit: int
    salt: bytes

    def __post_init__(self) -> None:
        """Raise `KdfParametersRefused` for anything outside `FLOOR` … `CEILING` or a salt of another length."""
        for name, value, low, high in (
            ("passes", self.opslimit, FLOOR.opslimit, CEILING.opslimit),
            ("bytes of memory", self.memlimit, FLOOR.memlimit, CEILING.memlimit),
            ("bytes of salt", len(self.salt), SALT_BYTES, SALT_BYTES),
        ):
            # bool is an int, and a hand-written file may hold floats or text: all refused by name, not by a traceback.
            if type(value) is not int or not low <= value <= high:
                allowed = f"{low}" if low == high else f"{low} to {high}"
                raise KdfParametersRefused(
                    f"Argon2id with {value!r} {name} is refused; allowed: {allowed}",
                    hint="The library file was changed or damaged: restore it from a backup.",
                )


def new_parameters(opslimit: int = DEFAULT_OPSLIMIT, memlimit: int = DEFAULT_MEMLIMIT) -> KdfParameters:
    """Return parameters with a fresh random salt; raises `KdfParametersRefused` outside the bounds."""
    return KdfParameters(opslimit, memlimit, secrets.token_bytes(SALT_BYTES))


def derive_passphrase_key(passphrase: bytes, parameters: KdfParameters) -> bytes:
    """Return the 32-byte key of `passphrase`; takes about half a second and 256 MiB at the default cost.

    The bytes are taken as they are. Whoever reads them from a person brings them into one form first (NFC, UTF-8), as
    keyboards spell one and the same "é" in two ways.

    Raises `KdfParametersRefused` where the machine cannot give Argon2id the memory it asks for.
    """
    try:
        return crypto_pwhash_alg(
            KEY_BYTES,
            passphrase,
            parameters.salt,
            parameters.opslimit,
            parameters.memlimit,
            crypto_pwhash_ALG_ARGON2ID13,
        )
    except exceptions.RuntimeError:
        # libsodium's only other failure here: it could not allocate.
        raise KdfParametersRefused(
            f"this machine could not give Argon2id {parameters.memlimit // MEBIBYTE} MiB of memory",
            hint="Close other programs and try again.",
        ) from None
