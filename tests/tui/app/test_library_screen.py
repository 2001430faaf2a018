"""The library screen: going about, marking, searching, sorting, and edits of many photos with their undo."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.events import Key
from textual.widgets import Input, OptionList, Static

from core import edits
from tests.tui.app.conftest import Bench, library_shown, play, settled, shown_on, type_text, until
from tui.app.screens.ask import AskScreen
from tui.app.widgets.search_line import QueryInput, SearchLine
from tui.app.widgets.sidebar import Sidebar

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from core.catalog import PhotoRecord
    from tui.app.app import SafelightApp
    from tui.app.screens.library import LibraryScreen


def records(bench: Bench, query: str = "") -> list[PhotoRecord]:
    with bench.open() as library:
        return library.catalog.search(query)


async def asked(pilot: Pilot[None], answer: str) -> None:
    """Answer the question that is on the screen, or is about to be."""
    await until(pilot, lambda: isinstance(pilot.app.screen, AskScreen), "a question")
    line = pilot.app.screen.query_one(Input)
    line.value = ""
    await type_text(pilot, answer)
    await settled(pilot)
    await pilot.press("enter")
    await until(pilot, lambda: not isinstance(pilot.app.screen, AskScreen))
    await settled(pilot)


def test_photos_come_newest_first_by_months(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        contents = screen.grid.contents
        assert [(one.title, one.count) for one in contents.sections] == [
            ("May 2024", 4), ("March 2024", 4), ("December 2022", 4),
        ]  # fmt: skip
        assert screen.status.where == "1 of 12 · May 2024"
        with_pictures = [screen.tiles.get(contents.photos[index]) for index in screen.grid.visible_indexes()]
        assert all(tile is not None and tile.is_final for tile in with_pictures)

    play(pictured.app(), scene)


def test_moving_by_keys(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        grid = (await library_shown(pilot)).grid
        columns = grid._layout_of.columns
        for keys, expected in (
            (["right"], 1), (["l"], 2), (["left"], 1), (["h", "h", "h"], 0), (["end"], 11), (["right"], 11),
            (["home"], 0), (["G"], 11), (["g"], 0), (["down"], columns), (["up"], 0), (["j"], columns), (["k"], 0),
            (["right_curly_bracket"], 4), (["right_curly_bracket"], 8), (["left_curly_bracket"], 4),
            (["greater_than_sign"], 8), (["less_than_sign"], 0), (["right_square_bracket"], 2),
            (["right_square_bracket"], 4), (["left_square_bracket"], 2), (["home", *["pagedown"] * 3], 8),
            (["pageup", "pageup", "pageup", "pageup"], 0),
        ):  # fmt: skip
            await pilot.press(*keys)
            assert grid.cursor == expected or (keys[-1] == "pagedown" and grid.cursor >= expected), keys
            place = grid.where(grid.cursor)
            assert grid.region.contains_region(place), keys

    play(pictured.app(), scene, size=(100, 40))


def test_marking_by_keys(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        grid = screen.grid
        photos = grid.contents.photos
        assert grid.chosen() == [photos[0]]
        await pilot.press("space", "space")
        assert grid.chosen() == [photos[0], photos[1]]
        assert grid.cursor == 2
        await pilot.press("left", "space")
        assert grid.chosen() == [photos[0]]
        await pilot.press("escape")
        assert grid.marked == 0
        await pilot.press("home", "v", "right", "right", "v", "right")
        assert grid.chosen() == photos.slice(0, 3)
        await pilot.press("shift+right")
        assert grid.chosen() == photos.slice(0, 5)
        assert "5 marked" in screen.status.where
        await pilot.press("ctrl+a")
        assert grid.chosen() == list(photos)
        await pilot.press("home", "space")
        assert grid.chosen() == photos.slice(1, 12)
        await pilot.press("ctrl+u")
        assert grid.marked == 0

    play(pictured.app(), scene)


def test_the_mouse_goes_marks_and_opens(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        grid = screen.grid

        async def click(index: int, *, control: bool = False, shift: bool = False) -> None:
            place = grid.where(index)
            await pilot.click(offset=(place.x + 3, place.y + 2), control=control, shift=shift)

        await click(1)
        assert grid.cursor == 1
        await click(2, control=True)
        assert grid.chosen() == [grid.contents.photos[2]]
        await click(0, shift=True)
        assert grid.chosen() == grid.contents.photos.slice(0, 3)

    play(pictured.app(), scene)


def test_results_while_typing_and_the_query_afterwards(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        grid = screen.grid
        await pilot.press("slash")
        shown_on(pilot.app.focused, QueryInput)
        await type_text(pilot, "label:do")
        await until(pilot, lambda: len(grid.contents.photos) == 8, "the dogs, from the beginning of the word")
        await type_text(pilot, "g -rating:4")
        await until(pilot, lambda: len(grid.contents.photos) == 6)
        await pilot.press("enter")
        assert pilot.app.focused is grid
        assert screen.query_one(SearchLine).query_text == "label:dog -rating:4"
        await pilot.press("escape")
        await until(pilot, lambda: len(grid.contents.photos) == 12, "everything again")

    play(pictured.app(), scene)


def test_a_beginning_that_was_meant_stays_and_is_shown(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        await pilot.press("slash")
        await type_text(pilot, "gold")
        await until(pilot, lambda: len(screen.grid.contents.photos) == 6)
        await pilot.press("enter")
        assert screen.query_one(SearchLine).query_text == "gold*"

    play(pictured.app(), scene)


def test_the_fault_stands_under_its_word(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        await pilot.press("slash")
        await type_text(pilot, "label:dog ratng:5")
        fault = screen.query_one("#fault", Static)
        await until(pilot, lambda: fault.has_class("shown"), "the fault")
        pointer, message = str(fault.content).split("\n")
        assert pointer == " " * 10 + "^" * 6
        assert "there is no field ratng:" in message
        assert "did you mean rating:" in message
        assert len(screen.grid.contents.photos) == 12
        screen.query_one(QueryInput).value = ""
        await settled(pilot)
        assert not fault.has_class("shown")

    play(pictured.app(), scene)


def test_completions_of_labels_and_fields(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        line = screen.query_one(SearchLine)
        await pilot.press("slash")
        await type_text(pilot, "gold")
        listed = line.query_one(OptionList)
        await until(pilot, lambda: listed.option_count > 0 and listed.has_class("shown"))
        await pilot.press("tab")
        assert line.query_text == 'label:"golden retriever" '
        await type_text(pilot, "is:fav")
        await until(pilot, lambda: listed.has_class("shown"))
        await pilot.press("down", "tab")
        assert line.query_text == 'label:"golden retriever" is:favourite '

    play(pictured.app(), scene)


def test_the_sidebar_counts_and_searches(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        sidebar = screen.query_one(Sidebar)
        counts = {place.title: place.photos for place in sidebar.places.all()}
        assert counts["All photos"] == 12
        assert counts["dog"] == 8
        assert counts["golden retriever"] == 6
        assert counts["Lisbon"] == 3
        sidebar.focus()
        sidebar.point_at("album:Lisbon")
        await pilot.press("enter")
        await until(pilot, lambda: len(screen.grid.contents.photos) == 3)
        assert pilot.app.focused is screen.grid
        await pilot.press("b")
        assert sidebar.has_class("hidden")

    play(pictured.app(), scene)


def test_go_to_finds_by_a_few_letters(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        await pilot.press("o")
        await asked(pilot, "gret")
        assert screen.ordering.query == 'label:"golden retriever"'
        assert len(screen.grid.contents.photos) == 6

    play(pictured.app(), scene)


def test_searches_are_saved_and_forgotten(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        await pilot.press("ctrl+s")
        assert "type a query first" in screen.status.flashed
        screen.show_query("rating:4")
        await settled(pilot)
        await pilot.press("ctrl+s")
        await asked(pilot, "the best")
        titles = [place.title for place in screen.query_one(Sidebar).places.all()]
        assert "the best" in titles
        await pilot.press("ctrl+d")
        await asked(pilot, "the best")
        assert "the best" not in [place.title for place in screen.query_one(Sidebar).places.all()]

    play(pictured.app(), scene)


def test_sorting_and_density(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        grid = screen.grid
        first = grid.current
        for sort in ("imported", "rating", "name", "size", "score", "taken"):
            await pilot.press("s")
            await settled(pilot)
            assert screen.ordering.sort == sort
            assert grid.current == first
        await pilot.press("home", "S")
        await settled(pilot)
        assert grid.contents.photos[11] == first
        assert grid.cursor == 11
        wide = grid._shape.width
        await pilot.press("plus")
        assert grid._shape.width > wide
        await pilot.press("minus", "minus")
        assert grid._shape.width < wide
        assert grid.region.contains_region(grid.where(grid.cursor))

    play(pictured.app(), scene)


def test_many_photos_are_edited_at_once_and_undone(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        await pilot.press("v", "right", "right", "v")
        await pilot.press("t")
        await asked(pilot, "Beach")
        assert screen.status.flashed == "3 photos labelled beach"
        await pilot.press("a")
        await asked(pilot, "Summer")
        assert "Summer (new)" in screen.status.flashed
        await pilot.press("f", "5")
        await until(pilot, lambda: "★★★★★" in screen.status.flashed)
        await settled(pilot)
        assert screen.grid.marked == 3
        places = {place.title: place.photos for place in screen.query_one(Sidebar).places.all()}
        assert places["beach"] == places["Summer"] == places["♥ Favourites"] == 3
        await pilot.press("u", "u")
        await until(pilot, lambda: "taken back: favourite" in screen.status.flashed)
        await pilot.press("escape", "d")
        await until(pilot, lambda: "in the trash" in screen.status.flashed)
        await settled(pilot)
        assert len(screen.grid.contents.photos) == 11

    play(pictured.app(), scene)
    beach = records(pictured, "label:beach (is:trash OR -is:trash)")
    assert len(beach) == 3
    assert [photo.favourite for photo in beach] == [False] * 3
    assert [photo.rating for photo in beach] == [4, 4, 0]
    assert len(records(pictured, "is:trash")) == 1


def test_labels_come_off_and_albums_are_left(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        screen.show_query("album:Lisbon")
        await settled(pilot)
        await pilot.press("ctrl+a", "T")
        await asked(pilot, "retr")
        assert screen.status.flashed == "golden retriever taken off 3 photos"
        await pilot.press("A")
        await asked(pilot, "lis")
        assert "out of the album Lisbon" in screen.status.flashed
        assert "Nothing is found by" in screen.grid.emptiness

    play(pictured.app(), scene)
    assert not records(pictured, "album:Lisbon")


def test_what_another_process_does_is_shown(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        with pictured.open() as library:
            edits.trash(library, library.catalog.pids("label:dog"))
        screen._look_for_changes()
        await until(pilot, lambda: len(screen.grid.contents.photos) == 4)

    play(pictured.app(), scene)


def test_it_is_shown_also_where_another_job_was_told_of_it(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        with pictured.open() as library:
            edits.trash(library, library.catalog.pids("label:dog"))
        app = cast("SafelightApp", pilot.app)
        await app.library.run(app.library.library.refresh)
        screen._look_for_changes()
        await until(pilot, lambda: len(screen.grid.contents.photos) == 4)

    play(pictured.app(), scene)


def test_small_terminals_and_resizing(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        for size in ((80, 24), (20, 5), (1, 1), (200, 60), (40, 10), (100, 30)):
            await pilot.resize_terminal(*size)
            await pilot.press("end", "home", "down")
            await settled(pilot)
        assert screen.grid.region.contains_region(screen.grid.where(screen.grid.cursor))
        assert not screen.query_one(Sidebar).has_class("hidden")

    play(pictured.app(), scene)


def shown(screen: LibraryScreen) -> int:
    return len(screen.grid.contents.photos)


def test_what_is_typed_right_after_the_slash_is_text_too(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        driver = pilot.app._driver
        assert driver is not None
        for character in "/d/af":  # all at once, as a terminal passes on what was typed ahead
            key = {"/": "slash"}.get(character, character)
            driver.send_message(Key(key, character))
        await until(pilot, lambda: screen.query_one(SearchLine).query_text == "d/af")

    play(pictured.app(), scene)
    assert not records(pictured, "is:trash OR is:favourite")


def test_keys_in_the_search_line_are_text(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        await pilot.press("slash", *"fud5")
        assert screen.query_one(SearchLine).query_text == "fud5"
        await settled(pilot)
        assert shown(screen) == 0
        shown_on(pilot.app.focused, QueryInput)

    play(pictured.app(), scene)
    assert not records(pictured, "is:favourite OR rating:5")
