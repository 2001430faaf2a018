"""A box to tick whose tick is a sign: Textual's differs from an empty one in nothing but its colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Checkbox

if TYPE_CHECKING:
    from textual.content import Content


class TickBox(Checkbox):
    """`[x]` or `[ ]`, and what it means."""

    BUTTON_LEFT = "["
    BUTTON_RIGHT = "]"
    DEFAULT_CSS = """
    TickBox {
        border: none; padding: 0; height: 1; width: 100%; background: $surface;
        &:focus { border: none; }
        & > .toggle--button, &.-on > .toggle--button { color: $foreground; background: $surface; }
    }
    """

    def render(self) -> Content:
        """Draw the tick, or none."""
        self.BUTTON_INNER = "x" if self.value else " "
        return super().render()
