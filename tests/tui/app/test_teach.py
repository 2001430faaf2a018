"""Teaching a label in the app: by marked photos, by answers, and forgetting it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Input

from core.library import Library
from tests.core.conftest import Bench as CoreBench
from tests.core.test_teaching import harbour
from tests.tui.app.conftest import Bench, library_shown, play, settled, shown_on, type_text, until
from tests.tui.conftest import PASSPHRASE, create_library
from tui.app.screens.ask import AskScreen, ConfirmScreen
from tui.app.screens.form import FormScreen
from tui.app.screens.teach import TeachScreen

if TYPE_CHECKING:
    from textual.pilot import Pilot


def test_a_label_is_taught_answered_for_and_forgotten(nowhere: Bench) -> None:
    create_library(nowhere.root)
    with nowhere.open() as library:
        secrets = Library.unlock(nowhere.root, PASSPHRASE.encode())
        boats, _ = harbour(CoreBench(nowhere.root, secrets, ""), library)
    app = nowhere.app()

    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        await pilot.press("Y")
        await until(pilot, lambda: "no label was taught" in library.status.flashed)
        library.grid.marks.set(boats[:5], marked=True)
        await pilot.press("L")
        await until(pilot, lambda: isinstance(app.screen, FormScreen) and app.focused is not None)
        await pilot.press("enter", "enter")
        assert isinstance(app.screen, FormScreen), "it needs a name"
        app.screen.query_one(Input).focus()
        await type_text(pilot, "Our boat")
        await pilot.press("enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, TeachScreen) and app.screen.is_mounted, "the review")
        screen = shown_on(app.screen, TeachScreen)
        await until(pilot, lambda: len(screen.grid.contents.photos) > 2, "photos to say yes or no to")
        await settled(pilot)
        first, shown = screen.grid.current, len(screen.grid.contents.photos)
        assert first in boats[5:]
        await pilot.press("y")
        await until(pilot, lambda: "our boat is on" in screen.status.flashed, "the answer to be learnt")
        assert len(screen.grid.contents.photos) == shown - 1
        await pilot.press("end")
        last = screen.grid.current
        screen.say("")
        await pilot.press("n")
        await until(pilot, lambda: "our boat is on" in screen.status.flashed, "the answer to be learnt")
        await pilot.press("r")
        await settled(pilot)
        assert not {first, last} & set(screen.grid.contents.photos)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is library)
        found = await app.library.ask(lambda one: one.catalog.pids('label:"our boat"'))
        assert first in found
        assert last not in found

        await pilot.press("Y")
        await until(pilot, lambda: isinstance(app.screen, AskScreen) and app.focused is not None)
        await until(pilot, lambda: len(shown_on(app.screen, AskScreen)._choices) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TeachScreen) and app.screen.is_mounted)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen) and app.screen.is_mounted)
        await pilot.press("y")
        await until(pilot, lambda: app.screen is library)
        assert await app.library.ask(lambda one: one.catalog.count('label:"our boat"')) == 0

    play(app, scene)
