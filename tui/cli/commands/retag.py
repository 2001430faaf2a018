"""`safelight retag`: label photos again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import exit_codes, output
from tui.cli.interrupts import first_interrupt_stops
from tui.cli.options import chosen_photos, library_options, photos_or_query
from tui.cli.progress import progress_bar

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("retag")
@photos_or_query
@library_options
def command(session: Session, photos: tuple[str, ...], query: str | None) -> int:
    """Label photos again with the model in use; without PHOTO and --query, all that it has not seen.

    What you added or took away stays as it is.
    """
    raise NotImplementedError
