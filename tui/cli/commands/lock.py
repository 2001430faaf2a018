"""`safelight lock`: end the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import library_options

if TYPE_CHECKING:
    from tui.cli.session import Session


@click.command("lock")
@library_options
def command(session: Session) -> None:
    """End what unlock began."""
    from core.agent import stop_agent
    from core.layout import Layout
    from core.library_file import LibraryFile

    library_id = LibraryFile.read(Layout(session.root).library_file).library_id
    if stop_agent(library_id, session.root):
        output.say("Locked.")
    else:
        output.say("The library was locked already.")
