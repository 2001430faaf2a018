"""`safelight import`: copy photos into the library."""

from __future__ import annotations

import contextlib
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.cli import exit_codes, output
from tui.cli.options import json_option, library_options
from tui.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from tui.cli.session import Session


@click.command("import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option("--album", metavar="NAME", help="Put the photos into the album NAME; it is made if there is none.")
@click.option("--move", is_flag=True, help="Remove each source, once what was stored has been read back and compared.")
@json_option
@library_options
def command(session: Session, paths: tuple[Path, ...], album: str | None, move: bool, as_json: bool) -> int:
    """Copy photos, or folders of them, into the library.

    The originals stay where they are, unless --move says otherwise. A file that is in the library already, under whatever
    name, is counted as a duplicate. ^C finishes what is begun and stops; importing again goes on from there.
    """
    from core.importing import import_paths

    with session.open_library() as library, _interruptible() as stop, progress_bar("Importing", shown=not as_json) as advance:
        ...
    return exit_codes.DONE


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that the first ^C sets; the second one interrupts as usual."""
    stop = threading.Event()

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        output.say("\nFinishing what is begun; ^C again stops at once.")

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)
