"""The threads that read, hash and encrypt files while worker processes decode them.

Files are taken from the walk one at a time and their outcomes handed out in the order of the walk, so that the same
folder gives the same events and the same library every time. How far the fastest may run ahead of the slowest is
bounded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import StorageFailed
from core.importing import protocol, reading, sidecar, sniff
from core.importing.committer import Prepared
from core.importing.errors import FileRefused, WorkerBroken
from core.importing.walk import Found, LeftOut, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.blobs import BlobStore
    from core.importing.worker_pool import WorkerPool
    from crypto.keys import EpochKeys

_log = logging.getLogger(__name__)

_AHEAD = 64
"""How many files may be finished, or under way, beyond the first unfinished one: some 20 KB of memory each."""


@dataclass(frozen=True)
class Left:
    """A file that is not imported, and why; `video` tells videos from other things, `pid` is known of some photos."""

    path: Path
    reason: str
    failed: bool
    size: int = 0
    video: bool = False
    pid: bytes | None = None


@dataclass(frozen=True)
class Known:
    """A file whose photo the library has already, or that another file of this import is (`claimed`)."""

    found: Found
    pid: bytes
    claimed: bool


Result = Left | Known | Prepared


class Admission:
    """Which photos need no decoding, because they are in the library or under way. Shared by all lanes."""

    def __init__(self, known: set[bytes]) -> None:
        """Begin with the photos that the library has."""
        self._known = known
        self._claimed: set[bytes] = set()
        self._guard = threading.Lock()

    def claim(self, pid: bytes) -> str:
        """Return `known`, `claimed` (by another file of this import) or `new`, which claims it for the caller."""
        with self._guard:
            if pid in self._known:
                return "known"
            if pid in self._claimed:
                return "claimed"
            self._claimed.add(pid)
            return "new"

    def is_known(self, pid: bytes) -> bool:
        """Whether the library has the photo by now."""
        with self._guard:
            return pid in self._known

    def settle(self, pid: bytes) -> None:
        """Say that a photo that was claimed is in the library. A claim that failed stays: its twins would fail, too."""
        with self._guard:
            self._claimed.discard(pid)
            self._known.add(pid)


class Lanes:
    """Some threads working on one walk; iterate over it for the results."""

    def __init__(
        self,
        steps: Iterator[Step],
        *,
        count: int,
        pool: WorkerPool,
        admission: Admission,
        epoch: EpochKeys,
        blobs: BlobStore,
    ) -> None:
        """Start `count` threads."""
        self._steps = enumerate(steps)
        self._pool = pool
        self._admission = admission
        self._epoch = epoch
        self._blobs = blobs
        self._taking = threading.Lock()
        self._window = threading.Semaphore(_AHEAD)
        self._stop = threading.Event()
        self._results: queue.SimpleQueue[tuple[int, Result | BaseException | None]] = queue.SimpleQueue()
        self._finished: dict[int, Result] = {}
        self._next = 0
        self._running = count
        self._threads = [threading.Thread(target=self._run, name=f"import-{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def results(self, wait_seconds: float) -> Iterator[Result | None]:
        """Yield the results in the order of the walk, and None whenever there was none for `wait_seconds`.

        Raises what ended a lane: `DiskFull`, `StorageFailed`, `WorkerBroken`.
        """
        while True:
            while self._next in self._finished:
                result = self._finished.pop(self._next)
                self._next += 1
                self._window.release()
                yield result
            if not self._running:
                return
            try:
                index, item = self._results.get(timeout=wait_seconds)
            except queue.Empty:
                yield None
                continue
            if item is None:
                self._running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                self._finished[index] = item

    def close(self) -> None:
        """End the lanes and remove what they wrote and nobody took. The pool must be closed before."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        with contextlib.suppress(queue.Empty):
            while True:
                index, item = self._results.get_nowait()
                if isinstance(item, Prepared):
                    self._finished[index] = item
        for item in self._finished.values():
            if isinstance(item, Prepared):
                self._blobs.discard(item.staged)
        self._finished.clear()

    def _run(self) -> None:
        try:
            while (step := self._take()) is not None:
                index, work = step
                self._results.put((index, self._outcome(work)))
        except BaseException as error:  # noqa: BLE001  handed to the thread that reads the results
            self._results.put((-1, error))
        finally:
            self._results.put((-1, None))

    def _take(self) -> tuple[int, Step] | None:
        while not self._window.acquire(timeout=0.1):
            if self._stop.is_set():
                return None
        with self._taking:
            return None if self._stop.is_set() else next(self._steps, None)

    def _outcome(self, step: Step) -> Result:
        if isinstance(step, LeftOut):
            return Left(step.path, step.reason, step.failed)
        try:
            return self._file(step)
        except Exception as error:  # noqa: BLE001  one file must not stop the others
            return _left(step, error)

    def _file(self, found: Found) -> Result:
        with reading.open_source(found.path) as source:
            verdict = sniff.verdict(source.kind, found.path.name)
            if verdict is not None:
                video = source.kind.nature is sniff.Nature.VIDEO
                return Left(found.path, verdict.reason, verdict.failed, found.size, video)
            beside = sidecar.read(found.path.parent, found.sidecars)
            if beside.in_bin:
                return Left(found.path, "it was in the bin of Google Photos", failed=False, size=found.size)
            content = reading.hash_content(source, self._epoch)
            standing = self._admission.claim(content.pid)
            if standing != "new":
                return Known(found, content.pid, claimed=standing == "claimed")
            try:
                return self._photo(found, source, content, beside)
            except Exception as error:  # noqa: BLE001  as above; who waits for this photo is told by its id
                return _left(found, error, content.pid)

    def _photo(
        self, found: Found, source: reading.Source, content: reading.Content, beside: sidecar.SidecarReading
    ) -> Prepared:
        path = None if content.data is not None else _bytes_of(found.path)
        request = protocol.Photo(found.path.name.encode("utf-8", "replace").decode(), content.size, path)
        done, preview = self._pool.photo(request, content.data or b"")
        if done.digest != content.digest:
            raise FileRefused("it changed while it was being read; import it again when it is complete")
        original = reading.stage(source, content, self._blobs)
        try:
            rendition = self._blobs.stage_bytes(bytes(preview))
        except BaseException:
            self._blobs.discard([original])
            raise
        return Prepared(found, content.pid, content.size, original, rendition, done, beside)


def _left(found: Found, error: Exception, pid: bytes | None = None) -> Left:
    """Return what an error means for a file. Raises those that mean the end of the import."""
    if isinstance(error, StorageFailed | WorkerBroken):
        raise error
    if isinstance(error, FileRefused):
        reason = str(error)
    else:
        # A fault of ours. Its message may quote the file, so that only its kind and place are logged.
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = type(error).__name__
        _log.error("a file broke the import of it: %s at %s:%s", kind, Path(place.filename).name, place.lineno)
        reason = f"an error in the program itself ({kind})"
    return Left(found.path, reason, failed=True, size=found.size, pid=pid)


def _bytes_of(path: Path) -> bytes:
    return os.fsencode(path.absolute())
