"""`safelight date`: correct when photos were taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, library_options, photos_or_query

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("date")
@click.argument("taken", metavar="DATE")
@photos_or_query
@library_options
def command(session: Session, taken: str, photos: tuple[str, ...], query: str | None) -> None:
    """Correct when photos were taken; an empty DATE ('') returns to the file's own.

    DATE is ISO 8601: 2024-05-01, 2024-05-01T18:30:00, or with an offset 2024-05-01T18:30:00+02:00.
    """
    from core import edits

    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.set_taken(library, pids, taken or None)
    output.say(f"Dated {output.count(len(pids), 'photo')}.")
