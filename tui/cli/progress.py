"""A progress bar with rate and time left, on a terminal; nothing anywhere else."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Protocol

from tui.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator


class Advance(Protocol):
    """Says how far the work is."""

    def __call__(self, done: int, total: int | None = None) -> None:
        """`done` of `total` steps; None leaves the total as it was."""


@contextlib.contextmanager
def progress_bar(doing: str, *, unit: str = "photos", shown: bool = True) -> Iterator[Advance]:
    """A bar labelled `doing` on stderr, counting in `unit`, until the block ends."""
    if not shown or not output.is_terminal(sys.stderr):
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Steps a second, averaged over the last while."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.1f} {unit}/s")

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task(doing, total=None)

        def advance(done: int, total: int | None = None) -> None:
            progress.update(task, completed=done, total=total)

        yield advance


def _silent(_done: int, _total: int | None = None) -> None:
    """Nobody is watching."""
