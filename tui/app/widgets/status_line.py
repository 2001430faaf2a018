"""The line at the bottom: where one is, what just happened, and what goes on meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Horizontal
from textual.widgets import Static

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.timer import Timer

_FLASH_S = 5.0


class StatusLine(Horizontal):
    """Three parts: place, flash, work under way."""

    DEFAULT_CSS = """
    StatusLine {
        height: 1;
        background: $panel;
        & #place { width: auto; max-width: 50%; padding: 0 1; color: $foreground; }
        & #flash { width: 1fr; padding: 0 1; color: $success; text-wrap: nowrap; text-overflow: ellipsis; }
        & #flash.error { color: $error; }
        & #going-on {
            width: auto; max-width: 50%; padding: 0 1; color: $warning; text-wrap: nowrap; text-overflow: ellipsis;
        }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Say nothing yet."""
        super().__init__(id=id)
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Lay out the three parts."""
        yield Static("", id="place", markup=False)
        yield Static("", id="flash", markup=False)
        yield Static("", id="going-on", markup=False)

    def place(self, text: str) -> None:
        """Say where one is."""
        self.query_one("#place", Static).update(text)

    def going_on(self, text: str) -> None:
        """Say what is under way; an empty text ends it."""
        self.query_one("#going-on", Static).update(text)

    def flash(self, text: str, *, error: bool = False) -> None:
        """Say what just happened, for a few seconds; an error stays until something else happens."""
        if self._timer is not None:
            self._timer.stop()
        part = self.query_one("#flash", Static)
        part.update(text)
        part.set_class(error, "error")
        self._timer = None if error else self.set_timer(_FLASH_S, lambda: part.update(""))

    @property
    def flashed(self) -> str:
        """What was said last, as long as it stands there."""
        return str(self.query_one("#flash", Static).content)
