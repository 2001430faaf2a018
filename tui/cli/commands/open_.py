"""`safelight open`: show an original in another program."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from tui.cli import output
from tui.cli.options import confirm, library_options, yes_option
from tui.cli.progress import sync_bar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from core.sync.report import SyncProgress
    from tui.cli.session import Session

VIEWER_VARIABLE = "SAFELIGHT_VIEWER"


@click.command("open")
@click.argument("photo")
@click.option(
    "--with",
    "program",
    metavar="PROGRAM",
    help=f"The program that shows it; its end ends this command. Default: {VIEWER_VARIABLE}, else the platform's.",
)
@yes_option
@library_options
def command(session: Session, photo: str, program: str | None, yes: bool) -> int:
    """Show a photo's original in another program.

    The other program reads files, so the photo is written in the clear: to a folder that only you can enter, in memory
    where the system offers that, and removed when you are done. What the other program keeps of it (a list of recent
    files, thumbnails) is out of reach.

    An original that is not on this device is fetched from a relay first, and stays; `safelight free` removes it again.
    """
    from core.export import write_original
    from core.originals import Originals

    with session.open_library() as library:
        pid = library.catalog.resolve(photo)
        output.warn("this writes the photo in the clear to a private temporary folder until you are done")
        confirm("Go on?", yes=yes)
        with sync_bar(shown=True) as advance, Originals(library, progress=_fetching(advance)) as originals:
            originals.ensure(pid)
        with tempfile.TemporaryDirectory(
            prefix="safelight-open-", dir=_memory_folder(library.catalog.photo(pid))
        ) as folder:
            previous = signal.signal(signal.SIGTERM, _stop)
            try:
                path = write_original(library, pid, Path(folder))
                return _show(path, program or os.environ.get(VIEWER_VARIABLE))
            finally:
                signal.signal(signal.SIGTERM, previous)


def _fetching(advance: Callable[[SyncProgress], None]) -> Callable[[str, str, int, int, int], None]:
    """What is told of a fetch, for a bar."""
    from core.sync.report import SyncProgress

    return lambda url, stage, done, total, size: advance(SyncProgress(url, stage, done, total, size))


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Let a termination unwind the stack, so that the plaintext is removed."""
    raise KeyboardInterrupt


def _memory_folder(record: object) -> Path | None:
    """A folder of the user's that is in memory and has room for the photo; None for the platform's temporary folder."""
    named = os.environ.get("XDG_RUNTIME_DIR")
    size = getattr(record, "size", None)
    if sys.platform != "linux" or not named or not isinstance(size, int):
        return None
    folder = Path(named)
    try:
        roomy = shutil.disk_usage(folder).free > 4 * size
    except OSError:
        return None
    return folder if roomy and os.access(folder, os.W_OK | os.X_OK) else None


def _show(path: Path, program: str | None) -> int:
    if program is not None:
        return _run([*shlex.split(program), str(path)])
    if sys.platform == "win32":
        os.startfile(path)  # noqa: S606 - the program that the system has for this file, as asked
    else:
        opener = "open" if sys.platform == "darwin" else "xdg-open"
        if shutil.which(opener) is None:
            raise click.UsageError(
                f"this system has no {opener}: name a program by --with PROGRAM or {VIEWER_VARIABLE}"
            )
        status = _run([opener, str(path)])
        if status != 0:
            return status
    # These return at once and leave the viewer running, which may not even have read the file yet.
    if output.is_terminal(sys.stdin):
        click.pause("Press a key when you are done: the copy is then removed.", err=True)
    return 0


def _run(arguments: list[str]) -> int:
    try:
        finished = subprocess.run(arguments, check=False)
    except FileNotFoundError as error:
        raise click.UsageError(f"there is no program '{output.plain(arguments[0])}'") from error
    if finished.returncode != 0:
        output.error(f"{output.plain(arguments[0])} ended with status {finished.returncode}")
        return 1
    return 0
