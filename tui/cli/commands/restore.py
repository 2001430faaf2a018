"""`safelight restore`: take photos out of the trash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, library_options, photos_or_query

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("restore")
@photos_or_query
@library_options
def command(session: Session, photos: tuple[str, ...], query: str | None) -> None:
    """Take photos out of the trash.

    With --query, of the photos in the trash those that QUERY finds.
    """
    from core import edits

    with session.open_library() as library:
        pids = chosen_photos(library, photos, None if query is None else f"is:trash ({query})" if query else "is:trash")
        edits.restore(library, pids)
    output.say(f"Restored {output.count(len(pids), 'photo')}.")
