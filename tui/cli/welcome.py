"""What `safelight` says without a command where there is no terminal for the app: where the library stands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tui.cli import output

if TYPE_CHECKING:
    from tui.cli.session import Session


def show_status(session: Session) -> None:
    """Print the library's folder, whether it is locked, and the next thing to type."""
    from core.layout import Layout

    root = session.root
    output.line("On a terminal, `safelight` opens the app; these are its commands.")
    output.line("")
    if not Layout(root).library_file.exists():
        output.line(f"There is no library in {output.plain(str(root))}.")
        output.line("")
        output.line("safelight init            create one there")
    else:
        output.line(f"Library  {output.plain(str(root))} ({_lock_state(session)})")
        output.line("")
        output.line("safelight import FOLDER   copy photos into it")
        output.line("safelight search          list what is in it")
    output.line("safelight --help          all commands")


def _lock_state(session: Session) -> str:
    from core.agent import agent_status
    from core.errors import CoreError
    from core.layout import Layout
    from core.library_file import LibraryFile

    try:
        status = agent_status(LibraryFile.read(Layout(session.root).library_file).library_id, session.root)
    except CoreError as error:
        return str(error)
    if status is None:
        return "locked"
    return time.strftime("unlocked until %Y-%m-%d %H:%M", time.localtime(status.expires_at))
