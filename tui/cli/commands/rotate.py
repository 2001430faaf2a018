"""`safelight rotate`: turn photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, library_options, photos_or_query

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("rotate")
@click.argument("degrees", type=click.Choice(["0", "90", "180", "270"]))
@photos_or_query
@library_options
def command(session: Session, degrees: str, photos: tuple[str, ...], query: str | None) -> None:
    """Show photos turned clockwise by DEGREES from how their file says; 0 undoes it. The file is not changed."""
    from core import edits

    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.set_rotation(library, pids, int(degrees))
    output.say(f"Turned {output.count(len(pids), 'photo')}.")
