"""The words of a new library's recovery phrase, kept for its device until somebody has seen them.

Whoever makes a library gets them once. Without this, a process that ends just then would leave a library without a
phrase, for good: only a phrase can replace itself.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from core.errors import CoreError
from core.layout import Layout
from core.log import Log
from crypto.errors import CryptoError
from crypto.phrase import phrase_secrets
from crypto.sealed import open_sealed, seal

if TYPE_CHECKING:
    from pathlib import Path

    from core.library import Library
    from crypto.keys import DeviceSecrets

_FACT: Final = "phrase of a new library"


def kept_words(words: str, secrets: DeviceSecrets, library_id: bytes) -> dict[str, bytes]:
    """Return what the log of a new library remembers of its phrase, sealed for the device that makes it."""
    return {_FACT: seal(words.encode(), secrets.storage_key(_FACT), _FACT, library_id)}


def was_never_shown(root: Path) -> bool:
    """Tell, without any key, whether a library was made whose phrase nobody has seen."""
    layout = Layout(root)
    if not layout.library_file.is_file() or not layout.log.is_file():
        return False
    with contextlib.suppress(CoreError), contextlib.closing(Log(layout.log)) as log:
        return log.fact(_FACT) is not None
    return False


def unshown_phrase(library: Library) -> str | None:
    """Return the words of the library's phrase if nobody has seen them."""
    sealed = library.log.fact(_FACT)
    if sealed is None:
        return None
    members = library.members
    try:
        words = open_sealed(sealed, members.root_secrets.storage_key(_FACT), _FACT, library.library_id).decode()
        is_of_now = phrase_secrets(words).device_id in members.membership.phrases
    except (CryptoError, ValueError):
        return None
    return words if is_of_now else None


def first_phrase_was_shown(library: Library) -> None:
    """Forget the words. Raises `DiskFull` or `LibraryBusy`."""
    with library.log.transaction() as transaction:
        transaction.remove_fact(_FACT)
