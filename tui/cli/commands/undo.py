"""`safelight undo`: take back the last edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import library_options

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("undo")
@library_options
def command(session: Session) -> None:
    """Take back the last edit, import or bulk edit; again, the one before it.

    What was changed since then is left as it is. Undoing an import puts its photos into the trash.
    """
    from core import history

    with session.open_library() as library:
        receipt = history.undo(library)
    done = []
    if receipt.trashed:
        done.append(f"{output.count(receipt.trashed, 'photo')} into the trash")
    if receipt.kept:
        done.append("what was changed since then is left as it is")
    output.line(f"Undone: {output.plain(receipt.summary)}" + (f" ({'; '.join(done)})" if done else ""))
