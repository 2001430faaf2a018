"""When a photo was taken: asked until the answer is a date, with what is wrong with it in the question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.widgets import Input, Static

from tui.app.screen_work import work
from tui.app.screens.ask import AskScreen
from tui.cli.output import plain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.app import ComposeResult


class DateScreen(AskScreen):
    """Asks for a date; its result is the line that was taken, None if none was."""

    def __init__(self, before: str, correct: Callable[[str], Awaitable[str | None]]) -> None:
        """Begin with the date `before`; `correct` makes the correction, and returns what is wrong with it if it is."""
        super().__init__(
            "When was it taken?",
            value=before,
            placeholder="2024-05-17 14:03",
            hint="An empty line takes a correction back: the date is then as the file says.",
        )
        self._before = before
        self._correct = correct

    def more(self) -> ComposeResult:
        """Leave a line for what is wrong."""
        yield Static("", id="problem", classes="error", markup=False)

    @property
    def problem(self) -> str:
        """What is wrong with the line."""
        return str(self.query_one("#problem", Static).content)

    @on(Input.Submitted)
    def check(self, event: Input.Submitted) -> None:
        """Make the correction instead of taking any answer."""
        event.prevent_default()
        self._check(event.value)

    @work(exclusive=True, group="check")
    async def _check(self, typed: str) -> None:
        problem = None if typed.strip() == self._before else await self._correct(typed)
        if problem is None:
            self.dismiss(typed)
        else:
            self.query_one("#problem", Static).update(plain(problem))
