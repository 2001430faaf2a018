"""Work that takes minutes and is not an import: labelling again, freeing room, checking, fetching a pack.

One at a time, in a thread of its own, while the app is used; how far it is can be looked at, and it can be stopped.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from core.errors import CoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from core.library import Library
    from tui.app.workers.library_thread import LibraryThread
    from tui.app.workers.syncing import Syncing

_LEAST_S: Final = 0.05
"""Between two looks at whether it is to stop: they cost little, the work's own steps less."""


class Stopped(Exception):
    """Whoever started the work wants it to end."""


@dataclass
class LongTask:
    """One piece of work and how far it is. Its thread writes, the app reads; fields are replaced, never changed."""

    title: str
    unit: str = "photos"
    running: bool = True
    stopping: bool = False
    done: int = 0
    total: int | None = None
    lines: Sequence[str] = field(default_factory=tuple)
    """What came of it."""
    error: str | None = None
    hint: str | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _looked: float = 0.0

    def advance(self, done: int, total: int | None) -> None:
        """Take note of how far it is; called by the work. Raises `Stopped` where it is to end."""
        self.done, self.total = done, total
        now = time.monotonic()
        if now - self._looked >= _LEAST_S:
            self._looked = now
            if self._stop.is_set():
                raise Stopped

    def should_stop(self) -> bool:
        """Tell whether it is to end, for work that ends by itself."""
        return self._stop.is_set()

    def stop(self) -> None:
        """End it after what is begun."""
        self.stopping = True
        self._stop.set()

    @property
    def line(self) -> str:
        """One line for the status."""
        if self.error is not None:
            return f"{self.title}: {self.error}"
        if not self.running:
            return f"{self.title}: {self.lines[0]}" if self.lines else f"{self.title}: done"
        share = f" {self.done * 100 // max(1, self.total)} %" if self.total else "…"
        return f"{self.title}{share}"


class LongWork:
    """One task at a time."""

    def __init__(self, library: LibraryThread, syncing: Syncing) -> None:
        """Work on this library, in the threads of `syncing`, which end before the library closes."""
        self._library = library
        self._syncing = syncing
        self.task: LongTask | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is any at work."""
        return self.task is not None and self.task.running

    async def run(self, task: LongTask, work: Callable[[Library, LongTask], Sequence[str]]) -> LongTask:
        """Do `work` and return the task when it has ended; what went wrong is in it. Raises `NotOpen`."""
        library = self._library.library
        self.task = task

        def begin(stop: threading.Event) -> None:
            try:
                task.lines = work(library, task)
            except Stopped:
                task.lines = ("stopped; what was done by then is kept",)
            except CoreError as error:
                task.error, task.hint = str(error), error.hint
            except Exception as error:  # noqa: BLE001 - said where the work is shown; the app goes on
                if not stop.is_set():
                    task.error = f"an error of the program itself ({type(error).__name__})"
            finally:
                task.running = False

        await self._syncing.errand(begin)
        return task

    def stop(self) -> None:
        """End the task after what is begun."""
        if self.task is not None and self.task.running:
            self.task.stop()
