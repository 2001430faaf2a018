"""How far long work is, and what came of it. It goes on whether this is looked at or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import ModalScreen
from textual.widgets import ProgressBar, Static

from tui.app.keys import WORK, bindings
from tui.app.widgets.card import Card
from tui.app.widgets.key_line import KeyLine
from tui.cli.output import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult

    from core.library import Library
    from tui.app.app import SafelightApp
    from tui.app.workers.long_work import LongTask

_REFRESH_S = 0.25


class LongWorkScreen(ModalScreen[None]):
    """The long work that runs, or ran last."""

    app: SafelightApp
    BINDINGS = bindings(WORK)
    DEFAULT_CSS = """
    LongWorkScreen { align: center middle; background: $background 40%; }
    LongWorkScreen ProgressBar { margin-bottom: 1; }
    """

    def compose(self) -> ComposeResult:
        """Lay out the bar and what came of it."""
        with Card(title="Work"):
            yield Static("", id="title", markup=False)
            yield ProgressBar(total=None, show_eta=False)
            yield Static("", id="lines", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        """Look at the work a few times a second."""
        self.set_interval(_REFRESH_S, self.look)
        self.look()

    def look(self) -> None:
        """Show how far it is."""
        task = self.app.work.task
        if task is None:
            return
        done = f" · {task.done:,} of {task.total:,} {task.unit}" if task.running and task.total else ""
        stopping = " · stopping" if task.running and task.stopping else ""
        self.query_one("#title", Static).update(plain(task.title) + done + stopping)
        bar = self.query_one(ProgressBar)
        bar.display = task.running
        bar.update(total=task.total or None, progress=task.done)
        lines = [plain(line) for line in task.lines]
        if task.error is not None:
            lines = [plain(task.error), *([plain(task.hint)] if task.hint else [])]
        self.query_one("#lines", Static).update("\n".join(lines))

    def action_back(self) -> None:
        """Go back; the work goes on."""
        self.dismiss()

    def action_stop(self) -> None:
        """End the work after what is begun."""
        self.app.work.stop()
        self.look()


async def worked(
    app: SafelightApp, task: LongTask, work: Callable[[Library, LongTask], Sequence[str]]
) -> Sequence[str] | None:
    """Do long work, shown on a screen that may be left; return what came of it, or None where it failed.

    What it says stays on that screen until it is left. Raises `NotOpen`.
    """
    if app.work.is_running:
        app.push_screen(LongWorkScreen())
        return None
    shown = LongWorkScreen()
    app.push_screen(shown)
    ended = await app.work.run(task, work)
    if shown.is_attached:
        shown.look()
    return None if ended.error is not None else ended.lines
