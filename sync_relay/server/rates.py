"""How fast is too fast: token buckets, in the memory of one worker.

Addresses are known only as hashes under a key that this process made at its start and never writes down.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import secrets
from typing import TYPE_CHECKING, Final

from sync_relay.errors import ErrorDetails, TooManyRequests

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST: Final = 20_000
_IPV6_NETWORK_BYTES: Final = 8  # one subscriber has at least a /64: single addresses of it are nobody's


class Rate:
    """Buckets that fill by `rate` a second up to `burst`, one for each key; taking from an empty one is refused."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        """Count by `clock`, in seconds."""
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: dict[bytes, tuple[float, float]] = {}

    def take(self, key: bytes, count: int = 1) -> None:
        """Take `count` (at most a full bucket) from that of `key`; raise `TooManyRequests` if it does not hold them."""
        wanted = min(float(count), self._burst)
        now = self._clock()
        level, since = self._buckets.pop(key, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._rate)
        if len(self._buckets) >= _MOST:
            # The one that was not used for longest: buckets are put back at the end whenever they are used.
            del self._buckets[next(iter(self._buckets))]
        if level < wanted:
            self._buckets[key] = (level, now)
            wait = max(1, math.ceil((wanted - level) / self._rate))
            raise TooManyRequests(
                "faster than this relay allows",
                hint=f"Try again after {wait} s.",
                details=ErrorDetails(retry_after=wait),
            )
        self._buckets[key] = (level - wanted, now)


class Addresses:
    """Turns addresses into keys for `Rate` that mean nothing outside this process."""

    def __init__(self) -> None:
        """Make the key of the hashes."""
        self._key = secrets.token_bytes(32)

    def key(self, host: str | None) -> bytes:
        """Return the key of an address: of its network, for IPv6."""
        try:
            address = ipaddress.ip_address((host or "").partition("%")[0])
        except ValueError:
            packed = (host or "").encode()
        else:
            packed = address.packed
            if address.version == 6:  # noqa: PLR2004 (of the protocol)
                packed = packed[:_IPV6_NETWORK_BYTES]
        return hashlib.blake2b(packed, digest_size=16, key=self._key).digest()
