"""Keys typed before a question is there are the question's, and never commands of the screen below."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual import events
from textual.keys import _character_to_key
from textual.widgets import Input, OptionList

from core.library import Library
from tests.tui.app.conftest import Bench, library_shown, play, settled, shown_on, until
from tests.tui.conftest import PASSPHRASE
from tui.app.screens.ask import AskScreen, Choice
from tui.app.screens.devices import DevicesScreen
from tui.app.screens.unlock import UnlockScreen
from tui.app.screens.welcome import PhraseScreen, WelcomeScreen
from tui.app.widgets.search_line import SearchLine

if TYPE_CHECKING:
    from textual.pilot import Pilot


LONG_S = 600.0


def type_at_once(pilot: Pilot[None], keys: list[str]) -> None:
    """Give all keys to the app before it handles the first, as a terminal does with what was typed ahead."""
    for key in keys:
        typed = len(key) == 1
        pilot.app.post_message(events.Key(_character_to_key(key) if typed else key, key if typed else None))


def test_keys_typed_ahead_are_the_questions(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        # Every letter of it is a command of the library: into the trash, go to, first photo; R takes from the trash.
        type_at_once(pilot, ["t", *"dogRdd", "enter"])
        await until(pilot, lambda: "labelled dogrdd" in screen.status.flashed, "the label")
        await settled(pilot)
        assert pilot.app.screen is screen
        assert await app.library.ask(lambda library: library.catalog.count("is:trash")) == 0
        assert await app.library.ask(lambda library: library.catalog.count("label:dogrdd")) == 1

        pilot.app.post_message(events.Key("a", "a"))
        pilot.app.post_message(events.Paste("Rome, d"))
        type_at_once(pilot, ["d"])
        await until(pilot, lambda: pilot.app.screen.query_one(Input).value == "Rome, dd", "what was pasted and typed")
        shown_on(pilot.app.screen, AskScreen)
        await pilot.press("escape")

    app = pictured.app()
    app.type_ahead.patience_s = LONG_S
    play(app, scene)


def test_a_suggestion_for_a_question_that_is_being_taken_apart_changes_nothing(pictured: Bench) -> None:
    """Who types a line and enter at once is faster than what is suggested for it: the app ended with an error."""

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        asked, known = asyncio.Event(), asyncio.Event()

        async def suggest(typed: str) -> list[Choice]:
            asked.set()
            await known.wait()
            return [Choice(typed, typed)]

        question = AskScreen("Label", suggest=suggest)
        await pilot.app.push_screen(question)
        await asked.wait()
        await question.query_one(OptionList).remove()
        known.set()
        await pilot.app.workers.wait_for_complete()
        assert not question.query(OptionList)

    play(pictured.app(), scene)


def test_keys_typed_ahead_are_of_the_screen_that_they_follow(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        screen = await library_shown(pilot)
        type_at_once(pilot, ["D", "r", *" at home"])  # in the library, a puts into an album
        await until(
            pilot,
            lambda: (
                isinstance(pilot.app.screen, AskScreen)
                and pilot.app.screen.query_one(Input).value == "test device at home"
            ),
            "the device's new name",
        )
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, DevicesScreen))
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)

    app = pictured.app()
    app.type_ahead.patience_s = LONG_S
    play(app, scene)


def test_keys_behind_a_tab_are_the_next_field_s(nowhere: Bench) -> None:
    """A password manager types the passphrase, tab, the same again and enter, faster than the focus moves."""
    words = [*PASSPHRASE.replace(" ", "x")]

    async def scene(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, WelcomeScreen))
        type_at_once(pilot, [*words, "tab", *words, "enter"])
        await until(pilot, lambda: isinstance(pilot.app.screen, PhraseScreen), "the phrase of the new library")

    play(nowhere.app(), scene)
    Library.unlock(nowhere.root, "".join(words).encode())


def test_keys_behind_an_enter_are_of_what_it_leads_to(nowhere: Bench) -> None:
    """Somebody who knows the way, or a program: passphrase, enter, the same again, enter; then two of the words."""
    words = [*PASSPHRASE.replace(" ", "x")]

    async def scene(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, WelcomeScreen))
        type_at_once(pilot, [*words, "enter", *words, "enter"])
        await until(pilot, lambda: isinstance(pilot.app.screen, PhraseScreen), "the phrase of the new library")
        await settled(pilot)
        phrase = shown_on(pilot.app.screen, PhraseScreen)
        first, second = (phrase._words[place] for place in phrase._asked)
        type_at_once(pilot, ["enter", *first, "enter", *second, "enter"])
        await until(pilot, lambda: isinstance(pilot.app.screen, AskScreen), "the question for a folder of photos")

    app = nowhere.app()
    app.type_ahead.patience_s = LONG_S
    play(app, scene)
    Library.unlock(nowhere.root, "".join(words).encode())


def test_keys_behind_the_passphrase_are_the_library_s(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, UnlockScreen))
        await settled(pilot)
        type_at_once(pilot, [*PASSPHRASE, "enter", "/", *"label:dog ", "enter"])
        screen = await library_shown(pilot)
        await until(pilot, lambda: screen.query_one(SearchLine).query_text == "label:dog ", "the search")
        await settled(pilot)
        assert pilot.app.focused is screen.grid
        assert screen.ordering.query == "label:dog "

    app = pictured.app(unlocked=False)
    app.type_ahead.patience_s = LONG_S
    play(app, scene)


def test_a_passphrase_that_was_wrong_can_be_typed_again_at_once(pictured: Bench) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, UnlockScreen))
        await settled(pilot)
        type_at_once(pilot, [*"horse", "enter", *PASSPHRASE, "enter"])
        await library_shown(pilot)

    app = pictured.app(unlocked=False)
    app.type_ahead.patience_s = LONG_S
    play(app, scene)
