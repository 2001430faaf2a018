"""`safelight favourite`: mark favourites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, library_options, photos_or_query

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("favourite")
@click.option("--off", is_flag=True, help="Take the mark away.")
@photos_or_query
@library_options
def command(session: Session, photos: tuple[str, ...], query: str | None, off: bool) -> None:
    """Mark photos as favourites, or take the mark away."""
    from core import edits

    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.set_favourite(library, pids, not off)
    output.say(f"{output.count(len(pids), 'photo')}: {'no favourite' if off else 'favourite'}.")
