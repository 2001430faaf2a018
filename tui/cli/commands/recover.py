"""`safelight recover`: a library again, from nothing but a relay and the recovery phrase."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.options import confirm, json_option, library_options, yes_option
from tui.cli.phrases import given_phrase, phrase_file_option
from tui.cli.progress import sync_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from core.devices import DeviceRecord
    from core.sync.report import SyncProgress
    from tui.cli.session import Session


@click.command("recover")
@click.argument("url")
@click.option("--keep", "kept", metavar="ID", multiple=True, help="A device that stays; may be given several times.")
@click.option("--name", metavar="NAME", help="What to call this device. Default: the machine's name.")
@phrase_file_option
@json_option
@yes_option
@library_options
def command(
    session: Session,
    url: str,
    kept: tuple[str, ...],
    name: str | None,
    phrase_file: Path | None,
    as_json: bool,
    yes: bool,
) -> None:
    """Bring the library back from the relay at URL with the recovery phrase, onto a machine that has nothing of it.

    The devices of the library are listed: those you still have can stay, all others are revoked. With --yes every
    device that --keep does not name is revoked. The folder must be empty. What was interrupted is done by repeating it.
    """
    from core.devices import device_name, machine_name
    from core.recovering import recover
    from core.sync.alarms import SyncAlarms
    from core.unfinished import refuse_unless_free

    if not yes and not output.is_terminal(sys.stdin):
        raise click.UsageError(
            "there is no terminal to ask on which devices stay: --yes revokes all but those of --keep"
        )
    called = device_name(name) if name is not None else machine_name()
    refuse_unless_free(session.root)
    session.prepare()
    phrase = given_phrase(phrase_file)
    passphrase = session.new_passphrase()

    with contextlib.ExitStack() as bars:
        shown: Callable[[SyncProgress], None] = bars.enter_context(sync_bar(shown=not as_json))

        def progress(step: SyncProgress) -> None:
            shown(step)

        def keep(devices: Sequence[DeviceRecord]) -> Collection[bytes]:
            nonlocal shown
            bars.close()  # a question cannot be read under a bar
            chosen = _chosen(devices, kept, yes=yes)
            shown = bars.enter_context(sync_bar(shown=not as_json))
            return chosen

        library = recover(
            url,
            phrase,
            name=called,
            root=session.root,
            passphrase=passphrase,
            keep=keep,
            progress=progress,
        )
    with library:
        session.report([*library.alarms, *(alarm.error() for alarm in SyncAlarms(library).list())])
        if as_json:
            output.json_event(
                {"library_id": library.library_id.hex(), "device_id": library.device_id.hex(), "name": called}
            )
            return
    output.say(f"The library is back, in {output.plain(str(session.root))}; this device is '{output.plain(called)}'.")
    output.say("Its originals come when they are opened, or all of them with `safelight sync --originals`.")


def _chosen(devices: Sequence[DeviceRecord], kept: Sequence[str], *, yes: bool) -> Collection[bytes]:
    """The devices that stay."""
    from core.devices import one_device
    from tui.cli.commands.device import shown_name

    named = {one_device(devices, text).device_id for text in kept}
    for one in devices:
        if one.device_id in named or yes or kept:
            continue
        seen = "never seen" if one.last_seen is None else time.strftime("%Y-%m-%d", time.localtime(one.last_seen))
        output.say(f"{one.device_id.hex()[:8]}  {one.fingerprint}  last seen {seen}  {shown_name(one)}")
        if click.confirm(f"Do you still have '{shown_name(one)}', and does it stay?", err=True):
            named.add(one.device_id)
    gone = [shown_name(one) for one in devices if one.device_id not in named]
    if gone:
        confirm(f"Revoke {', '.join(gone)}?", yes=yes)
    return named
