"""Where things lie in a library's folder, and which of its folders exist.

::

    <library>/
      library.toml     in the clear: format, library id, key-derivation costs, wrapped device secrets
      log.db           SQLite: envelopes, chain heads, membership
      phrase.sealed    a new library's recovery phrase, until somebody has seen it
      blobs/ab/<id>    encrypted blobs, named by the BLAKE2b-256 of their ciphertext
      blobs/incoming/  blobs that are being written; nothing names them yet
      derived/         sealed replicas and catalog; safe to delete
      set-aside/       what a repair took out of the way; only there after one
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from core.private_files import make_private_folder

_APPLICATION = "safelight"


@dataclass(frozen=True)
class Layout:
    """The paths of one library."""

    root: Path

    @property
    def library_file(self) -> Path:
        """Return the path of `library.toml`."""
        return self.root / "library.toml"

    @property
    def log(self) -> Path:
        """Return the path of `log.db`."""
        return self.root / "log.db"

    @property
    def phrase(self) -> Path:
        """Return the path of the recovery phrase that nobody has seen yet."""
        return self.root / "phrase.sealed"

    @property
    def blobs(self) -> Path:
        """Return the folder of the blobs."""
        return self.root / "blobs"

    @property
    def derived(self) -> Path:
        """Return the folder of the derived files."""
        return self.root / "derived"

    @property
    def set_aside(self) -> Path:
        """Return the folder of what a repair put something else in the place of."""
        return self.root / "set-aside"

    def make_folders(self) -> None:
        """Create the folders, readable by their owner only."""
        make_private_folder(self.root)
        for folder in (self.blobs, self.derived):
            make_private_folder(folder)


def default_library() -> Path:
    """Return the library that is meant when none is named: `SAFELIGHT_LIBRARY`, else the platform's data folder."""
    named = os.environ.get("SAFELIGHT_LIBRARY")
    return Path(named) if named else platformdirs.user_data_path(_APPLICATION, appauthor=False) / "library"


def state_folder() -> Path:
    """Return the folder that remembers, beside every library, what this machine wrote into it."""
    named = os.environ.get("SAFELIGHT_STATE_DIR")
    return Path(named) if named else platformdirs.user_state_path(_APPLICATION, appauthor=False)
