"""Snapshots that were fetched whole and did not hold: not fetched again at every sync, and named all the same.

What a blob's id names never changes, so what failed fails again; but for a trial that had too little time or memory on
a busy machine. So each is tried once more after a day.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from crypto.errors import CryptoError
from crypto.sealed import open_sealed, seal

if TYPE_CHECKING:
    from core.base import BaseSnapshot
    from core.library import Library

_FACT: Final = "failed snapshots"
_PURPOSE: Final = "failed snapshots"
_AGAIN_S: Final = 86_400


class FailedSnapshots:
    """Those of one library, sealed: the words about them name devices and documents."""

    def __init__(self, library: Library) -> None:
        """Read what is remembered."""
        self._library = library
        self._known = self._read()

    def of(self, needed: BaseSnapshot) -> str | None:
        """Return what was wrong with a snapshot, if it was tried within a day."""
        found = self._known.get(needed.snapshot.blob)
        return found[1] if found is not None and abs(time.time() - found[0]) < _AGAIN_S else None

    def note(self, needed: BaseSnapshot, told: str) -> None:
        """Remember what is wrong with a snapshot; those that nobody needs any more are forgotten."""
        still = self._library.base.blobs()
        self._known = {blob: found for blob, found in self._known.items() if blob in still}
        self._known[needed.snapshot.blob] = (int(time.time()), told)
        with self._library.log.transaction() as transaction:
            transaction.set_fact(_FACT, seal(msgspec.msgpack.encode(self._known), self._key, _PURPOSE))

    @property
    def _key(self) -> bytes:
        return self._library.members.secrets.storage_key(_PURPOSE)

    def _read(self) -> dict[bytes, tuple[int, str]]:
        sealed = self._library.log.fact(_FACT)
        try:
            packed = b"\x80" if sealed is None else open_sealed(sealed, self._key, _PURPOSE)
            return msgspec.msgpack.decode(packed, type=dict[bytes, tuple[int, str]])
        except (CryptoError, msgspec.MsgspecError):
            return {}
