"""Alarms of sync: kept until the user has seen and cleared them, sealed, because they name relays and devices.

They never stop this device from writing: what is in doubt is what a relay, or another device, does.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Final

import msgspec

from core import errors
from crypto.errors import CryptoError
from crypto.sealed import open_sealed, seal

if TYPE_CHECKING:
    from core.library import Library

_PURPOSE: Final = "sync alarms"
_ID_BYTES: Final = 16
MAX_KEPT: Final = 1_000
"""How many alarms are kept: who makes up reasons for more of them fills no disk."""
_MORE: Final = "there were more alarms than are kept"
_CLASSES: Final = {
    kind.name: kind
    for kind in (
        errors.Withheld,
        errors.Forked,
        errors.RolledBack,
        errors.Forged,
        errors.DeletedInUse,
        errors.WriterNotAMember,
        errors.Contradicted,
        errors.BlobDamaged,
        errors.BlobMissing,
    )
}

Alarm = errors.SyncAlarm | errors.BlobDamaged | errors.BlobMissing


class KeptAlarm(msgspec.Struct, frozen=True, array_like=True):
    """One alarm: its name, what happened and what to do, when it was first raised (UTC seconds), by which relay."""

    name: str
    message: str
    hint: str | None
    at: int
    relay: str | None

    def error(self) -> errors.IntegrityAlarm:
        """Return it as the error it was raised as."""
        return _CLASSES.get(self.name, errors.SyncAlarm)(self.message, hint=self.hint)


class SyncAlarms:
    """The alarms of one library."""

    def __init__(self, library: Library) -> None:
        """Keep them in the log of `library`."""
        self._log = library.log
        self._library = library

    @property
    def _key(self) -> bytes:
        return self._library.members.secrets.storage_key(_PURPOSE)  # another one, once this folder is a new device

    def raise_(self, alarm: errors.IntegrityAlarm, relay: str | None = None) -> bool:
        """Keep an alarm; tell whether it is new. The same words about the same relay are one alarm."""
        known = {alarm_id for alarm_id, _ in self._log.alarms()}
        alarm_id = self._id(alarm.name, str(alarm), relay)
        if alarm_id not in known and len(known) >= MAX_KEPT:
            alarm, relay = (
                errors.SyncAlarm(_MORE, hint="`safelight relay status` shows them, and --clear forgets them."),
                None,
            )
            alarm_id = self._id(alarm.name, str(alarm), relay)
        if alarm_id in known:
            return False
        kept = KeptAlarm(alarm.name, str(alarm), alarm.hint, int(time.time()), relay)
        sealed = seal(msgspec.msgpack.encode(kept), self._key, _PURPOSE, alarm_id)
        with self._log.transaction() as transaction:
            transaction.add_alarm(alarm_id, sealed)
        return True

    def list(self) -> list[KeptAlarm]:
        """Return all alarms, the oldest first."""
        return sorted((self._open(*row) for row in self._log.alarms()), key=lambda kept: (kept.at, kept.message))

    def clear(self) -> None:
        """Forget all alarms: the user has seen them. What still holds is raised again by the next sync."""
        with self._log.transaction() as transaction:
            transaction.remove_alarms()

    def _id(self, name: str, message: str, relay: str | None) -> bytes:
        # Keyed, so that nobody who holds the file can tell which words these are.
        content = msgspec.msgpack.encode((name, message, relay))
        return hashlib.blake2b(content, digest_size=_ID_BYTES, key=self._key).digest()

    def _open(self, alarm_id: bytes, sealed: bytes) -> KeptAlarm:
        try:
            return msgspec.msgpack.decode(open_sealed(sealed, self._key, _PURPOSE, alarm_id), type=KeptAlarm)
        except (CryptoError, msgspec.MsgspecError):
            return KeptAlarm(
                errors.SyncAlarm.name,
                "an alarm was kept that this device cannot read: it was raised before this folder became a device of "
                "its own, or log.db was altered",
                None,
                0,
                None,
            )
