"""Photos that look like one: near-duplicates in front, then what is similar, the most similar first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.widgets import Static

from core.errors import CoreError, NoVector, PackRefused
from tui.app.error_lines import or_said
from tui.app.grid.contents import Contents
from tui.app.grid.photo_grid import PhotoGrid
from tui.app.keys import SIMILAR, bindings
from tui.app.screen_work import work
from tui.app.screens.grid_entries import GridEntries
from tui.app.screens.grid_screen import GridScreen
from tui.app.widgets.status_line import StatusLine
from tui.cli.output import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.catalog import PhotoRecord
    from core.library import Library

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
        return Contents.ranked(("Near-duplicates", self.duplicates), ("Similar", self.similar))


class SimilarScreen(GridEntries, GridScreen):
    """A grid of photos that look like one."""

    BINDINGS = bindings(SIMILAR)

    def __init__(self, pid: bytes) -> None:
        """Show what is like photo `pid`."""
        super().__init__("Similar photos")
        self._pid = pid

    def on_mount(self) -> None:
        """Look for them."""
        self._find()

    def load_all(self) -> None:
        """Show everything again as it is now."""
        self._find()

    @work(exclusive=True, group="similar")
    async def _find(self) -> None:
        status = self.query_one(StatusLine)
        status.going_on("looking for similar photos")
        library, pid = self.app.library, self._pid
        try:
            alike = await or_said(self, self.app.syncing.errand(lambda _: Alike.of(library.library, pid)))
        finally:
            status.going_on("")
        if alike is None:
            return
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
