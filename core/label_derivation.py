"""What the catalog's labels were derived by; apart from `core.labelling`, since every command asks that opens one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import ml

_CODE_VERSION = b"labels 1"
"""To be raised when `ml.labels` gives other labels than before for the same results."""


def label_derivation() -> str:
    """Return a short text that changes whenever the same results may give other labels than before."""
    digest = hashlib.blake2b(_CODE_VERSION, digest_size=8)
    for folder in ml.__path__:
        for path in sorted((Path(folder) / "taxonomy").glob("*.toml")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
