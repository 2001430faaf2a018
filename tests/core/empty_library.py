"""Empty libraries for tests that are not about how one is made: made once a process, written out as often as asked.

Making one takes a tenth of a second of work, and hundreds of tests begin with one. Each gets the same ids and keys;
what is remembered of it outside its folder is written to the state folder of whoever asks.
"""

from __future__ import annotations

import functools
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.library import Library
from crypto import kdf

if TYPE_CHECKING:
    from crypto.keys import DeviceSecrets


@dataclass(frozen=True)
class EmptyLibrary:
    """The files of a library nobody has open, and of its device's state folder; who opens it, and its phrase."""

    library: dict[str, bytes | None]
    state: dict[str, bytes | None]
    secrets: DeviceSecrets
    phrase: str

    def write(self, root: Path) -> None:
        """Write it to `root` (absent or empty)."""
        write_folder(root, self.library)
        write_folder(Path(os.environ["SAFELIGHT_STATE_DIR"]), self.state)


@functools.cache
def empty_library(passphrase: bytes, device_name: str) -> EmptyLibrary:
    """Return an empty library with the smallest key-derivation costs that are allowed."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setenv("SAFELIGHT_STATE_DIR", str(folder / "state"))
        library, phrase = Library.create(
            folder / "library", passphrase, device_name=device_name, kdf=kdf.new_parameters(*kdf.FLOOR)
        )
        library.close()
        return EmptyLibrary(
            read_folder(folder / "library"), read_folder(folder / "state"), library.members.secrets, phrase
        )


def read_folder(folder: Path) -> dict[str, bytes | None]:
    """Return all files in a folder, by their names in it; a folder in it has no bytes."""
    paths = sorted(folder.rglob("*"))  # a folder comes before what is in it
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in paths}


def write_folder(folder: Path, content: dict[str, bytes | None]) -> None:
    """Write what `read_folder` read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in content.items():
        if data is None:
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        else:
            (folder / name).touch(mode=0o600)
            (folder / name).write_bytes(data)
