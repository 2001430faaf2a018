"""Which blobs ought to be in this device's folder, and which envelopes named them.

A library of several devices keeps an original where it was imported and at its relays; the other devices fetch what
somebody wants to see. So a blob that is not here is normal where another device's envelope named it, where it was
freed here, or where it comes from a checkpoint. It is missing only where this device put it and never let go of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

from core.errors import IntegrityAlarm, LogDamaged
from core.log import BLOB_FREED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from core.envelope_body import EnvelopeBody
    from core.library import Library

# Keys stand in a raw change as they are, each behind its length: 64 (`@`) digits name a bundle; `pid/64 digits` a copy.
_BLOB_KEY = re.compile(rb"[@/]([0-9a-f]{64})")


def blobs_in_changes(body: EnvelopeBody) -> Iterator[bytes]:
    """Yield the ids of the blobs that the changes of an envelope name, or stop to name; some of them twice.

    Other 64-digit names after a slash (a label, an album) are yielded too: who asks knows which blobs there are.
    """
    for part in body.payload:
        for change in part.changes:
            for digits in _BLOB_KEY.findall(change):
                yield bytes.fromhex(digits.decode())


class Whereabouts:
    """Who named which blob, gathered envelope by envelope."""

    def __init__(self, library: Library, wanted: Collection[bytes] = ()) -> None:
        """Know nothing yet but what was freed; of the blobs `wanted`, the places of envelopes are kept."""
        own = library.device_id
        self._own_devices = frozenset({own, *library.members.continued_by(own)})
        self._has_base = False
        self._unread: set[bytes] = set()
        self._let_go: set[bytes] = set()
        try:
            self._has_base = bool(library.log.base())
            self._let_go = library.log.blobs_in_state(BLOB_FREED)
        except LogDamaged as damage:
            library.raise_alarm(damage)
        self._own: set[bytes] = set()
        self._others: set[bytes] = set()
        self.places: dict[bytes, list[tuple[bytes, int]]] = {blob_id: [] for blob_id in wanted}
        """(device, number) of the envelopes that named a wanted blob; none where a checkpoint stands for them."""

    @classmethod
    def read(cls, library: Library, wanted: Collection[bytes] = ()) -> Self:
        """Read through the whole log; envelopes that do not hold are left out, and told in `library.alarms`."""
        found = cls(library, wanted)
        for stored in library.log.after({}, library.raise_alarm):
            try:
                found.note(stored.device, stored.seq, library.chain.open(stored))
            except IntegrityAlarm as alarm:
                found.cannot_read(stored.device)
                library.raise_alarm(alarm)
        return found

    def note(self, device: bytes, seq: int, body: EnvelopeBody) -> None:
        """Take note of what one envelope names."""
        names = self._own if device in self._own_devices else self._others
        for blob_id in blobs_in_changes(body):
            names.add(blob_id)
            places = self.places.get(blob_id)
            if places is not None and (device, seq) not in places:
                places.append((device, seq))

    def cannot_read(self, device: bytes) -> None:
        """Take note that an envelope of `device` does not hold: nobody knows what it names."""
        self._unread.add(device)

    def is_expected_here(self, blob_id: bytes) -> bool:
        """Tell whether a blob that is not in the folder is missing there."""
        if blob_id in self._let_go:
            return False
        if blob_id in self._own:
            return True
        # What no envelope names was named by one that cannot be read, or by those that a checkpoint stands for. In
        # doubt it is missing.
        elsewhere = self._has_base or (bool(self._unread) and self._unread.isdisjoint(self._own_devices))
        return blob_id not in self._others and not elsewhere
