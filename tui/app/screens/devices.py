"""The devices of the library: who they are, another name, and taking one out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.widgets import OptionList

from core.errors import CoreError, NotAMember
from tui.app.keys import DEVICES, bindings
from tui.app.screen_work import work
from tui.app.screens.ask import AskScreen, ConfirmScreen
from tui.app.screens.listing import ListingScreen
from tui.app.workers.library_thread import NotOpen
from tui.cli.cells import fitted
from tui.cli.output import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.devices import DeviceRecord
    from core.library import Library

_NAME = 30


class DevicesScreen(ListingScreen):
    """Every device that the library has or had."""

    TITLE = "Devices"
    BINDINGS = bindings(DEVICES)

    def __init__(self) -> None:
        """Show nothing yet."""
        super().__init__()
        self._devices: Sequence[DeviceRecord] = ()

    def on_mount(self) -> None:
        """Read them."""
        self.about("A name is what somebody typed. A fingerprint is the same on every device, and nobody can fake it.")
        self.action_reload()

    def on_screen_resume(self) -> None:
        """Read them again: one may have been added."""
        self.action_reload()

    @work(exclusive=True, group="read")
    async def action_reload(self) -> None:
        """Read them again."""
        try:
            self._devices = await self.app.library.ask(_devices)
        except NotOpen:
            return
        except CoreError as error:
            self.complain(error)
            return
        self.list_rows(map(device_row, self._devices), "No devices.")

    @property
    def chosen(self) -> DeviceRecord | None:
        """The device under the cursor."""
        place = self.place
        return self._devices[place] if place is not None and place < len(self._devices) else None

    def action_add(self) -> None:
        """Show a code that lets another device in."""
        from tui.app.screens.pairing import PairingScreen

        self.app.push_screen(PairingScreen())

    @on(OptionList.OptionSelected)
    def clicked(self) -> None:
        """Rename what was clicked, or taken with enter."""
        self.action_rename()

    @work(group="ask", exclusive=True)
    async def action_rename(self) -> None:
        """Ask for another name."""
        device = self.chosen
        if device is None:
            return
        name = await self.app.push_screen_wait(
            AskScreen("Rename a device", value=device.name, hint=f"Its fingerprint: {device.fingerprint}")
        )
        if name is None or name.strip() == device.name:
            return
        try:
            kept = await self.app.library.ask(lambda library: _rename(library, device.device_id, name))
        except NotOpen:
            return
        except CoreError as error:
            self.complain(error)
            return
        self.say(f"it is called '{kept}' now")
        self.action_reload()

    @work(group="ask", exclusive=True)
    async def action_revoke(self) -> None:
        """Ask whether the device goes, once what it sent is here; then take it out."""
        device = self.chosen
        if device is None:
            return
        if device.revoked:
            self.say(f"'{device_name(device)}' is revoked already", error=True)
            return
        try:
            library = self.app.library.library
            if not device.this:
                # What it wrote and nobody has fetched when it is revoked, nobody accepts of it any more.
                self.say("fetching what it sent…")
                failures = await self.app.syncing.errand(lambda _stop: _hear(library))
                refused = next((one for one in failures if isinstance(one, NotAMember)), None)
                if refused is not None:
                    self.complain(refused)
                    return
                missing = f" What it did lately may be missing here: {failures[0]}." if failures else ""
            else:
                missing = ""
            self.say("")
            if not await self.app.push_screen_wait(
                ConfirmScreen("Revoke a device", self._question(device) + missing, yes="Revoke")
            ):
                return
            await self.app.library.ask(lambda one: _revoke(one, device.device_id))
            self.say("telling the relays…")
            untold = await self.app.syncing.errand(lambda _stop: _tell(library))
        except NotOpen:
            return
        except CoreError as error:
            self.complain(error)
            return
        if untold:
            self.say(f"'{device_name(device)}' is revoked here, but a relay does not know yet: {untold[0]}", error=True)
        else:
            self.say(f"'{device_name(device)}' is no device of this library any more")
        self.action_reload()

    def _question(self, device: DeviceRecord) -> str:
        who = f"'{device_name(device)}' ({device.fingerprint})"
        if not device.this:
            return f"Revoke {who}? It gets nothing new. What it held, it may still hold: its passphrase protects that."
        others = any(not one.revoked and not one.this for one in self._devices)
        rest = "" if others else " It is the only one: then only the recovery phrase opens the library at a relay."
        return f"Revoke {who}, this very device? What it did not send stays on it alone.{rest}"


# Imported where they run: modules of the network take a while, and the screen waits for nothing.


def _devices(library: Library) -> list[DeviceRecord]:
    from core.devices import devices

    return devices(library)


def _rename(library: Library, device_id: bytes, name: str) -> str:
    from core.devices import rename_device

    return rename_device(library, device_id, name)


def _revoke(library: Library, device_id: bytes) -> None:
    from core.devices import revoke

    revoke(library, device_id)


def _hear(library: Library) -> Sequence[CoreError]:
    from core.telling import hear_relays

    return hear_relays(library)


def _tell(library: Library) -> Sequence[CoreError]:
    from core.telling import tell_relays

    return tell_relays(library)


def device_name(device: DeviceRecord) -> str:
    """How a device is called before people."""
    return plain(device.name) if device.name else f"unnamed device {device.device_id.hex()[:8]}"


def device_row(device: DeviceRecord) -> Text:
    """Two lines on a device."""
    remark = "  revoked" if device.revoked else "  this device" if device.this else ""
    added = time.strftime("%Y-%m-%d", time.localtime(device.added_at))
    seen = device.last_seen
    last = "never seen" if seen is None else "last seen " + time.strftime("%Y-%m-%d %H:%M", time.localtime(seen))
    if device.is_silent:
        last = "nothing of it since: if it never finished joining, revoke it"
    return Text.assemble(
        (fitted(device_name(device), _NAME).rstrip(), "dim strike" if device.revoked else "bold"),
        (remark, "red" if device.revoked else "green"),
        f"\n  {device.fingerprint}",
        (f"  added {added} · {last}", "dim"),
        overflow="fold",
    )
