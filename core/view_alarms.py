"""What a view has to say beside what it shows: alarms, changes that were left out, and notes; each of them once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from core.errors import EnvelopeDamaged, Forged
from crdt.errors import DocumentFull

if TYPE_CHECKING:
    from collections.abc import Iterable

    from core.chain import Chain
    from core.errors import IntegrityAlarm, SyncAlarm
    from core.log import StoredEnvelope
    from crdt.errors import CrdtError
    from crdt.replica import Refusal

_UPDATE: Final = "A newer version of safelight wrote something that this one does not know: update needed."

_log = logging.getLogger(__name__)


class ViewAlarms:
    """The alarms and notes of one view.

    `alarms` are about what lies on this device, `distrust` about changes of other devices that were left out: this
    device works on. `notes` are sentences for the user.
    """

    def __init__(self, chain: Chain) -> None:
        """Know of nothing yet; `chain` says which device is this one."""
        self._chain = chain
        self._told: set[str] = set()
        self.alarms: list[IntegrityAlarm] = []
        self.distrust: list[SyncAlarm] = []
        self.notes: list[str] = []

    def clear(self) -> None:
        """Forget the alarms: everything is read anew. What was left out of other devices' is kept until it is taken."""
        self.alarms.clear()
        self._told.clear()

    def take_distrust(self) -> list[SyncAlarm]:
        """Return the alarms about what was left out; whoever syncs keeps them."""
        found, self.distrust = self.distrust, []
        return found

    def raise_alarm(self, alarm: IntegrityAlarm) -> None:
        """Keep an alarm."""
        if self._is_new(str(alarm)):
            self.alarms.append(alarm)
            _log.error("integrity_alarm: %s", alarm.name)

    def refuse(self, stored: StoredEnvelope, error: CrdtError) -> bool:
        """Keep an alarm about changes of an envelope that cannot be accepted; tell whether they are this device's."""
        what = f"{stored} holds changes that cannot be accepted: {error}"
        if isinstance(error, DocumentFull):  # of its many envelopes the first is told
            what = f"device {stored.device.hex()[:12]} writes more than is accepted: {error}"
        is_own = stored.device == self._chain.device_id
        if is_own:
            self.raise_alarm(EnvelopeDamaged(what, hint=error.hint))
        else:
            self._distrust(Forged(what, hint=error.hint))
        return is_own

    def refuse_changes(self, refusals: Iterable[tuple[str, Refusal]]) -> None:
        """Keep alarms about single changes to documents that replicas left out."""
        for document, refusal in refusals:
            self._distrust(
                Forged(
                    f"actor {refusal.actor.hex()} made a change to {document} that cannot be accepted: {refusal.error}",
                    hint=refusal.error.hint,
                )
            )

    def note(self, note: str, *, holds: bool = True) -> None:
        """Keep a note, or take it back where it does not hold any more."""
        if holds and note not in self.notes:
            self.notes.append(note)
        elif not holds and note in self.notes:
            self.notes.remove(note)

    def note_unknown(self) -> None:
        """Note that something here was written by a newer program."""
        self.note(_UPDATE)

    def _distrust(self, alarm: SyncAlarm) -> None:
        if self._is_new(str(alarm)):
            self.distrust.append(alarm)
            _log.error("sync_alarm: %s", alarm.name)

    def _is_new(self, told: str) -> bool:
        if told in self._told:
            return False
        self._told.add(told)
        return True
