"""Check everything that is stored against what was written; damage is named, and the rest stays readable.

Nothing is mended here: `core.repair` does that.

A blob that is not here is missing only if this device put it and did not free it (`core.whereabouts`). Those that are
elsewhere, at a relay or on another device, are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from core.blobs import UNNAMED_MAX_AGE_S
from core.copy_records import repair
from core.errors import BlobDamaged, BlobMissing, ChainBroken, CoreError, IntegrityAlarm, LibraryCopied, LogDamaged
from core.layout import Layout
from core.log import BLOB_PURGED, NO_HASH, StoredEnvelope, Vector, name_envelope
from core.private_files import remove_unfinished
from core.whereabouts import Whereabouts
from crdt.documents import LIBRARY, is_document_name
from crdt.errors import RecordInvalid
from crdt.records import BundleRecord, CopyRecord
from crdt.schema import BLOB_ID_BYTES, key_pid, split_copy_key
from crypto.blob import blob_key_hasher

if TYPE_CHECKING:
    from core.envelope_body import EnvelopeBody, Snapshot
    from core.library import Library
    from crypto.keys import EpochKeys

_RESTORE = (
    "With --repair, what relays hold is put back; else restore log.db from a backup. Until then, `safelight export` "
    "writes what can still be read."
)

_FETCH = (
    "It was put here by this device and is gone. With --repair it is fetched from a relay; else restore this file from "
    "a backup of the library's `blobs` folder."
)

DERIVED_DAMAGED: Final = "derived-damaged"
RECORD_INVALID: Final = "record-invalid"
_DERIVED = "Nothing is lost: with --repair it is removed, and it is made again from the log."

VerifyProgress = Callable[[str, int, int], None]
"""Called with ("envelopes" or "blobs", done, all)."""


class _Stopped(Exception):
    """Whoever asked wants no more of it."""


@dataclass(frozen=True)
class Problem:
    """One thing that does not hold: the alarm's stable name, what it is about, what happened, what to do.

    Of a photo's original or preview, also the photo's id and, where the catalog knows it, the name of its file.
    """

    name: str
    thing: str
    message: str
    hint: str | None
    photo: str | None = None
    file: str | None = None


@dataclass
class VerifyReport:
    """What a verification found; sizes in bytes.

    `blobs` are here and whole; `elsewhere` are those that need not be here: other devices put them, or they were freed.
    `held` envelopes have arrived and wait for others that they build on. `incomplete` counts snapshots that this device
    builds on and has not fetched yet: until it has, nothing is removed. `derived` files were opened. `deep` and
    `stopped` say what of all this was looked at: a check that was stopped vouches for nothing it had not come to.
    """

    problems: list[Problem] = field(default_factory=list)
    envelopes: int = 0
    held: int = 0
    incomplete: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    elsewhere: int = 0
    unnamed_blobs: int = 0
    removed_blobs: int = 0
    removed_bytes: int = 0
    derived: int = 0
    deep: bool = False
    stopped: bool = False
    told: set[str] = field(default_factory=set, repr=False)
    """Messages of `problems`: what is met twice is told once."""

    @property
    def sound(self) -> bool:
        """Tell whether nothing was found wrong."""
        return not self.problems


@dataclass(frozen=True)
class _Named:
    """A blob that a document names."""

    key: bytes
    original_of: bytes | None
    photo: bytes | None = None
    needed: bool = True
    """Whether it is missing where it ought to be here and is not."""


@dataclass
class _Read:
    """What was gathered on the way through the log."""

    whereabouts: Whereabouts
    documents: set[str] = field(default_factory=set)
    snapshots: dict[bytes, list[Snapshot]] = field(default_factory=dict)
    """Of each device's newest checkpoint."""

    def note(self, stored: StoredEnvelope, body: EnvelopeBody) -> None:
        """Take note of one envelope."""
        self.documents.update(name for name in body.documents if is_document_name(name))
        self.whereabouts.note(stored.device, stored.seq, body)
        if body.snapshots:
            self.snapshots[stored.device] = body.snapshots
            self.documents.update(part.document for part in body.snapshots if is_document_name(part.document))


def verify(
    library: Library,
    *,
    deep: bool = False,
    gc: bool = False,
    progress: VerifyProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> VerifyReport:
    """Check every envelope (hash, chain, signature, seal, content), every blob (present, and what its id says), and
    every derived file (opens).

    With `deep`, every chunk of every blob is decrypted too, its key is compared with its content, and an original
    with its photo's id. With `gc`, blobs that nothing names and that are older than a day are removed, and the blobs
    of purged photos. `should_stop` is asked after each envelope and blob; once it says so, the report is what was
    found up to there, and nothing is removed.
    """
    report = VerifyReport(deep=deep)

    def step(what: str, done: int, count: int) -> None:
        if progress is not None:
            progress(what, done, count)
        if should_stop is not None and should_stop():
            raise _Stopped

    try:
        _verify(library, report, step, gc=gc)
    except _Stopped:
        report.stopped = True
    return report


def _verify(library: Library, report: VerifyReport, progress: VerifyProgress, *, gc: bool) -> None:
    read = _check_log(library, report, progress)
    _check_derived(library, report)
    documents = read.documents
    # While anything is wrong with the log, what it names is not known for sure, and nothing is removed.
    certain = report.sound
    documents.update(library.base.documents())
    catalog = library.catalog
    pids = [*catalog.pids(), *catalog.pids("is:trash")]
    documents.update(catalog.documents_of(pids).values())
    named, purged = _named_blobs(library, documents, report)
    _name_snapshots(library, read, named)
    report.incomplete = len(library.base.missing())
    certain = _add_alarms(library, report) and certain and not report.incomplete
    blobs: dict[bytes, _Named | None] = {}
    if not certain:
        # What the log can no longer say the catalog may know, and every blob is named by its hash.
        _name_by_catalog(library, pids, named, purged)
        blobs.update(dict.fromkeys(library.blobs.iter_ids()))
    blobs.update(named)
    _Blobs(library, read.whereabouts, report, deep=report.deep).check(blobs, progress)
    _check_unnamed(library, named, purged, report, gc=gc and certain, finish=certain)


def _check_derived(library: Library, report: VerifyReport) -> None:
    """Open what is in `derived/`. What was damaged and has been made again since the library was opened is whole."""
    for name, whole in library.derived.check():
        report.derived += whole
        if not whole:
            message = f"the derived file {name} cannot be opened: it is damaged, or of another device"
            report.problems.append(Problem(DERIVED_DAMAGED, f"derived file {name}", message, _DERIVED))


def log_problems(library: Library) -> list[Problem]:
    """Check the log alone: every envelope, and that none is missing."""
    report = VerifyReport()
    _check_envelopes(library, report, None)
    return report.problems


def _check_log(library: Library, report: VerifyReport, progress: VerifyProgress | None) -> _Read:
    """Check the log and return what is in it."""
    try:
        library.refresh()
    except LogDamaged as damage:
        _add(report, damage, "log.db")
    _add_alarms(library, report)
    return _check_envelopes(library, report, progress)


def _add_alarms(library: Library, report: VerifyReport) -> bool:
    """Report the alarms that the library has met; tell whether there were none, nor any doubt."""
    doubts = library.doubts
    for alarm in doubts:
        # Being a copy is nothing that does not hold, and neither is it a state in which to remove anything.
        if not isinstance(alarm, LibraryCopied) or alarm in library.alarms:
            _add(report, alarm, "library")
    return not doubts


def _check_envelopes(library: Library, report: VerifyReport, progress: VerifyProgress | None) -> _Read:
    try:
        for fault in library.log.page_check():
            _add(report, LogDamaged(f"log.db is damaged: {fault}"), "log.db")
    except LogDamaged as damage:
        _add(report, damage, "log.db")
    count, heads, base = 0, Vector(), Vector()
    try:
        count, heads, base = library.log.count(), library.log.heads(), library.log.base()
        report.held = len(library.log.held())
    except LogDamaged as damage:
        _add(report, damage, "log.db")
    read = _Read(Whereabouts(library))
    seen: Vector = {}
    for done, stored in enumerate(library.log.after({}, lambda alarm: _add(report, alarm, "log.db"))):
        body = _check_envelope(library, stored, seen.get(stored.device, (0, NO_HASH)), report)
        if body is None:
            read.whereabouts.cannot_read(stored.device)
        else:
            read.note(stored, body)
        seen[stored.device] = (stored.seq, stored.hash)
        if progress is not None:
            progress("envelopes", done + 1, count)
    for device in seen.keys() - heads.keys():
        message = f"log.db does not say where the chain of device {device.hex()[:12]} ends"
        _add(report, ChainBroken(message, hint="Restore log.db from a backup."), f"device {device.hex()[:12]}")
    for device, (seq, hash_) in heads.items():
        # What a checkpoint covers stands in its snapshots, and its envelopes need not be here.
        if (seq, hash_) not in {seen.get(device, (0, NO_HASH)), base.get(device)}:
            thing = name_envelope(device, seq)
            message = f"the chain does not end with {thing}, as log.db says"
            _add(report, ChainBroken(message, hint="Restore log.db from a backup."), thing)
    return read


def _check_envelope(
    library: Library, stored: StoredEnvelope, known: tuple[int, bytes], report: VerifyReport
) -> EnvelopeBody | None:
    """Check one envelope, which should follow `known`, and return what is in it."""
    report.envelopes += 1
    try:
        body, previous = library.chain.open_linked(stored)
    except IntegrityAlarm as alarm:
        _add(report, alarm, str(stored))
        return None
    broken = library.chain.link_alarm(stored, previous, known)
    if broken is not None:
        _add(report, broken, str(stored))
    return body


def _named_blobs(
    library: Library, documents: set[str], report: VerifyReport
) -> tuple[dict[bytes, _Named], dict[bytes, _Named]]:
    """Return the blobs that photos name, and those that only purged photos name."""
    named: dict[bytes, _Named] = {}
    purged: dict[bytes, _Named] = {}
    for document in sorted(documents):
        if document == LIBRARY:
            continue
        gone = {key_pid(key) for key, value in library.replica_items(document, "purged") if value is True}
        for key, value in library.replica_items(document, "copy"):
            parts = split_copy_key(key)
            if parts is None:
                continue
            pid, blob_id = parts
            try:
                record = CopyRecord.unpack(bytes(value))  # type: ignore[arg-type]
            except RecordInvalid as error:
                thing = f"photo {pid.hex()}"
                report.problems.append(Problem(RECORD_INVALID, thing, str(error), error.hint, pid.hex()))
                continue
            original = pid if record.role == "original" else None
            (purged if pid in gone else named)[blob_id] = _Named(record.key, original, pid)
        for key, value in library.replica_items(document, "bundle"):
            if len(key) == 2 * BLOB_ID_BYTES:
                named[bytes.fromhex(key)] = _Named(BundleRecord.unpack(bytes(value)).key, None)  # type: ignore[arg-type]
    return named, {blob_id: blob for blob_id, blob in purged.items() if blob_id not in named}


def _name_snapshots(library: Library, read: _Read, named: dict[bytes, _Named]) -> None:
    """Add the snapshots of the newest checkpoints, and of those that the log builds on."""
    parts = [part for listed in read.snapshots.values() for part in listed]
    parts += [needed.snapshot for name in library.base.documents() for needed in library.base.needed(name)]
    for part in parts:
        named.setdefault(part.blob, _Named(part.key, None, needed=False))


def _name_by_catalog(
    library: Library, pids: list[bytes], named: dict[bytes, _Named], purged: dict[bytes, _Named]
) -> None:
    """Add to `named` what the catalog knows of photos, and move to `purged` what it knows to be purged."""
    gone = library.catalog.purged([blob.photo for blob in named.values() if blob.photo is not None])
    for blob_id in [blob_id for blob_id, blob in named.items() if blob.photo in gone]:
        purged[blob_id] = named.pop(blob_id)
    for pid in pids:
        for copy in library.catalog.copies(pid):
            named.setdefault(copy.blob_id, _Named(copy.key, pid if copy.role == "original" else None, pid))
            purged.pop(copy.blob_id, None)


class _Blobs:
    """Checks the blobs of one library."""

    def __init__(self, library: Library, whereabouts: Whereabouts, report: VerifyReport, *, deep: bool) -> None:
        self._library = library
        self._whereabouts = whereabouts
        self._report = report
        self._deep = deep
        # A blob's key comes from its content and the epoch in which it was made. Blobs of one epoch come in a row.
        self._has_relay = next(library.replica_items(LIBRARY, "relay"), None) is not None
        self._epochs = list(library.members.keyring.keys.values())

    def check(self, blobs: dict[bytes, _Named | None], progress: VerifyProgress | None) -> None:
        """Check each of `blobs`, and add what does not hold to the report."""
        for done, (blob_id, blob) in enumerate(sorted(blobs.items(), key=lambda item: item[0])):
            try:
                self._check_one(blob_id, blob)
            except CoreError as error:
                self._add(error, blob_id, blob)
            if progress is not None:
                progress("blobs", done + 1, len(blobs))

    def _check_one(self, blob_id: bytes, blob: _Named | None) -> None:
        library, report = self._library, self._report
        try:
            size = library.blobs.size_on_disk(blob_id)
        except BlobMissing:
            if blob is not None and blob.needed and self._whereabouts.is_expected_here(blob_id):
                raise
            report.elsewhere += blob is not None and blob.needed
            return
        report.blob_bytes += size
        library.blobs.check(blob_id)
        if self._deep and blob is not None:
            try:
                self._check_content(blob_id, blob)
            except BlobDamaged:
                # The blob is what its id says: it may be the record that somebody wrote over.
                done = None if blob.photo is None else repair(library, blob.photo, blob_id)
                if done is not None:
                    raise done.alarm from None
                raise
        report.blobs += 1

    def _check_content(self, blob_id: bytes, blob: _Named) -> None:
        for epoch in list(self._epochs):
            if self._is_made_in(epoch, blob_id, blob):
                self._epochs.remove(epoch)
                self._epochs.insert(0, epoch)
                return
        raise BlobDamaged(f"blob {blob_id.hex()} was not made from its content", hint="Import the file again.")

    def _is_made_in(self, epoch: EpochKeys, blob_id: bytes, blob: _Named) -> bool:
        """Tell whether the blob has the key that its content has in `epoch`; compare an original with its photo."""
        key = blob_key_hasher(epoch)
        photo = epoch.photo_hasher()
        with self._library.blobs.open(blob_id, blob.key) as reader:
            for chunk in reader.iter_chunks():
                key.update(chunk)
                photo.update(chunk)
        if blob.original_of is not None and photo.digest() != blob.original_of:
            raise BlobDamaged(f"blob {blob_id.hex()} is not the photo that names it", hint="Import the file again.")
        return key.digest() == blob.key

    def _add(self, error: CoreError, blob_id: bytes, blob: _Named | None) -> None:
        photo = None if blob is None else blob.photo
        record = None if photo is None else self._library.catalog.photo(photo)
        owner = (None if photo is None else photo.hex(), None if record is None else record.filename)
        hint = _FETCH if isinstance(error, BlobMissing) and self._has_relay and photo is not None else error.hint
        self._report.problems.append(Problem(error.name, f"blob {blob_id.hex()}", str(error), hint, *owner))


def _check_unnamed(
    library: Library,
    named: dict[bytes, _Named],
    purged: dict[bytes, _Named],
    report: VerifyReport,
    *,
    gc: bool,
    finish: bool,
) -> None:
    if finish and purged:
        _remember_purged(library, purged)
    unnamed = list(_unnamed(library, named))
    spared = _ever_copies(library, [blob_id for blob_id in unnamed if blob_id not in purged]) if gc else set()
    for blob_id in unnamed:
        if blob_id in purged and finish:
            # A purge that was interrupted after its envelope: what it said is done now.
            report.removed_bytes += library.blobs.size_on_disk(blob_id)
            report.removed_blobs += library.blobs.remove(blob_id)
            continue
        report.unnamed_blobs += 1
        size = library.blobs.remove_if_old(blob_id) if gc and blob_id not in spared else None
        if size is not None:
            report.removed_blobs += 1
            report.removed_bytes += size
    if gc:
        library.blobs.remove_stale_incoming()
        for folder in (library.root, Layout(library.root).derived):
            remove_unfinished(folder, UNNAMED_MAX_AGE_S)


def _ever_copies(library: Library, blob_ids: list[bytes]) -> set[bytes]:
    """Return those that once were a photo's original or preview: these go with a purge, and in no other way."""
    from core.sync.purged import ever_copies

    return ever_copies(library, blob_ids) if blob_ids else set()


def _remember_purged(library: Library, purged: dict[bytes, _Named]) -> None:
    """See to it that relays are told to delete what purged photos named, whoever purged them."""
    fresh = sorted(purged.keys() - library.log.blobs_in_state(BLOB_PURGED))
    if fresh and not library.doubts:
        with library.log.transaction() as transaction:
            transaction.set_blob_states(fresh, BLOB_PURGED)


def _unnamed(library: Library, named: dict[bytes, _Named]) -> Iterator[bytes]:
    return (blob_id for blob_id in library.blobs.iter_ids() if blob_id not in named)


def _add(report: VerifyReport, alarm: IntegrityAlarm, thing: str) -> None:
    if str(alarm) not in report.told:
        report.told.add(str(alarm))
        hint = _RESTORE if isinstance(alarm, LogDamaged) else alarm.hint
        report.problems.append(Problem(alarm.name, thing, str(alarm), hint))
