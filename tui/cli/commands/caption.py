"""`safelight caption`: write a caption."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, is_photo_id, library_options, photos_and_value

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("caption")
@photos_and_value("TEXT")
@library_options
def command(session: Session, arguments: tuple[str, ...], query: str | None) -> None:
    """Write a caption; an empty TEXT ('') takes it away."""
    from core import edits

    text, photos = _text(arguments)
    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.set_caption(library, pids, text)
    output.say(f"Captioned {output.count(len(pids), 'photo')}." if text else "Caption removed.")


def _text(arguments: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The caption and the photos. It is the last argument, unless only the first one cannot be a photo's id."""
    if is_photo_id(arguments[-1]) and not is_photo_id(arguments[0]):
        return arguments[0], arguments[1:]
    return arguments[-1], arguments[:-1]
