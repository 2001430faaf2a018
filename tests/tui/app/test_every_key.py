"""Every key of docs/keys.md does what its row says: pressed on a real library, one session a screen.

A new row of `tui/app/keys.py` needs an entry here: in one of the tables, or in `ELSEWHERE` with the test that presses
its key.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from textual.command import CommandPalette
from textual.widgets import OptionList

from tests.conftest import REPOSITORY
from tests.tui.app.conftest import Bench, library_shown, make_pictures, play, settled, shown_on, type_text, until
from tui.app import keys
from tui.app.culling import Decision
from tui.app.screens.alarms import AlarmsScreen
from tui.app.screens.ask import AskScreen
from tui.app.screens.cull import CullScreen
from tui.app.screens.cull_summary import CullSummaryScreen
from tui.app.screens.devices import DevicesScreen
from tui.app.screens.help import HelpScreen
from tui.app.screens.importing import ImportScreen
from tui.app.screens.jump import JumpScreen
from tui.app.screens.listing import ListingScreen
from tui.app.screens.models import ModelsScreen
from tui.app.screens.photo import PhotoScreen
from tui.app.screens.relays import RelaysScreen
from tui.app.screens.settings import SettingsScreen
from tui.app.screens.similar import SimilarScreen
from tui.app.screens.text import TextScreen
from tui.app.screens.unlock import UnlockScreen
from tui.app.widgets.search_line import QueryInput
from tui.app.widgets.sidebar import Sidebar
from tui.app.workers.importing import ImportWish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from textual.pilot import Pilot
    from textual.screen import Screen

    from core.catalog import PhotoRecord
    from tui.app.screens.library import LibraryScreen
    from tui.app.widgets.picture_view import PictureView

START = 5
"""The second photo of the second of three months, four photos a row and a row a month."""

MOVES = {
    "grid.left": 4,
    "grid.right": 6,
    "grid.up": 1,
    "grid.down": 9,
    "grid.page_up": 1,
    "grid.page_down": 9,
    "grid.first": 0,
    "grid.last": 11,
    "grid.day_before": 4,
    "grid.day_after": 6,
    "grid.month_before": 4,
    "grid.month_after": 8,
    "grid.year_before": 0,
    "grid.year_after": 8,
}
"""Where the cursor is after a key, from `START`."""

MARKS = {
    "grid.mark": 1,
    "grid.range": 1,
    "grid.extend_left": 2,
    "grid.extend_right": 2,
    "grid.extend_up": 5,
    "grid.extend_down": 5,
    "grid.mark_all": 12,
    "grid.clear": 0,
}
"""How many photos are marked after a key, from `START` without marks."""

OPENS: dict[str, type[Screen[Any]]] = {
    "app.help": HelpScreen,
    "app.palette": CommandPalette,
    "app.jump": JumpScreen,
    "library.goto": AskScreen,
    "library.save_search": AskScreen,
    "library.cull": CullScreen,
    "library.similar": SimilarScreen,
    "library.import": AskScreen,
    "photos.label": AskScreen,
    "photos.unlabel": AskScreen,
    "photos.album": AskScreen,
    "photos.leave_album": AskScreen,
    "library.devices": DevicesScreen,
    "library.relays": RelaysScreen,
    "library.alarms": AlarmsScreen,
    "library.models": ModelsScreen,
    "library.settings": SettingsScreen,
    "grid.open": PhotoScreen,
    "photo.label": AskScreen,
    "photo.why": TextScreen,
    "photo.caption": AskScreen,
    "photo.date": AskScreen,
    "photo.album": AskScreen,
    "photo.similar": SimilarScreen,
}
"""What a key puts on top of the screen; escape takes it away again."""

SAYS = {
    "library.forget_search": "no saved searches",
    "library.sync": "no relay is in use",
    "library.work": "nothing",
}
"""What the line at the bottom says after a key."""


def rated(stars: int) -> Callable[[Any], bool]:
    return lambda photo: bool(photo.rating == stars)


EDITS: dict[str, Callable[[PhotoRecord], object]] = {
    **{f"photos.rate_{stars}": rated(stars) for stars in (1, 2, 3, 4, 5, 0)},
    "photos.favourite": lambda photo: photo.favourite,
    "photos.trash": lambda photo: photo.trashed_at is not None,
    "photos.restore": lambda photo: photo.trashed_at is None,
    "library.undo": lambda photo: photo.trashed_at is not None,
    **{f"photo.rate_{stars}": rated(stars) for stars in (1, 2, 3, 4, 5, 0)},
    "photo.favourite": lambda photo: photo.favourite,
    "photo.rotate": lambda photo: photo.rotation == 90,
    "photo.rotate_back": lambda photo: photo.rotation == 0,
    "photo.reject": lambda photo: "dog" not in {label.name for label in photo.labels},
    "photo.undo": lambda photo: "dog" in {label.name for label in photo.labels},
    "photo.confirm": lambda photo: photo.labels[0].source == "user",
}
"""What is true of the photo after a key, in the order in which the keys are pressed."""

CULLS: dict[str, Callable[[Decision], object]] = {
    "cull.keep": lambda decision: decision.verdict == "keep",
    "cull.reject": lambda decision: decision.verdict == "reject",
    "cull.keep_all": lambda decision: decision.verdict == "keep",
    "cull.favourite": lambda decision: decision.favourite is True,
    **{f"cull.rate_{stars}": rated(stars) for stars in range(6)},
}
"""What is decided on a photo after a key."""

LISTS = {
    "devices.refresh": "D",
    "relays.refresh": "N",
    "alarms.refresh": "exclamation_mark",
    "models.refresh": "M",
}
"""Keys that read a list again, and how one comes there."""

SEEN = {
    "library.search", "library.escape", "library.sidebar", "library.sort", "library.reverse", "library.larger",
    "library.smaller", "library.refresh", "search.done", "search.complete", "search.next", "search.previous",
    "app.theme", "app.lock", "app.quit", "photo.back", "photo.next", "photo.previous", "photo.label_down",
    "photo.label_up", "photo.facts", "photo.zoom_in", "photo.zoom_out", "photo.zoom_fit", "photo.pan_left",
    "photo.pan_right", "photo.pan_up", "photo.pan_down", "photo.trash", "import.stop", "cull.leave", "cull.undo",
    "cull.next", "cull.previous", "cull.zoom_in", "cull.zoom_out", "cull.zoom_fit", "cull.pan_left",
    "cull.pan_right", "cull.pan_up", "cull.pan_down", *LISTS,
}  # fmt: skip
"""Keys whose effects are looked at one by one below."""

ELSEWHERE = {
    "library.name_place": "test_sidebar.py",
    "library.review": "test_teach.py",
    "photos.teach": "test_teach.py",
    "teaching.": "test_teach.py",
    "photo.fetch": "test_photo_states.py",
    "photo.outside": "test_photo_states.py",
    "similar.": "test_similar.py",
    "import.back": "test_import_screen.py",
    "devices.": "test_devices.py",
    "pairing.": "test_devices.py",
    "relays.": "test_devices.py",
    "alarms.": "test_devices.py",
    "models.": "test_models.py",
    "settings.": "test_settings.py",
    "work.": "test_settings.py",
}
"""Rows whose keys another test presses: whole ids, or what they begin with."""

ACTIONS = {action.id: action for context in keys.CONTEXTS for action in context.actions}


def keys_of(action: str) -> list[str]:
    return [key.strip() for key in ACTIONS[action].keys.split(",")]


def pressed_in(file: str) -> str:
    return (REPOSITORY / "tests" / "tui" / "app" / file).read_text()


def test_no_row_is_without_a_test() -> None:
    here = {*MOVES, *MARKS, *OPENS, *SAYS, *EDITS, *CULLS, *SEEN}
    there = {
        action: file
        for action in ACTIONS
        for begin, file in ELSEWHERE.items()
        if action not in here and (action == begin or (begin.endswith(".") and action.startswith(begin)))
    }
    assert here | set(there) == set(ACTIONS), "every row needs an entry in one of the tables of this file"
    for action, file in there.items():
        assert any(f'"{key}"' in pressed_in(file) for key in keys_of(action)), f"{file} presses no key of {action}"


def of_context(table: dict[str, Any], *contexts: keys.Context) -> Iterator[tuple[str, str, Any]]:
    """The table's rows of these contexts: action, each of its keys, what is expected."""
    known = {action.id for context in contexts for action in context.actions}
    for action, expected in table.items():
        if action in known:
            for key in keys_of(action):
                yield action, key, expected


def on_screen(pilot: Pilot[None], kind: type[Screen[Any]]) -> bool:
    return isinstance(pilot.app.screen, kind)


def differs(look: Callable[[], object], before: object) -> bool:
    return look() != before


def flashed(screen: LibraryScreen, said: str) -> bool:
    return said in screen.status.flashed


async def opens_and_closes(pilot: Pilot[None], *contexts: keys.Context) -> None:
    """Press every key that puts a screen on top, and go back each time."""
    below = pilot.app.screen
    for action, key, kind in of_context(OPENS, *contexts):
        await pilot.press(key)
        await until(pilot, partial(on_screen, pilot, kind), f"{kind.__name__} after {action}")
        await settled(pilot)
        await pilot.press("escape")
        await settled(pilot)
        if pilot.app.screen is not below:  # a question of the screen itself: leave it as well
            await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is below, f"the way back from {action}")
        await settled(pilot)


def test_the_grid(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        grid = screen.grid
        for action, key, expected in of_context(MOVES, keys.GRID):
            grid.go_to(START)
            await pilot.press(key)
            assert grid.cursor == expected, (action, key)
        for action, key, expected in of_context(MARKS, keys.GRID):
            grid.action_clear_marks()
            grid.go_to(START)
            await pilot.press(key)
            assert (grid.marked, grid.is_marking_range) == (expected, action == "grid.range"), (action, key)
        grid.action_clear_marks()
        await opens_and_closes(pilot, keys.GRID)

    # As high as one row: a page is then a row, and the search below never needs to scroll.
    play(pictured.app(), scene, size=(108, 13))


def test_the_library(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        grid, sidebar = screen.grid, screen.query_one(Sidebar)

        def photo() -> PhotoRecord:
            tile = screen.tiles.get(grid.contents.photos[0])
            assert tile is not None
            return tile.record

        async def one_by_one(action: str, look: Callable[[], object]) -> None:
            for key in keys_of(action):
                before = look()
                await pilot.press(key)
                await until(pilot, partial(differs, look, before), f"an effect of {key} ({action})")
                await settled(pilot)

        await one_by_one("library.sidebar", lambda: sidebar.has_class("hidden"))
        await pilot.press("b")
        await one_by_one("library.search", lambda: isinstance(screen.focused, QueryInput))
        await one_by_one("library.escape", lambda: screen.focused is grid)
        await one_by_one("library.sort", lambda: screen.ordering.sort)
        await one_by_one("library.reverse", lambda: screen.ordering.descending)
        for _ in range(5):
            await pilot.press("s")
        await settled(pilot)
        grid.density = "small"
        await one_by_one("library.larger", lambda: grid.density)
        await one_by_one("library.smaller", lambda: grid.density)
        await one_by_one("library.refresh", lambda: id(grid.contents))

        for action, key, said in of_context(SAYS, keys.LIBRARY):
            await pilot.press(key)
            await until(pilot, partial(flashed, screen, said), f"{said!r} after {action}")
        assert screen.ordering.sort == "taken"
        # The first photo has labels and is in an album, so that there is something to take away.
        screen.show_query("album:Lisbon label:dog")
        await until(pilot, lambda: 0 < len(grid.contents.photos) < 12)
        await settled(pilot)
        await opens_and_closes(pilot, keys.LIBRARY)
        screen.show_query("is:trash OR -is:trash")
        await until(pilot, lambda: len(grid.contents.photos) == 12)
        for action, key, holds in of_context(EDITS, keys.LIBRARY):
            await settled(pilot)
            if action == "photos.restore":
                await until(pilot, lambda: photo().trashed_at is not None)
            grid.go_to(0)
            await pilot.press(key)
            await until(pilot, lambda holds=holds: holds(photo()), f"an effect of {key} ({action})")  # type: ignore[misc]

    play(pictured.app(), scene)


def test_the_search_line_and_what_works_everywhere(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        await opens_and_closes(pilot, keys.APP)
        before = pilot.app.theme
        await pilot.press(*keys_of("app.theme"))
        assert pilot.app.theme != before

        await pilot.press("slash")
        await type_text(pilot, "label:d")
        line = screen.query_one(QueryInput)
        completions = screen.query_one("SearchLine OptionList")
        await until(pilot, lambda: completions.has_class("shown"))
        await pilot.press(*keys_of("search.next"))
        assert completions.highlighted == 0  # type: ignore[attr-defined]
        await pilot.press(*keys_of("search.previous"))
        assert completions.highlighted is not None  # type: ignore[attr-defined]
        await pilot.press(*keys_of("search.complete"))
        await until(pilot, lambda: line.value.startswith("label:dog"))
        await pilot.press(*keys_of("search.done"))
        await until(pilot, lambda: screen.focused is screen.grid)

        await pilot.press(*keys_of("app.lock"))
        await until(pilot, lambda: isinstance(pilot.app.screen, UnlockScreen))
        await pilot.press(*keys_of("app.quit"))
        await until(pilot, lambda: pilot.app._exit, "the end")

    play(pictured.app(), scene)


def test_one_photo(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        library.show_query("album:Lisbon")  # the first of its three photos has two labels
        await until(pilot, lambda: len(library.grid.contents.photos) == 3)
        await settled(pilot)

        async def opened() -> PhotoScreen:
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, PhotoScreen))
            await settled(pilot)
            await until(pilot, lambda: pilot.app.screen.picture.is_drawn)  # type: ignore[attr-defined]
            return shown_on(pilot.app.screen, PhotoScreen)

        for key in keys_of("photo.back"):
            await opened()
            await pilot.press(key)
            await until(pilot, lambda: pilot.app.screen is library, f"the way back by {key}")
        screen = await opened()
        first = screen.pid
        for there, back in zip(keys_of("photo.next"), keys_of("photo.previous"), strict=True):
            await pilot.press(there)
            assert screen.pid != first, there
            await pilot.press(back)
            assert screen.pid == first, back
        await settled(pilot)

        assert screen.facts.chosen is not None
        for there, back in zip(keys_of("photo.label_down"), keys_of("photo.label_up"), strict=True):
            before = screen.facts.chosen
            await pilot.press(there)
            assert screen.facts.chosen != before, there
            await pilot.press(back)
            assert screen.facts.chosen == before, back
        before_facts = screen.facts.has_class("hidden")
        await pilot.press(*keys_of("photo.facts"))
        assert screen.facts.has_class("hidden") != before_facts
        await pilot.press(*keys_of("photo.facts"))
        await looks_closer(pilot, screen.picture, "photo")
        await opens_and_closes(pilot, keys.PHOTO)

        def photo() -> PhotoRecord:
            assert screen._record is not None
            return screen._record

        for action, key, holds in of_context(EDITS, keys.PHOTO):
            await settled(pilot)
            await pilot.press(key)
            await until(pilot, lambda holds=holds: holds(photo()), f"an effect of {key} ({action})")  # type: ignore[misc]
        for key in keys_of("photo.trash"):
            await settled(pilot)
            before_trash = photo().trashed_at
            await pilot.press(key)
            await until(pilot, lambda was=before_trash: photo().trashed_at != was, f"an effect of {key}")  # type: ignore[misc]

    play(pictured.app(), scene, size=(110, 32))


def test_culling(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, CullScreen))
        screen = shown_on(pilot.app.screen, CullScreen)
        await settled(pilot)
        await until(pilot, lambda: screen.tiles[0].picture.is_drawn)
        await looks_closer(pilot, screen.tiles[0].picture, "cull")

        culled = screen.round
        for there, back in zip(keys_of("cull.next"), keys_of("cull.previous"), strict=True):
            place = culled.place
            await pilot.press(there)
            assert culled.place == place + 1, there
            await pilot.press(back)
            assert culled.place == place, back
        for action, key, decided in of_context(CULLS, keys.CULL):
            await settled(pilot)
            pid = culled.focused
            assert pid is not None
            await pilot.press(key)
            assert decided(culled.of(pid)), (action, key)
            await pilot.press(*keys_of("cull.undo"))
            assert (culled.of(pid), culled.focused) == (Decision(), pid)
        for key in keys_of("cull.leave"):
            await pilot.press("x", key)
            await until(pilot, lambda: isinstance(pilot.app.screen, CullSummaryScreen), f"the question after {key}")
            await settled(pilot)
            await pilot.press("escape")
            await until(pilot, lambda: pilot.app.screen is screen, "the way back")
        assert pilot.app.screen_stack[-2] is library

    play(pictured.app(), scene)


def test_lists_are_read_again(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        for action, there in LISTS.items():
            await pilot.press(there)
            await until(pilot, lambda: isinstance(pilot.app.screen, ListingScreen) and pilot.app.screen.is_filled)
            for key in keys_of(action):
                await settled(pilot)
                listed = pilot.app.screen.query_one(OptionList)
                before = listed.get_option_at_index(0)
                await pilot.press(key)
                await until(
                    pilot,
                    lambda: listed.option_count > 0 and listed.get_option_at_index(0) is not before,  # noqa: B023
                    f"an effect of {key} ({action})",
                )
            await pilot.press("escape")
            await until(pilot, lambda: pilot.app.screen is library)

    play(pictured.app(), scene)


def test_an_import_is_stopped(pictured: Bench, tmp_path: Path) -> None:
    photos = make_pictures(tmp_path / "more")

    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        importer = library.app.importer
        importer.start(ImportWish((photos,)), library.import_changed)
        pilot.app.push_screen(ImportScreen())
        await until(pilot, lambda: isinstance(pilot.app.screen, ImportScreen))
        await pilot.press(*keys_of("import.stop"))
        assert importer.state is not None
        assert importer.state.stopping or not importer.is_running
        await until(pilot, lambda: not importer.is_running)

    play(pictured.app(), scene)


async def looks_closer(pilot: Pilot[None], picture: PictureView, noun: str) -> None:
    """Zoom and pan by every key."""
    for key in keys_of(f"{noun}.zoom_in"):
        before = picture.view.zoom
        await pilot.press(key)
        assert picture.view.zoom > before, key
    for name in ("left", "right", "up", "down"):
        for key in keys_of(f"{noun}.pan_{name}"):
            at = picture.view.centre
            await pilot.press(key)
            moved = [after - was for after, was in zip(picture.view.centre, at, strict=True)]
            sign = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[name]
            assert [(one > 0) - (one < 0) for one in moved] == list(sign), key
    for key in keys_of(f"{noun}.zoom_out"):
        before = picture.view.zoom
        await pilot.press(key)
        assert picture.view.zoom < before, key
    await pilot.press(*keys_of(f"{noun}.zoom_fit"))
    assert picture.view.zoom == 1
    await pilot.press(*keys_of(f"{noun}.zoom_fit"))
    assert picture.view.zoom > 1
    await pilot.press(*keys_of(f"{noun}.zoom_fit"))
