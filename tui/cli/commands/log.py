"""`safelight log`: what was done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import json_option, library_options

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("log")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N entries. Default: all.")
@json_option
@library_options
def command(session: Session, limit: int | None, as_json: bool) -> None:
    """List what was done, newest first."""
    from core import history

    with session.open_library() as library:
        for entry in history.entries(library, limit):
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.at))
            if as_json:
                output.json_lines(
                    [
                        {
                            "id": entry.group.hex(),
                            "at": at,
                            "device": entry.device.hex(),
                            "action": entry.action,
                            "summary": entry.summary,
                            "photos_added": entry.photos_added,
                            "undone": entry.undone,
                        }
                    ]
                )
                continue
            local = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.at))
            undone = "  (undone)" if entry.undone else ""
            # An import is one entry, of as many commits as it took; the summary is that of the last one.
            imported = f"{output.count(entry.photos_added, 'photo')} imported" if entry.photos_added else entry.summary
            output.line(f"{local}  {output.plain(imported)}{undone}")
