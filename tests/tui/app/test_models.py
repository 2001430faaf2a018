"""The models: listed, tried, added, used, removed; photos labelled again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Checkbox, OptionList, Static

from core import packs
from core.active_model import active_model
from tests.ml.colour_packs import ColourPack
from tests.tui.app.conftest import Bench, library_shown, play, shown_on, type_text, until
from tui.app.screens.ask import AskScreen, ConfirmScreen
from tui.app.screens.form import FormScreen
from tui.app.screens.long_work import LongWorkScreen
from tui.app.screens.models import ModelsScreen
from tui.app.screens.text import TextScreen

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


def test_a_model_is_added_tried_used_and_removed(pictured: Bench, tmp_path: Path) -> None:
    ColourPack(tmp_path / "pack").write()
    app = pictured.app()

    def rows(screen: ModelsScreen) -> list[str]:
        listed = screen.query_one(OptionList)
        return [str(listed.get_option_at_index(at).prompt) for at in range(listed.option_count)]

    async def scene(pilot: Pilot[None]) -> None:
        library = await library_shown(pilot)
        await pilot.press("M")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen) and app.screen.is_filled)
        screen = shown_on(app.screen, ModelsScreen)
        (builtin,) = rows(screen)
        assert "in use" in builtin
        assert "built in" in builtin

        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, FormScreen) and app.focused is not None)
        form = app.screen
        await type_text(pilot, "https://example.org/pack.zip")
        await pilot.press("enter", "enter")
        assert "only with its SHA-256" in str(form.query_one("#said", Static).content)
        await pilot.press("shift+tab", "ctrl+u")
        await type_text(pilot, str(tmp_path / "pack"))
        form.query_one(Checkbox).value = True
        await pilot.press("enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, LongWorkScreen))
        await until(pilot, lambda: "labels this library's photos from now on" in screen.said, "the pack to be used")
        await pilot.press("escape")
        await until(pilot, lambda: any("colours@1.0.0" in row and "in use" in row for row in rows(screen)))

        await pilot.press("end", "t")
        await until(pilot, lambda: isinstance(app.screen, TextScreen), "the pack to run")
        await pilot.press("escape")

        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, AskScreen) and app.focused is not None)
        await pilot.press("enter")
        await until(pilot, lambda: "labelled 12 photos" in screen.said, "the photos to be labelled")
        await pilot.press("escape", "home", "u")
        await until(pilot, lambda: any("built in" in row and "in use" in row for row in rows(screen)))
        await pilot.press("end", "x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen) and app.screen.is_mounted)
        await pilot.press("y")
        await until(pilot, lambda: "removed colours@1.0.0" in screen.said)
        await until(pilot, lambda: len(rows(screen)) == 1)
        await pilot.press("f5", "escape")
        await until(pilot, lambda: app.screen is library)

    play(app, scene)
    assert len(packs.list_packs()) == 1
    with pictured.open() as library:
        assert active_model(library.setting) == packs.list_packs()[0].model


def test_a_known_model_is_fetched_only_on_a_yes(pictured: Bench) -> None:
    app = pictured.app()

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        await pilot.press("M")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen) and app.screen.is_filled)
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, AskScreen) and app.focused is not None)
        await type_text(pilot, "squeeze")
        await until(pilot, lambda: [one.value for one in shown_on(app.screen, AskScreen)._choices] == ["squeezenet1.1"])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, FormScreen) and app.focused is not None)
        about = str(app.screen.query(Static).first().content)
        assert packs.available_model("squeezenet1.1").url in about
        await type_text(pilot, "http://127.0.0.1:1/model.onnx")  # where nobody answers
        await pilot.press("enter")
        await until(pilot, lambda: app.work.task is not None and app.work.task.error is not None, "the failure")
        await until(pilot, lambda: isinstance(app.screen, LongWorkScreen))
        await pilot.press("escape")

    play(app, scene)
    assert len(packs.list_packs()) == 1
