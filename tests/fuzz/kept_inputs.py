"""The inputs that are kept: a folder for each target; seeds, what fuzzing found, and faults, a file each."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CORPUS = Path(__file__).resolve().parent / "corpus"
FAULT = "fault-"
"""How the name of an input begins that was a fault once: it says which, and stays when the seeds are made anew."""
FOUND = "found-"
"""How the name of an input begins that coverage led to: it reaches what no seed does."""
_STAYING = (FAULT, FOUND)


def inputs(name: str, folder: Path = CORPUS) -> dict[str, bytes]:
    """Return the inputs kept for a target, by the names of their files."""
    return {path.name: path.read_bytes() for path in sorted((folder / name).glob("*")) if path.is_file()}


def input_name(data: bytes) -> str:
    """Return the name of the file that keeps a seed."""
    return hashlib.sha256(data).hexdigest()[:12]


def keep_seeds(name: str, seeds: Iterable[bytes], folder: Path = CORPUS) -> None:
    """Put `seeds` in place of those that were kept for a target."""
    _put(name, {input_name(data): data for data in seeds}, lambda file_name: not file_name.startswith(_STAYING), folder)


def keep_found(name: str, found: Iterable[bytes], folder: Path = CORPUS) -> None:
    """Put `found` in place of what was kept for a target because it reaches something."""
    wanted = {FOUND + input_name(data): data for data in found}
    _put(name, wanted, lambda file_name: file_name.startswith(FOUND), folder)


def _put(name: str, wanted: dict[str, bytes], is_replaced: Callable[[str], bool], folder: Path) -> None:
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    for path in place.iterdir():
        if path.name not in wanted and is_replaced(path.name):
            path.unlink()
    for file_name, data in wanted.items():
        (place / file_name).write_bytes(data)
