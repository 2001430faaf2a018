"""`safelight doctor`: check this installation."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from core.finding import Finding
from tui.cli import exit_codes, output
from tui.cli.options import confirm, json_option, library_options, yes_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tui.cli.session import Session

_ALARMS = "alarms"


@click.command("doctor")
@click.option("--claim", is_flag=True, help="Go on as the device that this library was on another machine.")
@click.option("--offline", is_flag=True, help="Ask no relay; say what is remembered of them.")
@json_option
@yes_option
@library_options
def command(session: Session, claim: bool, offline: bool, as_json: bool, yes: bool) -> int:
    """Say in plain words what state this installation, the library and its relays are in.

    Nothing is changed, and the passphrase is not asked for; `safelight verify` checks what the library holds. Of a
    library that is locked, damaged or read only it says what can be said without keys: where its files are, who may
    read them, how large they are, and how many envelopes and alarms there are. Where the library is unlocked, or a
    passphrase file is named, it also says which devices there are and when each was last seen, what is waiting to go
    out or come in, what photos lack, what alarms mean (exit code 4), and how each relay is, which is asked.

    A library's folder that was copied becomes a device of its own with its first edit there. If it was moved, and no
    other copy of it is in use, --claim makes this machine go on as the device it was.
    """
    if claim:
        _claim(session, yes=yes)
        return exit_codes.DONE
    findings = list(_findings(session, offline=offline))
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


def _findings(session: Session, *, offline: bool) -> Iterator[Finding]:
    from core.diagnosis import storage_version

    yield Finding("safelight", True, f"version {version('safelight')}, {storage_version()}")
    yield Finding("python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _modules()
    yield from _decoders()
    yield from _packs()
    yield from _library(session)
    yield from _contents(session, offline=offline)
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
    from core.diagnosis import of_folder
    from core.layout import Layout

    root = session.root
    layout = Layout(root)
    if not layout.library_file.exists() and not layout.log.exists():
        yield Finding("library", True, f"none in {root} yet: `safelight init` creates one")
        return
    yield from of_folder(root)


def _contents(session: Session, *, offline: bool) -> Iterator[Finding]:
    """What is in the library, and how its relays are: needs the keys, so only where nobody is asked."""
    from core.diagnosis import of_library, of_relays
    from core.errors import CoreError
    from core.layout import Layout

    if not Layout(session.root).library_file.exists():
        return
    try:
        if not session.opens_unasked():
            yield Finding("devices", True, "known while the library is unlocked (`safelight unlock`), relays too")
            return
        with session.open_library() as library:
            # They are findings; said once is enough.
            session.alarms += [str(alarm) for alarm in library.alarms]
            yield from of_library(library)
            yield from of_relays(library, ask=not offline)
    except CoreError as error:
        yield Finding("devices", False, str(error), error.hint)


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
