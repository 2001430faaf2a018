"""The words of a new library's recovery phrase, kept for its device until somebody has seen them.

Whoever makes a library gets them once. Without this, a process that ends just then would leave a library without a
phrase, for good: only a phrase can replace itself.

They lie in a file of their own, sealed by the device, and that file is written over before it goes: a phrase can do
what a device cannot, as nobody revokes it, and SQLite leaves what it removes in its pages and its write-ahead log.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from core.layout import Layout
from core.private_files import fsync_folder, storage_errors
from crypto.errors import CryptoError
from crypto.phrase import phrase_secrets
from crypto.sealed import open_sealed, seal

if TYPE_CHECKING:
    from pathlib import Path

    from core.library import Library
    from crypto.keys import DeviceSecrets

_PURPOSE: Final = "phrase of a new library"
_MOST_BYTES: Final = 4096


def sealed_phrase(words: str, secrets: DeviceSecrets, library_id: bytes) -> bytes:
    """Return the words, sealed for the device that makes the library."""
    return seal(words.encode(), secrets.storage_key(_PURPOSE), _PURPOSE, library_id)


def was_never_shown(root: Path) -> bool:
    """Tell, without any key, whether a library was made whose phrase nobody has seen."""
    layout = Layout(root)
    return layout.library_file.is_file() and layout.phrase.is_file()


def forget_if_shown(root: Path) -> bool:
    """Remove what is left of words that were shown and written over, where that was cut off; tell whether it was.

    Raises `StorageFailed`.
    """
    path = Layout(root).phrase
    with storage_errors("the recovery phrase that was shown"):
        try:
            with path.open("rb") as file:
                left = file.read(_MOST_BYTES)
        except FileNotFoundError:
            return False
        if any(left):
            return False
        path.unlink(missing_ok=True)
        fsync_folder(path.parent)
    return True


def unshown_phrase(library: Library) -> str | None:
    """Return the words of the library's phrase if nobody has seen them. Raises `StorageFailed`."""
    with storage_errors("the recovery phrase that nobody has seen"):
        try:
            with Layout(library.root).phrase.open("rb") as file:
                sealed = file.read(_MOST_BYTES)
        except FileNotFoundError:
            return None
    members = library.members
    try:
        words = open_sealed(sealed, members.root_secrets.storage_key(_PURPOSE), _PURPOSE, library.library_id).decode()
        is_of_now = phrase_secrets(words).device_id in members.membership.phrases
    except (CryptoError, ValueError):
        return None
    return words if is_of_now else None


def first_phrase_was_shown(library: Library) -> None:
    """Forget the words. Raises `StorageFailed`."""
    path = Layout(library.root).phrase
    with storage_errors("the recovery phrase that was shown"):
        try:
            with path.open("r+b") as file:
                size = len(file.read(_MOST_BYTES))
                file.seek(0)
                file.write(bytes(size))
                file.flush()
                os.fsync(file.fileno())
        except FileNotFoundError:
            return
        path.unlink(missing_ok=True)
        fsync_folder(path.parent)
