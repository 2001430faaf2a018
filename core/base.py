"""What this device's log builds on: the checkpoints it took instead of the envelopes they cover, and their snapshots.

A device that founded the library, or was there from the start, has an empty base. One that joined later, or was away
while the relays pruned, has one: then what is true is the base's snapshots and the log together. Snapshots are blobs
like any other, and come one after another; a document whose snapshots are not all here is *incomplete*, which is told
as a note. It is no alarm: nothing is lost, and the next sync goes on.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from core import snapshots
from core.derived import includes
from core.envelope_body import KIND_CHECKPOINT
from core.errors import (
    BlobDamaged,
    BlobMissing,
    IntegrityAlarm,
    LogDamaged,
    SnapshotDamaged,
    StorageFailed,
    UnknownFormat,
)
from core.log import name_envelope
from crdt.documents import LIBRARY, is_document_name
from crdt.errors import CrdtError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from core.blobs import BlobStore
    from core.chain import Chain
    from core.envelope_body import Accepted, EnvelopeBody, Snapshot
    from core.log import Log, LogTransaction, Vector
    from crdt.replica import Replica

_log = logging.getLogger(__name__)

BASES_FACT: Final = "bases"
_DEVICE_BYTES: Final = 32
_SEQ_BYTES: Final = 8
_PLACE_BYTES: Final = _DEVICE_BYTES + _SEQ_BYTES


@dataclass(frozen=True)
class BaseSnapshot:
    """A snapshot that the base needs, and who made the checkpoint that names it."""

    author: bytes
    seq: int
    snapshot: Snapshot

    @property
    def checkpoint(self) -> str:
        """How messages name the checkpoint."""
        return f"the checkpoint in {name_envelope(self.author, self.seq)}"


def add_base(log: Log, transaction: LogTransaction, author: bytes, seq: int) -> None:
    """Remember, beside `raise_base`, that the log builds on the checkpoint in envelope `seq` of `author`."""
    known = log.fact(BASES_FACT) or b""
    place = author + seq.to_bytes(_SEQ_BYTES, "big")
    places = {known[at : at + _PLACE_BYTES] for at in range(0, len(known), _PLACE_BYTES)}
    if place not in places:
        transaction.set_fact(BASES_FACT, known + place)


class Base:
    """The checkpoints that one log builds on, as far as their snapshots are here."""

    def __init__(self, log: Log, chain: Chain, blobs: BlobStore, devices: Callable[[], Collection[bytes]]) -> None:
        """Read from `log` and `blobs`; `devices()` are all that ever were members, whose changes snapshots may hold."""
        self._log = log
        self._chain = chain
        self._blobs = blobs
        self._devices = devices
        self._fact = b""
        self._bodies: list[tuple[bytes, int, EnvelopeBody]] = []
        self._needed: dict[str, list[BaseSnapshot]] = {}
        self.refused: dict[bytes, IntegrityAlarm | CrdtError | UnknownFormat] = {}
        """Snapshots that are here and do not hold, by blob, and what is wrong with them."""
        self.vector: Vector = {}
        """What the base covers."""
        self.damage: LogDamaged | None = None
        """Set where the log lacks a checkpoint that it builds on."""

    def refresh(self) -> bool:
        """Read again which checkpoints the log builds on; tell whether there is any. Cheap where nothing changed."""
        fact = self._log.fact(BASES_FACT) or b""
        if fact != self._fact:
            self.damage = None
            self._bodies = list(self._read(fact))
            self._fact = fact
            self._choose()
        self.vector = self._log.base() if fact else {}
        return bool(fact)

    def places(self) -> set[tuple[bytes, int]]:
        """Return device and number of the checkpoints whose snapshots are needed."""
        return {(needed.author, needed.seq) for listed in self._needed.values() for needed in listed}

    def documents(self) -> list[str]:
        """List the documents of the base in the order in which a new device wants them (see `in_order`)."""
        return in_order(self._needed)

    def needed(self, document: str) -> list[BaseSnapshot]:
        """List the snapshots of a document; more than one where the log builds on checkpoints made side by side."""
        return self._needed.get(document, [])

    def missing(self) -> list[BaseSnapshot]:
        """List the snapshots that are not here, in the order of `documents`."""
        return [
            needed
            for document in self.documents()
            for needed in self._needed[document]
            if not self._blobs.exists(needed.snapshot.blob)
        ]

    def covers(self, needed: BaseSnapshot) -> Vector:
        """Return what the checkpoint covers that a snapshot is needed for."""
        return next(
            (as_vector(body.covers) for *place, body in self._bodies if place == [needed.author, needed.seq]), {}
        )

    def is_complete(self, document: str) -> bool:
        """Tell whether all snapshots of a document are here, and hold as far as is known."""
        return all(
            self._blobs.exists(needed.snapshot.blob) and needed.snapshot.blob not in self.refused
            for needed in self.needed(document)
        )

    def blobs(self) -> set[bytes]:
        """Return the ids of all blobs the base needs."""
        return {needed.snapshot.blob for listed in self._needed.values() for needed in listed}

    def merge_into(self, replica: Replica) -> bool:
        """Apply what is here of the base to a replica that nothing was applied to yet; tell whether that is all of it.

        A snapshot that does not hold is kept in `refused`; then the replica is not to be used (see `load`).
        """
        complete = True
        for needed in self.needed(replica.document):
            complete = self._merge(replica, needed) and complete
        return complete

    def load(self, make: Callable[[], Replica]) -> tuple[Replica, bool]:
        """Return a replica from `make` with the base applied, and whether it is complete.

        Of a snapshot that does not hold, nothing is applied.
        """
        while True:
            refused = len(self.refused)
            replica = make()
            complete = self.merge_into(replica)
            if len(self.refused) == refused:
                return replica, complete

    def _merge(self, replica: Replica, needed: BaseSnapshot) -> bool:
        snapshot = needed.snapshot
        if snapshot.blob in self.refused or not self._blobs.exists(snapshot.blob):
            return False
        try:
            snapshots.merge_into(replica, read_snapshot(self._blobs, snapshot), self._devices())
        except (BlobDamaged, BlobMissing, SnapshotDamaged, UnknownFormat, CrdtError) as error:
            _log.warning("snapshot_refused: %s", type(error).__name__)
            self.refused[snapshot.blob] = error
            return False
        return True

    def _read(self, fact: bytes) -> Iterable[tuple[bytes, int, EnvelopeBody]]:
        for at in range(0, len(fact), _PLACE_BYTES):
            author = fact[at : at + _DEVICE_BYTES]
            seq = int.from_bytes(fact[at + _DEVICE_BYTES : at + _PLACE_BYTES], "big")
            found = [self._log.envelope(author, seq), *(held for held in self._log.held(author) if held.seq == seq)]
            try:
                bodies = [self._chain.open(stored) for stored in found if stored is not None]
            except (IntegrityAlarm, StorageFailed):
                bodies = []
            checkpoints = [body for body in bodies if body.kind == KIND_CHECKPOINT]
            if checkpoints:
                yield author, seq, checkpoints[0]
            else:
                self.damage = LogDamaged(
                    f"log.db builds on the checkpoint in {name_envelope(author, seq)}, and does not hold it",
                    hint="Restore log.db from a backup, or join the library anew into another folder.",
                )

    def _choose(self) -> None:
        """Find the snapshots that are needed: not those of a checkpoint that another one includes."""
        vectors = [as_vector(body.covers) for _, _, body in self._bodies]
        self._needed = {}
        for place, (author, seq, body) in enumerate(self._bodies):
            others = itertools.chain(
                (other for other in vectors[:place] if includes(other, vectors[place]) and other != vectors[place]),
                (other for other in vectors[place + 1 :] if includes(other, vectors[place])),
            )
            if any(True for _ in others):
                continue
            for snapshot in body.snapshots:
                if is_document_name(snapshot.document):
                    listed = self._needed.setdefault(snapshot.document, [])
                    if all(known.snapshot.blob != snapshot.blob for known in listed):
                        listed.append(BaseSnapshot(author, seq, snapshot))


def read_snapshot(blobs: BlobStore, snapshot: Snapshot) -> bytes:
    """Return the bytes of a snapshot from its blob; raises `BlobMissing`, `BlobDamaged` or `SnapshotDamaged`."""
    with blobs.open(snapshot.blob, snapshot.key) as reader:
        if reader.size > snapshots.MAX_BYTES:
            raise SnapshotDamaged(f"the snapshot of {snapshot.document} has {reader.size} bytes, which no snapshot has")
        return reader.read()


def in_order(documents: Iterable[str]) -> list[str]:
    """Sort documents as a new device wants them: `library`, then months from the newest on, then those without one."""
    names = list(documents)
    months = sorted((name for name in names if name.startswith("photos:")), reverse=True)
    rest = sorted(name for name in names if name != LIBRARY and not name.startswith("photos:"))
    return [*(name for name in names if name == LIBRARY), *months, *rest]


def as_vector(places: Iterable[Accepted]) -> Vector:
    """Return what a checkpoint covers as a vector."""
    return {place.device: (place.seq, place.hash) for place in places}
