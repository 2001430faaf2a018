"""What the tiles of a grid show: records from the library, pictures from the loaders, kept as long as there is room.

The grid says what it wants (what is visible first, then what comes next); every new wish replaces the last one, so
nobody works on what has scrolled away. Where thumbnails take their time (they are sent to the terminal as pixels), a
placeholder made from the ThumbHash comes first; drawn in cells, a thumbnail is there as soon as its placeholder would
be, which then only stands for one that cannot be shown.
Results come to the event loop in batches, about thirty times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tui.app.workers.library_thread import NotOpen, Superseded
from tui.app.workers.thumbnails import ThumbnailProblem, placeholder, thumbnail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.segment import Segment

    from core.blobs import BlobStore
    from core.catalog import PhotoRecord, ThumbRef
    from core.library import Library
    from tui.app.graphics.pictures import Art, PictureRenderer
    from tui.app.workers.library_thread import LibraryThread

_log = logging.getLogger(__name__)

_THREADS = 1
_FRAME_S = 1 / 30
_MOST_RECORDS = 4_000
ART_BUDGET_BYTES = 64 << 20


@dataclass(slots=True)
class Tile:
    """What is known of one photo: its record, its picture, whether that is the thumbnail, and why it is not.

    `lines` are whoever's draws it, kept until something changes.
    """

    record: PhotoRecord
    thumbnail: ThumbRef | None
    art: Art | None = None
    is_final: bool = False
    problem: str | None = None
    lines: list[list[Segment]] | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """One picture to make: the thumbnail, or, `first`, what stands for it until it is there."""

    tile: Tile
    shape: tuple[int, int]
    first: bool


@dataclass(frozen=True, slots=True)
class _Made:
    """What came of a job; with a `problem` the picture, if any, is only the placeholder."""

    job: _Job
    art: Art | None
    problem: str | None = None

    @property
    def is_thumbnail(self) -> bool:
        return not self.job.first and self.problem is None


class TileStore:
    """Tiles of the photos that are on the screen, were, or are about to be."""

    def __init__(
        self,
        thread: LibraryThread,
        renderer: PictureRenderer,
        placeholders: PictureRenderer,
        on_ready: Callable[[set[bytes]], None],
        budget_bytes: int = ART_BUDGET_BYTES,
    ) -> None:
        """Tell `on_ready`, on the event loop, which photos' tiles have changed.

        Thumbnails are drawn by `renderer`, what stands for them by `placeholders`.
        """
        self._thread = thread
        self._renderer = renderer
        self._placeholders = placeholders
        self._on_ready = on_ready
        self._budget = budget_bytes
        self._tiles: OrderedDict[bytes, Tile] = OrderedDict()
        self._stale: set[bytes] = set()
        self._cost = 0
        self._shape = (1, 1)
        self._wanted: list[bytes] = []
        self._visible: frozenset[bytes] = frozenset()
        self._asking: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = contextvars.Context()
        self._flush: asyncio.TimerHandle | None = None
        self.shown = asyncio.Event()
        """Set while everything that is visible has been made, as far as it can be."""
        self._guard = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._made: list[_Made] = []
        self._working = 0
        self._ended = False
        self._loaders = [
            threading.Thread(target=self._load, name=f"thumbnails-{n}", daemon=True) for n in range(_THREADS)
        ]
        for loader in self._loaders:
            loader.start()

    def get(self, pid: bytes) -> Tile | None:
        """Return what there is of a photo's tile."""
        return self._tiles.get(pid)

    def want(self, visible: Sequence[bytes], ahead: Sequence[bytes], shape: tuple[int, int]) -> None:
        """Have these tiles made, pictures `shape` (columns, lines) cells large; earlier wishes are forgotten."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._context = contextvars.copy_context()  # the loaders' threads know no app
        if shape != self._shape:
            self._shape = shape
            self._forget_pictures()
        self._visible = frozenset(visible)
        self._wanted = [*visible, *ahead]
        for pid in reversed(self._wanted):
            if pid in self._tiles:
                self._tiles.move_to_end(pid)
        self._queue_pictures()
        if any(pid not in self._tiles or pid in self._stale for pid in self._wanted):
            self._ask()
        self._tell_whether_shown()

    def forget(self, pids: Iterable[bytes] | None = None) -> None:
        """Read records again (all, by default) when they are next wanted; what is shown stays until they are there."""
        self._stale.update(self._tiles if pids is None else (pid for pid in pids if pid in self._tiles))

    def restyle(self) -> None:
        """Have all tiles drawn anew: the theme changed."""
        for tile in self._tiles.values():
            tile.lines = None

    @property
    def is_idle(self) -> bool:
        """Whether everything wanted has been made, as far as it can be."""
        with self._guard:
            busy = self._jobs or self._made or self._working
        return not busy and (self._asking is None or self._asking.done()) and self._flush is None

    def close(self) -> None:
        """End the loaders."""
        with self._guard:
            self._ended = True
            self._jobs.clear()
            self._guard.notify_all()
        if self._asking is not None:
            self._asking.cancel()
        if self._flush is not None:
            self._flush.cancel()
        self._forget_pictures()

    def _ask(self) -> None:
        if self._asking is not None and not self._asking.done():
            return  # it looks at the newest wish when it is done
        self._asking = asyncio.get_running_loop().create_task(self._fetch_records())

    async def _fetch_records(self) -> None:
        while missing := [pid for pid in self._wanted if pid not in self._tiles or pid in self._stale]:
            # What is seen now comes alone, so that it comes soon.
            seen = [pid for pid in missing if pid in self._visible]
            asked = seen or missing
            try:
                found = await self._thread.ask(partial(_read, pids=asked), lane="tiles")
            except (Superseded, NotOpen):
                return
            except Exception as error:  # noqa: BLE001 - tiles stay empty; the next wish asks again
                _log.warning("tiles_not_read: %s", type(error).__name__)
                return
            self._keep_records(found)
            gone = set(asked).difference(found)
            self._wanted = [pid for pid in self._wanted if pid not in gone]
            self._stale.difference_update(asked)
            self._queue_pictures()
            self._on_ready({pid for pid in found if self._shows(pid)})
            self._tell_whether_shown()

    def _shows(self, pid: bytes) -> bool:
        """Whether a record alone changes what is seen: no picture comes with it in a moment."""
        tile = self._tiles[pid]
        return tile.art is not None or tile.problem is not None or not self._draws

    @property
    def _draws(self) -> bool:
        return self._renderer.name != "none"

    def _keep_records(self, found: dict[bytes, tuple[PhotoRecord, ThumbRef | None]]) -> None:
        for pid, (record, place) in found.items():
            tile = self._tiles.get(pid)
            if tile is None:
                self._tiles[pid] = Tile(record, place)
                continue
            if tile.record.rotation != record.rotation or tile.thumbnail != place:
                tile.is_final = False
                tile.problem = None
            tile.record, tile.thumbnail = record, place
            tile.lines = None
        while len(self._tiles) > _MOST_RECORDS:
            self._drop_oldest()

    def _queue_pictures(self) -> None:
        first: list[_Job] = []
        then: list[_Job] = []
        is_slow = self._renderer is not self._placeholders
        for pid in self._wanted if self._draws else ():
            tile = self._tiles.get(pid)
            if tile is None or tile.is_final or tile.problem is not None:
                continue
            if is_slow and tile.art is None and tile.record.thumbhash is not None and pid in self._visible:
                first.append(_Job(tile, self._shape, first=True))
            then.append(_Job(tile, self._shape, first=False))
        with self._guard:
            self._jobs = deque([*first, *then])
            if self._jobs:
                self._guard.notify_all()

    def _load(self) -> None:
        while True:
            with self._guard:
                while not self._jobs and not self._ended:
                    self._guard.wait()
                if self._ended:
                    return
                job = self._jobs.popleft()
                self._working += 1
            made = None
            try:
                made = self._make(job)
            finally:
                with self._guard:
                    self._working -= 1
                    if made is not None:
                        self._made.append(made)
                    first = len(self._made) == 1
            if first and self._loop is not None:
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(self._schedule, context=self._context)

    def _make(self, job: _Job) -> _Made:
        problem = None
        if not job.first:
            try:
                return _Made(job, self._thumbnail(job))
            except ThumbnailProblem as found:
                problem = str(found)
            except Exception as error:  # noqa: BLE001 - a thumbnail is never worth more than itself
                problem = f"the thumbnail cannot be shown ({type(error).__name__})"
        try:
            return _Made(job, self._placeholder(job), problem)
        except Exception:  # noqa: BLE001 - nor is what stands for it
            return _Made(job, None, problem)

    def _thumbnail(self, job: _Job) -> Art:
        blobs: BlobStore = self._thread.blobs
        size = self._renderer.pixels(*job.shape)
        return self._renderer.draw(thumbnail(blobs, job.tile.record, job.tile.thumbnail, size), *job.shape)

    def _placeholder(self, job: _Job) -> Art:
        size = self._placeholders.pixels(*job.shape)
        return self._placeholders.draw(placeholder(job.tile.record, size), *job.shape)

    def _schedule(self) -> None:
        if self._flush is None and self._loop is not None and not self._ended:
            self._flush = self._loop.call_later(_FRAME_S, self._take)

    def _take(self) -> None:
        self._flush = None
        with self._guard:
            made, self._made = self._made, []
        changed: set[bytes] = set()
        for one in made:
            tile = one.job.tile
            pid = tile.record.pid
            if one.job.shape != self._shape or self._tiles.get(pid) is not tile or (one.job.first and tile.is_final):
                if one.art is not None:
                    self._maker(thumbnail=one.is_thumbnail).free(one.art)
                continue
            if not one.job.first:
                tile.problem, tile.lines = one.problem, None
            if one.art is not None:
                self._replace(tile, one.art, final=one.is_thumbnail)
            changed.add(pid)
        while self._cost > self._budget and self._drop_oldest():
            pass
        if changed:
            self._on_ready(changed)
        self._tell_whether_shown()

    def _tell_whether_shown(self) -> None:
        tiles = (self._tiles.get(pid) for pid in self._visible)
        if all(tile is not None and (tile.is_final or tile.problem or not self._draws) for tile in tiles):
            self.shown.set()
        else:
            self.shown.clear()

    def _replace(self, tile: Tile, art: Art | None, *, final: bool) -> None:
        if tile.art is not None:
            self._cost -= tile.art.cost
            self._maker(thumbnail=tile.is_final).free(tile.art)
        tile.art, tile.is_final, tile.lines = art, final, None
        self._cost += 0 if art is None else art.cost

    def _maker(self, *, thumbnail: bool) -> PictureRenderer:
        return self._renderer if thumbnail else self._placeholders

    def _drop_oldest(self) -> bool:
        """Forget the tile that was wanted longest ago; nothing that is wanted now is forgotten."""
        for pid in self._tiles:
            if pid in self._visible:
                return False
            tile = self._tiles.pop(pid)
            self._stale.discard(pid)
            self._replace(tile, None, final=False)
            return True
        return False

    def _forget_pictures(self) -> None:
        for tile in self._tiles.values():
            self._replace(tile, None, final=False)
            tile.problem = None


def _read(library: Library, pids: Sequence[bytes]) -> dict[bytes, tuple[PhotoRecord, ThumbRef | None]]:
    places = library.catalog.thumbnails(pids)
    return {record.pid: (record, places.get(record.pid)) for record in library.catalog.photos(pids)}
