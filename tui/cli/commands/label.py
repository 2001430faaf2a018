"""`safelight label`: add, remove and list labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, json_option, library_options, photos_or_query

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.group("label")
def command() -> None:
    """Add, remove or list labels."""


@command.command("add")
@click.argument("name")
@photos_or_query
@library_options
def add(session: Session, name: str, photos: tuple[str, ...], query: str | None) -> None:
    """Put the label NAME on photos."""
    from core import edits

    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.add_label(library, pids, name)
    output.say(f"Labelled {output.count(len(pids), 'photo')} '{output.plain(name)}'.")


@command.command("remove")
@click.argument("name")
@photos_or_query
@library_options
def remove(session: Session, name: str, photos: tuple[str, ...], query: str | None) -> None:
    """Take the label NAME off photos.

    A label that a model gave stays off, also when the photos are labelled again.
    """
    from core import edits

    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        edits.remove_label(library, pids, name)
    output.say(f"Took '{output.plain(name)}' off {output.count(len(pids), 'photo')}.")


@command.command("list")
@json_option
@library_options
def list_(session: Session, as_json: bool) -> None:
    """List all labels and on how many photos each is."""
    with session.open_library() as library:
        counts = sorted(library.catalog.label_counts().items(), key=lambda item: (-item[1], item[0]))
    if as_json:
        output.json_lines({"name": name, "photos": photos} for name, photos in counts)
        return
    for name, photos in counts:
        output.line(f"{photos:>7}  {output.plain(name)}")
