"""From nothing to the first photos, and the door: creating, the phrase, unlocking, locking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Input, Static

from core.library import Library
from core.unshown_phrase import unshown_phrase
from tests.tui.app.conftest import Bench, library_shown, make_pictures, play, settled, type_text, until
from tests.tui.app.with_relay import COSTS
from tests.tui.conftest import PASSPHRASE, create_library
from tui.app.screens.ask import AskScreen
from tui.app.screens.unlock import UnlockScreen
from tui.app.screens.welcome import PhraseScreen, WelcomeScreen

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


def said(pilot: Pilot[None]) -> str:
    return str(pilot.app.screen.query_one("#said", Static).content)


def test_from_nothing_to_the_first_photos(nowhere: Bench, tmp_path: Path) -> None:
    photos = make_pictures(tmp_path / "camera")

    async def scene(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, WelcomeScreen))
        await pilot.press(*PASSPHRASE.replace(" ", "x"), "enter")
        await pilot.press(*"something else", "enter")
        assert "differ" in said(pilot)
        assert not nowhere.root.exists()
        await pilot.press(*PASSPHRASE.replace(" ", "x"), "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PhraseScreen))

        phrase = pilot.app.screen
        assert isinstance(phrase, PhraseScreen)
        await pilot.press("ctrl+l")  # nobody would ever see them again
        assert isinstance(pilot.app.screen, PhraseScreen)
        words = list(phrase._words)
        assert len(words) == 24
        shown = str(phrase.query_one("#words", Static).content)
        assert all(word in shown for word in words)
        await pilot.press("enter")
        assert words[0] not in str(phrase.query_one("#words", Static).content)
        await pilot.press(*"nonsense", "enter", *"nonsense", "enter")
        assert "another one" in said(pilot)
        await pilot.press("enter")
        for place in phrase._asked:
            assert pilot.app.focused is phrase.query_one(f"#word-{place}")
            await type_text(pilot, words[place].upper())
            await pilot.press("enter")

        assert phrase._words == []
        await until(pilot, lambda: isinstance(pilot.app.screen, AskScreen), "the question for a folder")
        line = pilot.app.screen.query_one(Input)
        line.value = str(photos)
        await pilot.press("enter")
        library = await library_shown(pilot)
        await until(pilot, lambda: len(library.grid.contents.photos) == 12, "twelve photos")
        await until(pilot, lambda: "imported 12 photos" in library.status.flashed)
        assert pilot.app.focused is library.grid

    play(nowhere.app(), scene)
    with Library.open(nowhere.root, Library.unlock(nowhere.root, PASSPHRASE.replace(" ", "x").encode())) as library:
        assert library.catalog.count() == 12


def test_a_phrase_that_nobody_has_written_down_is_shown_again(nowhere: Bench) -> None:
    library, words = Library.create(nowhere.root, PASSPHRASE.encode(), device_name="desk", kdf=COSTS, keep_phrase=True)
    library.close()  # as where the app was killed just then

    async def scene(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, PhraseScreen))
        phrase = pilot.app.screen
        assert isinstance(phrase, PhraseScreen)
        assert phrase._words == words.split()
        await pilot.press("enter")
        for place in phrase._asked:
            await type_text(pilot, words.split()[place])
            await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, AskScreen), "the question for a folder")

    play(nowhere.app(unlocked=True), scene)
    with Library.open(nowhere.root, library.members.secrets) as library:
        assert unshown_phrase(library) is None


def test_a_wrong_passphrase_is_wrong_and_nothing_more(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, UnlockScreen))
        for wrong in ("horse", PASSPHRASE[:-1], "x" * 300):
            await type_text(pilot, wrong)
            await pilot.press("enter")
            await settled(pilot)
            assert said(pilot) == "This passphrase does not open the library."
            assert pilot.app.screen.query_one(Input).value == ""
        await type_text(pilot, PASSPHRASE)
        await pilot.press("enter")
        library = await library_shown(pilot)
        assert len(library.grid.contents.photos) == 12

    play(pictured.app(unlocked=False), scene)


def test_what_an_agent_knows_is_not_asked_for(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        assert pilot.app.focused is library.grid

    play(pictured.app(), scene)


def test_locking_closes_the_library_and_asks_again(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        app = pictured_app
        before = app.library
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
        assert not before.is_open
        assert not app.library.is_open
        await settled(pilot)
        assert isinstance(app.screen, UnlockScreen)
        await type_text(pilot, PASSPHRASE)
        await pilot.press("enter")
        await library_shown(pilot)

    pictured_app = pictured.app()
    play(pictured_app, scene)


def test_a_library_without_photos_says_what_to_do(nowhere: Bench) -> None:
    create_library(nowhere.root)

    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        assert "i imports a folder" in library.grid.emptiness
        await pilot.press("i")
        await until(pilot, lambda: isinstance(pilot.app.screen, AskScreen))
        pilot.app.screen.query_one(Input).value = "/nowhere/at/all"
        await pilot.press("enter")
        await until(pilot, lambda: "nothing at /nowhere/at/all" in library.status.flashed)

    play(nowhere.app(), scene)
