"""The folder a new library is made in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import LibraryExists
from core.layout import Layout
from core.library_file import LibraryFile
from core.log import Log
from core.private_files import replace_file, storage_errors
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
    phrase: bytes | None = None,
) -> None:
    """Make a library of no envelopes in `root` (absent or empty), written by the device that holds `secrets`.

    `entries` are its membership entries by hash; `phrase` is its recovery phrase, sealed, where that is kept. Raises
    `LibraryExists`, and `StorageFailed` where the folder cannot be written.
    """
    refuse_used_folder(root)
    layout = Layout(root)
    file = LibraryFile.make(library_id, secrets, passphrase, new_parameters() if kdf is None else kdf)
    layout.make_folders()
    Log.create(layout.log, entries, first_facts(library_id, secrets.device_id)).close()
    if phrase is not None:
        with storage_errors("the new library's recovery phrase"):
            replace_file(layout.phrase, phrase)
    # Last, because it is this file that makes the folder a library.
    file.write(layout.library_file)


def refuse_used_folder(root: Path) -> None:
    """Raise `LibraryExists` unless a library can be made in `root`."""
    with storage_errors("the folder of the new library"):
        if (root / "library.toml").exists():
            raise LibraryExists(f"there is a library in {root} already", hint="Open it, or name another folder.")
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise LibraryExists(f"{root} is not an empty folder", hint="Name a new or an empty folder.")
