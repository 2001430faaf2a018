"""Envelopes: the signed, encrypted entries of a device's log.

    preamble (8) ‖ library (32) ‖ device (32) ‖ seq (8) ‖ previous (32) ‖ epoch (32) ‖ membership (32)
    ‖ random (32) ‖ commitment (32) ‖ ciphertext (at least 272) ‖ signature (64)

The first line is the header, 176 bytes.

Anyone may read the header and verify the signature; only members open the content. The content is compressed under a
bound and padded to a PADMÉ length of at least 256 bytes, so a relay sees one chain for each device and nothing of
what was edited.
"""

from __future__ import annotations

import hashlib
import secrets as system_random
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crypto import signing
from crypto.aead import (
    COMMITMENT_BYTES,
    RANDOM_BYTES,
    TAG_BYTES,
    committed_key,
    decrypt,
    encrypt,
    open_committed_key,
    require_length,
)
from crypto.compression import deflate, inflate
from crypto.errors import FormatError, TooLarge, Truncated, WrongDevice, WrongEpoch, WrongLibrary
from crypto.padme import MINIMUM_BYTES, padded_length
from crypto.preamble import PREAMBLE_BYTES, Kind, check_preamble, preamble
from crypto.purposes import Person, Signed
from crypto.signing import SIGNATURE_BYTES

if TYPE_CHECKING:
    from crypto.keys import DeviceSecrets, EpochKeys

HASH_BYTES: Final = 32
NO_PREVIOUS: Final = bytes(HASH_BYTES)
"""The `previous` of a device's first envelope."""

MAX_PLAINTEXT_BYTES: Final = 16 << 20
"""Bound on what an envelope inflates to; writers split larger edits."""

_FIELDS: Final = struct.Struct(">32s32sQ32s32s32s")
HEADER_BYTES: Final = PREAMBLE_BYTES + _FIELDS.size
_CIPHERTEXT_AT: Final = HEADER_BYTES + RANDOM_BYTES + COMMITMENT_BYTES

_LENGTHS: Final = struct.Struct(">II")  # of the content, and of its compressed form
# zlib adds 5 bytes a 16 KiB block, and 6 in all, to what it cannot compress; a per mille covers it with room to spare.
MAX_CIPHERTEXT_BYTES: Final = (
    padded_length(_LENGTHS.size + MAX_PLAINTEXT_BYTES + MAX_PLAINTEXT_BYTES // 1000) + TAG_BYTES
)
MIN_ENVELOPE_BYTES: Final = _CIPHERTEXT_AT + MINIMUM_BYTES + TAG_BYTES + SIGNATURE_BYTES
MAX_ENVELOPE_BYTES: Final = _CIPHERTEXT_AT + MAX_CIPHERTEXT_BYTES + SIGNATURE_BYTES


@dataclass(frozen=True)
class EnvelopeHeader:
    """What an envelope says in the clear. Ids and hashes are 32 bytes.

    `seq` counts a device's envelopes from 1; `previous` is the hash of the one before (zeros for the first);
    `epoch_id` names the key it is sealed under; `membership` is `crypto.membership.heads_hash` of the membership
    heads its author knew.
    """

    library_id: bytes
    device_id: bytes
    seq: int
    previous: bytes
    epoch_id: bytes
    membership: bytes

    def __post_init__(self) -> None:
        """Check lengths (`ValueError`, `TypeError`) and that the place in the chain is possible (`FormatError`)."""
        for name in ("library_id", "device_id", "previous", "epoch_id", "membership"):
            require_length(getattr(self, name), HASH_BYTES, name)
        if not 1 <= self.seq < 1 << 63:
            raise FormatError(f"an envelope cannot have number {self.seq}: they count from 1")
        if (self.seq == 1) != (self.previous == NO_PREVIOUS):
            raise FormatError(f"envelope {self.seq} names a previous envelope exactly if it is not the first")

    @property
    def name(self) -> str:
        """How errors name this envelope: its number and the first digits of its device."""
        return f"envelope {self.seq} of device {self.device_id.hex()[:8]}"

    def to_bytes(self) -> bytes:
        """Return the 176 bytes an envelope begins with."""
        return preamble(Kind.ENVELOPE) + _FIELDS.pack(
            self.library_id, self.device_id, self.seq, self.previous, self.epoch_id, self.membership
        )


def seal_envelope(header: EnvelopeHeader, plaintext: bytes, secrets: DeviceSecrets, epoch: EpochKeys) -> bytes:
    """Return the envelope that carries `plaintext` (at most 16 MiB), sealed for the epoch and signed by the device.

    Raises `TooLarge`, and `WrongDevice` or `WrongEpoch` where `header` names others than the keys given.
    """
    return _seal_with(system_random.token_bytes(RANDOM_BYTES), header, plaintext, secrets, epoch)


def _seal_with(
    random: bytes, header: EnvelopeHeader, plaintext: bytes, secrets: DeviceSecrets, epoch: EpochKeys
) -> bytes:
    if len(plaintext) > MAX_PLAINTEXT_BYTES:
        raise TooLarge(
            f"{len(plaintext)} bytes are too many for one envelope (at most {MAX_PLAINTEXT_BYTES})",
            hint="Make the change in smaller parts.",
        )
    if header.device_id != secrets.device_id:
        raise WrongDevice(f"{header.name} cannot be signed with the keys of device {secrets.device_id.hex()[:8]}")
    _check_epoch(header, epoch)
    start = header.to_bytes() + random
    aead_key, commitment = committed_key(epoch.epoch_key, Person.ENVELOPE, start)
    unsigned = start + commitment + encrypt(aead_key, _pack(plaintext))
    return unsigned + signing.sign(secrets.signing_seed, Signed.ENVELOPE, unsigned)


def read_header(envelope: bytes) -> EnvelopeHeader:
    """Return what `envelope` says in the clear, unverified: to route it, never to believe it.

    Raises `Truncated`, `TooLarge`, `FormatError` or `UnknownVersion`.
    """
    check_preamble(envelope, Kind.ENVELOPE)
    if len(envelope) < MIN_ENVELOPE_BYTES:
        raise Truncated(f"{len(envelope)} bytes are too few for an envelope (at least {MIN_ENVELOPE_BYTES})")
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise TooLarge(f"{len(envelope)} bytes are too many for an envelope (at most {MAX_ENVELOPE_BYTES})")
    header = EnvelopeHeader(*_FIELDS.unpack_from(envelope, PREAMBLE_BYTES))
    content = len(envelope) - _CIPHERTEXT_AT - TAG_BYTES - SIGNATURE_BYTES
    if padded_length(content) != content:
        raise FormatError(f"{header.name} has a length that nothing is padded to: bytes were cut off or added")
    return header


def verify_envelope(envelope: bytes, *, library_id: bytes, device_id: bytes) -> EnvelopeHeader:
    """Return the header of an envelope that `device_id` signed for `library_id`. Needs no key: a relay can do it.

    Raises `WrongLibrary`, `WrongDevice`, `SignatureInvalid` and what `read_header` raises. It is up to the caller
    that `seq` and `previous` continue the chain, and that the device is a member.
    """
    header = read_header(envelope)
    if header.library_id != library_id:
        raise WrongLibrary(f"{header.name} was made for library {header.library_id.hex()[:8]}, not for this one")
    if header.device_id != device_id:
        raise WrongDevice(f"{header.name} was shown in the chain of device {device_id.hex()[:8]}")
    signing.verify(device_id, Signed.ENVELOPE, envelope[:-SIGNATURE_BYTES], envelope[-SIGNATURE_BYTES:], header.name)
    return header


def open_envelope(
    envelope: bytes, epoch: EpochKeys, *, library_id: bytes, device_id: bytes
) -> tuple[EnvelopeHeader, bytes]:
    """Verify `envelope`, open it, and return its header and the plaintext that was sealed.

    Raises what `verify_envelope` raises, then `WrongEpoch`, `CommitmentMismatch`, `DecryptionFailed`, `TooLarge` (a
    compression bomb), or `FormatError` (a signed envelope with impossible content: its author is broken or hostile).
    """
    header = verify_envelope(envelope, library_id=library_id, device_id=device_id)
    _check_epoch(header, epoch)
    commitment_at = HEADER_BYTES + RANDOM_BYTES
    aead_key = open_committed_key(
        epoch.epoch_key, Person.ENVELOPE, envelope[:commitment_at], envelope[commitment_at:_CIPHERTEXT_AT], header.name
    )
    return header, _unpack(decrypt(aead_key, envelope[_CIPHERTEXT_AT:-SIGNATURE_BYTES], header.name), header.name)


def envelope_hash(envelope: bytes) -> bytes:
    """Return the 32 bytes by which the next envelope of the chain names this one: BLAKE2b-256 of all of it."""
    return hashlib.blake2b(envelope, digest_size=HASH_BYTES).digest()


def _check_epoch(header: EnvelopeHeader, epoch: EpochKeys) -> None:
    if header.epoch_id != epoch.epoch_id:
        raise WrongEpoch(f"{header.name} belongs to epoch {header.epoch_id.hex()[:8]}, not {epoch.epoch_id.hex()[:8]}")


def _pack(plaintext: bytes) -> bytes:
    """Length (4) ‖ compressed length (4) ‖ compressed ‖ zeros up to the PADMÉ length."""
    compressed = deflate(plaintext)
    packed = _LENGTHS.pack(len(plaintext), len(compressed)) + compressed
    return packed.ljust(padded_length(len(packed)), b"\0")


def _unpack(packed: bytes, thing: str) -> bytes:
    length, compressed_length = _LENGTHS.unpack_from(packed)
    end = _LENGTHS.size + compressed_length
    if padded_length(end) != len(packed):
        raise FormatError(f"the content of {thing} is not as long as it says")
    if packed[end:].strip(b"\0"):
        raise FormatError(f"the padding of {thing} is not empty")
    return inflate(packed[_LENGTHS.size : end], length, MAX_PLAINTEXT_BYTES, thing)
