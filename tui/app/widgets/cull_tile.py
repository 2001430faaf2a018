"""One photo while culling: its picture, and a line that says what was decided on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from tui.app.grid.tile_lines import date_of
from tui.app.widgets.picture_view import PictureView
from tui.cli.cells import fitted, width
from tui.cli.output import plain

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult

    from core.catalog import PhotoRecord
    from tui.app.culling import Decision

_SIGNS = {"keep": "✓", "reject": "✗", None: "·"}


class CullTile(Vertical, can_focus=False):
    """A picture and its line. `number` is its place among those beside each other."""

    DEFAULT_CSS = """
    CullTile {
        width: 1fr; height: 1fr;
        &.unused { display: none; }
        &.beside { margin-left: 1; }
        & .line { height: 1; width: 1fr; background: $panel; color: $text-muted; }
        &.keep .line { color: $success; }
        &.reject .line { color: $error; }
        &.focused .line { background: $primary 30%; text-style: bold; }
    }
    """

    class Clicked(Message):
        """It was clicked: keys are about it now."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, number: int) -> None:
        """Show nothing yet."""
        super().__init__(classes="beside unused" if number else "")
        self.number = number

    def compose(self) -> ComposeResult:
        """Lay out the picture and the line."""
        yield PictureView()
        yield Static("", classes="line", markup=False)

    @property
    def picture(self) -> PictureView:
        """The picture."""
        return self.query_one(PictureView)

    @property
    def line(self) -> str:
        """What is said of the photo."""
        return str(self.query_one(Static).content)

    def tell(self, record: PhotoRecord | None, decision: Decision, *, focused: bool, alone: bool) -> None:
        """Say what was decided; `alone`: there is no other photo beside it, and nothing to point at."""
        self.set_class(decision.verdict == "keep", "keep")
        self.set_class(decision.verdict == "reject", "reject")
        self.set_class(focused and not alone, "focused")
        pointer = "" if alone else "▸" if focused else " "
        if record is None:
            text = "this photo is gone"
        else:
            text = "  ".join(part for part in (plain(record.filename or record.id[:8]), date_of(record)) if part)
        marks = marks_after(record, decision)
        room = max(0, self.size.width - 3 - width(marks) - width(pointer))
        line = f"{pointer}{_SIGNS[decision.verdict]} {fitted(text, room)} {marks}"
        self.query_one(Static).update(Text(line, no_wrap=True, overflow="ellipsis"), layout=False)

    def on_click(self, event: events.Click) -> None:
        """Say that it was clicked."""
        event.stop()
        self.post_message(self.Clicked(self.number))


def marks_after(record: PhotoRecord | None, decision: Decision) -> str:
    """Return heart and stars as they are going to be."""
    favourite = decision.favourite if decision.favourite is not None else record is not None and record.favourite
    rating = decision.rating if decision.rating is not None else 0 if record is None else record.rating
    return ("♥" if favourite else "") + "★" * rating
