"""Which devices belong to a library, by its signed membership entries (`crypto.membership`).

The relay needs to know only who may sign in and whose envelopes it passes on. Devices decide about cuts and epochs
themselves, and trust the relay in nothing of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto import membership
from crypto.genesis import verify_genesis
from crypto.membership_entry import verify_entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def check_entry(library_id: bytes, entry: bytes) -> None:
    """Check one entry by itself: its form, its library, its signatures.

    Raises what `crypto.membership_entry.verify_entry` raises.
    """
    if membership.entry_hash(entry) == library_id:
        return  # genesis, which was verified when the library was founded
    verify_entry(entry, library_id)


def evaluate(library_id: bytes, entries: Sequence[bytes]) -> tuple[dict[bytes, bool], Mapping[bytes, str]]:
    """Return every device that the entries ever named, and whether it is a member; and the entries that never count.

    `entries` are all that the relay has, checked when they came, genesis first. An entry that builds on others which
    are not here yet gives nobody access until they are.
    """
    genesis = verify_genesis(entries[0], library_id)
    found = membership.evaluate(genesis, [verify_entry(entry, library_id) for entry in entries[1:]])
    devices = dict.fromkeys(found.departed, False) | dict.fromkeys(found.members, True)
    return devices, found.refused
