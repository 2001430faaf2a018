"""Joining: this machine becomes a device of a library that another device has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Horizontal
from textual.widgets import Button, Input, Static

from core.errors import CoreError
from tui.app.screens.arriving import ArrivalScreen
from tui.app.widgets.card import Card
from tui.app.widgets.key_line import KeyLine

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from textual.app import ComposeResult

    from core.joining import Meeting
    from core.library import Library


class JoinScreen(ArrivalScreen):
    """Asks for the relay and the code that the other device shows."""

    def __init__(self) -> None:
        """Have met nobody yet."""
        super().__init__()
        self.meeting: Meeting | None = None

    def compose(self) -> ComposeResult:
        """Ask."""
        with Card(title="Join a library"):
            yield Static(
                "On a device that has the library, choose Devices and Add (or run safelight device add). "
                "It shows what to type here.\n",
                classes="muted",
            )
            yield Input(placeholder="Relay, as in https://relay.example", id="url")
            yield Input(placeholder="Code, as in 7-velvet-harbour", id="code")
            yield Input(placeholder="What to call this device", id="name", select_on_focus=False)
            yield Input(password=True, placeholder="A passphrase for this device", id="passphrase")
            yield Input(password=True, placeholder="The same again", id="again")
            yield Static("", id="said", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Back", id="back", compact=True)
                yield Button("Join", variant="primary", id="go", compact=True)
        yield KeyLine()

    def load(self) -> None:
        """Import what joining needs."""
        import core.joining  # noqa: F401

    def is_complete(self) -> bool:
        """Tell whether there are a relay, a code that can be one, and a name."""
        if not self.value("url"):
            self.complain_at("url", "The other device shows the relay's address, too.")
            return False
        for field, read in (("code", _check_code), ("name", _check_name)):
            try:
                read(self.value(field))
            except CoreError as error:
                self.complain_at(field, f"{error}. {error.hint or ''}")
                return False
        return True

    def arrive(self, passphrase: bytes) -> Callable[[threading.Event], Library]:
        """Join, with what stands in the form."""
        from core.joining import join, read_code
        from core.mailbox import PACE

        app, code = self.app, read_code(self.value("code"))
        url, name = self.value("url"), self.value("name")

        def on_meeting(meeting: Meeting) -> None:
            self.meeting = meeting
            self.from_thread(
                f"This device's fingerprint: {meeting.own_fingerprint}\n"
                "If the other device shows the same one, say yes there."
            )

        return lambda stop: join(
            url,
            code,
            name=name,
            root=app.root,
            passphrase=passphrase,
            on_meeting=on_meeting,
            progress=self.progress(stop),
            stop=stop,
            pace=app.syncing.pace or PACE,
            kdf=app.kdf,
        )


def _check_code(text: str) -> None:
    from core.joining import read_code

    read_code(text)


def _check_name(text: str) -> None:
    from core.devices import device_name

    device_name(text)
