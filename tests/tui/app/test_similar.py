"""Photos that look like one: from the grid and from a single photo, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.core.test_vectors import add_vectors, random_rows
from tests.tui.app.conftest import Bench, library_shown, play, settled, shown_on, until
from tui.app.screens.cull import CullScreen
from tui.app.screens.library import LibraryScreen
from tui.app.screens.photo import PhotoScreen
from tui.app.screens.similar import SimilarScreen

if TYPE_CHECKING:
    from textual.pilot import Pilot


async def similar_shown(pilot: Pilot[None]) -> SimilarScreen:
    await until(pilot, lambda: isinstance(pilot.app.screen, SimilarScreen))
    await settled(pilot)
    return shown_on(pilot.app.screen, SimilarScreen)


def test_similar_photos_are_a_grid_with_all_that_a_grid_can_do(pictured: Bench) -> None:
    with pictured.open() as library:
        pids = [photo.pid for photo in library.catalog.search("")]
        rows = random_rows(len(pids))
        rows[[5, 7]] = rows[0] + np.array([[0.1], [0.2]], dtype=np.float32) * rows[9]
        add_vectors(library, pids, rows)

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("m")
        screen = await similar_shown(pilot)
        found = list(screen.grid.contents.photos)
        assert found[:2] == [pids[5], pids[7]]
        assert len(found) == 11
        assert screen.grid.section_title == "Similar"
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PhotoScreen))
        await settled(pilot)
        photo = shown_on(pilot.app.screen, PhotoScreen)
        assert photo.pid == pids[7]
        await pilot.press("m")
        again = await similar_shown(pilot)
        assert again is not screen
        assert pids[0] in again.grid.contents.photos.slice(0, 3)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is photo)
        await pilot.press("left", "escape")
        await until(pilot, lambda: pilot.app.screen is screen)
        await settled(pilot)
        assert screen.grid.current == pids[5]
        await pilot.press("space", "space", "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, CullScreen))
        await settled(pilot)
        assert shown_on(pilot.app.screen, CullScreen).round.stops == [(pids[5],), (pids[7],)]
        await pilot.press("q", "q")
        await until(pilot, lambda: isinstance(pilot.app.screen, LibraryScreen))

    play(pictured.app(), scene)


def test_without_vectors_it_is_said_what_would_make_them(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("m")
        screen = await similar_shown(pilot)
        assert "vector" in screen.grid.emptiness
        assert "retag" in screen.grid.emptiness
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, LibraryScreen))

    play(pictured.app(), scene)
