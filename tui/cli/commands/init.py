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
    from tui.cli.session import Session


@click.command("init")
@click.option("--name", metavar="NAME", help="What to call this device. Default: the machine's name.")
@json_option
@yes_option
@library_options
def command(session: Session, name: str | None, as_json: bool, yes: bool) -> None:
    """Create a library and show its recovery phrase.

    The passphrase opens the library on this device. The recovery phrase opens it when the passphrase or the device is
    lost: write it down, it is shown this once.
    """
    from core.errors import LibraryExists
    from core.layout import Layout
    from core.library import Library

    if Layout(session.root).library_file.exists():
        # Before a passphrase is asked for, twice, in vain.
        raise LibraryExists(
            f"there is a library in {session.root} already", hint="Name another folder by --library DIR."
        )
    passphrase = session.new_passphrase()
    library, phrase = Library.create(session.root, passphrase, device_name=name or platform.node() or "this device")
    with library:
        if as_json:
            output.json_event(
                {
                    "library_id": library.library_id.hex(),
                    "device_id": library.device_id.hex(),
                    "recovery_phrase": phrase,
                }
            )
            return
        output.line(f"Library created in {output.plain(str(session.root))}")
        output.line(f"Library id {library.library_id.hex()}")
    output.line("")
    output.line("Recovery phrase. Write it down on paper; it is shown this once:")
    output.line("")
    show_phrase(phrase)
    if not yes and output.is_terminal(sys.stdin) and output.is_terminal(sys.stdout):
        output.line("")
        click.confirm("Have you written it down?", default=True, err=True)
