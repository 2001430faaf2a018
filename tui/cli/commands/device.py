"""`safelight device`: the devices of a library."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import confirm, json_option, library_options, yes_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.devices import DeviceRecord
    from core.library import Library
    from core.pairing import Introduction, PairingCode
    from tui.cli.session import Session

_SHOWN_ID = 8


@click.group("device")
def command() -> None:
    """Add, list, rename and revoke the devices of a library.

    A device is named by its name, or by a beginning of its id that no other device has.
    """


@command.command("add")
@click.option("--relay", metavar="URL", help="The relay to meet at. Default: the first in use that answers.")
@json_option
@yes_option
@library_options
def add(session: Session, relay: str | None, as_json: bool, yes: bool) -> None:
    """Let another device into the library.

    It shows a code, to be typed there: `safelight join URL CODE`. A code is good for one device and a few minutes. When
    the other device is there, its name and fingerprint are shown: compare the fingerprint with what it shows, then say
    yes.
    """
    from core.pairing import invite_at

    if not yes and not output.is_terminal(sys.stdin):
        raise click.UsageError("there is no terminal to ask on whether the new device is the right one: --yes says yes")

    def on_code(url: str, code: PairingCode) -> None:
        if as_json:
            output.json_event({"code": str(code)})
        else:
            _show_code(f"safelight join {url} {code}")

    with session.open_library() as library:
        newcomer = invite_at(library, url=relay, on_code=on_code, confirm=_asks(yes=yes), stop=threading.Event())
        if as_json:
            output.json_event({"device_id": newcomer.device_id.hex(), "name": newcomer.name})
    if not as_json:
        output.say(f"'{output.plain(newcomer.name)}' is in the library now.")


@command.command("list")
@json_option
@library_options
def list_(session: Session, as_json: bool) -> None:
    """List the devices: id, fingerprint, when added, when last seen, name.

    Fingerprints are what to compare: they are the same on every device, and no relay can change them. A device of which
    nothing has come since it was added may never have finished joining.
    """
    from core.devices import devices

    with session.open_library() as library:
        found = devices(library)
    if as_json:
        output.json_lines(
            {
                "device_id": one.device_id.hex(),
                "name": one.name,
                "added_at": _utc(one.added_at),
                "last_seen": None if one.last_seen is None else _utc(one.last_seen),
                "revoked": one.revoked,
                "this": one.this,
            }
            for one in found
        )
        return
    for one in found:
        seen = "-" if one.last_seen is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(one.last_seen))
        added = time.strftime("%Y-%m-%d", time.localtime(one.added_at))
        identity = one.device_id.hex()[:_SHOWN_ID]
        remark = "  (revoked)" if one.revoked else "  (this device)" if one.this else ""
        if one.is_silent:
            at = time.strftime("%H:%M", time.localtime(one.added_at))
            out = f"if it never finished joining, `safelight device revoke {identity}` takes it out"
            remark = f"  (added at {at}, nothing of it since: {out})"
        output.line(f"{identity}  {one.fingerprint}  {added}  {seen:<16}  {shown_name(one)}{remark}")


@command.command("rename")
@click.argument("device")
@click.argument("name")
@library_options
def rename(session: Session, device: str, name: str) -> None:
    """Give DEVICE another name."""
    from core.devices import find_device, rename_device

    with session.open_library() as library:
        kept = rename_device(library, find_device(library, device).device_id, name)
    output.say(f"It is called '{output.plain(kept)}' now.")


@command.command("revoke")
@click.argument("device")
@yes_option
@library_options
def revoke(session: Session, device: str, yes: bool) -> None:
    """Take DEVICE out of the library, because it is lost, sold or no longer yours.

    It gets nothing new from any device that knows of it, and relays turn it away. What it held, it may still hold: its
    passphrase is what protects that. To use it again, add it anew.
    """
    from core.devices import find_device
    from core.devices import revoke as revoke_device
    from core.telling import tell_relays

    with session.open_library() as library:
        library.become_new_device()  # in a copied folder, the device to be revoked may be the other copy
        found = find_device(library, device)
        if found.this:
            _send_everything(library)
        else:
            _fetch_everything(library, found)
        confirm(_question(library, found), yes=yes)
        revoke_device(library, found.device_id)
        for error in tell_relays(library):
            output.warn(
                f"'{shown_name(found)}' is revoked here, but a relay does not know yet: {error}",
                "`safelight sync` tells it; until then other devices go on sending to the revoked one",
            )
    output.say(f"'{shown_name(found)}' is no device of this library any more.")


def _utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def shown_name(device: DeviceRecord) -> str:
    """How a device is called before people."""
    return output.plain(device.name) if device.name else f"unnamed device {device.device_id.hex()[:_SHOWN_ID]}"


def _asks(*, yes: bool) -> Callable[[Introduction], bool]:
    def ask(newcomer: Introduction) -> bool:
        output.say(f"'{output.plain(newcomer.name)}' wants to join. Its fingerprint: {newcomer.fingerprint}")
        return yes or click.confirm("Does the new device show the same fingerprint? Add it?", err=True)

    return ask


def _show_code(line: str) -> None:
    from tui.cli.qr_code import qr_lines

    output.say("On the new device, run (the code is good once, for a few minutes; ^C ends it):")
    output.line(line)
    sys.stdout.flush()
    for row in qr_lines(line):
        output.say(row)


def _question(library: Library, found: DeviceRecord) -> str:
    from core.devices import devices

    if not found.this:
        return f"Revoke '{shown_name(found)}' ({found.fingerprint})?"
    others = any(not one.revoked and not one.this for one in devices(library))
    rest = "" if others else " It is the only one: then nothing but the recovery phrase opens the library at a relay."
    return f"Revoke '{shown_name(found)}', this very device?{rest}"


def _fetch_everything(library: Library, found: DeviceRecord) -> None:
    """What it wrote and nobody had fetched when it was revoked, nobody accepts of it any more."""
    from core.errors import NotAMember
    from core.telling import hear_relays
    from tui.cli.progress import sync_bar

    with sync_bar(shown=True) as progress:
        failures = hear_relays(library, progress=progress)
    for error in failures:
        if isinstance(error, NotAMember):
            raise error
        output.warn(
            f"what '{shown_name(found)}' has done lately may be missing here: {error}",
            "what it sent and no other device has fetched is not accepted once it is revoked",
        )


def _send_everything(library: Library) -> None:
    """What this device did not send, no relay takes from it once it is revoked."""
    from core.sync.engine import SyncEngine
    from core.sync.relays import Relays
    from tui.cli.progress import sync_bar

    error = None
    if Relays(library).urls():
        with sync_bar(shown=True) as advance, contextlib.closing(SyncEngine(library, progress=advance)) as engine:
            error = engine.run().worst_error
    if error is not None:
        output.warn(
            f"not everything on this device has been sent to the relays: {error}",
            "what was not sent stays on this device alone once it is revoked",
        )
