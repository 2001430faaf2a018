"""Sharing the work of labelling anew between devices: who labels which documents, and until when.

A lease is a setting of the library, `retag:` and the device's id: until when (UTC seconds), the model, and the
documents. It is a courtesy, not a lock: two devices that have not heard of each other do some work twice, and the
results are the same. Leases that have run out, or claim more time than a lease may, are as good as none, so a
device that was switched off holds nobody up for long. A library of one device writes no leases.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from crdt.documents import LIBRARY, is_document_name
from crdt.operations import Delete, Operation, Put

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from core.library import Library

LEASE_S = 900
PREFIX = "retag:"
_PHOTOS = 512
"""Documents are taken until they have this many photos to label."""
_DOCUMENTS = 100
"""And at most this many: their names have to fit a setting."""


class Leases:
    """The leases of one run over the library by one model."""

    def __init__(self, library: Library, model: str, group: bytes) -> None:
        """Lease for the open `library` and `model`; what is written belongs to the edit `group`."""
        self._library = library
        self._model = model
        self._group = group
        self._key = PREFIX + library.device_id.hex()
        self._held: tuple[str, ...] = ()
        self._until = 0.0
        self.left = 0
        """Photos left to other devices, which are at work on them."""

    def turns(self, documents: dict[str, list[bytes]]) -> Iterator[bytes]:
        """Yield the photos of `documents` (name: photos) to label here, and hold the leases while they are taken.

        What others have leased comes last, and is left to them if they still have it then.
        """
        # Each device begins elsewhere, so that those that begin at the same time meet late.
        names = sorted(documents)
        waiting = deque(names)
        waiting.rotate(-(int.from_bytes(self._library.device_id[:4], "big") % max(1, len(names))))
        while waiting:
            taken = self.of_others()
            own: list[str] = []
            while (
                (free := next((name for name in waiting if name not in taken), None)) is not None
                and len(own) < _DOCUMENTS
                and sum(len(documents[name]) for name in own) < _PHOTOS
            ):
                own.append(free)
                waiting.remove(free)
            if not own:
                self.left = sum(len(documents[name]) for name in waiting)
                return
            self._take(own)
            for name in own:
                for pid in documents[name]:
                    if time.time() > self._until - LEASE_S / 2:
                        self._take(own)
                    yield pid

    def of_others(self) -> set[str]:
        """Return the documents that other devices are at work on, by the same model."""
        self._library.refresh()
        now = time.time()
        found: set[str] = set()
        for key, value in self._library.catalog.library_values("setting").items():
            if key.startswith(PREFIX) and key != self._key:
                until, _, rest = value.partition(" ")
                model, *names = rest.split(" ")
                # Clocks differ by minutes, not by hours: more is a mistake, or meant to hold everybody up.
                lasting = until.isascii() and until.isdigit() and now < int(until) < now + 2 * LEASE_S
                if lasting and model == self._model:
                    found.update(name for name in names if is_document_name(name))
        return found

    def release(self) -> None:
        """Give back what is held."""
        if self._held:
            self._held = ()
            self._write(Delete("setting", self._key))

    def _take(self, documents: Sequence[str]) -> None:
        self._held = tuple(documents)
        self._until = time.time() + LEASE_S
        self._write(Put("setting", self._key, f"{int(self._until)} {self._model} {' '.join(documents)}"))

    def _write(self, operation: Operation) -> None:
        summary = f"labelling by {self._model}"
        self._library.commit({LIBRARY: [operation]}, action="retag", summary=summary, group=self._group, inverse=False)


def is_shared(library: Library) -> bool:
    """Tell whether the library has other devices that could do a part of the work."""
    return len(library.catalog.library_values("device")) > 1
