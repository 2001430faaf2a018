"""An import beside the app: in a thread of its own, on the same library, while everything else goes on."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.errors import CoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from core.importing.events import ImportEvent, ImportSummary, Progress
    from tui.app.workers.library_thread import LibraryThread

_MOST_LINES = 500
"""Failures that are kept to be read; all are counted."""


@dataclass
class ImportState:
    """How far an import is. Written by its thread, read by the app; each field is replaced, never changed in place."""

    folder: str
    running: bool = True
    stopping: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    progress: Progress | None = None
    lines: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """How many files were no photos, by the reason."""
    binned: int = 0
    """How many of those that were known already are in the trash, and stay there."""
    summary: ImportSummary | None = None
    error: str | None = None
    hint: str | None = None

    @property
    def line(self) -> str:
        """One line for the status."""
        if self.error is not None:
            return f"import stopped: {self.error}"
        added, failed = self.counts["added"], self.counts["failed"]
        bad = f", {failed:,} failed" if failed else ""
        if not self.running:
            known = self.counts["duplicate"]
            return f"imported {added:,} photos" + (f", {known:,} known" if known else "") + bad
        done = self.progress
        if done is None or not done.total_files:
            return "importing…"
        share = f" {done.bytes * 100 // max(1, done.total_bytes)} %" if done.counted else ""
        return f"importing{share}: {done.files:,} of {done.total_files:,} files{bad}"


@dataclass(frozen=True)
class ImportWish:
    """What to import, and how: as the options of `safelight import` are."""

    paths: tuple[Path, ...]
    album: str | None = None
    move: bool = False
    label: bool = True
    readmit_purged: bool = False


class Importer:
    """One import at a time."""

    def __init__(self, library: LibraryThread) -> None:
        """Import into this library."""
        self._library = library
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.state: ImportState | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is an import under way."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, wish: ImportWish, on_change: Callable[[ImportState], None]) -> None:
        """Begin; `on_change` is told on the event loop, a few times a second and at the end."""
        if self.is_running:
            return
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()  # a thread has one of its own, which knows no app
        self._stop.clear()
        state = self.state = ImportState(", ".join(str(path) for path in wish.paths))

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the app has ended
                loop.call_soon_threadsafe(on_change, state, context=context)

        self._thread = threading.Thread(target=self._run, args=(wish, state, tell), name="import", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the import after what is begun."""
        if self.state is not None and self.is_running:
            self.state.stopping = True
        self._stop.set()

    async def close(self) -> None:
        """Stop, and wait for the end."""
        self.stop()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self, wish: ImportWish, state: ImportState, tell: Callable[[], None]) -> None:
        from core.importing.pipeline import import_paths

        known: set[bytes] = set()

        def follow(event: ImportEvent) -> None:
            if event.progress is not None:
                state.progress = event.progress
                tell()
                return
            state.counts[event.kind] += 1
            if event.kind == "skipped":
                state.skipped[event.reason or "no photo"] += 1
            elif event.kind == "duplicate" and event.pid is not None:
                known.add(event.pid)
            elif event.kind in {"failed", "note"} and len(state.lines) < _MOST_LINES:
                state.lines = [*state.lines, f"{event.path or ''}: {event.reason}"]

        try:
            library = self._library.library
            state.summary = import_paths(
                library,
                wish.paths,
                move=wish.move,
                album=wish.album,
                label=wish.label,
                readmit_purged=wish.readmit_purged,
                progress=follow,
                should_stop=self._stop.is_set,
            )
            if known:
                state.binned = len(known.intersection(library.catalog.pids("is:trash")))
        except CoreError as error:
            state.error, state.hint = str(error), error.hint
        except Exception as error:  # noqa: BLE001 - said where the import is shown; the app goes on
            state.error = f"an error of the program itself ({type(error).__name__})"
        finally:
            state.running = False
            tell()
