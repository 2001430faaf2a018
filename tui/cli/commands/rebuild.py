"""`safelight rebuild`: make the derived files anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import library_options
from tui.cli.progress import progress_bar

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("rebuild")
@library_options
def command(session: Session) -> None:
    """Make the derived files (catalog, replicas) anew from the log; nothing that is true is touched."""
    from core.rebuild import rebuild

    with session.open_library() as library, progress_bar("Rebuilding", unit="envelopes") as advance:
        rebuild(library, progress=advance)
        photos = library.catalog.count("")
    output.say(f"Rebuilt: {output.count(photos, 'photo')}.")
