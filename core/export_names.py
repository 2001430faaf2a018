"""Where an exported photo goes: its folder, and a name that collides with no other and that any system takes."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from core.importing.sniff import is_named_as_media, is_named_as_picture

if TYPE_CHECKING:
    from collections.abc import Iterable

UNDATED = "undated"
NO_ALBUM = "no album"
_LONGEST_NAME = 200
"""Bytes; file systems take 255, and `.xmp` and other programs' endings must fit."""
_SUFFIX_DIGITS = 8
_WINDOWS_FORBIDDEN = frozenset('<>:"|?*\\')
_WINDOWS_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}
)


_ENDINGS = {
    "image/png": ".png",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/tiff": ".tif",
    "image/bmp": ".bmp",
    "image/heic": ".heic",
    "image/avif": ".avif",
    "image/jxl": ".jxl",
    "image/heif": ".heif",
    "image/x-canon-cr2": ".cr2",
    "image/x-canon-cr3": ".cr3",
    "image/x-canon-crw": ".crw",
    "image/x-fuji-raf": ".raf",
    "image/x-panasonic-rw2": ".rw2",
    "image/x-olympus-orf": ".orf",
    "image/x-minolta-mrw": ".mrw",
    "image/x-sigma-x3f": ".x3f",
}


class Layout(StrEnum):
    """How the files are laid out in folders."""

    FLAT = "flat"
    """All in one folder."""
    DATE = "date"
    """`2024/05`; `undated` without a date."""
    ALBUM = "album"
    """A folder for each album, and `no album`; a photo in several albums is written into each."""


@dataclass(frozen=True)
class Wish:
    """What decides the place of one photo. `taken_at` is ISO 8601 or None; `mime` is the media type of the file."""

    pid: bytes
    file_name: str
    taken_at: str | None
    albums: tuple[str, ...]
    mime: str = ""


@dataclass(frozen=True)
class Target:
    """One file to be written: its folder, relative to the destination, and its names in the order of preference."""

    pid: bytes
    folder: tuple[str, ...]
    names: tuple[str, ...]


def plan(wishes: Iterable[Wish], layout: Layout) -> list[Target]:
    """The targets of `wishes`, in the order of their paths.

    Of several photos that want one name in one folder, the one with the lowest id gets it; the others get the beginning
    of their id behind it. So the names depend on what is exported, not on the order in which it is found.
    """
    wanted: dict[tuple[tuple[str, ...], str], list[tuple[bytes, str]]] = defaultdict(list)
    for wish in wishes:
        name = exported_name(safe_name(wish.file_name), wish.mime)
        for folder in _folders(wish, layout):
            wanted[folder, _folded(name)].append((wish.pid, name))
    targets = []
    for (folder, _), photos in wanted.items():
        for position, (pid, name) in enumerate(sorted(photos)):
            names = candidates(pid, name)
            # Whoever lost the plain name still looks there first for itself: an earlier export of fewer photos may
            # have put it there.
            targets.append(Target(pid, folder, names if position == 0 else (*names[1:], names[0])))
    return sorted(targets, key=lambda target: (target.folder, target.names, target.pid))


def candidates(pid: bytes, name: str) -> tuple[str, ...]:
    """The names that the photo `pid` may have: `name`, with the beginning of its id, with all of it."""
    return name, _shortened(name, f"-{pid.hex()[:_SUFFIX_DIGITS]}"), _shortened(name, f"-{pid.hex()}")


def safe_name(name: str, *, windows: bool = os.name == "nt") -> str:
    """`name` as one component of a path: no separators, nothing that the system reads otherwise, not too long.

    File names come from other people's machines: `../../.bashrc` becomes `.._.._.bashrc`.
    """
    cleaned = "".join(
        "_" if character in "/\0" or (windows and (character in _WINDOWS_FORBIDDEN or character < " ")) else character
        for character in name
    )
    if cleaned in {"", ".", ".."}:
        cleaned = "_" * max(1, len(cleaned))
    if windows:
        cleaned = cleaned.rstrip(". ") or "_"
        if cleaned.split(".", 1)[0].rstrip().casefold() in _WINDOWS_DEVICES:
            cleaned = f"_{cleaned}"
    return _shortened(cleaned)


def exported_name(name: str, mime: str) -> str:
    """A safe name as one that no system runs or reads by itself, whatever another device called the photo.

    Names of pictures and videos stay as they are. Others (`holiday.jpg.exe`, but `.profile` as well) get the ending of
    the media type, or that of a JPEG.
    """
    return name if is_named_as_media(name) else viewable_name(name, mime)


def viewable_name(name: str, mime: str) -> str:
    """A safe name as the name of a picture, which another program is told to open.

    Names come from other devices, and what is called `holiday.jpg.exe` is run by Windows, not shown. Names of pictures
    stay as they are; others get the ending of the media type, or that of a JPEG.
    """
    return name if is_named_as_picture(name) else _shortened(name + _ENDINGS.get(mime, ".jpg"))


def _folders(wish: Wish, layout: Layout) -> list[tuple[str, ...]]:
    if layout is Layout.DATE:
        return [(wish.taken_at[0:4], wish.taken_at[5:7])] if wish.taken_at else [(UNDATED,)]
    if layout is Layout.ALBUM:
        names = sorted({safe_name(album) for album in wish.albums}) or [NO_ALBUM]
        # Albums that a file system without cases cannot tell apart share a folder.
        return [(name,) for name in {_folded(name): name for name in reversed(names)}.values()]
    return [()]


def _folded(name: str) -> str:
    """`name` as the least careful file system compares it: without case, in one Unicode form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _shortened(name: str, suffix: str = "") -> str:
    """`name` with `suffix` before its extension, cut in its stem to `_LONGEST_NAME` bytes."""
    stem, extension = os.path.splitext(name)  # noqa: PTH122 - a Path would read "." and ".." in it
    if len(_encoded(extension)) > _LONGEST_NAME // 4:
        stem, extension = name, ""
    ending = suffix + extension
    while stem and len(_encoded(stem + ending)) > _LONGEST_NAME:
        stem = stem[:-1]
    return stem + ending


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
