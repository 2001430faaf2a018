"""The idle lock: what is locked, what is kept from view, and where one is afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual.widgets import Input, Static

from tests.tui.app.conftest import Bench, library_shown, play, settled, type_text, until
from tests.tui.conftest import PASSPHRASE
from tui.app.graphics.detection import Answers
from tui.app.screens.unlock import UnlockScreen
from tui.app.settings import Settings

if TYPE_CHECKING:
    import pytest
    from textual.pilot import Pilot

    from tui.app.app import SafelightApp


class Clock:
    """Time that passes when the test says so."""

    def __init__(self, app: SafelightApp) -> None:
        self.now = app.clock()
        app.clock = lambda: self.now

    def minutes(self, passed: float) -> None:
        self.now += 60 * passed


async def look(pilot: Pilot[None]) -> None:
    """Have the app look whether it is idle, as it does by itself now and then."""
    looked = asyncio.Event()

    async def lock_if_idle() -> None:
        await pilot.app.lock_if_idle()  # type: ignore[attr-defined]  # every app of these tests is SafelightApp
        looked.set()

    pilot.app.call_later(lock_if_idle)
    await looked.wait()


def test_nobody_there_locks_and_unlocking_leads_back(pictured: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = pictured.app(settings=Settings(lock_after=0), graphics="kitty", answers=Answers(kitty=True, cell=(8, 16)))
    sent: list[str] = []
    monkeypatch.setattr(app, "_write", sent.append)
    app.pictures, app.placeholders, app.cell = app._renderers()
    clock = Clock(app)

    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        screen.show_query("label:dog")
        await settled(pilot)
        await pilot.press("s", "right", "right")
        await settled(pilot)
        here = screen.grid.current
        clock.minutes(60 * 24 * 365)
        await look(pilot)
        assert app.screen is screen, "zero minutes: never"
        app.settings = Settings(lock_after=5)
        await pilot.press("left", "right")
        clock.minutes(4.9)
        await look(pilot)
        assert app.screen is screen
        await pilot.press("left")  # somebody is there
        await pilot.press("right")
        clock.minutes(4.9)
        await look(pilot)
        assert app.screen is screen

        before = app.library
        clock.minutes(0.2)
        await look(pilot)
        await until(
            pilot,
            lambda: isinstance(app.screen, UnlockScreen) and app.screen.is_mounted,
            "the passphrase to be asked for",
        )
        assert not before.is_open
        assert not app.library.is_open
        assert app.find_secrets() is None
        assert "nobody was here for 5 minutes" in str(app.screen.query_one("#said", Static).content)
        told = "".join(sent)
        assert told.count("a=T,U=1") > 0
        assert told.count("a=d,d=I") == told.count("a=T,U=1"), "the terminal keeps no picture"

        await type_text(pilot, PASSPHRASE)
        field = app.screen.query_one(Input)
        await pilot.press("enter")
        await until(pilot, lambda: field.value == "", "the field to forget the passphrase")
        back = await library_shown(pilot)
        assert back.ordering.query == "label:dog"
        assert back.ordering.sort == "imported"
        assert back.grid.current == here

    play(app, scene)
