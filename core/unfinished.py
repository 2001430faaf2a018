"""A library's folder in the making, inside the folder that is to become the library.

What is new, joins or is recovered consists of several files, and of facts in them; a process may be killed between any
two. So it is made in a folder of its own, and moved into its place in the end, `library.toml` last: before that no
command takes the folder for a library, and after it everything is there.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from core.errors import LibraryExists
from core.layout import Layout
from core.library_folder import refuse_used_folder
from core.private_files import fsync_folder, make_private_folder, storage_errors

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = ".unfinished"
_TOML: Final = "library.toml"
_LOG: Final = "log.db"


def unfinished_folder(root: Path) -> Path:
    """Return where the library of `root` is made; it need not exist."""
    return root / _NAME


def refuse_unless_free(root: Path) -> None:
    """Raise `LibraryExists` where `root` is neither empty nor holds just what an interrupted attempt left."""
    unfinished = unfinished_folder(root)
    if not unfinished.is_dir():
        refuse_used_folder(root)
    elif not is_being_published(root) and any(path != unfinished for path in root.iterdir()):
        raise LibraryExists(f"{root} is not an empty folder", hint="Name a new or an empty folder.")


def begin(root: Path) -> Path:
    """Return the unfinished folder of `root`, which exists and is empty: what an earlier attempt left is removed."""
    discard(root)
    make_private_folder(root)
    return unfinished_folder(root)


def discard(root: Path) -> None:
    """Remove what is unfinished: everything in it came from elsewhere, or has just been drawn."""
    unfinished = unfinished_folder(root)
    with storage_errors("what an interrupted attempt left"):
        if unfinished.exists():
            shutil.rmtree(unfinished)


def is_being_published(root: Path) -> bool:
    """Tell whether the library was moved in part."""
    unfinished = unfinished_folder(root)
    return (unfinished / _TOML).is_file() and not Layout(unfinished).log.exists() and Layout(root).log.exists()


def publish(root: Path) -> None:
    """Move the library from the unfinished folder to where it belongs; goes on where that was interrupted."""
    unfinished = unfinished_folder(root)
    with storage_errors("the new library"):
        for path in sorted(unfinished.iterdir(), key=lambda path: (path.name == _TOML, path.name != _LOG, path.name)):
            path.replace(root / path.name)
        fsync_folder(root)
        unfinished.rmdir()
