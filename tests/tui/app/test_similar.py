"""Photos that look like one: from the grid and from a single photo, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from core.importing.pipeline import import_paths
from tests.core.test_vectors import add_vectors, random_rows
from tests.tui.app.conftest import Bench, library_shown, play, settled, shown_on, until
from tui.app.screens.cull import CullScreen
from tui.app.screens.cull_summary import CullSummaryScreen
from tui.app.screens.library import LibraryScreen
from tui.app.screens.photo import PhotoScreen
from tui.app.screens.similar import SimilarScreen
from tui.app.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from pathlib import Path

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
        await until(pilot, lambda: pilot.app.screen is not photo)
        again = await similar_shown(pilot)
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


def test_near_duplicates_stand_in_front_and_are_culled_beside_each_other(pictured: Bench, tmp_path: Path) -> None:
    spots = np.random.default_rng(4).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    scene_at = Image.fromarray(spots).resize((640, 480), Image.Resampling.BICUBIC)
    for number, width in enumerate((640, 480, 320)):
        copy = scene_at.resize((width, width * 3 // 4))
        copy.save(tmp_path / f"2030-{number}.jpg", exif=dated(f"2030:01:01 10:0{number}:00"), quality=95)
    with pictured.open() as library:
        import_paths(library, [tmp_path / f"2030-{number}.jpg" for number in range(3)], label=False, workers=1)
        smallest, middle, best, *_ = (photo.pid for photo in library.catalog.search(""))

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("right", "m")
        screen = await similar_shown(pilot)
        assert list(screen.grid.contents.photos) == [best, smallest]
        assert screen.grid.section_title == "Near-duplicates"
        assert "vector" in screen.query_one(StatusLine).flashed, "why there are no others"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, LibraryScreen))
        await pilot.press("home", "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, CullScreen))
        await settled(pilot)
        cull = shown_on(pilot.app.screen, CullScreen)
        assert cull.round.here == (best, middle, smallest)
        assert cull.round.focused == smallest, "what was under the cursor"
        await pilot.press("left", "left", "k", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, CullSummaryScreen))
        await pilot.press("y")
        await until(pilot, lambda: isinstance(pilot.app.screen, LibraryScreen))
        await settled(pilot)

    play(pictured.app(), scene)
    with pictured.open() as library:
        assert set(library.catalog.pids("is:trash")) == {middle, smallest}


def dated(taken: str) -> Image.Exif:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = taken
    return exif
