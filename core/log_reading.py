"""Reading the log for a view: what does not hold is an alarm and is left out, and the rest is read on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from core.envelope_body import KNOWN_KINDS
from core.errors import ChainBroken, IntegrityAlarm, LogDamaged
from core.log import NO_HASH, name_envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from core.chain import Chain
    from core.envelope_body import EnvelopeBody
    from core.log import Log, StoredEnvelope, Vector
    from core.replicas import Tail


class LogReading:
    """The log of one library, as a view reads it."""

    def __init__(
        self,
        log: Log,
        chain: Chain,
        raise_alarm: Callable[[IntegrityAlarm], None],
        note_unknown: Callable[[], None],
    ) -> None:
        """Read `log`; raise nothing, but hand every alarm to `raise_alarm`."""
        self._log = log
        self._chain = chain
        self._raise_alarm = raise_alarm
        self._note_unknown = note_unknown

    def heads(self) -> Vector:
        """Return the newest envelope of each device; nothing where that cannot be read."""
        try:
            return self._log.heads()
        except LogDamaged as damage:
            self._raise_alarm(damage)
            return {}

    def after(self, vector: Vector) -> Iterator[StoredEnvelope]:
        """Yield the envelopes past a vector, in the order of their arrival."""
        return self._log.after(vector, self._raise_alarm)

    def open(self, stored: StoredEnvelope, vector: Vector) -> EnvelopeBody | None:
        """Return what is in an envelope that comes next after `vector`; None, and an alarm, if it does not hold."""
        known = vector.get(stored.device, (0, NO_HASH))
        try:
            body, previous = self._chain.open_linked(stored)
        except IntegrityAlarm as alarm:
            self._raise_alarm(alarm)
            return None
        broken = self._chain.link_alarm(stored, previous, known)
        if broken is not None:
            self._raise_alarm(broken)
        if body.kind not in KNOWN_KINDS:
            self._note_unknown()
        return body

    def changes_at(self, places: Iterable[tuple[bytes, int]], document: str) -> Tail:
        """Yield the changes of a document in the envelopes at these places, as far as they can be read."""
        for device, seq in places:
            try:
                stored = self._log.envelope(device, seq)
            except LogDamaged as damage:
                self._raise_alarm(damage)
                continue
            if stored is None:
                self._raise_alarm(
                    ChainBroken(
                        f"{name_envelope(device, seq)} is missing from log.db", hint="Restore log.db from a backup."
                    )
                )
                continue
            try:
                body = self._chain.open(stored)
            except IntegrityAlarm as alarm:
                self._raise_alarm(alarm)
                continue
            for part in body.payload:
                if part.document == document:
                    yield dataclasses.replace(stored, data=b""), part.changes
