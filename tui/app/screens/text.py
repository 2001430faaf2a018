"""A few lines to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.screen import ModalScreen
from textual.widgets import Static

from tui.app.widgets.card import Card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult


class TextScreen(ModalScreen[None]):
    """Shows lines until a key is pressed that goes back."""

    BINDINGS: ClassVar[list[tuple[str, str, str]]] = [("escape,enter,q,w", "dismiss", "Back")]  # type: ignore[assignment]  # narrower
    DEFAULT_CSS = """
    TextScreen { align: center middle; background: $background 40%; }
    TextScreen Static { margin: 0; }
    """

    def __init__(self, title: str, lines: Sequence[str]) -> None:
        """Show `lines`."""
        super().__init__()
        self._title, self._lines = title, lines

    def compose(self) -> ComposeResult:
        """Lay them out."""
        with Card(title=self._title) as card:
            card.border_subtitle = "esc goes back"
            yield Static("\n".join(self._lines), markup=False)
