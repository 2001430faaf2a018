"""Checkpoints: every so often all that is known goes into one envelope, so that relays may drop what it covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.library import Library


def checkpoint_if_due(library: Library) -> bool:
    """Make a checkpoint if enough was written since the last one; tell whether one was made.

    Its snapshots are blobs in the library's folder, to be uploaded before the envelope that names them.
    """
    del library
    return False


def confirm_pending(library: Library, fetch: Callable[[bytes], None]) -> list[bytes]:
    """Confirm the newest checkpoint if it holds all that this device knows; return the prune statements to send.

    `fetch(blob id)` brings a snapshot's blob into the library's folder, or raises. The statements are good once the
    envelopes of this library have been pushed; they are the same bytes each time, so they may be sent again.

    Raises `Withheld` or `Forged` for a checkpoint that lacks something, holds what nobody made, or does not load.
    """
    del library, fetch
    return []
