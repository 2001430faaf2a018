"""`safelight purge`: destroy photos for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import chosen_photos, confirm, library_options, photos_or_query, yes_option

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("purge")
@photos_or_query
@yes_option
@library_options
def command(session: Session, photos: tuple[str, ...], query: str | None, yes: bool) -> None:
    """Destroy photos for good.

    The encrypted files are deleted, here at once, and at relays and other devices by their next sync; a relay keeps
    what it deletes for 30 days more. The photos do not come back by importing them again. It cannot be undone. Date,
    place and camera of a purged photo remain, encrypted, in the library's history.

    \b
    safelight purge --query is:trash     empties the trash
    """  # noqa: D301 - click wants the character itself
    from core import edits

    with session.open_library() as library:
        pids = chosen_photos(library, photos, query)
        if pids:
            confirm(f"Destroy {output.count(len(pids), 'photo')} for good?", yes=yes)
            edits.purge(library, pids)
    output.say(f"Purged {output.count(len(pids), 'photo')}.")
