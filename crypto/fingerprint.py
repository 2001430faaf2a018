"""Fingerprints: what people compare to know that a device is the one they hold in their hand.

100 bits of a hash of both public keys, in groups of five: long enough that nobody finds a second pair of keys with the
same one, short enough to read aloud. The letters are Crockford's base 32 (https://www.crockford.com/base32.html), in
which no two look alike.
"""

from __future__ import annotations

import hashlib
from typing import Final

from crypto.aead import require_length
from crypto.exchange import EXCHANGE_BYTES
from crypto.purposes import Person
from crypto.signing import PUBLIC_BYTES

_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_GROUPS: Final = 4
_GROUP: Final = 5
_BITS: Final = 5


def fingerprint(device_id: bytes, exchange: bytes) -> str:
    """Return the fingerprint of a device's Ed25519 and X25519 keys, such as `k3m2q-7xw4p-0a9tz-c5hnd`."""
    require_length(device_id, PUBLIC_BYTES, "an Ed25519 public key")
    require_length(exchange, EXCHANGE_BYTES, "an X25519 public key")
    digest = hashlib.blake2b(device_id + exchange, digest_size=32, person=Person.FINGERPRINT.value).digest()
    number = int.from_bytes(digest, "big") >> (8 * len(digest) - _BITS * _GROUP * _GROUPS)
    count = _GROUP * _GROUPS
    letters = "".join(_LETTERS[number >> _BITS * (count - 1 - place) & 31] for place in range(count))
    return "-".join(letters[at : at + _GROUP] for at in range(0, count, _GROUP))
