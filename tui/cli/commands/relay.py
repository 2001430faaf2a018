"""`safelight relay`: the relays through which the devices of a library meet."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tui.cli import exit_codes, output
from tui.cli.leakage_text import leakage_line, leakage_text
from tui.cli.options import json_option, library_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from core.sync.alarms import KeptAlarm
    from core.sync.standing import RelayStanding
    from tui.cli.session import Session

_MAX_INVITE_BYTES = 128


@click.group("relay")
def command() -> None:
    """Name the relays through which the devices of a library meet.

    A relay keeps encrypted edits and photos and can read none of them. Every device of a library uses the same relays.
    """


@command.command("use")
@click.argument("url")
@click.option("--invite", metavar="CODE", help="The invite of the relay's owner, where the library is not there yet.")
@click.option(
    "--invite-file", type=click.Path(path_type=Path), metavar="FILE", help="Read the invite from FILE (`-`: stdin)."
)
@library_options
def use(session: Session, url: str, invite: str | None, invite_file: Path | None) -> None:
    """Use the relay at URL from now on, on all devices.

    URL is https://HOST, or http:// on this machine only. The first device that uses a relay needs an invite of the
    relay's owner (`safelight-relay invite`); it is asked for on a terminal, so that it does not stand in the list of
    processes. Nothing is sent before `safelight sync`.
    """
    from core.sync.relays import Relays

    if invite is not None and invite_file is not None:
        raise click.UsageError("give either --invite or --invite-file, not both")
    if invite_file is not None:
        invite = _read_invite(invite_file)
    with session.open_library() as library:
        used = _use(Relays(library), url, invite)
    output.say(f"This library uses {output.plain(used)} from now on; `safelight sync` fills it.")


@command.command("list")
@json_option
@library_options
def list_(session: Session, as_json: bool) -> None:
    """List the relays that this library uses; `relay status` also asks them."""
    from core.sync.relays import Relays

    with session.open_library() as library:
        urls = Relays(library).urls()
    if as_json:
        output.json_lines({"url": url} for url in urls)
        return
    for url in urls:
        output.line(output.plain(url))
    if not urls:
        output.say("No relay is in use; `safelight relay use URL` adds one.")


@command.command("remove")
@click.argument("url")
@library_options
def remove(session: Session, url: str) -> None:
    """Stop using the relay at URL, on all devices.

    What it holds stays there until its owner removes it: it can read nothing of it.
    """
    from core.sync.relays import Relays

    with session.open_library() as library:
        Relays(library).remove(url)
    output.say(f"This library no longer uses {output.plain(url)}.")


@command.command("status")
@click.option("--clear", is_flag=True, help="Forget the alarms, once you have done what they say.")
@json_option
@library_options
def status(session: Session, clear: bool, as_json: bool) -> int:
    """Ask each relay how it is, and show the alarms of past syncs.

    The exit code is 4 while there are alarms, 5 when no relay can be reached, 7 when only some can.
    """
    from core.sync.alarms import SyncAlarms
    from core.sync.standing import standings

    with session.open_library() as library:
        alarms = SyncAlarms(library)
        kept = alarms.list()
        found = standings(library)
        library_id = library.library_id.hex()
        if clear:
            alarms.clear()
    if as_json:
        output.json_lines([*map(_relay_line, found), *map(alarm_line, kept)])
    else:
        _show(library_id, found, kept)
        if clear and kept:
            output.say(f"Cleared {output.count(len(kept), 'alarm')}.")
    if kept and not clear:
        return exit_codes.INTEGRITY_ALARM
    return outcome([standing.error for standing in found])


@command.command("leakage")
@click.argument("name", required=False)
@json_option
@library_options
def leakage(session: Session, name: str | None, as_json: bool) -> int:
    """Say exactly what a relay could infer of this library: the one that NAME means (a part of its URL), or each.

    The relay is asked for everything it holds of the library, which reads all of its log. What it sees of devices
    without storing it is said beside it.
    """
    from core.errors import CoreError
    from core.sync.leakage import leakage as look
    from core.sync.standing import relays_in_use
    from tui.cli.progress import progress_bar

    errors: list[Exception | None] = []
    with session.open_library() as library:
        urls = [url for url in relays_in_use(library) if name is None or name in url]
        if not urls:
            raise click.UsageError(f"this library uses no relay whose URL has {name!r} in it")
        for url in urls:
            try:
                with progress_bar("Asking", unit="things", shown=not as_json) as advance:
                    found = look(library, url, progress=advance)
            except CoreError as error:
                errors.append(error)
                output.error(output.plain(str(error)), error.hint)
                continue
            errors.append(None)
            if as_json:
                output.json_lines([leakage_line(found)])
            else:
                for line in leakage_text(found):
                    output.line(line)
    return outcome(errors)


def outcome(errors: Sequence[Exception | None]) -> int:
    """The exit code for relays that ended so, None being well: the one rule for `sync` and `relay status`.

    A relay that refuses needs somebody to act (6). One that is out of reach mostly comes back: 5 where none was
    reached, 7 (partly done) where another one was.
    """
    codes = {exit_codes.DONE if error is None else exit_codes.exit_code(error) for error in errors} or {exit_codes.DONE}
    for code in (exit_codes.INTEGRITY_ALARM, exit_codes.REFUSED_BY_RELAY):
        if code in codes:
            return code
    if exit_codes.DONE in codes and len(codes) > 1:
        return exit_codes.PARTLY_DONE
    return min(codes)


def alarm_line(alarm: KeptAlarm) -> dict[str, Any]:
    """An alarm as JSON shows it."""
    return {
        "event": "alarm",
        "name": alarm.name,
        "message": alarm.message,
        "hint": alarm.hint,
        "at": _iso(alarm.at),
        "relay": alarm.relay,
    }


def show_alarm(alarm: KeptAlarm) -> None:
    """An alarm for a person: what happened, and what to do."""
    output.error(f"{alarm.name}: {output.plain(alarm.message)}", alarm.hint)


def _use(relays: Any, url: str, invite: str | None) -> str:
    """Use a relay; where it wants an invite and there is somebody to ask, ask and try again."""
    from core.errors import RelayRefused

    try:
        used: str = relays.use(url, invite)
    except RelayRefused:
        if invite is not None or not output.is_terminal(sys.stdin):
            raise
        typed = str(click.prompt("Invite of the relay's owner", err=True)).strip()
        used = relays.use(url, typed)
    return used


def _read_invite(path: Path) -> str:
    if str(path) == "-":
        text = sys.stdin.read(_MAX_INVITE_BYTES + 2)
    else:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_MAX_INVITE_BYTES + 2)
    invite = text.strip()
    if not invite or len(invite) > _MAX_INVITE_BYTES or len(invite.split()) != 1:
        raise click.UsageError("the file holds no invite: one word, as `safelight-relay invite` prints it")
    return invite


def _relay_line(standing: RelayStanding) -> dict[str, Any]:
    error = standing.error
    return {
        "event": "relay",
        "url": standing.url,
        "reachable": standing.reachable,
        "synced_at": _iso(standing.synced_at) if standing.synced_at else None,
        "position": standing.position,
        "newest": standing.newest,
        "bytes": standing.used_bytes,
        "quota_bytes": standing.quota_bytes,
        "objects": standing.used_objects,
        "quota_objects": standing.quota_objects,
        "error": None if error is None else error.name,
        "message": None if error is None else str(error),
        "hint": None if error is None else error.hint,
    }


def _show(library_id: str, found: Sequence[RelayStanding], kept: Sequence[KeptAlarm]) -> None:
    if found:
        output.line(f"Library {library_id} (its name at relays, for their owners)")
    for standing in found:
        output.line(output.plain(standing.url))
        for line in _facts(standing):
            output.line(f"  {line}")
    if not found:
        output.line("No relay is in use; `safelight relay use URL` adds one.")
    for alarm in kept:
        where = f" ({output.plain(alarm.relay)})" if alarm.relay else ""
        output.line(f"{alarm.name}: {output.plain(alarm.message)}{where}")
        if alarm.hint:
            output.line(f"  hint: {alarm.hint}")
    if found and not kept:
        output.line("No alarms.")


def _facts(standing: RelayStanding) -> Iterator[str]:
    if standing.synced_at:
        yield "last up to date " + time.strftime("%Y-%m-%d %H:%M", time.localtime(standing.synced_at))
    else:
        yield "never up to date with this device"
    error = standing.error
    if error is not None:
        yield output.plain(str(error))
        if error.hint:
            yield f"hint: {error.hint}"
        return
    behind = (standing.newest or 0) - standing.position
    yield f"read to position {standing.position:,}" + (f", {behind:,} more are there" if behind > 0 else "")
    if standing.used_bytes is not None and standing.quota_bytes is not None:
        yield f"holds {output.file_size(standing.used_bytes)} of {output.file_size(standing.quota_bytes)}"
    if standing.used_objects is not None and standing.quota_objects is not None:
        yield f"holds {standing.used_objects:,} of {standing.quota_objects:,} objects"


def _iso(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
