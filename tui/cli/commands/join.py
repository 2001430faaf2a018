"""`safelight join`: become a device of a library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import json_option, library_options
from tui.cli.progress import sync_bar

if TYPE_CHECKING:
    from tui.cli.session import Session


class UnusableCode(click.UsageError):
    """A code that was mistyped, with what may have been meant as `hint`."""

    def __init__(self, message: str, *, hint: str | None) -> None:
        super().__init__(message)
        self.hint = hint


@click.command("join")
@click.argument("url")
@click.argument("code")
@click.option("--name", metavar="NAME", help="What to call this device. Default: the machine's name.")
@json_option
@library_options
def command(session: Session, url: str, code: str, name: str | None, as_json: bool) -> None:
    """Become a device of the library that CODE invites into, by way of the relay at URL.

    `safelight device add`, on a device that is in the library, shows both. The folder of the new library must be empty.
    Thumbnails come at once; originals when they are opened, or all of them with `safelight sync --originals`.
    """
    from core.devices import device_name, machine_name
    from core.errors import PairingRefused
    from core.joining import Meeting, join, read_code, refuse_unless_joinable

    refuse_unless_joinable(session.root)
    try:
        wanted = read_code(code)
    except PairingRefused as error:
        raise UnusableCode(str(error), hint=error.hint) from error
    called = device_name(name) if name is not None else machine_name()
    session.prepare()
    passphrase = session.new_passphrase()

    def on_meeting(meeting: Meeting) -> None:
        output.say(f"This device's fingerprint: {meeting.own_fingerprint}")
        output.say("The other device shows one and asks: if it is the same, say yes there.")

    with sync_bar(shown=not as_json) as progress:
        library = join(
            url, wanted, name=called, root=session.root, passphrase=passphrase, on_meeting=on_meeting, progress=progress
        )
    with library:
        session.report(library.alarms)
        if as_json:
            output.json_event(
                {"library_id": library.library_id.hex(), "device_id": library.device_id.hex(), "name": called}
            )
            return
    output.say(f"'{output.plain(called)}' is a device of the library now, in {output.plain(str(session.root))}")
