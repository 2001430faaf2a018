"""The settings, and what they are kept in; passphrase and words changed from the app; space and checking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from core.errors import WrongPassphrase
from core.library import Library
from core.originals import keeps_every_original
from crypto.kdf import FLOOR, new_parameters
from tests.tui.app.conftest import Bench, library_shown, play, settled, shown_on, type_text, until
from tests.tui.conftest import PASSPHRASE
from tui.app.grid.photo_grid import DENSITIES
from tui.app.screens.ask import AskScreen, ConfirmScreen
from tui.app.screens.form import FormScreen
from tui.app.screens.long_work import LongWorkScreen
from tui.app.screens.settings import SettingsScreen
from tui.app.screens.welcome import PhraseScreen
from tui.app.settings import CHOICES, Settings, SettingsRefused, changed, read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

NEW = "another five random words"


async def settings_shown(pilot: Pilot[None]) -> SettingsScreen:
    """Wait for the screen with its rows."""
    await pilot.press("comma")
    await until(pilot, lambda: isinstance(pilot.app.screen, SettingsScreen) and pilot.app.screen.is_filled)
    return shown_on(pilot.app.screen, SettingsScreen)


def test_the_file_keeps_what_others_wrote_and_nothing_else_is_believed(tmp_path: Path) -> None:
    file = tmp_path / "config" / "app.toml"
    file.parent.mkdir()
    file.write_text('# mine\ntheme = "safelight"  # dark\nlater = [1]\n[more]\ntheme = "x"\n')
    settings = changed(changed(read_settings(), "theme", "safelight-light"), "lock_after", 30)
    assert file.read_text() == 'lock_after = 30\n# mine\ntheme = "safelight-light"\nlater = [1]\n[more]\ntheme = "x"\n'
    assert read_settings() == settings
    assert [path.name for path in file.parent.iterdir()] == ["app.toml"]
    for name, value in (("theme", "pink"), ("lock_after", -1), ("lock_after", True), ("graphics", "")):
        with pytest.raises(SettingsRefused):
            changed(settings, name, value)
    file.write_text('theme = "pink"\ndensity = 3\nlock_after = 1e9\n')
    assert read_settings() == Settings(complaints=read_settings().complaints)
    assert len(read_settings().complaints) == 3
    file.write_text("theme = ")
    with pytest.raises(SettingsRefused, match="mend it"):
        changed(settings, "theme", "safelight")
    assert file.read_text() == "theme = "
    assert set(CHOICES["density"]) == set(DENSITIES)


def test_values_are_changed_and_kept(pictured: Bench, tmp_path: Path) -> None:
    app = pictured.app()

    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        await settings_shown(pilot)
        await pilot.press("right")
        await until(pilot, lambda: app.settings.theme == "safelight-light")
        assert app.theme == "safelight-light"
        await pilot.press("left")
        await until(pilot, lambda: app.settings.theme == "safelight")
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.settings.density == "large")
        await pilot.press("down", "down", "down", "space")
        await until(pilot, lambda: app.settings.lock_after == 30)
        await pilot.press("down", "enter")
        await settled(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is library)
        assert library.grid.density == "large"
        (tmp_path / "config" / "app.toml").write_text("=")
        await settings_shown(pilot)
        await pilot.press("right")
        await until(pilot, lambda: "mend it" in shown_on(app.screen, SettingsScreen).said)
        assert app.settings.theme == "safelight"

    play(app, scene)
    assert (read_settings().lock_after, read_settings().theme) == (15, None)  # the file is broken now
    with pictured.open() as library:
        assert keeps_every_original(library)


def test_the_passphrase_is_changed(pictured: Bench) -> None:
    app = pictured.app()

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        screen = await settings_shown(pilot)
        for now, new, again, then in (
            ("wrong", NEW, NEW, "not the passphrase of now"),
            (PASSPHRASE, NEW, NEW, "is changed here"),
        ):
            await pilot.press("end", "up", "up", "up", "enter")
            await until(pilot, lambda: isinstance(app.screen, FormScreen) and app.focused is not None)
            form = app.screen
            fields = list(form.query(Input))
            await type_text(pilot, now)
            await pilot.press("enter")
            await type_text(pilot, new)
            await pilot.press("enter")
            await type_text(pilot, "x")
            await pilot.press("enter")
            assert app.screen is form, "the two differ"
            fields[2].value = again
            await pilot.press("enter")
            await until(pilot, lambda then=then: app.screen is screen and then in screen.said, then)  # type: ignore[misc]
            assert [field.value for field in fields] == ["", "", ""]

    play(app, scene)
    with pytest.raises(WrongPassphrase):
        Library.unlock(pictured.root, PASSPHRASE.encode())
    Library.unlock(pictured.root, NEW.encode())


def test_words_are_replaced_and_shown_once(nowhere: Bench) -> None:
    kdf = new_parameters(opslimit=FLOOR.opslimit, memlimit=FLOOR.memlimit)
    made, phrase = Library.create(nowhere.root, PASSPHRASE.encode(), device_name="test device", kdf=kdf)
    made.close()
    app = nowhere.app()

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        screen = await settings_shown(pilot)
        for words in ("only two", phrase):
            if words == phrase:
                app.screen.query_one(Input).value = ""
            else:
                await pilot.press("end", "up", "up", "enter")
                await until(pilot, lambda: isinstance(app.screen, FormScreen) and app.focused is not None)
            await type_text(pilot, words)
            await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PhraseScreen) and app.screen.is_mounted, "the new words")
        shown = shown_on(app.screen, PhraseScreen)
        new = list(shown._words)
        assert new != phrase.split()
        await pilot.press("enter")
        for place in shown._asked:
            await type_text(pilot, new[place])
            await pilot.press("enter")
        await until(pilot, lambda: app.screen is screen and "the new words count" in screen.said)
        assert shown._words == []

    play(app, scene)


def test_space_and_checking_say_what_they_found(pictured: Bench) -> None:
    app = pictured.app()

    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        screen = await settings_shown(pilot)
        await pilot.press("end", "enter")
        await until(pilot, lambda: isinstance(app.screen, AskScreen) and app.focused is not None)
        await pilot.press("down", "down", "enter")  # read everything through
        await until(pilot, lambda: isinstance(app.screen, LongWorkScreen))
        await until(pilot, lambda: app.work.task is not None and not app.work.task.running, "the check")
        await until(pilot, lambda: "everything is as it was written" in screen.said)
        await pilot.press("escape")
        await pilot.press("up", "enter")
        await until(pilot, lambda: isinstance(app.screen, AskScreen) and app.focused is not None)
        await pilot.press("enter")
        await until(pilot, lambda: app.work.task is not None and app.work.task.error is not None, "no relay is in use")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: app.screen is library)
        await until(pilot, lambda: "relay" in library.status.flashed)
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, LongWorkScreen))
        await pilot.press("x", "escape")

    play(app, scene)


def test_space_is_freed_after_a_yes(synced: Bench) -> None:
    app = synced.app()

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        screen = await settings_shown(pilot)
        await pilot.press("end", "up", "enter")
        await until(pilot, lambda: isinstance(app.screen, AskScreen) and app.focused is not None)
        await pilot.press("down", "down", "enter")  # one relay alone is enough
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen) and app.screen.is_mounted, "the question")
        await pilot.press("y")
        await until(pilot, lambda: "12 originals freed" in screen.said, "the originals to be freed")

    play(app, scene)
