"""One photo: the picture, its neighbours, zoom, labels confirmed and rejected, and what is written about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input, Static

from core import edits
from tests.tui.app.conftest import Bench, library_shown, play, settled, shown_on, type_text, until
from tui.app.edits import full_time
from tui.app.screens.ask import AskScreen
from tui.app.screens.photo import PhotoScreen
from tui.app.screens.photo_date import DateScreen
from tui.app.screens.text import TextScreen

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from core.catalog import PhotoRecord


async def photo_shown(pilot: Pilot[None]) -> PhotoScreen:
    """Open the photo under the cursor, and wait for its picture."""
    await library_shown(pilot)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, PhotoScreen))
    await settled(pilot)
    return shown_on(pilot.app.screen, PhotoScreen)


async def answer(pilot: Pilot[None], text: str) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, AskScreen))
    line = pilot.app.screen.query_one(Input)
    line.value = ""
    await type_text(pilot, text)
    await settled(pilot)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, PhotoScreen))
    await settled(pilot)


def chosen_label(screen: PhotoScreen) -> str | None:
    chosen = screen.facts.chosen
    return None if chosen is None else chosen.name


def record(bench: Bench, pid: bytes) -> PhotoRecord:
    with bench.open() as library:
        found = library.catalog.photo(pid)
    assert found is not None
    return found


def test_the_picture_the_facts_and_the_neighbours(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await photo_shown(pilot)
        assert screen.picture.is_drawn
        first = screen.pid
        for key in ("right", "space", "l"):
            await pilot.press(key)
            # Whatever is being fetched, there is a picture on the screen.
            assert screen.picture.is_drawn
            await settled(pilot)
        photos = screen._contents.photos
        assert screen.pid == photos[3]
        assert all(screen.pictures.is_ready(photos[near], 0) for near in (2, 3, 4))
        await pilot.press("left", "h", "backspace", "left")
        await settled(pilot)
        assert screen.pid == first
        assert "first one" in screen.query_one("#status").flashed  # type: ignore[attr-defined]
        await pilot.press("right", "escape")
        library = await library_shown(pilot)
        assert library.grid.current == photos[1]

    play(pictured.app(), scene)


def test_zoom_and_pan(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await photo_shown(pilot)
        await pilot.press("plus", "plus", "shift+right", "J")
        await settled(pilot)
        view = screen.picture.view
        assert view.zoom == 4
        assert view.centre[0] > 0.5
        assert view.centre[1] > 0.5
        await pilot.press("z")
        assert screen.picture.view.zoom == 1
        await pilot.press("z", "right")
        await settled(pilot)
        assert screen.picture.view.zoom == 1

    play(pictured.app(), scene)


def test_labels_are_confirmed_and_rejected_for_good(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await photo_shown(pilot)
        assert chosen_label(screen) == "dog"
        await pilot.press("n")
        await settled(pilot)
        assert chosen_label(screen) is None
        await pilot.press("u")
        await settled(pilot)
        assert chosen_label(screen) == "dog"
        assert "you added it" in str(screen.query_one("#reason", Static).content)
        await pilot.press("y")
        await settled(pilot)
        await pilot.press("t")
        await answer(pilot, "harbour")
        await pilot.press("down", "down")
        assert chosen_label(screen) == "harbour"
        await pilot.press("w")
        await until(pilot, lambda: isinstance(pilot.app.screen, TextScreen))
        await pilot.press("escape")

    app = pictured.app()
    play(app, scene)
    with pictured.open() as library:
        newest = library.catalog.search("")[0]
    assert {label.name for label in newest.labels} == {"dog", "harbour"}


def test_what_is_written_about_a_photo(pictured: Bench) -> None:
    pids: list[bytes] = []

    async def scene(pilot: Pilot[None]) -> None:
        screen = await photo_shown(pilot)
        pids.append(screen.pid)
        await pilot.press("c")
        await answer(pilot, "The harbour in the evening")
        await pilot.press("D")
        await answer(pilot, "2019-07-01 08:30")
        await pilot.press("a")
        await answer(pilot, "Lisbon")
        await pilot.press("f", "3", "r")
        await until(pilot, lambda: screen._record is not None and screen._record.rotation == 90)
        await settled(pilot)
        assert screen.picture.is_drawn
        await pilot.press("D")
        await until(pilot, lambda: isinstance(pilot.app.screen, DateScreen))
        asked = shown_on(pilot.app.screen, DateScreen)
        asked.query_one(Input).value = ""
        await type_text(pilot, "the other day")
        await pilot.press("enter")
        await until(pilot, lambda: "is no date" in asked.problem)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)

    play(pictured.app(), scene)
    photo = record(pictured, pids[0])
    assert photo.caption == "The harbour in the evening"
    assert photo.taken == "2019-07-01T08:30:00"
    assert photo.albums == ("Lisbon",)
    assert (photo.favourite, photo.rating, photo.rotation) == (True, 3, 90)


def test_the_trash_is_one_key_and_so_is_the_way_back(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await photo_shown(pilot)
        await pilot.press("d")
        await until(pilot, lambda: screen._record is not None and screen._record.trashed_at is not None)
        await pilot.press("d")
        await until(pilot, lambda: screen._record is not None and screen._record.trashed_at is None)

    play(pictured.app(), scene)


def test_a_photo_whose_blobs_are_gone_is_described(pictured: Bench) -> None:
    for blob in (pictured.root / "blobs").glob("??/*"):
        blob.unlink()

    async def scene(pilot: Pilot[None]) -> None:
        screen = await photo_shown(pilot)
        assert not screen.picture.is_drawn
        assert "2024-05-4.jpg" in screen.picture._words
        tile = screen._tiles.get(screen.pid)
        assert tile is not None
        assert tile.problem == "its thumbnail is not here"

    play(pictured.app(), scene)


def test_a_photo_without_a_preview_is_decoded_by_a_worker(pictured: Bench) -> None:
    with pictured.open() as library:
        for pid in library.catalog.pids(""):
            for copy in library.catalog.copies(pid):
                if copy.role == "preview":
                    library.blobs.remove(copy.blob_id)

    async def scene(pilot: Pilot[None]) -> None:
        screen = await photo_shown(pilot)
        picture = await screen.pictures.whole(screen.pid, 0)
        assert picture.problem is None
        assert picture.image is not None
        assert picture.image.size == (160, 120)

    play(pictured.app(), scene)


def test_an_edit_elsewhere_is_seen_when_coming_back(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await photo_shown(pilot)
        with pictured.open() as library:
            edits.set_favourite(library, [screen.pid], favourite=True)
        await pilot.press("5")
        await settled(pilot)
        await pilot.press("escape")
        library_screen = await library_shown(pilot)
        tile = library_screen.tiles.get(screen.pid)
        assert tile is not None
        await until(pilot, lambda: tile.record.favourite and tile.record.rating == 5)

    play(pictured.app(), scene)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("2024-05-17", "2024-05-17T12:00:00"),
        ("2024-05-17 14:03", "2024-05-17T14:03:00"),
        ("2024-05-17T14:03:09+02:00", "2024-05-17T14:03:09+02:00"),
        ("  ", ""),
    ],
)
def test_dates_as_people_write_them(typed: str, stored: str) -> None:
    assert full_time(typed) == stored
