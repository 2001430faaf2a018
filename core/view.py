"""What this process sees of the library: the catalog and the loaded replicas, brought up to the log.

Everything here is derived, from the log and from the checkpoints it builds on (`core.base`). `catch_up` applies the
envelopes that other processes appended, or sync; an envelope that does not hold raises no exception but is kept as an
alarm, is left out, and the rest is shown. As long as there is an alarm nothing derived is saved, so that the next
process sees it too. Snapshots of a checkpoint that are not here yet are no alarm: what they hold is not shown, a note
says so, and the catalog is saved aside (`core.partial_catalog`).
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from core.base import Base, in_order
from core.catalog import Catalog
from core.derived import CATALOG, includes
from core.errors import (
    ChainBroken,
    CoreError,
    IntegrityAlarm,
    LogDamaged,
    LogRolledBack,
    StorageFailed,
    SyncAlarm,
)
from core.label_derivation import label_derivation
from core.log import NO_HASH, Log, StoredEnvelope, Vector, name_envelope
from core.log_reading import LogReading
from core.partial_catalog import load_partial, remove_partial, save_partial
from core.rehearsal import Opened, Rehearsal, in_batches
from core.replay import replay
from core.replicas import Replicas, Tail
from core.view_alarms import ViewAlarms
from crdt.documents import LIBRARY, is_document_name
from crdt.errors import ChangeInvalid, CrdtError

if TYPE_CHECKING:
    from core.blobs import BlobStore
    from core.chain import Chain
    from core.commit import Touched
    from core.derived import DerivedFiles
    from core.envelope_body import EnvelopeBody
    from core.members import Members
    from core.replica_process import ReplicaProcess

_log = logging.getLogger(__name__)

# Applying one envelope again when a library is opened costs about as much as a hundredth of saving the catalog of
# 100,000 photos; but each document it touches has to be loaded, which costs a tenth.
_LONG_TAIL_ENVELOPES = 64
_LONG_TAIL_DOCUMENTS = 4
_VERY_LONG_TAIL_ENVELOPES = 256
_NOTABLE_ENVELOPES = 64  # fewer are replayed before anybody wonders
_SAVE_PARTS_S = 10.0  # how much of a long load a killed process may have to do again
_SHOWN_FACT = "base shown"
_INCOMPLETE = "Parts of the library have not been fetched yet; `safelight sync` fetches the rest."
_WAITING = "What other devices changed is not shown: no process could be started in which it is tried first."


@functools.cache
def _derivation() -> str:
    """Name how catalogs are made here: by these tables, and with labels chosen by these rules."""
    return f"{Catalog.DERIVATION}, {label_derivation()}"


Progress = Callable[[int, int], None]
"""Called with (done, all) envelopes or documents of a long piece of work."""


class View:
    """Catalog and replicas of one library in one process."""

    def __init__(
        self,
        log: Log,
        chain: Chain,
        members: Members,
        derived: DerivedFiles,
        blobs: BlobStore,
        process: ReplicaProcess,
    ) -> None:
        """Show what is in `log`, and in those of `blobs` that are snapshots it builds on; nothing is read yet.

        What other devices made is tried in `process` first.
        """
        self._log = log
        self._members = members
        self._derived = derived
        self.base = Base(log, chain, blobs, self._everybody)
        self.vector: Vector = {}
        self._catalog: Catalog | None = None
        self._doubts = ViewAlarms(chain)
        self._reading = LogReading(log, chain, self.raise_alarm, self._doubts.note_unknown)
        self.times_caught_up = 0
        """How often something was applied that this process had not written."""
        self._tail_envelopes = 0
        self._tail_documents: set[str] = set()
        self._missing: set[str] = set()
        self._saved_at = time.monotonic()
        self.rehearsal = Rehearsal(log, members, process)
        self.replicas = Replicas(
            derived,
            chain.device_id,
            self._tail_of,
            lambda: self.vector,
            self.base,
            members.continued_by,
            self.rehearsal,
        )

    @property
    def alarms(self) -> list[IntegrityAlarm]:
        """What does not hold on this device."""
        return self._doubts.alarms

    @property
    def notes(self) -> list[str]:
        """What the user should know of what is shown."""
        return self._doubts.notes

    def take_distrust(self) -> list[SyncAlarm]:
        """Return the alarms about changes of other devices that were left out; whoever syncs keeps them."""
        return self._doubts.take_distrust()

    @property
    def catalog(self) -> Catalog:
        """The catalog; read from disk or built when it is first asked for."""
        if self._catalog is None:
            return self.load()
        return self._catalog

    def load(self, progress: Progress | None = None) -> Catalog:
        """Read the sealed catalog and bring it up to the log; a catalog that cannot be used is built anew."""
        saved = self._derived.load(CATALOG, _derivation())
        partial = load_partial(self._derived, _derivation())
        catalog, missing = None, set[str]()
        if partial is not None and (saved is None or includes(partial[0].vector, saved.vector)):
            saved, missing = partial
        if saved is not None:
            try:
                catalog = Catalog.deserialise(saved.content)
            except CoreError as error:
                _log.warning("catalog_damaged: %s", type(error).__name__)
        if catalog is None or saved is None:
            if sum(seq for seq, _ in self._reading.heads().values()) >= _NOTABLE_ENVELOPES:
                self._doubts.note("The catalog was missing, damaged or of another version; it has been made again.")
            return self.rebuild(progress)
        self._catalog = catalog
        self.vector = dict(saved.vector)
        self._missing = missing
        self.rehearsal.trust(saved.vector)
        try:
            self._compare_with_log(saved.vector)
            self.catch_up()
        except LogDamaged as damage:
            # What the catalog knew is shown all the same, without what was half applied.
            self.raise_alarm(damage)
            self._catalog, self.vector = Catalog.deserialise(saved.content), dict(saved.vector)
        return self._catalog

    def _compare_with_log(self, vector: Vector) -> None:
        self._refresh_base()
        for device, (seq, hash_) in vector.items():
            found = self._log.hash_at(device, seq) if seq else hash_
            # What a checkpoint covers may never have been here.
            if found != hash_ and not (found is None and seq <= self.base.vector.get(device, (0, b""))[0]):
                self.raise_alarm(
                    LogRolledBack(
                        f"log.db lacks {name_envelope(device, seq)}, which this device has already shown",
                        hint="Put the newer log.db back; what is shown is what the library knew before.",
                    )
                )

    def catch_up(self) -> bool:
        """Apply what the log holds past the vector, and snapshots that arrived; tell whether there was anything."""
        news = self._catch_up_with_log()
        news = self._take_arrived() or news
        self.times_caught_up += news
        return news

    def _catch_up_with_log(self) -> bool:
        if self._catalog is None:
            self.load()
            return True
        heads = self._log.heads()
        missing = sum(max(0, seq - self.vector.get(device, (0, b""))[0]) for device, (seq, _) in heads.items())
        if not missing:
            return False
        if self._refresh_base() and not includes(self.vector, self.base.vector):
            self._take_base()
            missing = sum(max(0, seq - self.vector.get(device, (0, b""))[0]) for device, (seq, _) in heads.items())
        if missing > _LONG_TAIL_ENVELOPES and missing * 2 > sum(seq for seq, _ in heads.values()):
            self.rebuild()
            return True
        try:
            reload: set[str] = set()
            for batch in in_batches(self._read_on()):
                self.rehearsal.take(batch, self.replicas)
                for stored, body in batch:
                    self._take(stored, body, reload)
            for document in sorted(reload):
                self.catalog.load_document(document, self.replicas.get(document))
        except BaseException:
            # Interrupted between replicas, catalog and vector: what is on disk decides again.
            self.forget()
            raise
        self.replicas.includes_more.clear()
        self._pass_unreadable(heads)
        return True

    def committed(self, device: bytes, seq: int, envelope_hash: bytes, touched: Touched) -> None:
        """Take note of an envelope of our own whose changes are in the replicas already."""
        self._note(device, seq, envelope_hash, touched)
        for document, places in touched.items():
            self.catalog.update(document, places, self.replicas.get(document))
            self.replicas.grew(document, sum(1 for map_name, _ in places if map_name == "photo"))

    def forget(self) -> None:
        """Drop everything in memory after a failure in the middle; the next `load` starts from what is on disk."""
        self.replicas.drop_all()
        self._catalog = None
        self.vector = {}
        self._tail_envelopes = 0
        self._tail_documents.clear()
        self._missing.clear()

    def close(self) -> None:
        """Save what has become long, and free the memory."""
        if self._catalog is not None:
            self.save_if_long()
            self._catalog.close()
        self.replicas.drop_all()

    def remove_derived(self) -> None:
        """Delete every derived file."""
        self._derived.remove_all()

    def load_base(self, documents: Iterable[str], progress: Progress | None, copies: Mapping[str, bytes]) -> None:
        """Show what snapshots that have just arrived hold; the catalog can be asked in between, from other threads.

        `copies` are replicas that were made of them elsewhere. When the last one is there, everything is saved.
        """
        self._catch_up_with_log()
        names = list(documents)
        for done, document in enumerate(names):
            if document in copies and not self.alarms:
                self.replicas.put_copy(document, copies[document])
            self._load_from_base(document)
            if progress is not None:
                progress(done + 1, len(names))
        self._note_if_incomplete()
        if names and (not self._missing or time.monotonic() - self._saved_at > _SAVE_PARTS_S):
            self.save()
            with self._log.transaction() as transaction:
                # Other processes look again when the log has changed.
                transaction.set_fact(_SHOWN_FACT, len(self._missing).to_bytes(4, "big"))

    def rebuild(self, progress: Progress | None = None) -> Catalog:
        """Make catalog and replicas from the log, and the checkpoint it builds on, alone, and save them."""
        self.forget()
        self._catalog = Catalog.empty()
        self._doubts.clear()
        self.replicas.unsaved = False
        self._refresh_base()
        self.base.refused.clear()
        self._missing.clear()
        heads = self._reading.heads()
        parts = self._read_all(sum(seq for seq, _ in heads.values()), progress)
        documents = in_order({*parts, *self.base.documents()})
        for done, document in enumerate(documents):
            self._rebuild_document(document, parts.pop(document, []))
            if progress is not None:
                progress(done + 1, len(documents))
        self.rehearsal.passed(self.vector)
        self._raise_vector(self.base.vector)
        self._pass_unreadable(heads)
        self._note_if_incomplete()
        self.save()
        return self._catalog

    def _rebuild_document(self, document: str, changes: list[tuple[StoredEnvelope, list[bytes]]]) -> None:
        replica, complete = replay(document, changes, self.base, self._members, self.rehearsal, self._refuse)
        self.catalog.load_document(document, replica)
        if not complete:
            self._missing.add(document)
        elif not self.alarms:
            self.replicas.put_rebuilt(document, replica, len(changes))

    def _refresh_base(self) -> bool:
        found = self.base.refresh()
        if self.base.damage is not None:
            self.raise_alarm(self.base.damage)
        return found

    def _take_base(self) -> None:
        """Show what the log's new base adds, as far as its snapshots are here."""
        for document in self.base.documents():
            self._load_from_base(document)
        self._raise_vector(self.base.vector)
        self._note_if_incomplete()

    def _load_from_base(self, document: str) -> None:
        self.replicas.drop([document])
        replica = self.replicas.get(document)
        self._alarm_of_refusals()
        if document in self.replicas.incomplete:
            self._missing.add(document)
        else:
            self._missing.discard(document)
        # A document of which nothing is here is not looked for when it comes: half the work.
        if document not in self._missing or document == LIBRARY or replica.count("photo"):
            self.catalog.load_in_parts(document, replica)

    def _take_arrived(self) -> bool:
        """Show the documents whose snapshots another process has fetched; tell whether there were any."""
        if not self._missing:
            return False
        self._refresh_base()
        arrived = [document for document in in_order(self._missing) if self.base.is_complete(document)]
        for document in arrived:
            self._load_from_base(document)
        self._note_if_incomplete()
        if arrived:
            self.save()
        return bool(arrived)

    def _raise_vector(self, vector: Vector) -> None:
        for device, place in vector.items():
            if self.vector.get(device, (0, NO_HASH))[0] < place[0]:
                self.vector[device] = place

    def _note_if_incomplete(self) -> None:
        self._doubts.note(_INCOMPLETE, holds=bool(self._missing))

    def save_if_long(self) -> None:
        """Save what has become long to catch up with; called when a session ends, and now and then in a long one."""
        if self._tail_envelopes >= _LONG_TAIL_ENVELOPES or len(self._tail_documents) >= _LONG_TAIL_DOCUMENTS:
            self.save()

    def save_if_very_long(self) -> None:
        """Save in the middle of a session, so that a process that is killed leaves little to catch up with."""
        if self._tail_envelopes >= _VERY_LONG_TAIL_ENVELOPES:
            self.save()

    def save(self) -> None:
        """Save the catalog, and the replicas that have changed much. Nothing is saved while there is an alarm."""
        if self.alarms or not self.rehearsal.save():
            return
        self.replicas.save_long_tails()
        self.catalog.vector = self.vector
        self._saved_at = time.monotonic()
        try:
            if self._missing:
                save_partial(self._derived, _derivation(), self.vector, self._missing, self.catalog.serialise())
                return
            self._derived.save(CATALOG, _derivation(), self.vector, self.catalog.serialise())
            remove_partial(self._derived)
        except StorageFailed as error:
            _log.warning("catalog_not_saved: %s", type(error).__name__)
            return
        self._tail_envelopes = 0
        self._tail_documents.clear()

    def _read_on(self) -> Iterator[Opened]:
        """Yield what the log has past the vector, as far as it can be tried before it is applied."""
        self.rehearsal.unavailable = False
        read = dict(self.vector)
        for stored in self._reading.after(self.vector):
            if not self.rehearsal.holds_back(stored):
                body = self._reading.open(stored, read)
                read[stored.device] = (stored.seq, stored.hash)
                yield stored, body

    def _take(self, stored: StoredEnvelope, body: EnvelopeBody | None, reload: set[str]) -> None:
        if body is None:
            self.vector[stored.device] = (stored.seq, stored.hash)
            return
        # The vector moves last: a replica that is loaded in between compares its snapshot with it.
        for part in body.payload:
            if not is_document_name(part.document):
                self._doubts.note_unknown()
                continue
            try:
                replica = self.replicas.get(part.document)
                if part.document in self.replicas.includes_more:
                    reload.add(part.document)
                touched = self.replicas.apply(part.document, part.changes, stored.device)
            except CrdtError as error:
                self._refuse(stored, error)
                if not isinstance(error, ChangeInvalid):
                    self.replicas.drop([part.document])
                continue
            self._alarm_of_refusals()
            if part.document not in reload:
                self.catalog.update(part.document, touched, replica)
        self._note(stored.device, stored.seq, stored.hash, body.documents)

    def _read_all(self, count: int, progress: Progress | None) -> dict[str, list[tuple[StoredEnvelope, list[bytes]]]]:
        parts: dict[str, list[tuple[StoredEnvelope, list[bytes]]]] = {}
        self.rehearsal.unavailable = False
        for done, stored in enumerate(self._reading.after({})):
            if self.rehearsal.holds_back(stored):
                continue
            body = self._reading.open(stored, self.vector)
            self.vector[stored.device] = (stored.seq, stored.hash)
            place = dataclasses.replace(stored, data=b"")  # the name is enough from here on
            for part in body.payload if body is not None else []:
                if is_document_name(part.document):
                    parts.setdefault(part.document, []).append((place, part.changes))
                else:
                    self._doubts.note_unknown()
            if body is not None:
                self._note(stored.device, stored.seq, stored.hash, body.documents)
            if progress is not None:
                progress(done + 1, count)
        return parts

    def _tail_of(self, document: str, since: Vector) -> Tail:
        """Yield the changes of a document past `since`, as far as the catalog includes them and they can be read."""
        known = {device: seq for device, (seq, _) in since.items()}
        yield from self._reading.changes_at(self.catalog.documents_touched_since(document, known), document)

    def _everybody(self) -> set[bytes]:
        """Return all that are or were members: a snapshot holds changes of any of them."""
        return {*self._members.membership.members, *self._members.membership.departed}

    def _note(self, device: bytes, seq: int, envelope_hash: bytes, documents: Iterable[str]) -> None:
        self.vector[device] = (seq, envelope_hash)
        names = list(documents)
        self.catalog.note_envelope(device, seq, names)
        self._tail_envelopes += 1
        self._tail_documents.update(names)

    def _pass_unreadable(self, heads: Vector) -> None:
        """Where the log could not be read to its end, count it as read: the alarm is raised, and not once a second."""
        self._doubts.note(_WAITING, holds=self.rehearsal.unavailable)
        if self.rehearsal.unavailable:
            return
        for device, head in heads.items():
            if self.vector.get(device, (0, NO_HASH))[0] < head[0]:
                self.raise_alarm(
                    ChainBroken(
                        f"{name_envelope(device, head[0])} is named as the last one, but log.db does not hold it",
                        hint="Restore log.db from a backup; everything else stays readable.",
                    )
                )
                self.vector[device] = head

    def raise_alarm(self, alarm: IntegrityAlarm) -> None:
        """Keep an alarm, once."""
        self._doubts.raise_alarm(alarm)
        self.replicas.unsaved = True

    def _refuse(self, stored: StoredEnvelope, error: CrdtError) -> None:
        self.replicas.unsaved = self._doubts.refuse(stored, error) or self.replicas.unsaved

    def _alarm_of_refusals(self) -> None:
        self._doubts.refuse_changes(reversed(self.replicas.refusals))
        self.replicas.refusals.clear()
