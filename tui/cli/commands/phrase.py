"""`safelight phrase`: the recovery phrase."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import confirm, json_option, library_options, yes_option
from tui.cli.phrases import given_phrase, phrase_file_option, show_phrase

if TYPE_CHECKING:
    from pathlib import Path

    from tui.cli.session import Session


@click.group("phrase")
def command() -> None:
    """Replace the recovery phrase by another one."""


@command.command("replace")
@phrase_file_option
@json_option
@yes_option
@library_options
def replace(session: Session, phrase_file: Path | None, as_json: bool, yes: bool) -> None:
    """Make a new recovery phrase, in the place of the one of now, which is asked for.

    Do it when somebody else may have seen the words. From then on they open nothing that is new; what they opened
    before, whoever has them may have kept. The new words are shown this once.
    """
    from core.devices import phrase_was_shown, replace_phrase
    from core.telling import tell_relays

    old = given_phrase(phrase_file)
    with session.open_library() as library:
        confirm("The recovery phrase of now will no longer work. Make a new one?", yes=yes)
        new = replace_phrase(library, old)
        if as_json:
            output.json_event({"recovery_phrase": new})
        else:
            output.line("Recovery phrase. Write it down on paper; it is shown this once:")
            output.line("")
            show_phrase(new)
            sys.stdout.flush()
        phrase_was_shown(library)
        for error in tell_relays(library):
            output.warn(
                f"the new phrase counts, but the old one still opens what the relay has: {error}",
                "`safelight sync` tells the relay; until then `safelight recover` there takes the old words",
            )
    if not yes and not as_json and output.is_terminal(sys.stdin) and output.is_terminal(sys.stdout):
        output.line("")
        click.confirm("Have you written it down?", default=True, err=True)
