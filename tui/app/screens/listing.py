"""A screen that lists things, two lines each, says what happened, and has its keys at the bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui.app.error_lines import in_a_line
from tui.app.widgets.key_line import KeyLine
from tui.cli.output import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import ComposeResult

    from core.errors import CoreError
    from tui.app.app import SafelightApp


class ListingScreen(Screen[None]):
    """What is common to the lists of devices, relays and alarms."""

    app: SafelightApp
    TITLE: ClassVar[str] = ""
    AUTO_FOCUS: ClassVar[str] = "OptionList"
    is_filled = False
    """Whether anything was listed: keys that are typed before wait for it."""
    DEFAULT_CSS = """
    ListingScreen {
        & #title { height: 1; padding: 0 1; background: $panel; color: $primary; text-style: bold; }
        & #about { height: auto; padding: 0 1; margin-bottom: 1; color: $text-muted; }
        & OptionList { height: 1fr; border: none; padding: 0; background: $background; scrollbar-size-vertical: 1; }
        & OptionList:focus { border: none; }
        & #said { height: auto; max-height: 6; padding: 0 1; background: $panel; color: $success; }
        & #said.error { color: $error; text-style: bold; }
    }
    """

    def compose(self) -> ComposeResult:
        """Lay out title, list, what is said, and keys."""
        yield Static(self.TITLE, id="title", markup=False)
        yield Static("", id="about", markup=False)
        yield OptionList()
        yield Static("", id="said", markup=False)
        yield KeyLine()

    def about(self, text: str) -> None:
        """Say something of the whole list."""
        self.query_one("#about", Static).update(plain(text))

    def say(self, text: str, *, error: bool = False) -> None:
        """Say what happened, or is happening."""
        said = self.query_one("#said", Static)
        said.update(plain(text))
        said.set_class(error, "error")

    def complain(self, error: CoreError) -> None:
        """Say what went wrong, and what to do."""
        self.say(in_a_line(error), error=True)

    @property
    def said(self) -> str:
        """What was said last."""
        return str(self.query_one("#said", Static).content)

    def list_rows(self, rows: Iterable[Text], empty: str) -> None:
        """Show these; the place in the list is kept. `empty` is said where there are none."""
        listed = self.query_one(OptionList)
        self.is_filled = True
        place = listed.highlighted or 0
        listed.clear_options()
        found = list(rows)
        listed.add_options([Option(row) for row in found] or [Option(Text(empty, style="dim"), disabled=True)])
        listed.highlighted = min(place, len(found) - 1) if found else None

    @property
    def place(self) -> int | None:
        """Which of the list is chosen; None: nothing."""
        return self.query_one(OptionList).highlighted

    def action_back(self) -> None:
        """Go back."""
        self.dismiss()
