"""Searching by what photos look like: ranked in the grid, the sure ones apart, and said where no model can do it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image
from textual.widgets import Static

from core import packs
from core.importing.pipeline import import_paths
from tests.ml.colour_packs import ColourPack
from tests.ml.image_text_packs import ImageTextPack
from tests.tui.app.conftest import Bench, library_shown, play, settled, type_text, until
from tests.tui.conftest import create_library

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

COLOURS = {"red": (240, 5, 5), "brick": (200, 60, 60), "blue": (5, 5, 240)}


def test_photos_are_ranked_by_what_they_look_like(nowhere: Bench, tmp_path: Path) -> None:
    create_library(nowhere.root)
    (tmp_path / "photos").mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (90, 60), colour).save(tmp_path / "photos" / f"{name}.png")
    packs.add_pack(str(ColourPack(tmp_path / "labels").write()))
    packs.add_pack(str(ImageTextPack(tmp_path / "words").write()))
    with nowhere.open() as library:
        packs.use_pack(library, "colours")
        packs.use_pack(library, "colour-words")
        import_paths(library, [tmp_path / "photos"], workers=1)
        best = library.catalog.search("~red", "score")
    app = nowhere.app()

    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        await pilot.press("slash")
        await type_text(pilot, "~red")
        await until(pilot, lambda: len(screen.grid.contents.photos) == len(best) == 2, "the red ones")
        await settled(pilot)
        assert [photo.filename for photo in best] == ["red.png", "brick.png"]
        assert list(screen.grid.contents.photos) == [photo.pid for photo in best]
        assert screen.ordering.sort == "score"
        sure = sum(bool(photo.sure) for photo in best)
        titles = [(section.title, section.count) for section in screen.grid.contents.sections]
        assert titles == [(title, n) for title, n in (("Sure", sure), ("Maybe", 2 - sure)) if n]
        await pilot.press("enter", "escape")
        await until(pilot, lambda: screen.ordering.query == "" and len(screen.grid.contents.photos) == 3)
        assert screen.ordering.sort == "taken"

    play(app, scene)


def test_without_such_a_model_it_is_said_what_to_do(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        await pilot.press("slash")
        await type_text(pilot, '~"dog on a beach"')
        fault = screen.query_one("#fault", Static)
        await until(pilot, lambda: fault.has_class("shown") and "safelight model" in str(fault.content), "what to do")
        assert len(screen.grid.contents.photos) == 12

    play(pictured.app(), scene)
