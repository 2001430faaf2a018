"""`safelight similar`: list the photos that look like one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from tui.cli.commands.search import print_photos
from tui.cli.options import json_option, library_options

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("similar")
@click.argument("photo")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="At most N photos."
)
@json_option
@library_options
def command(session: Session, photo: str, limit: int, as_json: bool) -> None:
    """List the photos that look most like PHOTO, the best first.

    They are compared by what the model in use sees in them, not by their labels. Photos in the trash are left out. With
    --json, "score" is the cosine of the two photos' vectors: 1 for the same picture.
    """
    from core.similar import similar_photos

    with session.open_library() as library:
        found = similar_photos(library, library.catalog.resolve(photo), limit)
        scores = dict(found)
        photos = library.catalog.photos([pid for pid, _ in found])
        print_photos(library, (msgspec.structs.replace(one, score=scores[one.pid]) for one in photos), as_json=as_json)
