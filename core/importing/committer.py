"""Making photos part of the library: a batch of them becomes durable blobs, then one commit that names them.

Nothing is named before it is whole on disk, so a process that is killed at any instant leaves photos that are there
completely or not at all, and the next import finds out which.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core import bundles
from core.importing import dates
from core.importing.renditions import MIME
from core.importing.walk import Found, printable
from crdt.documents import LIBRARY, DocumentKind, shard_name
from crdt.errors import CrdtError, ValueRefused
from crdt.operations import Delete, Operation, Put
from crdt.records import AutoRecord, BundleRecord, CopyRecord, PhotoFacts
from crdt.schema import SHAPES, album_key, auto_key, copy_key, label_key, pid_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.blobs import BlobRef, StagedBlob
    from core.importing.description import Description
    from core.importing.facts import FileFacts
    from core.importing.protocol import Done
    from core.importing.sidecar import SidecarReading
    from core.library import Library
    from crdt.records import BundleEntry

MAX_PHOTOS = 256
MAX_SECONDS = 3.0
_MAX_NAME = 200
_SHAPES = SHAPES[DocumentKind.SHARD]


@dataclass(frozen=True)
class Prepared:
    """A photo whose blobs are written but not yet named."""

    found: Found
    pid: bytes
    size: int
    original: StagedBlob
    preview: StagedBlob
    done: Done
    sidecar: SidecarReading

    @property
    def staged(self) -> list[StagedBlob]:
        """Return its own blobs."""
        return [self.original, self.preview]

    @property
    def document(self) -> str:
        """Return its shard, which its own bytes decide."""
        taken = self.done.facts.taken
        return shard_name(None if taken is None else taken.clock, self.pid)


@dataclass
class Outcome:
    """What became of a batch: photos that were added, were there meanwhile, are purged, cannot be stored."""

    added: list[Prepared] = field(default_factory=list)
    present: list[Prepared] = field(default_factory=list)
    purged: list[Prepared] = field(default_factory=list)
    refused: list[tuple[Prepared, str]] = field(default_factory=list)
    notes: list[tuple[Prepared, str]] = field(default_factory=list)


class Committer:
    """Collects photos for one library and commits them in batches, all under one group."""

    def __init__(
        self,
        library: Library,
        *,
        group: bytes,
        model: str | None,
        text_model: str | None = None,
        album: str | None,
        readmit_purged: bool,
    ) -> None:
        """`model` and `text_model` are `name@version` of the packs that labelled, and that gave vectors.

        `album` is the name or id of the album to add to.
        """
        self._library = library
        self._group = group
        self._model = model
        self._text_model = text_model
        self._album = album
        self._readmit = readmit_purged
        self._batch: list[Prepared] = []
        self._thumbnail_bytes = 0
        self._since: float | None = None
        self._for_album: list[bytes] = []
        self._positions = _Positions()
        self.committed = False

    @property
    def is_due(self) -> bool:
        """Whether the batch is full or old enough to be committed."""
        if not self._batch and not self._for_album:
            return False
        return (
            len(self._batch) + len(self._for_album) >= MAX_PHOTOS
            or self._thumbnail_bytes >= bundles.MAX_BUNDLE_BYTES
            or time.monotonic() - (self._since or 0) >= MAX_SECONDS
        )

    def add(self, photo: Prepared) -> None:
        """Take a photo into the batch."""
        self._since = self._since or time.monotonic()
        self._batch.append(photo)
        self._thumbnail_bytes += len(photo.done.thumbnail)

    def add_present(self, pid: bytes) -> None:
        """Take a photo that the library has already into the album, if there is one to fill."""
        if self._album is not None:
            self._since = self._since or time.monotonic()
            self._for_album.append(pid)

    def discard(self) -> None:
        """Forget the batch and remove its files."""
        for photo in self._batch:
            self._library.blobs.discard(photo.staged)
        self._clear()

    def flush(self) -> Outcome:
        """Commit the batch. On an error nothing of it is named, and its files are removed."""
        outcome = Outcome()
        if not self._batch and not self._for_album:
            return outcome
        try:
            self._sort(outcome)
            self._commit(outcome)
        except BaseException:
            self.discard()
            raise
        for photo in [*outcome.present, *outcome.purged, *(photo for photo, _ in outcome.refused)]:
            self._library.blobs.discard(photo.staged)
        self._clear()
        return outcome

    def _clear(self) -> None:
        self._batch = []
        self._for_album = []
        self._thumbnail_bytes = 0
        self._since = None

    def _sort(self, outcome: Outcome) -> None:
        """Look again who is known: other processes import, too."""
        self._library.refresh()
        pids = [photo.pid for photo in self._batch]
        present, purged = self._library.catalog.documents_of(pids), self._library.catalog.purged(pids)
        for photo in self._batch:
            if photo.pid in purged:
                (outcome.added if self._readmit else outcome.purged).append(photo)
            elif photo.pid in present:
                outcome.present.append(photo)
                self.add_present(photo.pid)
            else:
                outcome.added.append(photo)

    def _commit(self, outcome: Outcome) -> None:
        changes: dict[str, list[Operation]] = {}
        now = int(time.time())
        for photo in list(outcome.added):
            try:
                operations = self._photo(photo, now, outcome)
            except (CrdtError, ValueError, OverflowError) as error:
                # Facts that no document holds, or that are none, such as a clock without hours: the reader of metadata
                # should have left them out, and a decoder that the photo has taken over answers what it likes.
                outcome.added.remove(photo)
                outcome.refused.append((photo, f"its metadata cannot be stored: {error}"))
            else:
                changes.setdefault(photo.document, []).extend(operations)
        staged = [blob for photo in outcome.added for blob in photo.staged]
        bundled: list[StagedBlob] = []
        try:
            self._bundle([(p.pid, p.done.thumbnail) for p in outcome.added], outcome.added, changes, bundled)
            for model, parts in (
                (self._model, [(p.pid, _embedding(p)) for p in outcome.added]),
                (self._text_model, [(p.pid, p.done.vector or b"") for p in outcome.added]),
            ):
                if model is not None:
                    self._bundle(bundles.alike(parts), outcome.added, changes, bundled, model=model)
            self._albums(outcome.added, changes)
            self._library.blobs.publish(staged + bundled)
        except BaseException:
            self._library.blobs.discard(bundled)
            raise
        if not changes:
            return
        count = len(outcome.added)
        summary = f"{count} photo imported" if count == 1 else f"{count} photos imported"
        self._library.commit(changes, action="import", summary=summary, group=self._group)
        self.committed = True

    def _photo(self, photo: Prepared, now: int, outcome: Outcome) -> list[Operation]:
        key = pid_key(photo.pid)
        operations: list[Operation] = []
        if self._readmit and self._library.replica_get(photo.document, "purged", key) is not None:
            operations.append(Delete("purged", key))
            # Mostly it was purged from the trash, and whoever wants it back does not look for it there.
            operations.append(Delete("trash", key))
        # Facts are written once; those of a photo that comes back are already there.
        if self._library.replica_get(photo.document, "photo", key) is None:
            operations.append(Put("photo", key, _facts(photo, now).pack()))
        operations += _copies(photo)
        labels = photo.done.labels
        if labels is not None and self._model is not None:
            operations.append(
                Put("auto", auto_key(photo.pid, self._model), AutoRecord.of(labels.classes, at=now).pack())
            )
        words = photo.sidecar.description.over(photo.done.facts.description)
        operations += _words(photo.pid, words, photo.done.facts)
        for name in (*words.labels, *words.rejected):
            try:
                operations.append(Put("label", label_key(photo.pid, name), name not in words.rejected))
            except CrdtError as error:
                outcome.notes.append((photo, f"one of its keywords was left out: {error}"))
        for operation in operations:
            # What a decoder answers is not trusted further than any other file.
            if isinstance(operation, Put) and not _SHAPES[operation.map].accepts(operation.value):
                raise ValueRefused(f"its {operation.map} is of no shape that is kept")
        return operations

    def _bundle(
        self,
        parts: Sequence[tuple[bytes, bytes]],
        photos: Sequence[Prepared],
        changes: dict[str, list[Operation]],
        staged: list[StagedBlob],
        *,
        model: str | None = None,
    ) -> None:
        """Put parts together: thumbnails, or the vectors that `model` made."""
        data, entries = bundles.build((pid, part) for pid, part in parts if part)
        if not entries:
            return
        blob = self._library.blobs.stage_bytes(data)
        staged.append(blob)
        documents = {photo.pid: photo.document for photo in photos}
        by_document: dict[str, list[BundleEntry]] = {}
        for entry in entries:
            by_document.setdefault(documents[entry.pid], []).append(entry)
        for document, own in by_document.items():
            record = _bundle_record(blob.ref, own, model)
            changes.setdefault(document, []).append(Put("bundle", blob.ref.id.hex(), record.pack()))

    def _albums(self, added: Sequence[Prepared], changes: dict[str, list[Operation]]) -> None:
        wanted: list[tuple[bytes, str, str]] = []
        if self._album is not None:
            known = self._library.catalog.documents_of(self._for_album)
            wanted += [(pid, known[pid], self._album) for pid in dict.fromkeys(self._for_album) if pid in known]
            wanted += [(photo.pid, photo.document, self._album) for photo in added]
        for photo in added:
            wanted += [(photo.pid, photo.document, name) for name in photo.sidecar.description.albums]
        if not wanted:
            return
        ids = self._album_ids()
        for pid, document, name in wanted:
            if name not in ids:
                ids[name] = self._positions.new_album_id()
                changes.setdefault(LIBRARY, []).append(Put("album", ids[name], name))
            key = album_key(pid, ids[name])
            if self._library.replica_get(document, "album", key) is None:
                changes.setdefault(document, []).append(Put("album", key, self._positions.next()))

    def _album_ids(self) -> dict[str, str]:
        """Return {name or id: id}; of two albums with one name the one whose id comes first, on every device."""
        ids: dict[str, str] = {}
        for album_id, name in sorted(self._library.replica_items(LIBRARY, "album")):
            ids[album_id] = album_id
            if isinstance(name, str):
                ids.setdefault(name, album_id)
        return ids


class _Positions:
    """Places at the end of albums: seconds since 1970, as in `core.edits.add_to_album`, never the same twice."""

    def __init__(self) -> None:
        self._last = time.time()

    def next(self) -> float:
        self._last = max(self._last + 1e-3, time.time())
        return self._last

    def new_album_id(self) -> str:
        return secrets.token_hex(8)


def _facts(photo: Prepared, now: int) -> PhotoFacts:
    facts, looks = photo.done.facts, photo.done.looks
    fallback = None if facts.taken is not None else dates.fallback(photo.found.path.name, photo.found.modified_at)
    place = facts.location or photo.sidecar.description.location
    return PhotoFacts(
        width=facts.width,
        height=facts.height,
        orientation=facts.orientation,
        size=photo.size,
        mime=facts.mime,
        wall_clock=None if facts.taken is None else facts.taken.clock,
        offset_minutes=None if facts.taken is None else facts.taken.offset_minutes,
        date_source=None if facts.taken is None else facts.taken.source,
        latitude=None if place is None else float(place[0]),
        longitude=None if place is None else float(place[1]),
        altitude_m=facts.altitude_m,
        make=facts.make,
        model=facts.model,
        lens=facts.lens,
        iso=facts.iso,
        f_number=facts.f_number,
        exposure_s=facts.exposure_s,
        focal_mm=facts.focal_mm,
        thumbhash=photo.done.thumbhash,
        motion_s=facts.motion_s,
        imported_at=now,
        fallback_clock=None if fallback is None else fallback.clock,
        fallback_source=None if fallback is None else fallback.source,
        brightness=looks.brightness,
        sharpness=looks.sharpness,
        colourfulness=looks.colourfulness,
        flatness=looks.flatness,
        perceptual_hash=looks.perceptual_hash,
        screenshot=facts.screenshot or None,
    )


def _copies(photo: Prepared) -> list[Operation]:
    original, preview = photo.original.ref, photo.preview.ref
    width, height = photo.done.preview_size
    # A tiny photo may be its own preview, byte for byte: then there is one blob, and it is the original.
    records = {preview.id: _copy("preview", preview, mime=MIME, width=width, height=height)}
    records[original.id] = _copy(
        "original", original, mime=photo.done.facts.mime, file_name=stored_name(photo.found.path.name)
    )
    return [Put("copy", copy_key(photo.pid, blob_id), record.pack()) for blob_id, record in records.items()]


def _copy(
    role: str,
    ref: BlobRef,
    *,
    mime: str,
    file_name: str | None = None,
    width: int | None = None,
    height: int | None = None,
) -> CopyRecord:
    return CopyRecord(
        role="original" if role == "original" else "preview",
        key=ref.key,
        size=ref.size,
        file_name=file_name,
        mime=mime,
        width=width,
        height=height,
    )


def stored_name(name: str) -> str:
    """Return a file name as the library keeps it: printable, at most 200 characters, with its suffix."""
    text = printable(name)
    if len(text) <= _MAX_NAME:
        return text
    stem, dot, suffix = text.rpartition(".")
    return f"{stem[: _MAX_NAME - 20]}{dot}{suffix[:19]}" if stem else text[:_MAX_NAME]


def _words(pid: bytes, words: Description, facts: FileFacts) -> list[Operation]:
    key = pid_key(pid)
    operations: list[Operation] = []
    if words.caption:
        operations.append(Put("caption", key, words.caption))
    if words.rating:
        operations.append(Put("rating", key, words.rating))
    if words.favourite:
        operations.append(Put("favourite", key, True))
    if words.rotation:
        operations.append(Put("rotation", key, words.rotation))
    if words.taken is not None and words.taken.corrects(facts.taken):
        operations.append(Put("taken", key, words.taken.with_offset()))
    return operations


def _embedding(photo: Prepared) -> bytes:
    labels = photo.done.labels
    return b"" if labels is None or labels.embedding is None else labels.embedding


def _bundle_record(ref: BlobRef, entries: list[BundleEntry], model: str | None) -> BundleRecord:
    if model is None:
        return BundleRecord(kind="thumb", key=ref.key, entries=entries, size=ref.size)
    return BundleRecord(
        kind="vector",
        key=ref.key,
        entries=entries,
        size=ref.size,
        model=model,
        dimensions=entries[0].length // bundles.VECTOR_ITEM_BYTES,
    )
