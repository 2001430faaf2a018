"""Progress bars with rate and time left, on a terminal; nothing anywhere else."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Protocol

from tui.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress as RichProgress

    from core.importing.events import Progress


class Advance(Protocol):
    """Says how far the work is."""

    def __call__(self, done: int, total: int | None = None) -> None:
        """`done` of `total` steps; None leaves the total as it was."""


@contextlib.contextmanager
def progress_bar(doing: str, *, unit: str = "photos", shown: bool = True) -> Iterator[Advance]:
    """A bar labelled `doing` on stderr, counting in `unit`, until the block ends."""
    if not shown or not output.is_terminal(sys.stderr):
        yield lambda _done, _total=None: None
        return
    with _bar(unit) as progress:
        task = progress.add_task(doing, total=None)

        def advance(done: int, total: int | None = None) -> None:
            progress.update(task, completed=done, total=total)

        yield advance


@contextlib.contextmanager
def import_bar(*, shown: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar for an import: it moves with the bytes, because photos differ in size, and counts the photos."""
    if not shown or not output.is_terminal(sys.stderr):
        yield lambda _progress: None
        return
    from rich.progress import BarColumn, TextColumn

    with _progress(
        TextColumn("Importing"),
        BarColumn(),
        TextColumn("{task.fields[files]:,} of {task.fields[total_files]:,}{task.fields[more]}"),
        TextColumn("{task.fields[rate]:,.1f} photos/s"),
        TextColumn("{task.fields[left]}"),
    ) as bars:
        task = bars.add_task("", total=None, files=0, total_files=0, more="", rate=0.0, left="")

        def advance(progress: Progress) -> None:
            left = progress.seconds_left
            bars.update(
                task,
                completed=progress.bytes,
                total=progress.total_bytes if progress.counted else None,
                files=progress.files,
                total_files=progress.total_files,
                more="" if progress.counted else "+",
                rate=progress.files / progress.seconds if progress.seconds > 0 else 0.0,
                left="" if left is None else f"{_clock(left)} left",
            )

        yield advance


def _bar(unit: str) -> RichProgress:
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Steps a second, averaged over the last while."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.1f} {unit}/s")

    return _progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())


def _progress(*columns: object) -> RichProgress:
    from rich.console import Console
    from rich.progress import Progress

    # What is printed while the bar is there goes above it, through rich; but results that go to a file stay results.
    console = Console(stderr=True)
    redirected = output.is_terminal(sys.stdout)
    return Progress(*columns, console=console, transient=True, redirect_stdout=redirected)  # type: ignore[arg-type]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
