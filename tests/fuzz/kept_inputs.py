"""The inputs that are kept: a folder for each target, seeds and faults that were found, a file each."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CORPUS = Path(__file__).resolve().parent / "corpus"
FAULT = "fault-"
"""How the name of an input begins that was a fault once: it says which, and stays when the seeds are made anew."""


def inputs(name: str, folder: Path = CORPUS) -> dict[str, bytes]:
    """Return the inputs kept for a target, by the names of their files."""
    return {path.name: path.read_bytes() for path in sorted((folder / name).glob("*")) if path.is_file()}


def input_name(data: bytes) -> str:
    """Return the name of the file that keeps a seed."""
    return hashlib.sha256(data).hexdigest()[:12]


def keep_seeds(name: str, seeds: Iterable[bytes], folder: Path = CORPUS) -> None:
    """Put `seeds` in place of those that were kept for a target."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    wanted = {input_name(data): data for data in seeds}
    for path in place.iterdir():
        if path.name not in wanted and not path.name.startswith(FAULT):
            path.unlink()
    for file_name, data in wanted.items():
        (place / file_name).write_bytes(data)
