"""Photos that look like one: near-duplicates in front, then what is similar, the most similar first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from textual import on, work
from textual.screen import Screen
from textual.widgets import Footer, Static

from core.catalog.sequence import NO_DAY, PhotoSequence
from core.errors import CoreError, NoVector, PackRefused
from tui.app.grid.contents import Contents, Ordering
from tui.app.grid.layout import Section
from tui.app.grid.photo_grid import PhotoGrid
from tui.app.keys import SIMILAR, bindings
from tui.app.screens.grid_entries import GridEntries
from tui.app.widgets.status_line import StatusLine
from tui.app.workers.library_thread import NotOpen
from tui.app.workers.tile_store import TileStore
from tui.cli.output import count, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from core.catalog import PhotoRecord
    from core.library import Library
    from tui.app.app import SafelightApp

_MOST = 100


@dataclass(frozen=True)
class Alike:
    """What a photo is like: its near-duplicates, those that are similar, and why there are none of these."""

    record: PhotoRecord | None
    duplicates: Sequence[bytes]
    similar: Sequence[bytes]
    trouble: CoreError | None = None

    @classmethod
    def of(cls, library: Library, pid: bytes) -> Alike:
        """Look for them."""
        from core.duplicates import duplicates_of
        from core.similar import similar_photos

        group = duplicates_of(library, pid)
        duplicates = [] if group is None else [other for other in group.photos if other != pid]
        similar: list[bytes] = []
        trouble: CoreError | None = None
        try:
            similar = [other for other, _ in similar_photos(library, pid, _MOST) if other not in duplicates]
        except (NoVector, PackRefused) as error:
            trouble = error
        return cls(library.catalog.photo(pid), duplicates, similar, trouble)

    def contents(self) -> Contents:
        """Return them as a grid shows them."""
        pids = [*self.duplicates, *self.similar]
        sections = (Section("Near-duplicates", len(self.duplicates)), Section("Similar", len(self.similar)))
        days = np.full(len(pids), NO_DAY, dtype=np.int32)
        return Contents(Ordering(sort="score"), PhotoSequence(b"".join(pids), days), sections)


class SimilarScreen(GridEntries, Screen[None]):
    """A grid of photos that look like one."""

    app: SafelightApp
    AUTO_FOCUS: ClassVar[str] = "PhotoGrid"
    BINDINGS = bindings(SIMILAR)
    DEFAULT_CSS = """
    SimilarScreen {
        & #title { height: 1; padding: 0 1; background: $panel; color: $primary; text-style: bold; }
        & PhotoGrid { width: 1fr; height: 1fr; }
    }
    """

    def __init__(self, pid: bytes) -> None:
        """Show what is like photo `pid`."""
        super().__init__()
        self._pid = pid
        self.tiles = TileStore(self.app.library, self.app.pictures, self.app.placeholders, self._tiles_ready)

    def compose(self) -> ComposeResult:
        """Lay out title, grid, status and keys."""
        yield Static("Similar photos", id="title", markup=False)
        yield PhotoGrid(cell=self.app.cell, described=self.app.graphics == "none", id="grid")
        yield StatusLine(id="status")
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Look for them."""
        self.grid.attach(self.tiles)
        self.grid.on_place = self._tell_place
        self._find()

    def on_unmount(self) -> None:
        """End the loaders."""
        self.tiles.close()

    @property
    def grid(self) -> PhotoGrid:
        """The grid."""
        return self.query_one(PhotoGrid)

    def say(self, text: str, *, error: bool = False) -> None:
        """Say what happened."""
        self.query_one(StatusLine).flash(plain(text), error=error)

    def load_all(self) -> None:
        """Show everything again as it is now."""
        self._find()

    @work(exclusive=True, group="similar")
    async def _find(self) -> None:
        status = self.query_one(StatusLine)
        status.going_on("looking for similar photos")
        library, pid = self.app.library, self._pid
        try:
            alike = await self.app.syncing.errand(lambda _: Alike.of(library.library, pid))
        except NotOpen:
            return
        except CoreError as error:
            self.say(f"{error}" + (f" · {error.hint}" if error.hint else ""), error=True)
            return
        finally:
            status.going_on("")
        if alike.record is not None:
            name = plain(alike.record.filename or alike.record.id[:8])
            self.query_one("#title", Static).update(f"Similar to {name}")
        trouble = alike.trouble
        if trouble is not None:
            self.say(str(trouble), error=True)
        self.grid.explain_emptiness(
            ["Nothing in the library is like it."] if trouble is None else [str(trouble), "", trouble.hint or ""]
        )
        self.grid.show(alike.contents(), keep_place=True)

    def _tiles_ready(self, pids: set[bytes]) -> None:
        if self.is_attached:
            self.grid.tiles_changed(pids)

    def _tell_place(self) -> None:
        grid = self.grid
        shown = len(grid.contents.photos)
        parts = [f"{grid.cursor + 1:,} of {count(shown, 'photo')}", grid.section_title] if shown else []
        parts += [f"{grid.marked:,} marked"] if grid.marked else []
        self.query_one(StatusLine).place(" · ".join(parts))

    def action_back(self) -> None:
        """Go back."""
        self.dismiss()

    @on(PhotoGrid.Opened)
    def open_photo(self) -> None:
        """Show the photo under the cursor large."""
        from tui.app.screens.photo import PhotoScreen

        def back(index: int | None) -> None:
            if index is not None:
                self.grid.go_to(index)
            self.tiles.forget()
            self.load_all()

        self.app.push_screen(PhotoScreen(self.grid.contents, self.grid.cursor, self.tiles), back)
