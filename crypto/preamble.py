"""The eight bytes that begin every format: which of our formats this is, and in which version."""

from __future__ import annotations

from enum import Enum
from typing import Final

from crypto.errors import FormatError, Truncated, UnknownVersion

MAGIC: Final = b"SFLT"
VERSION: Final = 1
PREAMBLE_BYTES: Final = 8


class Kind(Enum):
    """Two letters after the magic: the format."""

    ENVELOPE = b"EN"
    BLOB = b"BL"
    SEALED = b"SE"
    SECRETS = b"DS"
    MEMBERSHIP = b"MB"
    PAIRING = b"PA"


_NAMES: Final = {
    Kind.ENVELOPE: "an envelope",
    Kind.BLOB: "a blob",
    Kind.SEALED: "a sealed file",
    Kind.SECRETS: "wrapped device secrets",
    Kind.MEMBERSHIP: "a membership entry",
    Kind.PAIRING: "a pairing message",
}


def preamble(kind: Kind) -> bytes:
    """Return magic (4) ‖ kind (2) ‖ version (2, big-endian)."""
    return MAGIC + kind.value + VERSION.to_bytes(2, "big")


def check_preamble(data: bytes, kind: Kind) -> None:
    """Check that `data` begins as a `kind` of the version we know.

    Raises `Truncated`, `FormatError` (not ours, or another of our formats) or `UnknownVersion`.
    """
    name = _NAMES[kind]
    if len(data) < PREAMBLE_BYTES:
        raise Truncated(f"{len(data)} bytes are too few for {name}")
    if data[:4] != MAGIC:
        raise FormatError(f"these bytes are not {name}: they do not begin with {MAGIC.decode()}")
    if data[4:6] != kind.value:
        raise FormatError(f"these bytes are not {name}, but another Safelight format")
    version = int.from_bytes(data[6:8], "big")
    if version != VERSION:
        raise UnknownVersion(
            f"{name} of version {version}; this program reads version {VERSION}",
            hint="A newer Safelight wrote it, or the bytes are damaged: update Safelight, then run `safelight verify`.",
        )
