"""`safelight caption`: write a caption."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, library_options, photos_or_query

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("caption")
@click.argument("text")
@photos_or_query
@library_options
def command(session: Session, text: str, photos: tuple[str, ...], query: str | None) -> None:
    """Write a caption; an empty TEXT ('') takes it away."""
    from core import edits

    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.set_caption(library, pids, text)
    output.say(f"Captioned {output.count(len(pids), 'photo')}." if text else "Caption removed.")
