"""Starts the app from the command line: asks the terminal what it can show, finds the passphrase, runs the app."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto.keys import DeviceSecrets
    from tui.cli.session import Session


def run_app(session: Session) -> int:
    """Run the app on the session's library until it ends; returns the exit code."""
    from tui.app.app import SafelightApp
    from tui.app.graphics.detection import VARIABLE, ask_terminal, choose
    from tui.app.pauses import keep_pauses_short
    from tui.app.settings import read_settings

    _end_with_the_terminal()
    answers = ask_terminal()
    keep_pauses_short()
    settings = read_settings()
    environment = dict(os.environ)
    if settings.colour == "none":
        environment["NO_COLOR"] = os.environ["NO_COLOR"] = "1"  # where Textual looks for it
    if settings.graphics != "auto":
        environment.setdefault(VARIABLE, settings.graphics)
    app = SafelightApp(
        session.root,
        secrets=lambda: _found_secrets(session),
        graphics=choose(environment, answers),
        answers=answers,
        settings=settings,
    )
    app.run()
    return app.return_code or 0


def _end_with_the_terminal() -> None:
    """Obey a hang-up also where nohup, or a shell's background, says not to.

    There is nothing to do without a terminal; the app would hold the keys and a quarter of a core for ever.
    """
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _found_secrets(session: Session) -> DeviceSecrets | None:
    """Return what an agent or a passphrase file gives; None where somebody has to be asked."""
    return session.device_secrets() if session.opens_unasked() else None
