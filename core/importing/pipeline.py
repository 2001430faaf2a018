"""`import_paths`: photos from folders into a library.

    walk → lanes (read, hash, ask a worker, encrypt) → committer → library
                     ↕
          worker processes (decode, render, label)

The calling thread walks through the results, commits batches and reports; everything else runs beside it. See
docs/importing.md for what users are promised.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from core.active_model import text_model
from core.envelope_body import GROUP_BYTES
from core.errors import PackRefused
from core.importing import moving, protocol, sidecar
from core.importing.committer import Committer, Prepared
from core.importing.events import EventKind, ImportEvent, ImportSummary, Listener, Progress
from core.importing.lanes import Admission, Known, Lanes, Left
from core.importing.limits import STANDARD, Limits
from core.importing.walk import Found, printable, walk
from core.importing.worker_pool import WorkerPool, default_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from core.library import Library
    from ml.pack import Pack

_SPARE_LANES = 2
"""More lanes than workers, so that a worker that is free finds the next file read and hashed."""

_REPORT_SECONDS = 0.2


def import_paths(
    library: Library,
    paths: Sequence[Path],
    *,
    move: bool = False,
    album: str | None = None,
    readmit_purged: bool = False,
    label: bool = True,
    pack: Pack | None = None,
    progress: Listener | None = None,
    workers: int | None = None,
    limits: Limits = STANDARD,
    should_stop: Callable[[], bool] = lambda: False,
) -> ImportSummary:
    """Import the photos at and below `paths`; a file that cannot be imported never stops the others.

    Args:
        library: open, and left open.
        paths: files and folders.
        move: remove each source after its copy in the library was read back and compared.
        album: name or id of an album for every photo, also for those the library has already; made if there is none.
        readmit_purged: let photos come back that were purged.
        label: label with `pack`, or with the library's active pack. When that one is not installed, the photos are
            imported without labels and a note says so.
        pack: see `label`.
        progress: called in this thread with everything that happens.
        workers: number of decoding processes; one a core by default.
        limits: what one file may cost.
        should_stop: asked between files; True commits what is ready and ends the import, which a later one continues.

    Raises:
        DiskFull: nothing is half-stored; what was reported as added is there.
        WorkerBroken: no worker process can be started.
        CoreError: whatever `Library.commit` raises; the first of the library's alarms, if it has any.
    """
    if library.alarms:
        # Nothing could be committed: better said now than after the first batch was decoded.
        raise library.alarms[0]
    run = _Run(library, paths, progress or (lambda _: None), move=move)
    model = run.model(pack) if label else None
    image_text = run.image_text() if label else None
    count = workers or default_workers()
    group = secrets.token_bytes(GROUP_BYTES)
    name = None if model is None else model[0]
    text_name, text_pack = image_text or (None, None)
    committer = Committer(
        library, group=group, model=name, text_model=text_name, album=album, readmit_purged=readmit_purged
    )
    pool = WorkerPool(count, None if model is None else model[1], limits, image_text=text_pack)
    lanes: Lanes | None = None
    try:
        run.count_in_background()
        lanes = Lanes(
            walk(paths),
            count=count + _SPARE_LANES,
            pool=pool,
            admission=run.admission,
            epoch=library.epoch,
            blobs=library.blobs,
        )
        run.follow(lanes, committer, should_stop)
    finally:
        run.stop_counting()
        pool.close()
        if lanes is not None:
            lanes.close()
        committer.discard()
    if committer.committed:
        library.save_derived()
    return run.summary(group if committer.committed else None)


class _Run:
    """One call of `import_paths`: its counts, its claims, and what is still to be reported."""

    def __init__(self, library: Library, paths: Iterable[Path], listener: Listener, *, move: bool) -> None:
        self._library = library
        self._paths = list(paths)
        self._tell = listener
        self._move = move
        self._started = time.monotonic()
        self._counts: dict[EventKind, int] = dict.fromkeys(("added", "duplicate", "skipped", "failed"), 0)
        self._videos = self._moved = self._unmoved = 0
        self._files = self._bytes = 0
        self._scan = _Scan(self._paths)
        self._reported = 0.0
        # Files that are the same photo as one whose fate is not known yet.
        self._waiting: dict[bytes, list[Found]] = {}
        # Why photos were not stored that another file may be, too.
        self._left_pids: dict[bytes, Left] = {}
        library.refresh()
        catalog = library.catalog
        self.admission = Admission({*catalog.pids(), *catalog.pids("is:trash")})

    def model(self, pack: Pack | None) -> tuple[str, protocol.Model] | None:
        """Return the pack to label with as workers need it, or None, with a note, when it is not here."""
        from core.labelling import active_pack

        try:
            chosen = active_pack(self._library) if pack is None else pack
        except PackRefused as error:
            self._tell(ImportEvent("note", reason=f"photos are imported without labels: {error}"))
            return None
        return chosen.model, protocol.Model(str(chosen.folder.absolute()), chosen.manifest_bytes)

    def image_text(self) -> tuple[str, protocol.Model] | None:
        """Return the image-text pack, if the library uses one; None, with a note, when that is not here."""
        from core.text_pack import text_pack

        if text_model(self._library.setting) is None:
            return None
        try:
            chosen = text_pack(self._library)
        except PackRefused as error:
            self._tell(ImportEvent("note", reason=f"descriptions will not find these photos: {error}"))
            return None
        return chosen.model, protocol.Model(str(chosen.folder.absolute()), chosen.manifest_bytes)

    def count_in_background(self) -> None:
        """Walk once for the totals, while the import is under way."""
        self._scan.start()

    def stop_counting(self) -> None:
        """End that walk."""
        self._scan.stop()

    def follow(self, lanes: Lanes, committer: Committer, should_stop: Callable[[], bool]) -> None:
        """Take the results as they come, until all is imported or the caller wants to stop."""
        for result in lanes.results(_REPORT_SECONDS):
            if result is not None:
                self._files += 1
                self._bytes += result.size if isinstance(result, Left) else result.found.size
            if isinstance(result, Prepared):
                self._prepared(result, committer)
            elif isinstance(result, Known):
                self._known(result, committer)
            elif result is not None:
                self._left(result)
            if committer.is_due:
                self._flush(committer)
            self._report()
            if should_stop():
                break
        self._flush(committer)
        self._report(last=True)

    def summary(self, group: bytes | None) -> ImportSummary:
        """Return the totals."""
        return ImportSummary(
            added=self._counts["added"],
            duplicates=self._counts["duplicate"],
            skipped=self._counts["skipped"],
            failed=self._counts["failed"],
            videos=self._videos,
            moved=self._moved,
            unmoved=self._unmoved,
            seconds=time.monotonic() - self._started,
            group=group,
        )

    def _prepared(self, photo: Prepared, committer: Committer) -> None:
        earlier = self._waiting.get(photo.pid)
        if earlier:
            # The file that comes first in the walk gives the photo its name and words, whichever was read first.
            first, earlier[0] = earlier[0], photo.found
            photo = replace(photo, found=first, sidecar=sidecar.read(first.path.parent, first.sidecars))
        for complaint in photo.sidecar.complaints:
            self._event("note", photo.found.path, pid=photo.pid, reason=complaint)
        committer.add(photo)

    def _known(self, known: Known, committer: Committer) -> None:
        if known.claimed and not self.admission.is_known(known.pid):
            left = self._left_pids.get(known.pid)
            if left is None:
                self._waiting.setdefault(known.pid, []).append(known.found)
            else:
                self._left(replace(left, path=known.found.path))
            return
        self._duplicate(known.found, known.pid)
        committer.add_present(known.pid)

    def _left(self, left: Left) -> None:
        self._videos += left.video
        self._event("failed" if left.failed else "skipped", left.path, pid=left.pid, reason=left.reason)
        if left.pid is not None:
            self._left_pids[left.pid] = left
            for found in self._waiting.pop(left.pid, []):
                self._left(replace(left, path=found.path, pid=None))

    def _flush(self, committer: Committer) -> None:
        outcome = committer.flush()
        for photo, note in outcome.notes:
            self._event("note", photo.found.path, pid=photo.pid, reason=note)
        for photo in outcome.added:
            self._event("added", photo.found.path, pid=photo.pid)
            self._remove_source(photo.found, photo.pid)
        for photo in outcome.present:
            self._duplicate(photo.found, photo.pid)
        for photo, reason in outcome.refused:
            self._left(Left(photo.found.path, reason, failed=True, size=photo.found.size, pid=photo.pid))
        for photo in outcome.purged:
            self._left(Left(photo.found.path, _PURGED, failed=False, size=photo.found.size, pid=photo.pid))
        for photo in [*outcome.added, *outcome.present]:
            self.admission.settle(photo.pid)
            for found in self._waiting.pop(photo.pid, []):
                self._duplicate(found, photo.pid)

    def _duplicate(self, found: Found, pid: bytes) -> None:
        trashed = moving.is_trashed(self._library, pid)
        self._event("duplicate", found.path, pid=pid, reason="in the trash" if trashed else None)
        moving.heal(self._library, pid, found)
        if not trashed:
            self._remove_source(found, pid)

    def _remove_source(self, found: Found, pid: bytes) -> None:
        if not self._move:
            return
        reason = moving.remove_source(self._library, pid, found)
        if reason is None:
            self._moved += 1
        else:
            self._unmoved += 1
            self._event("note", found.path, pid=pid, reason=f"not removed: {reason}")

    def _event(self, kind: EventKind, path: Path, *, pid: bytes | None = None, reason: str | None = None) -> None:
        if kind in self._counts:
            self._counts[kind] += 1
        self._tell(ImportEvent(kind, printable(path), pid, reason))

    def _report(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if not last and now - self._reported < _REPORT_SECONDS:
            return
        self._reported = now
        files, size, counted = self._scan.totals
        progress = Progress(
            files=self._files,
            total_files=max(files, self._files),
            bytes=self._bytes,
            total_bytes=max(size, self._bytes),
            counted=counted,
            seconds=now - self._started,
        )
        self._tell(ImportEvent("progress", progress=progress))


_PURGED = "it was purged from this library; say so explicitly to let it come back"


class _Scan:
    """A walk of its own that only counts, so that the import itself needs to keep no list of files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="import-count", daemon=True)
        self.totals = (0, 0, False)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        files = size = 0
        for step in walk(self._paths):
            if self._stop.is_set():
                return
            files += 1
            size += step.size if isinstance(step, Found) else 0
            self.totals = (files, size, False)
        self.totals = (files, size, True)
