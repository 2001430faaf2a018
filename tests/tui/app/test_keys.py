"""The table of keys: its page, the palette, the help, jump mode, and keys of one's own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from textual.command import CommandPalette
from textual.events import MouseEvent, MouseScrollDown, MouseScrollUp
from textual.widgets import Input, Static

from tests.conftest import REPOSITORY
from tests.tui.app.conftest import Bench, library_shown, play, settled, until
from tui.app import keys
from tui.app.commands import ActionCommands
from tui.app.grid.photo_grid import PhotoGrid
from tui.app.screens.cull import CullScreen
from tui.app.screens.help import HelpScreen
from tui.app.screens.importing import ImportScreen
from tui.app.screens.jump import JumpScreen, jump_labels
from tui.app.screens.library import LibraryScreen
from tui.app.screens.long_work import LongWorkScreen
from tui.app.screens.models import ModelsScreen
from tui.app.screens.photo import PhotoScreen
from tui.app.screens.settings import SettingsScreen
from tui.app.screens.similar import SimilarScreen
from tui.app.screens.teach import TeachScreen
from tui.app.settings import read_settings
from tui.app.themes import THEMES
from tui.app.widgets.key_line import KeyLine
from tui.app.widgets.search_line import QueryInput

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


def test_the_page_of_keys_is_made_from_the_table() -> None:
    page = REPOSITORY / "docs" / "keys.md"
    assert page.read_text() == keys.page(), f"write it anew: python -m tui.app.keys > {page.relative_to(REPOSITORY)}"


def test_ids_are_unique_and_names_begin_with_their_noun() -> None:
    actions = [action for context in keys.CONTEXTS for action in context.actions]
    assert max(Counter(action.id for action in actions).values()) == 1
    assert all(": " in action.name and action.name == action.name.strip() for action in actions)


@pytest.mark.parametrize("context", keys.CONTEXTS, ids=lambda context: context.title)
def test_no_key_has_two_meanings_in_one_place(context: keys.Context) -> None:
    used = Counter(key.strip() for action in context.actions for key in action.keys.split(","))
    assert max(used.values()) == 1


@pytest.mark.parametrize(
    ("context", "owner"),
    [
        (keys.LIBRARY, LibraryScreen),
        (keys.GRID, PhotoGrid),
        (keys.SEARCH, QueryInput),
        (keys.PHOTO, PhotoScreen),
        (keys.CULL, CullScreen),
        (keys.SIMILAR, SimilarScreen),
        (keys.IMPORT, ImportScreen),
        (keys.MODELS, ModelsScreen),
        (keys.SETTINGS, SettingsScreen),
        (keys.TEACHING, TeachScreen),
        (keys.WORK, LongWorkScreen),
    ],
    ids=lambda value: getattr(value, "title", None),
)
def test_every_action_is_there(context: keys.Context, owner: type) -> None:
    for action in context.actions:
        assert hasattr(owner, f"action_{action.call.partition('(')[0]}"), action.id


def test_the_palette_offers_what_can_be_done_here(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        provider = ActionCommands(screen)
        names = [name for name, _, _ in provider._commands()]
        assert "photos: add a label" in names
        assert "timeline: next month" in names
        assert "theme: safelight-light" in names
        assert "picture: zoom in" not in names
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))
        pilot.app.screen.query_one(Input).value = "next month"
        await until(pilot, lambda: pilot.app.screen.query("CommandList").first().option_count > 0)  # type: ignore[attr-defined]
        await pilot.press("enter", "enter")
        await until(pilot, lambda: screen.grid.cursor == 4)

    play(pictured.app(), scene)


def test_help_is_about_what_has_the_focus(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        texts = [str(one.content) for one in pilot.app.screen.query(Static)]
        assert "Grid of photos" in texts
        assert "One photo" not in texts
        await pilot.press("escape", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PhotoScreen))
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        texts = [str(one.content) for one in pilot.app.screen.query(Static)]
        assert "One photo" in texts
        await pilot.press("f1", "escape")

    play(pictured.app(), scene)


def test_keys_at_the_bottom_are_clicked_on_and_moved_by_the_wheel(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        line = screen.query_one(KeyLine)
        await until(pilot, lambda: bool(line.words))
        assert [words.split()[-1] for words in line.words[:5]] == ["Open", "Mark", "Search", "Cull", "Import"]
        first, second, find, *_, last = line.words

        def shown() -> str:
            return line.render_line(0).text

        def at(words: str) -> tuple[int, int]:
            return (shown().index(words), line.region.y)

        def about() -> object:
            return line.tooltip

        async def turn(wheel: type[MouseEvent], times: int = 1) -> None:
            for _ in range(times):
                await pilot._post_mouse_events([wheel], offset=(3, line.region.y), button=0)

        assert shown().startswith(first)
        assert last not in shown()  # there is no room for it
        await turn(MouseScrollDown)
        assert first not in shown()
        await turn(MouseScrollDown, 20)
        assert shown().endswith(last)
        await turn(MouseScrollUp, 20)
        assert shown().startswith(first)

        plain = backgrounds(line, first)
        assert len(plain) == 1
        await pilot.hover(offset=at(first))
        assert about() == "photo: show it large"
        assert len(backgrounds(line, first)) == 1
        assert backgrounds(line, first) != plain == backgrounds(line, second)
        await pilot.hover(offset=(3, 3))
        assert about() is None
        assert backgrounds(line, first) == plain
        await pilot.click(offset=at(find))
        await until(pilot, lambda: isinstance(screen.focused, QueryInput))
        await until(pilot, lambda: find not in line.words, "the keys of a line of text")
        await pilot.press("escape")
        await until(pilot, lambda: find in line.words)

    play(pictured.app(), scene, size=(40, 16))


def backgrounds(line: KeyLine, words: str) -> set[object]:
    """What the words of one key stand on."""
    strip = line.render_line(0)
    at = strip.text.index(words)
    return {segment.style.bgcolor for segment in strip.crop(at, at + len(words)) if segment.style is not None}


def test_jump_letters_lead_to_photos(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, JumpScreen))
        jump = pilot.app.screen
        assert isinstance(jump, JumpScreen)
        place = screen.grid.where(3)
        word = next(word for word, target in jump._targets.items() if place.contains(*target.at))
        await pilot.press(*word)
        await until(pilot, lambda: screen.grid.cursor == 3)
        await pilot.press("ctrl+o", "escape")
        await until(pilot, lambda: pilot.app.screen is screen)

    play(pictured.app(), scene)


@pytest.mark.parametrize("count", [0, 1, 26, 27, 300])
def test_no_jump_word_begins_another(count: int) -> None:
    words = jump_labels(count)
    assert len(words) == len(set(words)) == count
    assert not any(one != other and other.startswith(one) for one in words for other in words)


def test_keys_of_ones_own(pictured: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "keys.toml").write_text('[keys]\n"photos.favourite" = "f9"\n"no.such" = "x"\n"grid.mark" = 5\n')
    (folder / "app.toml").write_text('theme = "safelight-light"\ndensity = "small"\n')
    settings = read_settings()
    assert settings.keys == {"photos.favourite": "f9"}
    assert len(settings.complaints) == 2

    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        assert pilot.app.theme == "safelight-light"
        assert screen.grid.density == "small"
        await pilot.press("f")
        await settled(pilot)
        assert screen.status.flashed == ""
        await pilot.press("f9")
        await until(pilot, lambda: "favourite" in screen.status.flashed)

    play(pictured.app(settings=settings), scene)


def test_settings_that_cannot_be_read_change_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "keys.toml").write_bytes(b"\xff\xfe")
    (folder / "app.toml").write_text("theme = ")
    settings = read_settings()
    assert settings.keys == {}
    assert settings.theme is None
    assert len(settings.complaints) == 2


def test_all_themes_draw_the_library(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        seen = set()
        for _ in THEMES:
            await pilot.press("f2")
            await settled(pilot)
            seen.add(pilot.app.theme)
            assert screen.grid.render_line(0).cell_length == screen.grid.scrollable_content_region.width
        assert seen == {theme.name for theme in THEMES}

    play(pictured.app(), scene)
