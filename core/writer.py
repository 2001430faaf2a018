"""Whether this copy of the library may write under this device's name, or has to become a device of its own first.

Two copies that both wrote would use the same numbers for different envelopes. What the log holds is compared with what
this machine remembers (`core.machine_state`), and the log itself remembers what others showed: that somebody else used
one of this device's numbers.
"""

from __future__ import annotations

import logging
import secrets as random
from typing import TYPE_CHECKING

from core.errors import IntegrityAlarm, LibraryCopied, LogDamaged, LogRolledBack, StorageFailed
from core.layout import state_folder
from core.log import NO_HASH, name_envelope
from core.machine_state import TOKEN_BYTES, MachineHead, MachineState

if TYPE_CHECKING:
    from core.log import Log, LogTransaction

_log = logging.getLogger(__name__)

_MACHINE_FACT = "machine"
_TAKEN_FACT = "taken"
_SEQ_BYTES = 8
CURABLE = (LibraryCopied, LogRolledBack)
"""What ends with the next edit, as this copy then goes on as a new device; alarms where it cannot."""


class Writer:
    """The right of one (library, device) to write on this machine."""

    def __init__(self, log: Log, library_id: bytes, device_id: bytes) -> None:
        """Look after `log`; nothing is checked yet."""
        self._log = log
        self._device_id = device_id
        self._machine = MachineState(state_folder(), library_id, device_id)
        self._token = b""
        self._taken: int | None = None
        self._version = -1
        self.alarms: list[IntegrityAlarm] = []

    @property
    def taken(self) -> int | None:
        """The first own number that somebody else used for another envelope; 0: they only went on after it."""
        return self._taken

    def check(self) -> None:
        """Compare what this machine remembers with the log; `alarms` says what does not hold."""
        # The memory is read first: another process may commit in between, and the memory never runs ahead of the log.
        remembered = self._machine.read()
        self.alarms = [] if self._log.damage is None else [self._log.damage]
        try:
            self._read_facts()
            if self._taken is not None:
                self.alarms.append(self._taken_alarm())
            elif remembered is None or remembered.token != self._token:
                self.alarms.append(_copied())
            elif not self._continues(remembered):
                self.alarms.append(self._rolled_back(remembered))
        except LogDamaged as damage:
            self.alarms.append(damage)

    def claim(self) -> None:
        """Make this machine the writer, on the user's word that no other copy is in use.

        Raises `LogRolledBack` or `LibraryCopied` where no word helps, because numbers would be used twice.
        """
        remembered = self._machine.read()
        if remembered is not None and not self._continues(remembered):
            raise self._rolled_back(remembered)
        self._read_facts()
        if self._taken is not None:
            raise self._taken_alarm()
        with self._log.transaction() as transaction:
            self.begin(transaction, self._log.head(self._device_id))
        self.check()

    def begin(self, transaction: LogTransaction, head: tuple[int, bytes]) -> None:
        """Make this machine the writer of a log whose own chain ends with `head`, as `transaction` commits."""
        token = random.token_bytes(TOKEN_BYTES)
        transaction.set_fact(_MACHINE_FACT, token)
        transaction.remove_fact(_TAKEN_FACT)
        self._version = -1
        # The token is good only together with the log's, so it may be remembered before that is committed.
        self._machine.advance(MachineHead(*head, token))

    def wrote(self, seq: int, envelope_hash: bytes) -> None:
        """Remember an own envelope that is durable."""
        try:
            self._machine.advance(MachineHead(seq, envelope_hash, self._token))
        except StorageFailed as error:
            # The envelope is durable, and a memory that lags only notices less.
            _log.warning("machine_state_not_written: %s", error.name)

    def note_taken(self, transaction: LogTransaction, seq: int) -> None:
        """Remember that somebody else used own number `seq` for another envelope, or (0) went on after the last."""
        known = _number_taken(self._log.fact(_TAKEN_FACT))
        # A number of ours that is in doubt matters more than one that only follows.
        numbers = [number for number in (known, seq) if number]
        transaction.set_fact(_TAKEN_FACT, min(numbers, default=0).to_bytes(_SEQ_BYTES, "big"))
        self._version = -1

    def _read_facts(self) -> None:
        version = self._log.data_version()
        if version == self._version:
            return
        self._token = self._log.fact(_MACHINE_FACT) or b""
        self._taken = _number_taken(self._log.fact(_TAKEN_FACT))
        self._version = version

    def _continues(self, remembered: MachineHead) -> bool:
        """Tell whether the log holds what this machine remembers, and perhaps more."""
        seq, head_hash = self._log.head(self._device_id)
        if remembered.seq >= seq:
            return remembered.seq == seq and remembered.hash == head_hash
        return remembered.seq == 0 or self._log.hash_at(self._device_id, remembered.seq) == remembered.hash

    def _rolled_back(self, remembered: MachineHead) -> LogRolledBack:
        return LogRolledBack(
            f"log.db ends before, or differs from, {name_envelope(self._device_id, remembered.seq)}, which this "
            "machine wrote: it was put back from an older backup, or another copy of the folder was written to",
            hint="What the newer log held beyond this one comes back by `sync` as far as a relay has it; putting the "
            "newest copy of the folder back brings it all.",
        )

    def _taken_alarm(self) -> LibraryCopied:
        return LibraryCopied(
            f"another copy of this folder has written as device {self._device_id.hex()[:12]} too",
            hint="`sync` makes this one a device of its own too; nothing is lost.",
        )


def first_facts(library_id: bytes, device_id: bytes) -> dict[str, bytes]:
    """Return what the log of a new folder remembers, after this machine has been made its writer."""
    token = random.token_bytes(TOKEN_BYTES)
    MachineState(state_folder(), library_id, device_id).advance(MachineHead(0, NO_HASH, token))
    return {_MACHINE_FACT: token}


def _number_taken(fact: bytes | None) -> int | None:
    return None if fact is None else int.from_bytes(fact, "big")


def _copied() -> LibraryCopied:
    return LibraryCopied(
        "this machine has not written to this folder before: it is a copy, was moved here from another machine, or "
        "this machine's own memory of it was deleted",
        hint="If no other copy is in use, `safelight doctor --claim` makes this machine go on as the device it was.",
    )
