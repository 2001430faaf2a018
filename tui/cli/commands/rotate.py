"""`safelight rotate`: turn photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, library_options, photos_and_value, split_value

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("rotate")
@photos_and_value("DEGREES")
@library_options
def command(session: Session, arguments: tuple[str, ...], query: str | None) -> None:
    """Show photos turned clockwise by 90, 180 or 270 DEGREES; 0 undoes it.

    It counts from how the file says it stands. The file itself is not changed.
    """
    from core import edits

    degrees, photos = split_value(arguments, "0, 90, 180 or 270", lambda text: text in {"0", "90", "180", "270"})
    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.set_rotation(library, pids, int(degrees))
    output.say(f"Turned {output.count(len(pids), 'photo')}.")
