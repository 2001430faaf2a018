"""`safelight open`: show an original in another program."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from tui.cli import output
from tui.cli.options import confirm, library_options, yes_option
from tui.cli.progress import sync_bar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from core.sync.report import SyncProgress
    from tui.cli.session import Session


@click.command("open")
@click.argument("photo")
@click.option(
    "--with",
    "program",
    metavar="PROGRAM",
    help="The program that shows it; its end ends this command. Default: SAFELIGHT_VIEWER, else the platform's.",
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
    from core.originals import Originals
    from tui.plain_copy import PlainCopy, remove_leftovers

    with session.open_library() as library:
        pid = library.catalog.resolve(photo)
        output.warn("this writes the photo in the clear to a private temporary folder until you are done")
        confirm("Go on?", yes=yes)
        remove_leftovers()
        record = library.catalog.photo(pid)
        with sync_bar(shown=True) as advance, Originals(library, progress=_fetching(advance)) as originals:
            originals.ensure(pid)
        with PlainCopy(None if record is None else record.size) as copy:
            previous = signal.signal(signal.SIGTERM, _stop)
            try:
                return _show(copy.write(library, pid), program)
            finally:
                signal.signal(signal.SIGTERM, previous)


def _fetching(advance: Callable[[SyncProgress], None]) -> Callable[[str, str, int, int, int], None]:
    """What is told of a fetch, for a bar."""
    from core.sync.report import SyncProgress

    return lambda url, stage, done, total, size: advance(SyncProgress(url, stage, done, total, size))


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Let a termination unwind the stack, so that the plaintext is removed."""
    raise KeyboardInterrupt


def _show(path: Path, program: str | None) -> int:
    from tui.plain_copy import NoViewer, open_by_platform, says_when_it_is_done, start_viewer, viewer_command

    try:
        arguments = viewer_command(path, program)
        if arguments is None:
            open_by_platform(path)
        elif (status := start_viewer(arguments, quiet=False).wait()) != 0:
            output.error(f"{output.plain(arguments[0])} ended with status {status}")
            return 1
    except NoViewer as error:
        raise click.UsageError(f"{output.plain(str(error))}; or use --with PROGRAM") from error
    # The platform's opener returns at once and leaves the viewer running, which may not even have read the file yet.
    if not says_when_it_is_done(program) and output.is_terminal(sys.stdin):
        click.pause("Press a key when you are done: the copy is then removed.", err=True)
    return 0
