"""The one thread that uses the library: the event loop asks, and awaits the answer.

    photos = await thread.ask(lambda library: library.catalog.photos(pids), lane="page")

Requests of one `lane` supersede each other: only the newest is answered, the others raise `Superseded`, whether they
were waiting or running. Requests without a lane (edits) are all carried out, in order, before anything in the
background. A request whose asker was cancelled is dropped if it has not begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from core.blobs import BlobStore
    from core.library import Library
    from crypto.keys import DeviceSecrets

_Result = TypeVar("_Result")

_SOON, _LATER, _LAST = 0, 1, 2


class Superseded(Exception):
    """A newer request of the same kind took this one's place."""


class NotOpen(Exception):
    """The library is not open, or not any more."""


@dataclass(order=True)
class _Request:
    urgency: int
    number: int
    work: Callable[[], Any] = field(compare=False)
    answer: asyncio.Future[Any] = field(compare=False)
    loop: asyncio.AbstractEventLoop = field(compare=False)
    lane: str = field(compare=False, default="")
    generation: int = field(compare=False, default=0)


class LibraryThread:
    """Owns the library from its opening to its end."""

    def __init__(self) -> None:
        """Start the thread; it holds no library yet."""
        self._requests: queue.PriorityQueue[_Request] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._generations: defaultdict[str, int] = defaultdict(int)
        self._library: Library | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="library", daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether there is a library."""
        return self._library is not None

    @property
    def library(self) -> Library:
        """The library itself, for other threads (an import's); never for the event loop. Raises `NotOpen`."""
        if self._library is None:
            raise NotOpen
        return self._library

    @property
    def blobs(self) -> BlobStore:
        """The library's blobs, which threads may read as they like. Raises `NotOpen`."""
        return self.library.blobs

    async def open(self, root: Path, secrets: DeviceSecrets) -> None:
        """Open the library in `root`; errors as of `Library.open`."""

        def work() -> None:
            from core.library import Library

            self._library = Library.open(root, secrets)

        await self.run(work)

    async def adopt(self, make: Callable[[], tuple[Library, _Result]]) -> _Result:
        """Take the library that `make` returns, and return what comes with it."""

        def work() -> _Result:
            self._library, result = make()
            return result

        return await self.run(work)

    async def ask(self, work: Callable[[Library], _Result], *, lane: str = "", background: bool = False) -> _Result:
        """Return what `work` returns of the library.

        Raises:
            Superseded: another request of the same lane came after this one.
            NotOpen: there is no library.
        """
        return await self.run(lambda: work(self.library), lane=lane, background=background)

    async def run(self, work: Callable[[], _Result], *, lane: str = "", background: bool = False) -> _Result:
        """As `ask`, of work that needs no library."""
        if self._ended:
            raise NotOpen
        return await self._submit(work, _LATER if background else _SOON, lane)

    async def close(self) -> None:
        """Carry out the edits that wait, close the library, end the thread."""
        if self._ended:
            return
        self._ended = True
        for lane in list(self._generations):
            self._generations[lane] += 1
        try:
            await self._submit(self._close_library, _LAST, "")
        finally:
            await asyncio.to_thread(self._thread.join)

    def _close_library(self) -> None:
        library, self._library = self._library, None
        if library is not None:
            library.close()

    async def _submit(self, work: Callable[[], _Result], urgency: int, lane: str) -> _Result:
        loop = asyncio.get_running_loop()
        generation = 0
        if lane:
            self._generations[lane] += 1
            generation = self._generations[lane]
        answer: asyncio.Future[Any] = loop.create_future()
        self._requests.put(_Request(urgency, next(self._numbers), work, answer, loop, lane, generation))
        return cast("_Result", await answer)

    def _run(self) -> None:
        while True:
            request = self._requests.get()
            if request.answer.cancelled():
                continue
            self._serve(request)
            if request.urgency == _LAST:
                return

    def _serve(self, request: _Request) -> None:
        try:
            self._check_newest(request)
            result = request.work()
            self._check_newest(request)
        except BaseException as error:  # noqa: BLE001 - it is raised where the question was asked
            _answer(request, None, error)
        else:
            _answer(request, result, None)

    def _check_newest(self, request: _Request) -> None:
        if request.lane and self._generations[request.lane] != request.generation:
            raise Superseded


def _answer(request: _Request, result: object, error: BaseException | None) -> None:
    def deliver() -> None:
        if request.answer.done():  # cancelled meanwhile
            return
        if error is None:
            request.answer.set_result(result)
        else:
            request.answer.set_exception(error)

    with contextlib.suppress(RuntimeError):  # the loop is gone, and nobody waits any more
        request.loop.call_soon_threadsafe(deliver)
