"""Everything that can go wrong in `crypto`, as one tree.

    CryptoError
    ├── WrongPassphrase
    ├── InvalidPhrase
    ├── KdfParametersRefused
    ├── FormatError
    │   ├── UnknownVersion
    │   ├── Truncated
    │   └── TooLarge
    ├── SignatureInvalid
    ├── CommitmentMismatch
    ├── DecryptionFailed
    ├── BlobDamaged
    ├── BlobSourceChanged
    ├── KeyRefused
    ├── MembershipInvalid
    │   ├── NotAMember
    │   │   └── PhraseReplaced
    │   └── RotationDue
    ├── PairingError
    │   ├── PairingCodeInvalid
    │   ├── PairingFailed
    │   └── PairingCodeUsed
    └── Misplaced
        ├── WrongLibrary
        ├── WrongDevice
        └── WrongEpoch

A message says what happened and to which thing; `hint` says what to do next. Neither ever holds a secret. A wrong
type or a key of the wrong length is a mistake of the calling code, not of the data, and raises `TypeError` or
`ValueError`.
"""

from __future__ import annotations


class CryptoError(Exception):
    """Base of every error of this package; `hint` is one sentence on what to do next, or None."""

    hint: str | None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep `message` (what happened, to which thing) and `hint`."""
        super().__init__(message)
        self.hint = hint


class WrongPassphrase(CryptoError):
    """The passphrase does not open these secrets, or the KDF parameters beside them were changed."""


class InvalidPhrase(CryptoError):
    """Words that are not a recovery phrase; `position` counts from 1, or is None when no single word is to blame."""

    position: int | None
    suggestions: tuple[str, ...]

    def __init__(
        self,
        message: str,
        *,
        position: int | None = None,
        suggestions: tuple[str, ...] = (),
        hint: str | None = None,
    ) -> None:
        """Keep where the fault is, and the words perhaps meant: for the typist's eyes only, never for a log."""
        super().__init__(message, hint=hint)
        self.position = position
        self.suggestions = suggestions


class KdfParametersRefused(CryptoError):
    """Argon2id parameters below the floor (a weakened file) or above the ceiling (it would exhaust the machine)."""


class FormatError(CryptoError):
    """Bytes that are not what they should be: another magic, a field out of its range, padding that is not zero."""


class UnknownVersion(FormatError):
    """A format version this program does not know; a newer Safelight wrote it."""


class Truncated(FormatError):
    """Fewer bytes than the format needs."""


class TooLarge(FormatError):
    """A length beyond the format's bound, stated or reached while inflating."""


class SignatureInvalid(CryptoError):
    """An Ed25519 signature that does not hold for these bytes, this purpose and this key."""


class CommitmentMismatch(CryptoError):
    """The key is not the one these bytes were sealed with, or header, random part or commitment were changed."""


class DecryptionFailed(CryptoError):
    """The AEAD tag does not hold: the ciphertext, or what was authenticated with it, was changed."""


class BlobDamaged(CryptoError):
    """A blob of which a chunk, the length or the hash is not what it was when it was made."""


class BlobSourceChanged(CryptoError):
    """The bytes encrypted are not those the blob key was made from: the file changed between two reads."""


class KeyRefused(CryptoError):
    """A public key that no honest device makes: not on the curve, of low order, or in a second spelling."""


class MembershipInvalid(CryptoError):
    """A membership entry that contradicts itself."""


class NotAMember(MembershipInvalid):
    """These keys belong to none of the members the entry, or the library, names."""


class PhraseReplaced(NotAMember):
    """A recovery phrase that was one of this library, until another took its place."""


class RotationDue(MembershipInvalid):
    """Devices were revoked, or histories merged: the epoch's key has to be changed before anything else is written."""


class PairingError(CryptoError):
    """Two devices that did not come together."""


class PairingCodeInvalid(PairingError):
    """What was typed is no pairing code; nothing was sent."""

    suggestions: tuple[str, ...]

    def __init__(self, message: str, *, suggestions: tuple[str, ...] = (), hint: str | None = None) -> None:
        """Keep the words perhaps meant: for the typist's eyes only, never for a log."""
        super().__init__(message, hint=hint)
        self.suggestions = suggestions


class PairingFailed(PairingError):
    """The other side does not know the code, or somebody stands between; the code is dead."""


class PairingCodeUsed(PairingError):
    """The code has been used already, or died with a failed attempt."""


class Misplaced(CryptoError):
    """Valid bytes of somewhere else, shown here in place of ours."""


class WrongLibrary(Misplaced):
    """Made for another library."""


class WrongDevice(Misplaced):
    """Made by another device."""


class WrongEpoch(Misplaced):
    """Sealed under another epoch's key."""
