"""The box that questions stand in: titled, as wide as its text needs, in the middle of the screen."""

from __future__ import annotations

from textual.containers import Vertical


class Card(Vertical):
    """A box in the middle."""

    DEFAULT_CSS = """
    Card {
        width: 66;
        max-width: 100%;
        height: auto;
        max-height: 100%;
        padding: 1 2;
        background: $surface;
        border: round $border;
        border-title-color: $primary;
        border-title-style: bold;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        & Static { width: 100%; margin-bottom: 1; }
        & .muted { color: $text-muted; }
        & .error { color: $error; margin-bottom: 0; }
        border-subtitle-color: $text-muted;
        & Input { height: 1; margin-bottom: 1; border: none; padding: 0 1; background: $panel; }
        & Input:focus { border: none; background: $panel; background-tint: $primary 15%; }
        & .buttons { height: auto; align-horizontal: right; }
        & .buttons Button { margin-left: 2; min-width: 12; }
    }
    """

    def __init__(self, *, title: str, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Write `title` into the border."""
        super().__init__(id=id)
        self.border_title = title
