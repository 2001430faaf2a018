"""The import from the app: its options, what it says of files that it could not take, and what it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Checkbox, Input, Static

from tests.tui.app.conftest import Bench, library_shown, play, shown_on, until
from tests.tui.conftest import create_library, make_photo
from tui.app.screens.importing import ImportAskScreen, ImportScreen

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


def test_options_of_an_import_and_what_it_says_of_bad_files(nowhere: Bench, tmp_path: Path) -> None:
    create_library(nowhere.root)
    camera = tmp_path / "camera"
    for number in range(3):
        make_photo(camera / f"{number}.jpg", colour=(60 * number, 80, 120), taken=f"2024:05:0{number + 1} 10:00:00")
    (camera / "torn.jpg").write_bytes((camera / "0.jpg").read_bytes()[:200])
    (camera / "notes.txt").write_text("not a photo")
    app = nowhere.app()

    def shown() -> str:
        return "\n".join(str(one.content) for one in app.screen.query(Static))

    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, ImportAskScreen) and app.focused is not None)
        screen = shown_on(app.screen, ImportAskScreen)
        line = screen.query_one(Input)
        line.value = str(camera.parent) + "/cam"
        await until(pilot, lambda: [one.value for one in screen._choices] == [f"{camera}/"], "the folder")
        await pilot.press("tab")
        assert line.value == f"{camera}/"
        line.value = str(camera)
        await until(pilot, lambda: [one.value for one in screen._choices] == [f"{camera}/"])
        line.value = f"{camera}/"
        await until(pilot, lambda: not screen._choices)
        await pilot.press("tab", *"May")
        screen.query_one("#move", Checkbox).value = True
        screen.query_one("#label", Checkbox).value = False
        await pilot.press("enter")
        await until(pilot, lambda: "imported 3 photos, 1 failed" in library.status.flashed, "the import's end")
        assert len(library.grid.contents.photos) == 3
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, ImportScreen) and app.screen.is_mounted)
        await until(pilot, lambda: "torn.jpg" in shown() and "skipped 1" in shown() and "3 sources removed" in shown())
        await pilot.press("escape")

    play(app, scene)
    assert sorted(path.name for path in camera.iterdir()) == ["notes.txt", "torn.jpg"]
    with nowhere.open() as library:
        assert library.catalog.count("album:May") == 3
        assert library.catalog.count("is:unlabelled") == 3
