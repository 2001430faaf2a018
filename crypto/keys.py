"""A device's secrets, an epoch's keys, and wrapping the former under a passphrase.

Everything else is derived from these by purpose (`crypto.purposes`). None of it ever appears in a `repr`, so it does
not reach logs or tracebacks.
"""

from __future__ import annotations

import hmac
import secrets as system_random
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from crypto import exchange, signing
from crypto.aead import (
    COMMITMENT_BYTES,
    KEY_BYTES,
    RANDOM_BYTES,
    TAG_BYTES,
    committed_key,
    decrypt,
    derive,
    encrypt,
    open_committed_key,
    require_length,
)
from crypto.errors import CommitmentMismatch, FormatError, Truncated, WrongPassphrase
from crypto.hashing import Blake2b
from crypto.preamble import PREAMBLE_BYTES, Kind, check_preamble, preamble
from crypto.purposes import Person

DEVICE_SECRETS_BYTES: Final = signing.SEED_BYTES + exchange.EXCHANGE_BYTES
EPOCH_ID_BYTES: Final = 32
PHOTO_ID_BYTES: Final = 16
WRAPPED_BYTES: Final = PREAMBLE_BYTES + RANDOM_BYTES + COMMITMENT_BYTES + DEVICE_SECRETS_BYTES + TAG_BYTES


@dataclass(frozen=True, repr=False, eq=False)
class DeviceSecrets:
    """The secrets of one member: an Ed25519 seed and an X25519 secret, 32 bytes each.

    A device has one pair, drawn at random; the recovery phrase is one more member, whose pair is derived from the
    words.
    """

    signing_seed: bytes
    exchange_secret: bytes

    def __post_init__(self) -> None:
        """Raise `TypeError` or `ValueError` unless both are 32 bytes."""
        require_length(self.signing_seed, signing.SEED_BYTES, "a signing seed")
        require_length(self.exchange_secret, exchange.EXCHANGE_BYTES, "an X25519 secret")

    @classmethod
    def generate(cls) -> DeviceSecrets:
        """Return the secrets of a new device, from the system's random generator."""
        return cls(
            system_random.token_bytes(signing.SEED_BYTES),
            system_random.token_bytes(exchange.EXCHANGE_BYTES),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> DeviceSecrets:
        """Return the secrets that `to_bytes` gave (64 bytes)."""
        require_length(data, DEVICE_SECRETS_BYTES, "device secrets")
        return cls(data[: signing.SEED_BYTES], data[signing.SEED_BYTES :])

    def to_bytes(self) -> bytes:
        """Return both secrets in the clear, 64 bytes: for the wrapped form and the agent's memory, never for a disk."""
        return self.signing_seed + self.exchange_secret

    @cached_property
    def device_id(self) -> bytes:
        """The 32-byte Ed25519 public key, which is the name of this device everywhere."""
        return signing.public_key(self.signing_seed)

    @cached_property
    def exchange_public(self) -> bytes:
        """The 32-byte X25519 public key others seal epoch keys to."""
        return exchange.public_key(self.exchange_secret)

    def storage_key(self, purpose: str) -> bytes:
        """Return a 32-byte key for this device's own files, different for each `purpose`.

        It seals derived files and names them; no other device can compute it, so a stolen disk tells nothing.
        """
        return derive(self.to_bytes(), Person.STORAGE, purpose.encode())

    def __repr__(self) -> str:
        """Name the device; show nothing secret."""
        return f"<DeviceSecrets of {self.device_id.hex()[:16]}>"

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, DeviceSecrets):
            return NotImplemented
        return hmac.compare_digest(self.to_bytes(), other.to_bytes())

    def __hash__(self) -> int:
        """Hash the public half."""
        return hash(self.device_id)


@dataclass(frozen=True, repr=False, eq=False)
class EpochKeys:
    """The keys all members share during one epoch, 32 bytes each.

    `epoch_id` is the hash of the membership entry that made the epoch (of genesis, for the first). `epoch_key` is new
    in each epoch; `pid_key` is made at genesis and never changes, so that a photo keeps its id.
    """

    epoch_id: bytes
    epoch_key: bytes
    pid_key: bytes

    def __post_init__(self) -> None:
        """Raise `TypeError` or `ValueError` unless all three are 32 bytes."""
        require_length(self.epoch_id, EPOCH_ID_BYTES, "an epoch id")
        require_length(self.epoch_key, KEY_BYTES, "an epoch key")
        require_length(self.pid_key, KEY_BYTES, "a photo id key")

    def photo_hasher(self) -> Blake2b:
        """Return a hasher whose 16-byte digest of a file's bytes is the photo's id (pid)."""
        return Blake2b(PHOTO_ID_BYTES, self.pid_key, Person.PHOTO_ID)

    def __repr__(self) -> str:
        """Name the epoch; show nothing secret."""
        return f"<EpochKeys of {self.epoch_id.hex()[:16]}>"

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, EpochKeys):
            return NotImplemented
        return hmac.compare_digest(
            self.epoch_id + self.epoch_key + self.pid_key, other.epoch_id + other.epoch_key + other.pid_key
        )

    def __hash__(self) -> int:
        """Hash the public half."""
        return hash(self.epoch_id)


def wrap_secrets(secrets: DeviceSecrets, passphrase_key: bytes, associated: bytes) -> bytes:
    """Return `secrets` sealed under the passphrase's key, 152 bytes.

    `associated` are bytes of the same file that must not be exchanged unnoticed (the library id); the caller gives
    the same ones to `unwrap_secrets`.
    """
    return _wrap_with(system_random.token_bytes(RANDOM_BYTES), secrets, passphrase_key, associated)


def _wrap_with(random: bytes, secrets: DeviceSecrets, passphrase_key: bytes, associated: bytes) -> bytes:
    require_length(passphrase_key, KEY_BYTES, "a passphrase key")
    start = preamble(Kind.SECRETS) + random
    aead_key, commitment = committed_key(passphrase_key, Person.SECRETS, start)
    return start + commitment + encrypt(aead_key, secrets.to_bytes(), associated)


def unwrap_secrets(wrapped: bytes, passphrase_key: bytes, associated: bytes) -> DeviceSecrets:
    """Return the secrets that `wrap_secrets` sealed.

    Raises `WrongPassphrase` (the key is another one; also after a change of the KDF parameters or of the random part,
    which nothing can tell apart from it), `DecryptionFailed` (the key is right, but the secrets or `associated` were
    changed), `Truncated`, `FormatError` or `UnknownVersion`.
    """
    require_length(passphrase_key, KEY_BYTES, "a passphrase key")
    check_preamble(wrapped, Kind.SECRETS)
    if len(wrapped) < WRAPPED_BYTES:
        raise Truncated(f"wrapped device secrets are {WRAPPED_BYTES} bytes, not {len(wrapped)}")
    if len(wrapped) > WRAPPED_BYTES:
        raise FormatError(f"wrapped device secrets are {WRAPPED_BYTES} bytes, not {len(wrapped)}")
    start = wrapped[: PREAMBLE_BYTES + RANDOM_BYTES]
    commitment = wrapped[len(start) : len(start) + COMMITMENT_BYTES]
    try:
        aead_key = open_committed_key(passphrase_key, Person.SECRETS, start, commitment, "the wrapped device secrets")
    except CommitmentMismatch:
        raise WrongPassphrase(
            "the passphrase does not open this library's secrets",
            hint="Check the keyboard layout and Caps Lock.",
        ) from None
    plaintext = decrypt(aead_key, wrapped[len(start) + COMMITMENT_BYTES :], "the wrapped device secrets", associated)
    return DeviceSecrets.from_bytes(plaintext)
