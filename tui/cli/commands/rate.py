"""`safelight rate`: give stars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, library_options, photos_and_value, split_value

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("rate")
@photos_and_value("STARS")
@library_options
def command(session: Session, arguments: tuple[str, ...], query: str | None) -> None:
    """Give photos 0 to 5 stars; 0 takes the rating away."""
    from core import edits

    stars, photos = split_value(
        arguments, "a number of stars from 0 to 5", lambda text: text in {"0", "1", "2", "3", "4", "5"}
    )
    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.set_rating(library, pids, int(stars))
    output.say(f"Rated {output.count(len(pids), 'photo')}.")
