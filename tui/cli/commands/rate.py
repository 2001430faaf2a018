"""`safelight rate`: give stars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, library_options, photos_or_query

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("rate")
@click.argument("stars", type=click.IntRange(0, 5), metavar="STARS")
@photos_or_query
@library_options
def command(session: Session, stars: int, photos: tuple[str, ...], query: str | None) -> None:
    """Give photos 0 to 5 stars; 0 takes the rating away."""
    from core import edits

    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.set_rating(library, pids, stars)
    output.say(f"Rated {output.count(len(pids), 'photo')}.")
