"""F1: what the keys do here, for what has the focus first."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.table import Table
from rich.text import Text
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.app.keys import CONTEXTS, shown_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import ComposeResult
    from textual.binding import ActiveBinding

    from tui.app.app import SafelightApp


class HelpScreen(ModalScreen[None]):
    """A page of keys."""

    app: SafelightApp
    BINDINGS: ClassVar[list[tuple[str, str, str]]] = [("escape,f1,q", "dismiss", "Back")]  # type: ignore[assignment]  # narrower
    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 40%; }
    HelpScreen VerticalScroll {
        width: 74; max-width: 100%; height: auto; max-height: 90%; padding: 1 2; background: $surface;
        border: round $border; border-title-color: $primary; border-title-style: bold;
        border-subtitle-color: $text-muted; scrollbar-size-vertical: 1;
    }
    """

    def __init__(self, active: Mapping[str, ActiveBinding]) -> None:
        """Show the keys that are active now."""
        super().__init__()
        self._active = {one.binding.id for one in active.values() if one.binding.id}

    def compose(self) -> ComposeResult:
        """Lay out a table a context, those of the focus first."""
        with VerticalScroll() as page:
            page.border_title = "Keys here"
            page.border_subtitle = "esc goes back · ctrl+p finds commands by name"
            for context in sorted(CONTEXTS, key=lambda one: one.title == "Everywhere"):
                rows = [action for action in context.actions if action.id in self._active]
                if not rows:
                    continue
                table = Table.grid(padding=(0, 2))
                table.add_column(width=20, no_wrap=True)
                table.add_column()
                for action in rows:
                    keys = self.app.settings.keys.get(action.id, action.keys)
                    table.add_row(Text("  ".join(shown_keys(keys)), style="bold"), action.name)
                yield Static(Text(context.title, style="bold underline"))
                yield Static(Text(context.about, style="dim"))
                yield Static(table)
                yield Static("")
