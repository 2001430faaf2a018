"""What the catalog's labels were derived by; apart from `core.labelling`, since every command asks that opens one."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import ml
from ml.builtin import BUILTIN_FOLDER, data_folder

_CODE_VERSION = b"labels 1"
"""To be raised when `ml.labels` gives other labels than before for the same results."""


def label_derivation() -> str:
    """Return a short text that changes whenever the same results may give other labels than before."""
    digest = hashlib.blake2b(_CODE_VERSION, digest_size=8)
    files = [path for folder in ml.__path__ for path in sorted((Path(folder) / "taxonomy").glob("*.toml"))]
    # The built-in pack's manifest pins its calibration. Other packs get a new name with every change of theirs, but not
    # with a calibration of the user's own.
    files += [BUILTIN_FOLDER / "pack.toml", *sorted((data_folder() / "calibrations").glob("*.toml"))]
    for path in files:
        with contextlib.suppress(OSError):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
