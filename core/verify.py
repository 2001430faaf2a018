"""Check everything that is stored against what was written; damage is named, and the rest stays readable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.errors import BlobDamaged, BlobMissing, ChainBroken, CoreError, IntegrityAlarm, LogDamaged
from core.log import NO_HASH, StoredEnvelope, Vector, name_envelope
from crdt.documents import is_document_name
from crdt.errors import RecordInvalid
from crdt.records import BundleRecord, CopyRecord
from crdt.schema import BLOB_ID_BYTES, key_pid, split_copy_key
from crypto.blob import blob_key_hasher

if TYPE_CHECKING:
    from core.library import Library

VerifyProgress = Callable[[str, int, int], None]
"""Called with ("envelopes" or "blobs", done, all)."""


@dataclass(frozen=True)
class Problem:
    """One thing that does not hold: the alarm's stable name, what it is about, what happened, what to do."""

    name: str
    thing: str
    message: str
    hint: str | None


@dataclass
class VerifyReport:
    """What a verification found; sizes in bytes."""

    problems: list[Problem] = field(default_factory=list)
    envelopes: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    unnamed_blobs: int = 0
    removed_blobs: int = 0
    removed_bytes: int = 0
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
    pid: bytes | None


def verify(
    library: Library, *, deep: bool = False, gc: bool = False, progress: VerifyProgress | None = None
) -> VerifyReport:
    """Check every envelope (hash, chain, signature, seal, content) and every blob (present, and what its id says).

    With `deep`, every chunk of every blob is decrypted too, its key is compared with its content, and an original
    with its photo's id. With `gc`, blobs that nothing names and that are older than a day are removed, and the blobs
    of purged photos.
    """
    report = VerifyReport()
    documents = _check_log(library, report, progress)
    # While anything is wrong with the log, what it names is not known for sure, and nothing is removed.
    certain = report.sound
    catalog = library.catalog
    documents.update(catalog.documents_of([*catalog.pids(), *catalog.pids("is:trash")]).values())
    named, purged = _named_blobs(library, documents, report)
    _check_blobs(library, named, report, progress, deep=deep)
    _check_unnamed(library, named, purged, report, gc=gc and certain, finish=certain)
    return report


def log_problems(library: Library) -> list[Problem]:
    """Check the log alone: every envelope, and that none is missing."""
    report = VerifyReport()
    _check_envelopes(library, report, None)
    return report.problems


def _check_log(library: Library, report: VerifyReport, progress: VerifyProgress | None) -> set[str]:
    """Check the log and return the names of the documents in it."""
    library.refresh()
    for alarm in library.alarms:
        _add(report, alarm, "library")
    return _check_envelopes(library, report, progress)


def _check_envelopes(library: Library, report: VerifyReport, progress: VerifyProgress | None) -> set[str]:
    for fault in library.log.page_check():
        _add(report, LogDamaged(f"log.db is damaged: {fault}", hint="Restore log.db from a backup."), "log.db")
    try:
        count, heads = library.log.count(), library.log.heads()
    except LogDamaged as damage:
        _add(report, damage, "log.db")
        count, heads = 0, {}
    documents: set[str] = set()
    seen: Vector = {}
    for done, stored in enumerate(library.log.after({}, lambda alarm: _add(report, alarm, "log.db"))):
        documents.update(_check_envelope(library, stored, seen.get(stored.device, (0, NO_HASH)), report))
        seen[stored.device] = (stored.seq, stored.hash)
        if progress is not None:
            progress("envelopes", done + 1, count)
    for device, (seq, hash_) in heads.items():
        if seen.get(device, (0, NO_HASH)) != (seq, hash_):
            thing = name_envelope(device, seq)
            message = f"the chain does not end with {thing}, as log.db says"
            _add(report, ChainBroken(message, hint="Restore log.db from a backup."), thing)
    return documents


def _check_envelope(
    library: Library, stored: StoredEnvelope, known: tuple[int, bytes], report: VerifyReport
) -> Iterator[str]:
    """Check one envelope, which should follow `known`, and yield the names of its documents."""
    report.envelopes += 1
    try:
        body, previous = library.chain.open_linked(stored)
    except IntegrityAlarm as alarm:
        _add(report, alarm, str(stored))
        return
    broken = library.chain.link_alarm(stored, previous, known)
    if broken is not None:
        _add(report, broken, str(stored))
    yield from (name for name in body.documents if is_document_name(name))


def _named_blobs(
    library: Library, documents: set[str], report: VerifyReport
) -> tuple[dict[bytes, _Named], dict[bytes, _Named]]:
    """Return the blobs that photos name, and those that only purged photos name."""
    named: dict[bytes, _Named] = {}
    purged: dict[bytes, _Named] = {}
    for document in sorted(documents):
        if document == "library":
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
                report.problems.append(Problem("record-invalid", f"photo {pid.hex()}", str(error), error.hint))
                continue
            original = pid if record.role == "original" else None
            (purged if pid in gone else named)[blob_id] = _Named(record.key, original)
        for key, value in library.replica_items(document, "bundle"):
            if len(key) == 2 * BLOB_ID_BYTES:
                named[bytes.fromhex(key)] = _Named(BundleRecord.unpack(bytes(value)).key, None)  # type: ignore[arg-type]
    return named, {blob_id: blob for blob_id, blob in purged.items() if blob_id not in named}


def _check_blobs(
    library: Library, named: dict[bytes, _Named], report: VerifyReport, progress: VerifyProgress | None, *, deep: bool
) -> None:
    for done, (blob_id, blob) in enumerate(sorted(named.items())):
        try:
            report.blob_bytes += library.blobs.size_on_disk(blob_id)
            library.blobs.check(blob_id)
            if deep:
                _check_content(library, blob_id, blob)
            report.blobs += 1
        except (BlobDamaged, BlobMissing) as alarm:
            _add(report, alarm, f"blob {blob_id.hex()}")
        except CoreError as error:
            report.problems.append(Problem(error.name, f"blob {blob_id.hex()}", str(error), error.hint))
        if progress is not None:
            progress("blobs", done + 1, len(named))


def _check_content(library: Library, blob_id: bytes, blob: _Named) -> None:
    key = blob_key_hasher(library.epoch)
    photo = library.epoch.photo_hasher()
    with library.blobs.open(blob_id, blob.key) as reader:
        for chunk in reader.iter_chunks():
            key.update(chunk)
            photo.update(chunk)
    if key.digest() != blob.key:
        raise BlobDamaged(f"blob {blob_id.hex()} was not made from its content", hint="Import the file again.")
    if blob.pid is not None and photo.digest() != blob.pid:
        raise BlobDamaged(f"blob {blob_id.hex()} is not the photo that names it", hint="Import the file again.")


def _check_unnamed(
    library: Library,
    named: dict[bytes, _Named],
    purged: dict[bytes, _Named],
    report: VerifyReport,
    *,
    gc: bool,
    finish: bool,
) -> None:
    for blob_id in _unnamed(library, named):
        if blob_id in purged and finish:
            # A purge that was interrupted after its envelope: what it said is done now.
            report.removed_bytes += library.blobs.size_on_disk(blob_id)
            report.removed_blobs += library.blobs.remove(blob_id)
            continue
        report.unnamed_blobs += 1
        size = library.blobs.remove_if_old(blob_id) if gc else None
        if size is not None:
            report.removed_blobs += 1
            report.removed_bytes += size
    if gc:
        library.blobs.remove_stale_incoming()


def _unnamed(library: Library, named: dict[bytes, _Named]) -> Iterator[bytes]:
    return (blob_id for blob_id in library.blobs.iter_ids() if blob_id not in named)


def _add(report: VerifyReport, alarm: IntegrityAlarm, thing: str) -> None:
    if str(alarm) not in report.told:
        report.told.add(str(alarm))
        report.problems.append(Problem(alarm.name, thing, str(alarm), alarm.hint))
