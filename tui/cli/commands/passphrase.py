"""`safelight passphrase`: change the passphrase of this device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import library_options

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("passphrase")
@click.option(
    "--new-passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the new passphrase from FILE instead of asking for it twice.",
)
@library_options
def command(session: Session, new_passphrase_file: Path | None) -> None:
    """Change the passphrase of this device.

    Copies of library.toml that were made before, in backups for instance, still open with the old passphrase.
    """
    from core.layout import Layout
    from core.library import Library
    from core.library_file import LibraryFile
    from tui.cli.session import ask_new_passphrase, ask_passphrase, read_passphrase_file

    LibraryFile.read(Layout(session.root).library_file)
    old = session.given_passphrase()
    if old is None:
        old = ask_passphrase("Passphrase now")
    if new_passphrase_file is None:
        new = ask_new_passphrase("New passphrase")
    else:
        new = read_passphrase_file(new_passphrase_file)
    Library.change_passphrase(session.root, old, new)
    output.warn(
        "the passphrase is changed here, but copies of library.toml made before still open with the old one",
        "remove old backups of the library's folder if somebody knows the old passphrase",
    )
