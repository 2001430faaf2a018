"""`safelight init`: create a library."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import json_option, library_options, yes_option
from tui.cli.phrases import show_phrase

if TYPE_CHECKING:
    from core.library import Library
    from tui.cli.session import Session


@click.command("init")
@click.option("--name", metavar="NAME", help="What to call this device. Default: the machine's name.")
@json_option
@yes_option
@library_options
def command(session: Session, name: str | None, as_json: bool, yes: bool) -> None:
    """Create a library and show its recovery phrase.

    The passphrase opens the library on this device. The recovery phrase opens it when the passphrase or the device is
    lost: write it down, it is shown this once. Where that was interrupted, the same command again shows it.
    """
    from core.errors import LibraryExists
    from core.layout import Layout
    from core.library import Library
    from core.unfinished import is_being_published, publish
    from core.unshown_phrase import forget_if_shown, unshown_phrase, was_never_shown

    if is_being_published(session.root):
        publish(session.root)
    if Layout(session.root).library_file.is_file() and forget_if_shown(session.root):
        output.warn(
            f"the library in {output.plain(str(session.root))} is made already, and its recovery phrase was shown"
        )
        return
    there = LibraryExists(f"there is a library in {session.root} already", hint="Name another folder by --library DIR.")
    if was_never_shown(session.root):
        with session.open_library() as library:
            phrase = unshown_phrase(library)
            if phrase is None:
                raise there
            _show(session, library, phrase, as_json=as_json)
    elif Layout(session.root).library_file.exists():
        # Before a passphrase is asked for, twice, in vain.
        raise there
    else:
        passphrase, called = session.new_passphrase(), name or platform.node() or "this device"
        library, phrase = Library.create(session.root, passphrase, device_name=called, keep_phrase=True)
        with library:
            _show(session, library, phrase, as_json=as_json)
    if not yes and not as_json and output.is_terminal(sys.stdin) and output.is_terminal(sys.stdout):
        output.line("")
        click.confirm("Have you written it down?", default=True, err=True)


def _show(session: Session, library: Library, phrase: str, *, as_json: bool) -> None:
    """Show the phrase, and forget it then."""
    from core.unshown_phrase import first_phrase_was_shown

    if as_json:
        output.json_event(
            {
                "library_id": library.library_id.hex(),
                "device_id": library.device_id.hex(),
                "recovery_phrase": phrase,
            }
        )
    else:
        output.line(f"Library created in {output.plain(str(session.root))}")
        output.line(f"Library id {library.library_id.hex()}")
        output.line("")
        output.line("Recovery phrase. Write it down on paper; it is shown this once:")
        output.line("")
        show_phrase(phrase)
        sys.stdout.flush()
    first_phrase_was_shown(library)
