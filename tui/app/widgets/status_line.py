"""The line at the bottom: where one is, what just happened, and what goes on meanwhile.

One widget that draws one line: parts that are as wide as their text would have the whole screen laid out anew whenever
the cursor moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from tui.cli.cells import fitted, width

if TYPE_CHECKING:
    from textual.timer import Timer

_FLASH_S = 5.0
_LEAST_FLASH = 24
"""Columns that a flash gets before the others lose theirs."""


class StatusLine(Widget):
    """Four parts: place, flash, work under way, how sync is."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "status-line--place",
        "status-line--flash",
        "status-line--error",
        "status-line--going-on",
        "status-line--sync",
    }
    DEFAULT_CSS = """
    StatusLine {
        height: 1; width: 100%; background: $panel;
        & > .status-line--place { color: $foreground; background: $panel; }
        & > .status-line--flash { color: $success; background: $panel; }
        & > .status-line--error { color: $error; background: $panel; text-style: bold; }
        & > .status-line--going-on { color: $warning; background: $panel; }
        & > .status-line--sync { color: $text-muted; background: $panel; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Say nothing yet."""
        super().__init__(id=id)
        self._place = self._flash = self._going_on = self._sync = ""
        self._is_error = self._sync_is_wrong = False
        self._timer: Timer | None = None

    def place(self, text: str) -> None:
        """Say where one is."""
        if text != self._place:
            self._place = text
            self.refresh()

    def going_on(self, text: str) -> None:
        """Say what is under way; an empty text ends it."""
        if text != self._going_on:
            self._going_on = text
            self.refresh()

    def sync(self, text: str, *, wrong: bool = False) -> None:
        """Say how sync is; `wrong`: somebody should look."""
        if (text, wrong) != (self._sync, self._sync_is_wrong):
            self._sync, self._sync_is_wrong = text, wrong
            self.refresh()

    def flash(self, text: str, *, error: bool = False) -> None:
        """Say what just happened, for a few seconds; an error stays until something else happens."""
        if self._timer is not None:
            self._timer.stop()
        self._flash, self._is_error = text, error
        self._timer = None if error else self.set_timer(_FLASH_S, lambda: self.flash("", error=True))
        self.refresh()

    @property
    def flashed(self) -> str:
        """What was said last, as long as it stands there."""
        return self._flash

    @property
    def synced(self) -> str:
        """What is said of sync."""
        return self._sync

    @property
    def where(self) -> str:
        """What was said of the place."""
        return self._place

    def render_line(self, y: int) -> Strip:
        """Draw the parts beside each other."""
        del y
        room = self.size.width
        going_on = f" {self._going_on} " if self._going_on else ""
        place = f" {self._place} " if self._place else " "
        sync = f" {self._sync} " if self._sync else ""
        last = min(width(sync), max(0, room // 3))
        right = min(width(going_on), max(0, room // 2 - last))
        left = min(width(place), max(0, room - right - last - (_LEAST_FLASH if self._flash else 0)))
        flash_class = "status-line--error" if self._is_error else "status-line--flash"
        style = self.get_component_rich_style
        sync_class = "status-line--error" if self._sync_is_wrong else "status-line--sync"
        middle = room - left - right - last
        return Strip(
            [
                Segment(fitted(place, left), style("status-line--place")),
                Segment(fitted(f" {self._flash}" if self._flash else "", middle), style(flash_class)),
                Segment(fitted(going_on, right), style("status-line--going-on")),
                Segment(fitted(sync, last), style(sync_class)),
            ],
            room,
        )
