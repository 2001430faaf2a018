"""Finding files: folders recursively, in the same order every time, with a reason for everything left out.

Links to files are followed, because the photo is what is wanted; links to folders are not, unless they were named by
the user: so no loop of links can be entered, and a link to `/` does not import a disk. What is neither file nor folder
is never opened. Memory is bounded by the largest single folder.
"""

from __future__ import annotations

import functools
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.importing import sidecar
from core.importing.sidecar import NO_SIDECARS, Sidecars

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_MAX_DEPTH = 100
_JUNK = frozenset(
    {
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "picasa.ini",
        "zbthumbnail.info",
        "@eadir",
        "__macosx",
        "$recycle.bin",
        "system volume information",
        "lost+found",
    }
)
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_LIBRARY_MARKS = ("library.toml", "log.db", "blobs")


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file; `size` in bytes, `modified_at` in Unix seconds, `is_link` when a link leads to it."""

    path: Path
    size: int
    modified_at: float
    sidecars: Sidecars
    is_link: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that is no photo, or (`failed`) that might hold some and cannot be read."""

    path: Path
    reason: str
    failed: bool = False


Step = Found | LeftOut


def printable(name: str | os.PathLike[str]) -> str:
    """Return a name as text that any terminal and any JSON can hold: bytes and controls that none has become U+FFFD."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def walk(paths: Iterable[Path]) -> Iterator[Step]:
    """Yield what is at and below `paths`, folders in ascending order of their names' bytes."""
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            yield LeftOut(path, _reason(error), failed=True)
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _folder(path, 0)
            continue
        sidecars = NO_SIDECARS
        if stat.S_ISREG(status.st_mode):
            sidecars = sidecar.find(path.name, functools.partial(_is_beside, path.parent))
        yield _file(path, status, sidecars, is_link=path.is_symlink())


def _is_beside(folder: Path, name: str) -> bool:
    return os.path.lexists(folder / name)


def _folder(folder: Path, depth: int) -> Iterator[Step]:
    try:
        with os.scandir(folder) as entries:
            names = {entry.name: entry for entry in entries}
    except OSError as error:
        yield LeftOut(folder, f"the folder cannot be read: {_reason(error)}", failed=True)
        return
    if all(mark in names for mark in _LIBRARY_MARKS):
        yield LeftOut(folder, "a Safelight library")
        return
    used: set[str] = set()
    photos: dict[str, Sidecars] = {}
    for name in names:
        if not sidecar.is_sidecar_name(name):
            photos[name] = found = sidecar.find(name, names.__contains__)
            used.update(found.xmp, filter(None, [found.takeout, found.takeout_album]))
    for name in sorted(names, key=os.fsencode):
        if name not in used:
            yield from _entry(folder / name, names[name], photos.get(name, NO_SIDECARS), depth)


def _entry(path: Path, entry: os.DirEntry[str], sidecars: Sidecars, depth: int) -> Iterator[Step]:
    if entry.name.startswith("."):
        yield LeftOut(path, "hidden")
        return
    if entry.name.lower() in _JUNK:
        yield LeftOut(path, "made by a file manager, no photo")
        return
    try:
        is_link = entry.is_symlink()
        status = entry.stat()
    except FileNotFoundError:
        yield LeftOut(path, "a link that leads nowhere") if entry.is_symlink() else LeftOut(path, "gone", failed=True)
        return
    except OSError as error:
        yield LeftOut(path, _reason(error), failed=True)
        return
    if not stat.S_ISDIR(status.st_mode):
        yield _file(path, status, sidecars, is_link=is_link)
    elif is_link:
        yield LeftOut(path, "a link to a folder; name it on its own to import what it holds")
    elif depth >= _MAX_DEPTH:
        yield LeftOut(path, f"more than {_MAX_DEPTH} folders deep", failed=True)
    else:
        yield from _folder(path, depth + 1)


def _file(path: Path, status: os.stat_result, sidecars: Sidecars, *, is_link: bool) -> Step:
    for test, kind in _KINDS:
        if test(status.st_mode):
            return LeftOut(path, kind)
    if not stat.S_ISREG(status.st_mode):
        return LeftOut(path, "neither a file nor a folder")
    if sidecar.is_sidecar_name(path.name):
        return LeftOut(path, "describes a photo that is not beside it" if path.suffix.lower() == ".xmp" else "no photo")
    return Found(path, status.st_size, status.st_mtime, sidecars, is_link)


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
