"""The sidebar's places and devices, and what an empty search says."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from textual.widgets import Input

from tests.core.test_places import LISBON, around, put_at
from tests.tui.app.conftest import Bench, library_shown, play, settled, type_text, until
from tui.app.screens.ask import AskScreen
from tui.app.screens.devices import DevicesScreen
from tui.app.widgets import sidebar as module
from tui.app.widgets.sidebar import Places, Sidebar

if TYPE_CHECKING:
    from textual.pilot import Pilot


def section(screen: Any, title: str) -> list[tuple[str, str]]:
    """What stands in a section: titles, and what is said of each."""
    found = dict(screen.query_one(Sidebar).places.sections)
    return [(line.title, line.about) for line in found.get(title, ())]


def test_places_are_listed_searched_and_named(pictured: Bench) -> None:
    with pictured.open() as library:
        put_at(library, [*around(LISBON, 4), None])
    app = pictured.app()

    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        ((title, photos),) = section(screen, "Places")
        assert (title[:4], photos) == ("38.7", "4")
        await pilot.press("P")
        await settled(pilot)
        assert "choose a place" in screen.status.flashed

        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, AskScreen) and app.focused is not None)
        await type_text(pilot, "38.7")
        await until(pilot, lambda: len(app.screen.query_one("OptionList").options) == 1)  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, lambda: len(screen.grid.contents.photos) == 4, "the place's photos")
        await pilot.press("P")
        await until(pilot, lambda: isinstance(app.screen, AskScreen) and app.focused is not None)
        await type_text(pilot, "Lisbon")
        await pilot.press("enter")
        await until(pilot, lambda: section(screen, "Places") == [("Lisbon", "4")], "the place's name")

    play(app, scene)


def test_other_devices_lead_to_their_list(pictured: Bench) -> None:
    app = pictured.app()
    assert module._when(None) == "never"
    assert module._when(0) == "1970-01-01"

    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        assert section(screen, "Devices") == [], "this device alone"
        sidebar = screen.query_one(Sidebar)
        sidebar.show(module.Places((("Devices", (module.Place("Phone", module.DEVICES, word="12:30"),)),)))
        sidebar.focus()
        await pilot.press("home", "enter")
        await until(pilot, lambda: isinstance(app.screen, DevicesScreen))
        await pilot.press("escape")

    play(app, scene)


def test_a_search_that_finds_nothing_says_what_would(pictured: Bench) -> None:
    app = pictured.app()

    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        await pilot.press("slash")
        await type_text(pilot, "label:dog rating:5 date:2024")
        await until(pilot, lambda: "without rating:5: 8 photos" in screen.grid.emptiness, "what would be found")
        assert "without label:dog" not in screen.grid.emptiness, "nothing has five stars"
        screen.query_one(Input).value = "label:dgo"
        await until(pilot, lambda: "with label:dog: 8 photos" in screen.grid.emptiness, "the label that was meant")
        screen.query_one(Input).value = "label:dog (rating:5 OR rating:2)"
        await until(pilot, lambda: "without (rating:5 OR rating:2): 8 photos" in screen.grid.emptiness)

    play(app, scene)


def test_going_to_a_place_before_the_sidebar_is_filled_waits_for_it(pictured: Bench) -> None:
    """Both ask the library for the same, and the first of the two gets no answer: the app ended with an error."""

    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        await settled(pilot)
        sidebar = screen.query_one(Sidebar)
        sidebar.show(Places())
        gate = threading.Event()
        busy = asyncio.create_task(app.library.ask(lambda _: gate.wait(60)))
        await asyncio.sleep(0)
        screen.action_go_to_list()
        await pilot.pause(0)
        screen._load_places()
        await pilot.pause(0)
        gate.set()
        await busy
        await until(pilot, lambda: isinstance(pilot.app.screen, AskScreen), "the question")
        await until(pilot, lambda: bool(sidebar.places.all()), "the places")
        await pilot.press("escape")

    app = pictured.app()
    play(app, scene)
