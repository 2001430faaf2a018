"""Labelling photos that are in the library already, by another model, from their previews.

Results of other models stay: which ones search uses is the library's setting. A preview is a JPEG of the pixels that an
import shows the model, so results differ a little from those of an import (some thousandths of a probability).
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core import bundles
from core.envelope_body import GROUP_BYTES
from core.errors import BlobDamaged, BlobMissing
from core.importing import protocol
from core.importing.committer import MAX_PHOTOS, MAX_SECONDS
from core.importing.errors import FileRefused
from core.importing.events import ImportEvent, ImportSummary, Listener, Progress
from core.importing.limits import STANDARD, Limits
from core.importing.worker_pool import WorkerPool, default_workers
from core.labelling import active_pack
from crdt.operations import Operation, Put
from crdt.records import AutoRecord, BundleRecord
from crdt.schema import auto_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from core.library import Library
    from crdt.records import BundleEntry
    from ml.pack import Pack

_SPARE_THREADS = 2
_AHEAD = 32


@dataclass(frozen=True)
class _Result:
    pid: bytes
    labels: protocol.Labels


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
    """Run a model over the photos that `query` finds.

    Args:
        library: open.
        pack: the library's active pack by default.
        query: which photos; all outside the trash by default.
        again: also those that have a result of this very model.
        progress: told of each photo that has no readable preview (`failed`), and how far it is.
        workers: number of processes; one a core by default.
        limits: what one photo may cost.

    Returns:
        `added` counts photos with a new result, `skipped` those that had one.

    Raises:
        PackRefused, QueryError, WorkerBroken, DiskFull, and what `Library.commit` raises.
    """
    tell = progress or (lambda _: None)
    started = time.monotonic()
    chosen = active_pack(library) if pack is None else pack
    model = protocol.Model(str(chosen.folder.absolute()), chosen.manifest_bytes)
    library.refresh()
    everything = library.catalog.pids(query)
    wanted = everything if again else list(_without(library, everything, chosen.model))
    group = secrets.token_bytes(GROUP_BYTES)
    added = failed = 0
    count = workers or default_workers()
    pool = WorkerPool(count, model, limits)
    batch: list[_Result] = []
    since = reported = started

    def report() -> None:
        done = added + failed + len(batch)
        how_far = Progress(done, len(wanted), done, len(wanted), counted=True, seconds=time.monotonic() - started)
        tell(ImportEvent("progress", progress=how_far))

    try:
        with ThreadPoolExecutor(count + _SPARE_THREADS) as threads:
            for pid, result in _in_order(threads, library, pool, wanted):
                if isinstance(result, str):
                    failed += 1
                    tell(ImportEvent("failed", pid=pid, reason=result))
                else:
                    batch.append(result)
                if len(batch) >= MAX_PHOTOS or time.monotonic() - since >= MAX_SECONDS:
                    added += _commit(library, batch, chosen.model, group)
                    batch, since = [], time.monotonic()
                if time.monotonic() - reported >= 0.2:  # noqa: PLR2004  seconds between two reports
                    reported = time.monotonic()
                    report()
        added += _commit(library, batch, chosen.model, group)
        batch = []
    finally:
        pool.close()
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
    )


def _without(library: Library, pids: Sequence[bytes], model: str) -> Iterator[bytes]:
    """Yield the photos that have no result of `model`, shard by shard, so that each is loaded once."""
    documents = library.catalog.documents_of(pids)
    for pid in sorted(documents, key=lambda pid: (documents[pid], pid)):
        if library.replica_get(documents[pid], "auto", auto_key(pid, model)) is None:
            yield pid


def _in_order(
    threads: ThreadPoolExecutor, library: Library, pool: WorkerPool, pids: Sequence[bytes]
) -> Iterator[tuple[bytes, _Result | str]]:
    """Yield (pid, result or why there is none), a bounded number ahead of the caller."""
    waiting: deque[tuple[bytes, Future[_Result | str]]] = deque()
    for pid in pids:
        waiting.append((pid, threads.submit(_label, library, pool, pid)))
        if len(waiting) >= _AHEAD:
            first, future = waiting.popleft()
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()


def _label(library: Library, pool: WorkerPool, pid: bytes) -> _Result | str:
    reason = "it has no preview"
    # Previews first; an original serves as well where it decodes.
    for copy in sorted(library.catalog.copies(pid), key=lambda copy: copy.role == "original"):
        try:
            return _Result(pid, pool.labels(library.blobs.read(copy.blob_id, copy.key)))
        except FileRefused as error:
            reason = str(error)
        except (BlobMissing, BlobDamaged) as error:
            reason = f"{copy.role}: {error}"
    return reason


def _commit(library: Library, batch: Sequence[_Result], model: str, group: bytes) -> int:
    """Make results durable; return for how many photos. Photos that went meanwhile are left out."""
    documents = library.catalog.documents_of([result.pid for result in batch])
    kept = [result for result in batch if result.pid in documents]
    if not kept:
        return 0
    now = int(time.time())
    changes: dict[str, list[Operation]] = {}
    for result in kept:
        record = AutoRecord.of(result.labels.classes, at=now)
        changes.setdefault(documents[result.pid], []).append(Put("auto", auto_key(result.pid, model), record.pack()))
    data, entries = bundles.build((r.pid, r.labels.embedding) for r in kept if r.labels.embedding is not None)
    if entries:
        blob = library.blobs.put_bytes(data)
        by_document: dict[str, list[BundleEntry]] = {}
        for entry in entries:
            by_document.setdefault(documents[entry.pid], []).append(entry)
        for document, own in by_document.items():
            bundle = BundleRecord(
                kind="vector",
                key=blob.key,
                entries=own,
                size=blob.size,
                model=model,
                dimensions=entries[0].length // bundles.VECTOR_ITEM_BYTES,
            )
            changes.setdefault(document, []).append(Put("bundle", blob.id.hex(), bundle.pack()))
    count = len(kept)
    library.commit(changes, action="retag", summary=f"{count} photos labelled by {model}", group=group)
    return count
