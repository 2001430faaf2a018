"""Whole pictures for the photo screen: decoded in threads, a few of them kept, the neighbours fetched ahead.

A preview is a JPEG of the program's own making and is decoded here, by that decoder alone and within a bound of
pixels. Where there is none the original is decoded by a worker process, as an import does it: it comes from anywhere.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from core.errors import BlobMissing, CoreError, IntegrityAlarm
from core.importing import protocol
from core.importing.errors import FileRefused, WorkerBroken
from core.importing.limits import IN_MEMORY_BYTES, STANDARD
from core.importing.worker_pool import WorkerPool
from tui.app.workers.library_thread import NotOpen
from tui.app.workers.received_jpeg import open_jpeg
from tui.app.workers.thumbnails import ThumbnailProblem, turned, whole_thumbnail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from concurrent.futures import Future

    from PIL import Image

    from core.blobs import BlobStore
    from core.catalog import Copy, PhotoRecord, ThumbRef
    from core.library import Library
    from tui.app.workers.library_thread import LibraryThread

_Result = TypeVar("_Result")

_UNREADABLE = (IntegrityAlarm, FileRefused, WorkerBroken, OSError, ValueError, SyntaxError, MemoryError)
_KEPT = 6
_THREADS = 2
_MAX_PREVIEW_BYTES = 16 << 20
_MAX_PREVIEW_PIXELS = 24_000_000
_THUMBNAIL_SIZE = (320, 320)
_CLOSE_LONGEST = 4_800
"""Pixels of a close look: all of a phone's twelve megapixels, within the bound above for any shape."""


@dataclass(frozen=True)
class Picture:
    """The pixels of a photo, turned as the user wants; `problem` says why they are not the best there are.

    `elsewhere`: what is missing may be at a relay.
    """

    image: Image.Image | None
    problem: str | None = None
    elsewhere: bool = False


@dataclass(frozen=True)
class _Source:
    record: PhotoRecord
    copies: Sequence[Copy]
    thumbnail: ThumbRef | None
    has_relay: bool


class Pictures:
    """Fetches pictures; used on the event loop."""

    def __init__(self, thread: LibraryThread, kept: int = _KEPT) -> None:
        """Fetch from this library; `kept` pictures are held."""
        self._thread = thread
        self._most = kept
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="pictures")
        self._pool: WorkerPool | None = None
        self._close_pool: WorkerPool | None = None
        self._close: tuple[tuple[bytes, int], Picture] | None = None
        self._kept: OrderedDict[tuple[bytes, int], asyncio.Task[Picture]] = OrderedDict()

    async def stages(
        self, record: PhotoRecord, place: ThumbRef | None, *, quick_first: bool = True
    ) -> AsyncIterator[Picture]:
        """Yield the picture as it gets better: the thumbnail where the whole one takes a while, then that.

        Without `quick_first` what was shown before stays until the whole one is there.
        """
        if quick_first and not self.is_ready(record.pid, record.rotation):
            quick = await self.quick(record, place)
            if quick.image is not None:
                yield quick
        yield await self.whole(record.pid, record.rotation)

    async def quick(self, record: PhotoRecord, place: ThumbRef | None) -> Picture:
        """Return the thumbnail: less than the picture, but at once."""
        return await self.in_thread(lambda: _from_thumbnail(self._thread.blobs, record, place))

    async def whole(self, pid: bytes, rotation: int) -> Picture:
        """Return the picture as large as it is kept."""
        return await asyncio.shield(self._task(pid, rotation))

    async def closer(self, pid: bytes, rotation: int) -> Picture:
        """Return the picture in the pixels of its original; no image and the problem where that cannot be had.

        The last one is kept: it takes up to a hundred megabytes.
        """
        if self._close is not None and self._close[0] == (pid, rotation):
            return self._close[1]
        self._close = None
        try:
            source = await self._thread.ask(lambda library: _source(library, pid))
        except (NotOpen, CoreError):
            source = None
        if source is None:
            return Picture(None, "the photo is gone")
        picture = await self.in_thread(lambda: self._decode_closely(source))
        self._close = (pid, rotation), picture
        return picture

    def forget(self, pid: bytes) -> None:
        """Fetch a photo anew when it is next wanted: there is more of it now."""
        self._close = None
        for key in [key for key in self._kept if key[0] == pid]:
            self._kept.pop(key).cancel()

    def is_ready(self, pid: bytes, rotation: int) -> bool:
        """Whether `whole` returns at once."""
        task = self._kept.get((pid, rotation))
        return task is not None and task.done()

    def prefetch(self, pids: Sequence[tuple[bytes, int]]) -> None:
        """Fetch these (id, rotation) too, when there is time."""
        for pid, rotation in pids:
            self._task(pid, rotation)

    async def close(self) -> None:
        """End the threads and the worker process."""
        for task in self._kept.values():
            task.cancel()
        self._kept.clear()
        self._close = None
        for pool in (self._pool, self._close_pool):
            if pool is not None:
                await asyncio.to_thread(pool.close)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, work: Callable[[], _Result]) -> _Result:
        """Run a piece of work in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def drawn(self, draw: Callable[[], _Result], free: Callable[[_Result], None]) -> _Result:
        """As `in_thread`; `free` gets what was made for somebody who did not wait for it."""

        def let_go(done: Future[_Result]) -> None:
            if not done.cancelled() and done.exception() is None:
                free(done.result())

        making = self._threads.submit(draw)
        try:
            return await asyncio.wrap_future(making)
        except asyncio.CancelledError:
            making.add_done_callback(let_go)
            raise

    def _task(self, pid: bytes, rotation: int) -> asyncio.Task[Picture]:
        key = (pid, rotation)
        task = self._kept.get(key)
        if task is None or task.cancelled():
            task = self._kept[key] = asyncio.get_running_loop().create_task(self._fetch(pid))
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)[1].cancel()
        return task

    async def _fetch(self, pid: bytes) -> Picture:
        try:
            source = await self._thread.ask(lambda library: _source(library, pid))
        except (NotOpen, CoreError):
            return Picture(None, "the library is closed")
        if source is None:
            return Picture(None, "the photo is gone")
        return await self.in_thread(lambda: self._decode(source))

    def _decode(self, source: _Source) -> Picture:
        blobs = self._thread.blobs
        problem: str | None = None
        missing = False
        for copy in sorted(source.copies, key=lambda one: one.role != "preview"):
            try:
                image = _preview(blobs, copy) if copy.role == "preview" else self._original(blobs, source, copy)
            except BlobMissing:
                missing = True
            except IntegrityAlarm as error:
                problem = problem or f"its file is damaged: {error}"
            except _UNREADABLE as error:
                problem = problem or f"it cannot be decoded: {error}"
            else:
                return Picture(turned(image, source.record.rotation))
        quick = _from_thumbnail(blobs, source.record, source.thumbnail)
        if missing and problem is None:
            here = "only its thumbnail is" if quick.image is not None else "neither it nor its thumbnail is"
            problem = f"{here} on this device" + ("" if source.has_relay else ", and the library uses no relay")
        return Picture(quick.image, problem or quick.problem, elsewhere=missing and source.has_relay)

    def _decode_closely(self, source: _Source) -> Picture:
        if self._close_pool is None:
            self._close_pool = WorkerPool(1, limits=msgspec.structs.replace(STANDARD, longest=_CLOSE_LONGEST))
        problem: str | None = None
        for copy in source.copies:
            if copy.role != "original":
                continue
            try:
                image = _original(self._close_pool, self._thread.blobs, source, copy)
            except BlobMissing:
                problem = problem or "the original is not on this device"
            except _UNREADABLE as error:
                problem = problem or f"the original cannot be read: {error}"
            else:
                return Picture(turned(image, source.record.rotation))
        return Picture(None, problem, elsewhere=source.has_relay)

    def _original(self, blobs: BlobStore, source: _Source, copy: Copy) -> Image.Image:
        if self._pool is None:
            self._pool = WorkerPool(1)
        return _original(self._pool, blobs, source, copy)


def _source(library: Library, pid: bytes) -> _Source | None:
    catalog = library.catalog
    record = catalog.photo(pid)
    if record is None:
        return None
    from core.sync.relays import Relays

    return _Source(record, catalog.copies(pid), catalog.thumbnail(pid), has_relay=bool(Relays(library).urls()))


def _original(pool: WorkerPool, blobs: BlobStore, source: _Source, copy: Copy) -> Image.Image:
    if copy.size > IN_MEMORY_BYTES:
        raise FileRefused("the original is too large to be shown here")
    body = blobs.read(copy.blob_id, copy.key)
    _, preview = pool.photo(protocol.Photo(copy.name or source.record.filename or "", len(body)), body)
    return _decode_jpeg(bytes(preview))


def _preview(blobs: BlobStore, copy: Copy) -> Image.Image:
    if copy.size > _MAX_PREVIEW_BYTES:
        raise FileRefused("its preview is larger than any")
    return _decode_jpeg(blobs.read(copy.blob_id, copy.key))


def _decode_jpeg(data: bytes) -> Image.Image:
    try:
        image = open_jpeg(data)
        if image.width * image.height <= _MAX_PREVIEW_PIXELS:
            # Its colour profile, if it has one, is a stranger's file once more, and stays unread in this process.
            return image.convert("RGB")
    except Exception as error:  # no decoder promises which errors it raises, and another device made these bytes
        raise FileRefused("its preview is damaged") from error
    raise FileRefused("its preview is larger than any")


def _from_thumbnail(blobs: BlobStore, record: PhotoRecord, place: ThumbRef | None) -> Picture:
    try:
        return Picture(turned(whole_thumbnail(blobs, place, _THUMBNAIL_SIZE), record.rotation))
    except ThumbnailProblem as problem:
        return Picture(None, str(problem))
