"""From a grid to what is done with its photos on other screens: culling them, and looking for similar ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from tui.app.culling import CullRound
from tui.app.screen_work import work
from tui.app.screens.cull import CullScreen

if TYPE_CHECKING:
    from core.catalog.sequence import PhotoSequence
    from tui.app.app import SafelightApp
    from tui.app.grid.marks import Marks
    from tui.app.grid.photo_grid import PhotoGrid
    from tui.app.workers.tile_store import TileStore


class _WithGrid(Protocol):
    app: SafelightApp
    tiles: TileStore

    @property
    def grid(self) -> PhotoGrid: ...
    def say(self, text: str, *, error: bool = False) -> None: ...
    def load_all(self) -> None: ...


def _round(photos: PhotoSequence, marks: Marks | None, cursor: int) -> CullRound:
    return CullRound(photos, cursor) if marks is None else CullRound(marks.among(photos))


class GridEntries:
    """The actions that lead away from a grid, and back to it."""

    def action_similar(self: _WithGrid) -> None:
        """Show what is like the photo under the cursor."""
        from tui.app.screens.similar import SimilarScreen

        if self.grid.current is not None:
            self.app.push_screen(SimilarScreen(self.grid.current), lambda _: self.load_all())

    @work(exclusive=True, group="ask")
    async def action_cull(self: _WithGrid) -> None:
        """Cull the photos that are marked; without marks all that are shown, from the one under the cursor on."""
        grid = self.grid
        photos = grid.contents.photos
        if not len(photos):
            self.say("there are no photos here to cull", error=True)
            return
        marks = grid.marks if grid.marked else None
        culled = await asyncio.to_thread(_round, photos, marks, grid.cursor)
        said = await self.app.push_screen_wait(CullScreen(culled))
        self.say(said)
        self.tiles.forget()
        self.load_all()
