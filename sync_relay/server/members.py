"""Which devices belong to a library, by its signed membership entries.

The relay needs to know only who may sign in and whose envelopes it passes on. Devices decide about cuts and epochs
themselves, and trust the relay in nothing of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.membership import verify_genesis
from crypto.preamble import Kind, check_preamble

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_entry(entry: bytes) -> None:
    """Raise a `crypto.errors.FormatError` unless these bytes can be a membership entry."""
    check_preamble(entry, Kind.MEMBERSHIP)


def members(library_id: bytes, entries: Sequence[bytes]) -> dict[bytes, bool]:
    """Return every device that the entries ever made a member, and whether it still is one.

    `entries` are all that the relay has, genesis first. Of them, only genesis is read as yet: `crypto.membership` does
    not read the others so far, and what cannot be checked gives nobody access.
    """
    genesis = verify_genesis(entries[0], library_id)
    return {genesis.device_id: True, genesis.phrase_id: True}
