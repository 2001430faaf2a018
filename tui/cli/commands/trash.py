"""`safelight trash`: put photos into the trash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, library_options, photos_or_query

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("trash")
@photos_or_query
@library_options
def command(session: Session, photos: tuple[str, ...], query: str | None) -> None:
    """Put photos into the trash.

    They stay there until they are restored or purged; `safelight search is:trash` lists them.
    """
    from core import edits

    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.trash(library, pids)
    output.say(f"Put {output.count(len(pids), 'photo')} into the trash.")
