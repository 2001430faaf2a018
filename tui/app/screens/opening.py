"""What is there before the first screen: nothing but the name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import Screen
from textual.widgets import Static

if TYPE_CHECKING:
    from textual.app import ComposeResult


class OpeningScreen(Screen[None]):
    """The name of the program."""

    DEFAULT_CSS = """
    OpeningScreen { align: center middle; }
    OpeningScreen Static { width: auto; color: $text-muted; }
    """

    def compose(self) -> ComposeResult:
        """Show the name."""
        yield Static("safelight")
