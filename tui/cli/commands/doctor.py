"""`safelight doctor`: check this installation."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import click

from tui.cli import exit_codes, output
from tui.cli.options import confirm, json_option, library_options, yes_option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from core.library import Library
    from tui.cli.session import Session

_FREE_BYTES_WANTED = 1_000_000_000
_ALARMS = "alarms"


class Finding(NamedTuple):
    """One thing looked at; `hint` says what to do when it is not ok."""

    check: str
    ok: bool
    detail: str
    hint: str | None = None


@click.command("doctor")
@click.option("--claim", is_flag=True, help="Go on as the device that this library was on another machine.")
@json_option
@yes_option
@library_options
def command(session: Session, claim: bool, as_json: bool, yes: bool) -> int:
    """Check this installation and say what is missing.

    Nothing is changed, and the passphrase is not asked for; `safelight verify` checks what the library holds. Where the
    library is unlocked, or a passphrase file is named, it also says which devices and relays there are, how many
    originals are here, and whether syncs raised alarms (exit code 4); no relay is asked.

    A library's folder that was copied becomes a device of its own with its first edit there. If it was moved, and no
    other copy of it is in use, --claim makes this machine go on as the device it was.
    """
    if claim:
        _claim(session, yes=yes)
        return exit_codes.DONE
    findings = list(_findings(session))
    for finding in findings:
        if as_json:
            output.json_lines([finding._asdict()])
            continue
        output.line(f"{'ok     ' if finding.ok else 'PROBLEM'}  {finding.check}: {output.plain(finding.detail)}")
        if finding.hint and not finding.ok:
            output.line(f"         hint: {finding.hint}")
    if any(finding.check == _ALARMS and not finding.ok for finding in findings):
        return exit_codes.INTEGRITY_ALARM
    return exit_codes.DONE if all(finding.ok for finding in findings) else exit_codes.FAILED


def _findings(session: Session) -> Iterator[Finding]:
    yield Finding("python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _modules()
    yield from _decoders()
    yield from _packs()
    yield from _library(session)
    yield from _copies(session)
    yield _agent()


def _claim(session: Session, *, yes: bool) -> None:
    from core.library import Library

    confirm("Is no other copy of this library in use? Two that both write would contradict each other.", yes=yes)
    Library.claim(session.root, session.device_secrets())
    output.say("This machine writes to this library from now on.")


def _modules() -> Iterator[Finding]:
    import importlib

    for module, purpose in (
        ("nacl.bindings", "encryption"),
        ("automerge", "edits that merge"),
        ("sqlalchemy", "the log and the catalog"),
        ("PIL.Image", "reading photos"),
        ("onnxruntime", "labels"),
    ):
        try:
            importlib.import_module(module)
        except ImportError as error:
            yield Finding(module.partition(".")[0], False, f"{purpose}: {error}", "Install Safelight again.")
        else:
            yield Finding(module.partition(".")[0], True, purpose)


def _decoders() -> Iterator[Finding]:
    import importlib.util

    from PIL import features

    for name, there in (
        ("JPEG", features.check("jpg")),
        ("WebP", features.check("webp")),
        ("AVIF", features.check("avif")),
        ("HEIC", importlib.util.find_spec("pi_heif") is not None),
        ("JPEG XL", importlib.util.find_spec("pylibjxl") is not None),
    ):
        detail = "can be read" if there else "cannot be read: photos of this format are refused by import"
        yield Finding(name, bool(there), detail, "Install the packages that Safelight names for this platform.")


def _packs() -> Iterator[Finding]:
    from core import packs

    found = packs.list_packs()
    if not any(pack.builtin for pack in found):
        yield Finding("model", False, "the built-in pack is missing", "Install Safelight again.")
    for pack in found:
        hint = f"Remove it (safelight model remove {pack.model}) and add it again."
        yield Finding("model", pack.problem is None, f"{pack.model}: {pack.problem or 'whole'}", hint)


def _library(session: Session) -> Iterator[Finding]:
    from core.errors import CoreError
    from core.layout import Layout
    from core.library_file import LibraryFile

    root = session.root
    layout = Layout(root)
    if not layout.library_file.exists():
        yield Finding("library", True, f"none in {root} yet: `safelight init` creates one")
        return
    try:
        library_file = LibraryFile.read(layout.library_file)
    except CoreError as error:
        yield Finding("library", False, str(error), error.hint)
        return
    yield Finding("library", True, f"{root}, id {library_file.library_id.hex()}")
    if os.name == "posix":
        mode = stat.S_IMODE(root.stat().st_mode)
        yield Finding(
            "folder", not mode & 0o077, f"mode {mode:o}", f"Nobody else needs to enter it: chmod 700 '{root}'."
        )
    yield Finding(
        "log", layout.log.is_file(), f"{layout.log.name}, {_size(layout.log)}", "Restore log.db from a backup."
    )
    free = shutil.disk_usage(root).free
    yield Finding(
        "disk", free >= _FREE_BYTES_WANTED, f"{output.file_size(free)} free", "Free some space before an import."
    )


def _copies(session: Session) -> Iterator[Finding]:
    """Which devices and relays there are, and where the photos are: needs the keys, so only where nobody is asked."""
    from core.errors import CoreError
    from core.layout import Layout

    if not Layout(session.root).library_file.exists():
        return
    try:
        if not session.opens_unasked():
            yield Finding("devices", True, "known while the library is unlocked (`safelight unlock`), relays too")
            return
        with session.open_library() as library:
            yield from _devices(library)
            yield from _relays(library)
            yield _originals(library)
            yield _alarms(library)
    except CoreError as error:
        yield Finding("devices", False, str(error), error.hint)


def _devices(library: Library) -> Iterator[Finding]:
    from core.devices import devices

    records = devices(library)
    present = [record for record in records if not record.revoked]
    names = ", ".join(f"{record.name or 'unnamed'}{' (this one)' if record.this else ''}" for record in present)
    revoked = len(records) - len(present)
    detail = f"{output.count(len(present), 'device')}: {names}" + (f"; {revoked} revoked" if revoked else "")
    this_one = any(record.this for record in present)
    hint = "Everything here can still be searched and exported; join the library anew into another folder."
    yield Finding("devices", this_one, detail if this_one else f"this device was revoked; {detail}", hint)


def _relays(library: Library) -> Iterator[Finding]:
    from core.sync.relays import Relays
    from core.sync.standing import unsent

    relays = Relays(library)
    urls = relays.urls()
    if not urls:
        yield Finding("relays", True, "none in use: what is here may be nowhere else (docs/sync.md)")
    for url in urls:
        _, facts = relays.state(url)
        if not facts.at:
            yield Finding("relay", False, f"{url}: never up to date with this device", "Run `safelight sync`.")
            continue
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(facts.at))
        left = unsent(library, url)
        if left.edits or left.files:
            told = f"{output.count(left.edits, 'edit')} and {output.count(left.files, 'file')} to send"
        else:
            told = "it has everything that is here"
        lacking = len(facts.lacking)
        yield Finding(
            "relay",
            not lacking,
            f"{url}: up to date {when}, {told}",
            f"{output.count(lacking, 'file')} could not be sent: they are not on this device. Sync the device that has "
            "them.",
        )


def _originals(library: Library) -> Finding:
    from core.originals import keeps_every_original

    here = elsewhere = 0
    for pid in (*library.catalog.pids(), *library.catalog.pids("is:trash")):
        copies = [copy.blob_id for copy in library.catalog.copies(pid) if copy.role == "original"]
        if any(map(library.blobs.exists, copies)):
            here += 1
        else:
            elsewhere += 1
    kept = "this device keeps every original" if keeps_every_original(library) else "others are fetched when asked for"
    return Finding("originals", True, f"{here:,} here, {elsewhere:,} elsewhere; {kept}")


def _alarms(library: Library) -> Finding:
    from core.sync.alarms import SyncAlarms

    kept = SyncAlarms(library).list()
    names = ", ".join(sorted({alarm.name for alarm in kept}))
    detail = f"{output.count(len(kept), 'alarm')} of past syncs: {names}" if kept else "no sync has raised any"
    return Finding(_ALARMS, not kept, detail, "`safelight relay status` says what happened and what to do.")


def _agent() -> Finding:
    if sys.platform == "win32":
        return Finding("unlock", True, "by the keyring of Windows")
    from core.agent import runtime_folder
    from core.errors import CoreError

    try:
        folder = runtime_folder(create=True)
    except CoreError as error:
        return Finding("unlock", False, str(error), error.hint)
    return Finding("unlock", True, f"sockets in {folder}")


def _size(path: Path) -> str:
    try:
        return output.file_size(path.stat().st_size)
    except OSError:
        return "missing"
