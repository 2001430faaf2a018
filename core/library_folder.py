"""The folder a new library is made in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import LibraryExists, LogDamaged
from core.layout import Layout
from core.library_file import LibraryFile
from core.log import Log
from core.private_files import storage_errors
from core.writer import first_facts
from crypto.kdf import KdfParameters, new_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from crypto.keys import DeviceSecrets


def make_folder(
    root: Path,
    passphrase: bytes,
    secrets: DeviceSecrets,
    library_id: bytes,
    entries: Mapping[bytes, bytes],
    kdf: KdfParameters | None,
    facts: Mapping[str, bytes] | None = None,
) -> None:
    """Make a library of no envelopes in `root` (absent or empty), written by the device that holds `secrets`.

    `entries` are its membership entries by hash; `facts` are remembered by its log. Raises `LibraryExists`, and
    `StorageFailed` where the folder cannot be written.
    """
    refuse_used_folder(root)
    layout = Layout(root)
    file = LibraryFile.make(library_id, secrets, passphrase, new_parameters() if kdf is None else kdf)
    layout.make_folders()
    Log.create(layout.log, entries, first_facts(library_id, secrets.device_id) | dict(facts or {})).close()
    # Last, because it is this file that makes the folder a library.
    file.write(layout.library_file)


def refuse_used_folder(root: Path) -> None:
    """Raise `LibraryExists` unless a library can be made in `root`; what an `init` left that was killed is removed."""
    with storage_errors("the folder of the new library"):
        if (root / "library.toml").exists():
            raise LibraryExists(f"there is a library in {root} already", hint="Open it, or name another folder.")
        if root.is_dir():
            _remove_unfinished(root)
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise LibraryExists(f"{root} is not an empty folder", hint="Name a new or an empty folder.")


def _remove_unfinished(root: Path) -> None:
    """Remove what an `init` left that was killed before it wrote `library.toml`: a log without a single envelope."""
    layout = Layout(root)
    ours = {"log.db", "log.db-wal", "log.db-shm", "blobs", "derived"}
    names = {path.name for path in root.iterdir()}
    if not names or not names <= ours or any((root / name).is_dir() and any((root / name).iterdir()) for name in names):
        return
    try:
        log = Log(layout.log)
    except LogDamaged:
        # Killed before the first transaction: SQLite has written nothing, or not all, of an empty log.
        if layout.log.is_file() and layout.log.stat().st_size:
            return
    else:
        empty = log.count() == 0 and not log.damage
        log.close()
        if not empty:
            return
    for path in list(root.iterdir()):
        path.rmdir() if path.is_dir() else path.unlink()
