"""How far an import is, and what it could not take in. It goes on whether this is looked at or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import ModalScreen
from textual.widgets import Footer, ProgressBar, Static

from tui.app.keys import IMPORT, bindings
from tui.app.widgets.card import Card
from tui.cli.output import plain

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from tui.app.app import SafelightApp

_REFRESH_S = 0.25
_LINES = 12


class ImportScreen(ModalScreen[None]):
    """The import that runs, or ran last."""

    app: SafelightApp
    BINDINGS = bindings(IMPORT)
    DEFAULT_CSS = """
    ImportScreen { align: center middle; background: $background 40%; }
    ImportScreen ProgressBar { margin-bottom: 1; }
    """

    def compose(self) -> ComposeResult:
        """Lay out bar, counts and failures."""
        with Card(title="Import"):
            yield Static("", id="folder", classes="muted", markup=False)
            yield ProgressBar(total=None, show_eta=False)
            yield Static("", id="counts", markup=False)
            yield Static("", id="lines", classes="muted", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Look at the import a few times a second."""
        self.set_interval(_REFRESH_S, self._look)
        self._look()

    def _look(self) -> None:
        state = self.app.importer.state
        if state is None:
            return
        self.query_one("#folder", Static).update(plain(state.folder))
        done = state.progress
        if done is not None:
            bar = self.query_one(ProgressBar)
            bar.update(total=done.total_bytes if done.counted else None, progress=done.bytes)
        counts = state.counts
        left = None if done is None else done.seconds_left
        time_left = f", about {max(1, round(left / 60))} min left" if left is not None and state.running else ""
        stopping = " · stopping" if state.stopping and state.running else ""
        self.query_one("#counts", Static).update(
            f"{counts['added']:,} added · {counts['duplicate']:,} known already · {counts['skipped']:,} skipped · "
            f"{counts['failed']:,} failed{time_left}{stopping}"
        )
        lines = [plain(line) for line in state.lines[-_LINES:]]
        if state.error is not None:
            lines.append(plain(f"{state.error}. {state.hint or ''}"))
        self.query_one("#lines", Static).update("\n".join(lines))

    def action_back(self) -> None:
        """Go back; the import goes on."""
        self.dismiss()

    def action_stop(self) -> None:
        """End the import after what is begun."""
        self.app.importer.stop()
