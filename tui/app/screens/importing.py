"""How far an import is, and what it could not take in. It goes on whether this is looked at or not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual.screen import ModalScreen
from textual.widgets import Input, ProgressBar, Static

from tui.app.keys import IMPORT, bindings
from tui.app.screens.ask import AskScreen, Choice
from tui.app.widgets.card import Card
from tui.app.widgets.key_line import KeyLine
from tui.app.widgets.tick_box import TickBox
from tui.app.workers.folders import folders_like
from tui.app.workers.importing import ImportWish
from tui.cli.output import count, plain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from textual.app import ComposeResult
    from textual.await_complete import AwaitComplete

    from tui.app.app import SafelightApp
    from tui.app.workers.importing import ImportState

_REFRESH_S = 0.25
_LINES = 12
_REASONS = 3


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
        yield KeyLine()

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
        lines = [f"skipped {files:,}: {plain(reason)}" for reason, files in state.skipped.most_common(_REASONS)]
        lines += [plain(line) for line in state.lines[-_LINES:]]
        if not state.running:
            lines += _closing_lines(state)
        if state.error is not None:
            lines.append(plain(f"{state.error}. {state.hint or ''}"))
        self.query_one("#lines", Static).update("\n".join(lines))

    def action_back(self) -> None:
        """Go back; the import goes on."""
        self.dismiss()

    def action_stop(self) -> None:
        """End the import after what is begun."""
        self.app.importer.stop()


def _closing_lines(state: ImportState) -> list[str]:
    """Return what is worth knowing once an import has ended."""
    lines, summary = [], state.summary
    if state.binned:
        stay = "is in the trash, and stays there" if state.binned == 1 else "are in the trash, and stay there"
        lines.append(f"{count(state.binned, 'photo')} of these {stay}: R takes out what is:trash finds")
    if summary is not None and summary.moved:
        lines.append(f"{count(summary.moved, 'source')} removed, after comparing what was stored")
    if summary is not None and summary.unmoved:
        lines.append(f"{count(summary.unmoved, 'source')} could not be removed")
    if state.stopping:
        lines.append("Stopped; importing the same again goes on from here.")
    return lines


class ImportAskScreen(AskScreen):
    """Asks for a folder, and how its photos are to be imported."""

    DEFAULT_CSS = """
    ImportAskScreen OptionList { max-height: 6; margin-bottom: 1; }
    """

    def __init__(self) -> None:
        """Ask; the folder that is typed begins in the home folder."""
        super().__init__(
            "Import photos",
            value="~/",
            placeholder="a folder",
            hint="Photos are copied, the originals stay. ↑ ↓ choose, tab takes, enter imports.",
            suggest=_folders,
        )
        self.album: str | None = None
        self.ticked: frozenset[str] = frozenset()

    def more(self) -> ComposeResult:
        """Lay out the options, whose defaults are what most people want."""
        yield Input(placeholder="into an album (its name; none is fine, too)", id="album", select_on_focus=False)
        yield TickBox("Label them", value=True, id="label")
        yield TickBox("Move: remove each file, once its copy was read back", id="move")
        yield TickBox("Let photos come back that were purged", id="readmit")

    def dismiss(self, result: str | None = None) -> AwaitComplete:
        """Note what was ticked, and go."""
        self.album = self.query_one("#album", Input).value.strip() or None
        self.ticked = frozenset(str(box.id) for box in self.query(TickBox) if box.value)
        return super().dismiss(result)

    def wish(self, path: Path) -> ImportWish:
        """Return what was asked for."""
        return ImportWish(
            (path,),
            album=self.album,
            move="move" in self.ticked,
            label="label" in self.ticked,
            readmit_purged="readmit" in self.ticked,
        )


async def _folders(typed: str) -> Sequence[Choice]:
    return [Choice(path) for path in await asyncio.to_thread(folders_like, typed)]
