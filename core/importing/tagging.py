"""Labelling photos that are in the library already, by another model, from their previews.

Results of other models stay: which ones search uses is the library's setting. A preview is a JPEG of the pixels that an
import shows the model, so results differ a little from those of an import (some thousandths of a probability).
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core import bundles
from core.active_model import text_model
from core.envelope_body import GROUP_BYTES
from core.errors import BlobDamaged, BlobMissing, NoTextEncoder
from core.importing import protocol
from core.importing.committer import MAX_PHOTOS, MAX_SECONDS
from core.importing.errors import FileRefused
from core.importing.events import ImportEvent, ImportSummary, Listener, Progress
from core.importing.leases import Leases, is_shared
from core.importing.limits import STANDARD, Limits
from core.importing.worker_pool import WorkerPool, default_workers
from core.labelling import active_pack
from core.text_pack import text_pack
from crdt.errors import CrdtError
from crdt.operations import Operation, Put
from crdt.records import AutoRecord, BundleRecord
from crdt.schema import auto_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from core.library import Library
    from crdt.records import BundleEntry
    from ml.pack import AnyPack, ImageTextPack, Pack

_SPARE_THREADS = 2
_AHEAD = 32


@dataclass(frozen=True)
class _Result:
    pid: bytes
    looked_at: protocol.Labelled


@dataclass(frozen=True)
class _Models:
    """Which packs look at the photos: `name@version`, or None."""

    labels: str | None
    vectors: str | None


@dataclass(frozen=True)
class _Wanted:
    """What a photo lacks."""

    pid: bytes
    labels: bool
    vector: bool


def retag(
    library: Library,
    pack: Pack | None = None,
    *,
    query: str = "",
    again: bool = False,
    progress: Listener | None = None,
    workers: int | None = None,
    limits: Limits = STANDARD,
) -> ImportSummary:
    """Run a model, and the library's image-text pack if it uses one, over the photos that `query` finds.

    The photos of a whole library that lack a result are shared with its other devices (`core.importing.leases`).

    Args:
        library: open.
        pack: the library's active pack by default; one that is named runs alone.
        query: which photos; all outside the trash by default.
        again: also those that have a result of these very models.
        progress: told of each photo that has no readable preview (`failed`), and how far it is.
        workers: number of processes; one a core by default.
        limits: what one photo may cost.

    Returns:
        `added` counts photos with a new result, `skipped` those that had one, `left` those that others are at work on.

    Raises:
        PackRefused, QueryError, WorkerBroken, DiskFull, and what `Library.commit` raises.
    """
    tell = progress or (lambda _: None)
    started = time.monotonic()
    chosen = active_pack(library) if pack is None else pack
    text = _image_text_pack(library, tell) if pack is None else None
    models = _Models(chosen.model, None if text is None else text.model)
    library.refresh()
    everything = library.catalog.pids(query)
    wanted = list(_without(library, everything, models, again=again))
    group = secrets.token_bytes(GROUP_BYTES)
    added = failed = 0
    count = workers or default_workers()
    pool = WorkerPool(count, _as_model(chosen), limits, image_text=None if text is None else _as_model(text))
    shared = not query and not again and is_shared(library)
    leases = Leases(library, f"{models.labels}+{models.vectors}", group) if shared else None
    turns = iter(wanted) if leases is None else _turns(library, leases, wanted, models)
    batch: list[_Result] = []
    since = reported = started

    def report() -> None:
        done = added + failed + len(batch)
        how_far = Progress(done, len(wanted), done, len(wanted), counted=True, seconds=time.monotonic() - started)
        tell(ImportEvent("progress", progress=how_far))

    try:
        with ThreadPoolExecutor(count + _SPARE_THREADS) as threads:
            for pid, result in _in_order(threads, library, pool, turns):
                if isinstance(result, str):
                    failed += 1
                    tell(ImportEvent("failed", pid=pid, reason=result))
                else:
                    batch.append(result)
                if len(batch) >= MAX_PHOTOS or time.monotonic() - since >= MAX_SECONDS:
                    added += _commit(library, batch, models, group)
                    batch, since = [], time.monotonic()
                if time.monotonic() - reported >= 0.2:  # noqa: PLR2004  seconds between two reports
                    reported = time.monotonic()
                    report()
        added += _commit(library, batch, models, group)
        batch = []
    finally:
        pool.close()
        if leases is not None:
            leases.release()
    if added:
        library.save_derived()
    report()
    return ImportSummary(
        added=added,
        duplicates=0,
        skipped=len(everything) - len(wanted),
        failed=failed,
        videos=0,
        moved=0,
        unmoved=0,
        seconds=time.monotonic() - started,
        group=group if added else None,
        left=0 if leases is None else leases.left,
    )


def _turns(library: Library, leases: Leases, wanted: Sequence[_Wanted], models: _Models) -> Iterator[_Wanted]:
    """Yield the photos whose turn it is on this device, unless another one has labelled them meanwhile."""
    lacking = {one.pid: one for one in wanted}
    documents = library.catalog.documents_of(lacking)
    by_document: dict[str, list[bytes]] = {}
    for pid, document in documents.items():
        by_document.setdefault(document, []).append(pid)
    for pid in leases.turns(by_document):
        one = lacking[pid]
        key = None if models.labels is None else auto_key(pid, models.labels)
        if one.vector or key is None or library.replica_get(documents[pid], "auto", key) is None:
            yield one


def _image_text_pack(library: Library, tell: Listener) -> ImageTextPack | None:
    if text_model(library.setting) is None:
        return None
    try:
        return text_pack(library)
    except NoTextEncoder as error:
        tell(ImportEvent("note", reason=f"the photos get no vectors for descriptions: {error}"))
        return None


def _as_model(pack: AnyPack) -> protocol.Model:
    return protocol.Model(str(pack.folder.absolute()), pack.manifest_bytes)


def _without(library: Library, pids: Sequence[bytes], models: _Models, *, again: bool) -> Iterator[_Wanted]:
    """Yield what photos lack of the models' results, shard by shard, so that each is loaded once."""
    documents = library.catalog.documents_of(pids)
    document, have_vectors = "", frozenset[bytes]()
    for pid in sorted(documents, key=lambda pid: (documents[pid], pid)):
        if models.vectors is not None and documents[pid] != document:
            document = documents[pid]
            have_vectors = _with_vectors(library, document, models.vectors)
        labels = models.labels is not None and (
            again or library.replica_get(documents[pid], "auto", auto_key(pid, models.labels)) is None
        )
        vector = models.vectors is not None and (again or pid not in have_vectors)
        if labels or vector:
            yield _Wanted(pid, labels, vector)


def _with_vectors(library: Library, document: str, model: str) -> frozenset[bytes]:
    """Return the photos of a shard of which `model` made a vector, on whichever device."""
    found: set[bytes] = set()
    for _, value in library.replica_items(document, "bundle"):
        with contextlib.suppress(CrdtError):  # another device's damaged record speaks of no photo
            record = BundleRecord.unpack(value) if isinstance(value, bytes) else None
            if record is not None and record.kind == "vector" and record.model == model:
                found.update(entry.pid for entry in record.entries)
    return frozenset(found)


def _in_order(
    threads: ThreadPoolExecutor, library: Library, pool: WorkerPool, wanted: Iterator[_Wanted]
) -> Iterator[tuple[bytes, _Result | str]]:
    """Yield (pid, result or why there is none), a bounded number ahead of the caller."""
    waiting: deque[tuple[bytes, Future[_Result | str]]] = deque()
    for photo in wanted:
        waiting.append((photo.pid, threads.submit(_label, library, pool, photo)))
        if len(waiting) >= _AHEAD:
            first, future = waiting.popleft()
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()


def _label(library: Library, pool: WorkerPool, wanted: _Wanted) -> _Result | str:
    pid = wanted.pid
    reason = "it has no preview"
    # Previews first; an original serves as well where it decodes.
    for copy in sorted(library.catalog.copies(pid), key=lambda copy: copy.role == "original"):
        try:
            preview = library.blobs.read(copy.blob_id, copy.key)
            looked_at = pool.looked_at(preview, labels=wanted.labels, vector=wanted.vector)
            if looked_at.labels is not None:
                AutoRecord.of(looked_at.labels.classes).pack()
            return _Result(pid, looked_at)
        except FileRefused as error:
            reason = str(error)
        except CrdtError as error:
            reason = f"what the model said cannot be stored: {error}"
        except (BlobMissing, BlobDamaged) as error:
            reason = f"{copy.role}: {error}"
    return reason


def _commit(library: Library, batch: Sequence[_Result], models: _Models, group: bytes) -> int:
    """Make results durable; return for how many photos. Photos that went meanwhile are left out."""
    documents = library.catalog.documents_of([result.pid for result in batch])
    kept = [result for result in batch if result.pid in documents]
    if not kept:
        return 0
    now = int(time.time())
    changes: dict[str, list[Operation]] = {}
    labelled = [(result.pid, labels) for result in kept if (labels := result.looked_at.labels) is not None]
    if models.labels is not None:
        for pid, labels in labelled:
            record = AutoRecord.of(labels.classes, at=now)
            changes.setdefault(documents[pid], []).append(Put("auto", auto_key(pid, models.labels), record.pack()))
        embeddings = [(pid, labels.embedding) for pid, labels in labelled if labels.embedding is not None]
        _bundle(library, embeddings, models.labels, documents, changes)
    if models.vectors is not None:
        vectors = [(result.pid, vector) for result in kept if (vector := result.looked_at.vector) is not None]
        _bundle(library, vectors, models.vectors, documents, changes)
    names = " and ".join(name for name in (models.labels, models.vectors) if name is not None)
    library.commit(changes, action="retag", summary=f"{len(kept)} photos labelled by {names}", group=group)
    return len(kept)


def _bundle(
    library: Library,
    parts: Sequence[tuple[bytes, bytes]],
    model: str,
    documents: Mapping[bytes, str],
    changes: dict[str, list[Operation]],
) -> None:
    """Store vectors, and name them in the changes of their photos' shards."""
    data, entries = bundles.build(bundles.alike(parts))
    if not entries:
        return
    blob = library.blobs.put_bytes(data)
    by_document: dict[str, list[BundleEntry]] = {}
    for entry in entries:
        by_document.setdefault(documents[entry.pid], []).append(entry)
    for document, own in by_document.items():
        record = BundleRecord(
            kind="vector",
            key=blob.key,
            entries=own,
            size=blob.size,
            model=model,
            dimensions=entries[0].length // bundles.VECTOR_ITEM_BYTES,
        )
        changes.setdefault(document, []).append(Put("bundle", blob.id.hex(), record.pack()))
