"""Checkpoints: every so often all that is known goes into one envelope, so that relays may drop what it covers.

A checkpoint lists a snapshot of every document (`core.snapshots`) and the vector of the envelopes whose changes, and
no others, these hold. Snapshots of documents that nobody has touched since the checkpoint before are named again.
Another device confirms it (`core.sync.confirming`); then a signed prune entry goes to the relays.

Two devices may make one at the same time. Both stand; a new device takes the one that covers more.
"""

from __future__ import annotations

import contextlib
import logging
import secrets as random
import time
from typing import TYPE_CHECKING, Final

import msgspec

from core import snapshots
from core.base import in_order
from core.derived import includes
from core.envelope_body import GROUP_BYTES, KIND_CHECKPOINT, Accepted, EnvelopeBody, Snapshot
from core.errors import SnapshotDamaged
from core.sync.confirming import confirm_pending
from core.sync.dropped import dropped
from core.sync.seen_checkpoints import Seen, SeenCheckpoint, look, snapshots_of
from crdt.documents import is_document_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from core.library import Library
    from core.log import Vector
    from crdt.replica import Replica

__all__ = ["LEAST_BYTES", "checkpoint_if_due", "confirm_pending", "is_due", "make_checkpoint", "replace_lost"]

_log = logging.getLogger(__name__)

LEAST_BYTES: Final = 4 << 20
"""Envelopes of fewer bytes than this are quicker read than a checkpoint."""
MOST_REPLACED: Final = 4
"""Checkpoints that one device makes in a day because snapshots of others are nowhere."""
_DAY_S: Final = 86_400
_FACT: Final = "checkpoints replaced"
_ROUNDS: Final = 4
"""How often it is tried to catch up with a process that writes all the while."""


def checkpoint_if_due(library: Library) -> bool:
    """Make a checkpoint if enough was written since the last one, or if none stands for what relays were told to drop.

    Tells whether one was made. Its snapshots are blobs in the library's folder, to be uploaded before the envelope that
    names them. None is made while something is missing or in doubt: alarms, parts of a base that were not fetched,
    changes that wait for others.
    """
    library.refresh()
    seen = look(library)
    if not is_due(library, seen) and seen.stands_for(dropped(library, seen)):
        return False
    return make_checkpoint(library, seen)


def replace_lost(library: Library, lost: Collection[bytes]) -> bool:
    """Make a checkpoint in the place of a newest one that names snapshots which nobody has any more.

    Tells whether one was made. A document that nobody has changed since makes the same snapshot again. No more than a
    few are made in a day: a relay may say of all snapshots that it has none.
    """
    library.refresh()
    seen = look(library)
    if not any(one.blob in lost for known in seen.newest() for one in snapshots_of(library, known)):
        return False
    now = int(time.time())
    today = [at for at in _replaced(library) if abs(now - at) < _DAY_S]
    if len(today) >= MOST_REPLACED or not make_checkpoint(library, seen, lost):
        return False
    with library.log.transaction() as transaction:
        transaction.set_fact(_FACT, msgspec.msgpack.encode([*today, now]))
    return True


def _replaced(library: Library) -> list[int]:
    """Return when checkpoints were made in the place of others of late, in UTC seconds."""
    packed = library.log.fact(_FACT)
    with contextlib.suppress(msgspec.MsgspecError):  # then none was
        return [] if packed is None else msgspec.msgpack.decode(packed, type=list[int])
    return []


def is_due(library: Library, seen: Seen) -> bool:
    """Tell whether the envelopes since the last checkpoint are more than half of its snapshots, and than 4 MiB.

    How large these are is its author's word. Of others, no more is believed than that snapshots are as large as the
    envelopes they stand for, and the snapshots that are here: who exaggerates puts off nobody's next checkpoint.
    """
    last = next(iter(seen.newest()), None)
    if last is None:
        return seen.bytes > LEAST_BYTES
    size = last.size
    if last.place.device != library.device_id:
        blobs = library.blobs
        here = sum(blobs.size_on_disk(blob) for blob in library.base.blobs() if blobs.exists(blob))
        size = min(size, last.at_bytes + here)
    return seen.bytes - last.at_bytes > max(LEAST_BYTES, size // 2)


def make_checkpoint(library: Library, seen: Seen, lost: Collection[bytes] = ()) -> bool:
    """Make a checkpoint of all that the library knows now; tell whether one was made.

    The snapshots `lost` are made anew, whether their documents were changed or not.
    """
    base = library.base
    if library.doubts or base.missing() or base.refused or not library.members.is_member:
        return False
    made = _Making(library, _trusted(library, seen), lost).make()
    if made is None:
        return False
    covers, listed = made
    body = EnvelopeBody(
        KIND_CHECKPOINT, int(time.time()), [], [], random.token_bytes(GROUP_BYTES), "checkpoint", "checkpoint",
        covers=[Accepted(device, *place) for device, place in sorted(covers.items())],
        snapshots=[listed[document] for document in sorted(listed)],
    )  # fmt: skip
    library.commit_record(body)
    return True


def _trusted(library: Library, seen: Seen) -> SeenCheckpoint | None:
    """Return the widest checkpoint whose snapshots this device made, has compared, or builds on itself."""
    built_on = library.base.places()
    for known in seen.newest():
        place = known.place
        own = place.device == library.device_id or known.confirmed_by(library.device_id) is not None
        # One from before what is built on may name snapshots that changed in envelopes that were never here.
        if (own or (place.device, place.seq) in built_on) and includes(known.vector, library.base.vector):
            return known
    return None


class _Making:
    """One checkpoint while it is made: a document at a time, while other processes and threads go on writing."""

    def __init__(self, library: Library, last: SeenCheckpoint | None, lost: Collection[bytes] = ()) -> None:
        """Name the snapshots of `last` again, but those `lost`, as far as nobody has touched their documents since."""
        self._library = library
        self._made: dict[str, Snapshot] = {}
        self._covers: Vector = {}
        self._todo = set(library.base.documents())
        listed = [] if last is None else snapshots_of(library, last)
        if last is not None and listed:
            self._made = {snapshot.document: snapshot for snapshot in listed if snapshot.blob not in lost}
            self._covers = last.vector
            self._todo.update(one.document for one in listed if is_document_name(one.document))
            self._todo.difference_update(self._made)

    def make(self) -> tuple[Vector, dict[str, Snapshot]] | None:
        """Return what is covered, and a snapshot of each document; None where that cannot be made now."""
        library = self._library
        for _ in range(_ROUNDS):
            library.refresh()
            now = library.vector
            self._todo |= self._touched(self._covers, now)
            self._covers = now
            if not self._todo:
                return self._covers, self._made
            for document in in_order(self._todo):
                packed, vector = library.with_replica(document, _pack)
                if packed is None:
                    _log.info("checkpoint_waits")
                    return None
                if vector != now and document in self._touched(now, vector):
                    continue  # it holds more than `now` covers: the next round covers that, and makes it again
                if packed:
                    ref = library.blobs.put_bytes(packed)
                    self._made[document] = Snapshot(document, ref.id, ref.key, ref.size)
                self._todo.discard(document)
        return None

    def _touched(self, since: Vector, until: Vector) -> set[str]:
        """Return the documents that envelopes past `since` and up to `until` change."""
        library = self._library
        found: set[str] = set()
        for stored in library.log.after(since, library.raise_alarm):
            if stored.seq <= until.get(stored.device, (0, b""))[0]:
                found.update(name for name in library.chain.open(stored).documents if is_document_name(name))
        return found


def _pack(replica: Replica, vector: Vector) -> tuple[bytes | None, Vector]:
    """Return the snapshot of a replica: None if something waits, or no snapshot holds it; nothing if it is empty."""
    if replica.waits():
        return None, vector
    try:
        return (snapshots.make(replica) if replica.changes() else b""), vector
    except SnapshotDamaged as error:  # several devices have filled it to the bound of each: syncs go on without
        _log.warning("no_checkpoint: %s", type(error).__name__)
        return None, vector
