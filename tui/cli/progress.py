"""Progress bars with rate and time left, on a terminal; nothing anywhere else."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol

from tui.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress as RichProgress

    from core.importing.events import Progress
    from core.sync.report import SyncProgress


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


_STAGES = {
    "pull": "Fetching edits",
    "push": "Sending edits",
    "upload": "Sending files",
    "download": "Fetching files",
    "checkpoint": "Tidying up",
}


@contextlib.contextmanager
def sync_bar(*, shown: bool) -> Iterator[Callable[[SyncProgress], None]]:
    """A bar for each stage of a sync with each relay: what is done of it, and how fast its bytes go."""
    if not shown or not output.is_terminal(sys.stderr):
        yield lambda _step: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn

    with _progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[amount]}"),
    ) as bars:
        tasks: dict[tuple[str, str], tuple[TaskID, float]] = {}
        one_at_a_time = threading.Lock()  # each relay has a thread of its own

        def advance(step: SyncProgress) -> None:
            with one_at_a_time:
                place = (step.url, step.stage)
                if place not in tasks:
                    name = f"{_STAGES.get(step.stage, step.stage)} ({output.plain(step.url.partition('://')[2])})"
                    tasks[place] = (bars.add_task(name, total=None, amount=""), time.monotonic())
                task, began = tasks[place]
                seconds = time.monotonic() - began
                rate = f" {output.file_size(int(step.bytes / seconds))}/s" if step.bytes and seconds >= 1 else ""
                amount = output.file_size(step.bytes) + rate if step.bytes else ""
                bars.update(task, completed=step.done, total=step.total, amount=amount)

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
