"""Teaching a label by photos, and answering yes or no for those that it is surest and least sure of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on

from core.errors import CoreError
from tui.app.error_lines import in_a_line, or_said
from tui.app.grid.contents import Contents
from tui.app.grid.photo_grid import PhotoGrid
from tui.app.keys import TEACHING, bindings
from tui.app.screen_work import work
from tui.app.screens.ask import AskScreen, Choice, ConfirmScreen
from tui.app.screens.form import Field, FormScreen
from tui.app.screens.grid_screen import GridScreen
from tui.app.workers.library_thread import NotOpen
from tui.cli.output import count, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.library import Library
    from core.teaching import Asked, TaughtLabel
    from tui.app.screens.library import LibraryScreen

_ASKED = 12


class LibraryTeaching:
    """The ways from the library screen; mixed into it."""

    @work(group="ask")
    async def action_teach(self: LibraryScreen) -> None:
        """Ask what the photos show, learn it from them, and show what else may show it."""
        pids = self.grid.chosen()
        if not pids:
            return
        filled = await self.app.push_screen_wait(
            FormScreen(
                f"Teach a label by {count(len(pids), 'photo')}",
                "These photos show it; five that differ from each other are a good beginning. It is learnt on this "
                "device, and put on all photos that look so.",
                (Field("name", "the label, known or new"), Field("negative", "not these: a search, or nothing")),
                yes="Teach",
                complaint=lambda lines: None if lines["name"].strip() else ("name", "What do the photos show?"),
            )
        )
        if filled is None:
            return
        name, negative = filled.lines["name"].strip(), filled.lines["negative"].strip()
        self.say(f"learning {name}…")
        library = self.app.library
        taught = await or_said(
            self, self.app.syncing.errand(lambda _stop: _teach(library.library, name, pids, negative))
        )
        if taught is None:
            return
        self.say(f"{taught.name} is on {count(taught.photos, 'photo')} now")
        self.load_all()
        self.app.push_screen(TeachScreen(taught.name), lambda _: self.load_all())

    @work(group="ask")
    async def action_review_taught(self: LibraryScreen) -> None:
        """Ask which of the labels that were taught, and show what to say yes or no to."""
        try:
            taught = await self.app.library.ask(_taught)
        except NotOpen:
            return
        if not taught:
            self.say("no label was taught so far: mark photos and press L", error=True)
            return

        async def suggest(typed: str) -> Sequence[Choice]:
            return [Choice(one.name, f"{one.photos:,}") for one in taught if typed.lower() in one.name]

        name = await self.app.push_screen_wait(AskScreen("Review a taught label", suggest=suggest, only_listed=True))
        if name is not None:
            self.app.push_screen(TeachScreen(name), lambda _: self.load_all())


class TeachScreen(GridScreen):
    """A grid of the photos that a taught label is surest of, and of those that it is least sure of."""

    BINDINGS = bindings(TEACHING)

    def __init__(self, name: str) -> None:
        """Ask about the label `name`."""
        super().__init__(f"Do these show {plain(name)}?  y yes · n no")
        self._label = name

    def on_mount(self) -> None:
        """Look for them."""
        self.action_again()

    @work(exclusive=True, group="find")
    async def action_again(self) -> None:
        """Ask which photos are most and least certain, as it is learnt now."""
        await self._find()

    async def _find(self) -> None:
        name = self._label
        self.status.going_on("looking")
        library = self.app.library
        try:
            asked = await or_said(self, self.app.syncing.errand(lambda _stop: _uncertain(library.library, name)))
        finally:
            self.status.going_on("")
        if asked is None:
            return
        self.grid.explain_emptiness(["There is nothing to ask: every photo was answered."])
        self.grid.show(_contents(asked), keep_place=False)

    def action_answer(self, yes: bool) -> None:
        """Say that the photos marked, or the one under the cursor, show it or do not."""
        pids = self.grid.chosen()
        if pids:
            self._answer(pids, yes=yes)

    @work(group="answer")
    async def _answer(self, pids: list[bytes], *, yes: bool) -> None:
        name = self._label
        shown, answered = self.grid.contents, set(pids)
        self.grid.show(_without(shown, answered), keep_place=True)
        self.grid.action_clear_marks()
        positive, negative = (pids, []) if yes else ([], pids)
        library = self.app.library
        taught = await or_said(
            self, self.app.syncing.errand(lambda _stop: _answered(library.library, name, positive, negative))
        )
        if taught is None:
            return
        self.say(f"{taught.name} is on {count(taught.photos, 'photo')} now")
        if not len(self.grid.contents.photos):
            self.action_again()

    @work(group="ask", exclusive=True)
    async def action_forget(self) -> None:
        """Ask whether the label is to be forgotten, and forget it."""
        name = self._label
        question = f"Forget {plain(name)}, on all devices? Photos that you gave it to yourself keep it."
        if not await self.app.push_screen_wait(ConfirmScreen("Forget a taught label", question, yes="Forget")):
            return
        try:
            await self.app.library.ask(lambda library: _forget(library, name))
        except NotOpen:
            return
        except CoreError as error:
            self.say(in_a_line(error), error=True)
            return
        self.dismiss()

    @on(PhotoGrid.Opened)
    def open_photo(self) -> None:
        """Show the photo under the cursor large."""
        from tui.app.screens.photo import PhotoScreen

        def back(index: int | None) -> None:
            if index is not None:
                self.grid.go_to(index)

        self.app.push_screen(PhotoScreen(self.grid.contents, self.grid.cursor, self.tiles), back)


_SUREST, _DOUBTFUL = "Most certain", "Least certain"


def _contents(asked: Asked) -> Contents:
    surest = [pid for pid, _ in asked.most_certain]
    doubtful = [pid for pid, _ in asked.least_certain if pid not in surest]
    return Contents.ranked((_SUREST, surest), (_DOUBTFUL, doubtful))


def _without(shown: Contents, answered: set[bytes]) -> Contents:
    pids = list(shown.photos)
    border = next((section.count for section in shown.sections if section.title == _SUREST), 0)
    parts = (_SUREST, pids[:border]), (_DOUBTFUL, pids[border:])
    return Contents.ranked(*((title, [pid for pid in part if pid not in answered]) for title, part in parts))


# Imported where they run: what learns takes a while to import, and the screen waits for nothing.


def _teach(library: Library, name: str, positive: Sequence[bytes], negative: str) -> TaughtLabel:
    from core.teaching import teach

    refused = set(library.catalog.pids(negative)) - set(positive) if negative else set()
    return teach(library, name, positive, sorted(refused))


def _answered(library: Library, name: str, positive: Sequence[bytes], negative: Sequence[bytes]) -> TaughtLabel:
    from core.teaching import teach

    return teach(library, name, positive, negative)


def _taught(library: Library) -> list[TaughtLabel]:
    from core.teaching import taught_labels

    return taught_labels(library)


def _uncertain(library: Library, name: str) -> Asked:
    from core.teaching import uncertain

    return uncertain(library, name, _ASKED)


def _forget(library: Library, name: str) -> None:
    from core.teaching import forget

    forget(library, name)
