"""Every purpose a key or a signature is made for, each spelt once.

A key is always derived for one purpose, and a signature always covers the purpose it was made for, so nothing made
for one use is valid in another. Both lists are part of the formats (docs/formats.md): entries are added, never
changed.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

PERSON_BYTES: Final = 16
"""BLAKE2b's `person` parameter: at most this many bytes, and shorter ones are filled with zeros."""


class Person(Enum):
    r"""BLAKE2b's `person` for each derivation.

    Values are shorter than 16 bytes and hold no zero byte, because BLAKE2b fills `person` with zeros without marking
    where it ended: `b"a"` and `b"a\\0"` would be one purpose (a test shows it).
    """

    ENVELOPE = b"sl1-envelope"
    BLOB_KEY = b"sl1-blob-key"
    BLOB = b"sl1-blob"
    PHOTO_ID = b"sl1-photo-id"
    SEALED = b"sl1-sealed"
    SECRETS = b"sl1-secrets"
    STORAGE = b"sl1-storage"
    EPOCH_BOX = b"sl1-epoch-box"
    EPOCH_CHECK = b"sl1-epoch-check"
    EPOCH_WRAP = b"sl1-epoch-wrap"
    PHRASE_SIGNING = b"sl1-phrase-sign"
    PHRASE_EXCHANGE = b"sl1-phrase-exch"
    PAIRING_CHECK = b"sl1-pair-check"
    PAIRING = b"sl1-pairing"
    FINGERPRINT = b"sl1-fingerprint"


class Signed(Enum):
    """The prefix of everything signed, one for each kind of statement."""

    ENVELOPE = b"safelight/1/envelope\0"
    MEMBERSHIP = b"safelight/1/membership\0"
    COUNTERSIGNATURE = b"safelight/1/countersignature\0"
    SIGN_IN = b"safelight/1/sign-in\0"
    DELETE = b"safelight/1/delete\0"
