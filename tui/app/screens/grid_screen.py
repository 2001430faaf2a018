"""A screen that is a grid of some photos under a title: what the smaller ones have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.screen import Screen
from textual.widgets import Static

from tui.app.grid.photo_grid import PhotoGrid
from tui.app.widgets.key_line import KeyLine
from tui.app.widgets.status_line import StatusLine
from tui.app.workers.tile_store import TileStore
from tui.cli.output import count, plain

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from tui.app.app import SafelightApp


class GridScreen(Screen[None]):
    """Title, grid, status line and keys."""

    app: SafelightApp
    AUTO_FOCUS: ClassVar[str] = "PhotoGrid"
    DEFAULT_CSS = """
    GridScreen {
        & #title { height: 1; padding: 0 1; background: $panel; color: $primary; text-style: bold; }
        & PhotoGrid { width: 1fr; height: 1fr; }
    }
    """

    def __init__(self, title: str) -> None:
        """Show an empty grid under a title."""
        super().__init__()
        self._heading = title
        self.tiles = TileStore(self.app.library, self.app.pictures, self.app.placeholders, self._tiles_ready)

    def compose(self) -> ComposeResult:
        """Lay out title, grid, status and keys."""
        yield Static(self._heading, id="title", markup=False)
        yield PhotoGrid(cell=self.app.cell, described=self.app.graphics == "none", id="grid")
        yield StatusLine(id="status")
        yield KeyLine()

    def on_mount(self) -> None:
        """Load tiles for the grid from now on."""
        self.grid.attach(self.tiles)
        self.grid.on_place = self._tell_place

    def on_unmount(self) -> None:
        """End the loaders."""
        self.tiles.close()

    @property
    def grid(self) -> PhotoGrid:
        """The grid."""
        return self.query_one(PhotoGrid)

    @property
    def status(self) -> StatusLine:
        """The line at the bottom."""
        return self.query_one(StatusLine)

    def say(self, text: str, *, error: bool = False) -> None:
        """Say what happened."""
        self.status.flash(plain(text), error=error)

    def action_back(self) -> None:
        """Go back."""
        self.dismiss()

    def _tiles_ready(self, pids: set[bytes]) -> None:
        if self.is_attached:
            self.grid.tiles_changed(pids)

    def _tell_place(self) -> None:
        grid = self.grid
        shown = len(grid.contents.photos)
        parts = [f"{grid.cursor + 1:,} of {count(shown, 'photo')}", grid.section_title] if shown else []
        parts += [f"{grid.marked:,} marked"] if grid.marked else []
        self.status.place(" · ".join(parts))
