"""Membership entries: in an order in which relays take them, and those that a member cannot do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.library import Library
    from crypto.membership import Membership
    from crypto.membership_entry import Entry


def in_order(membership: Membership) -> list[Entry]:
    """Return the entries that count, and those that are void, without genesis; parents before their children."""
    ordered: list[Entry] = []
    done = {membership.library_id}
    waiting = dict(sorted(membership.entries.items()))
    while waiting:
        ready = [entry for entry in waiting.values() if done.issuperset(entry.heads)]
        if not ready:
            break  # of no use to anybody: they build on what is not known
        for entry in ready:
            del waiting[entry.hash]
            done.add(entry.hash)
        ordered += ready
    return ordered


def give_keys(library: Library) -> None:
    """Make a new epoch where a member lacks the key of one that this device can read.

    Whoever writes next would make it; but nobody may write for a long time, and until then that member would lack what
    the others wrote. To be called when the relays have been read, for another device may have done so already. Nothing
    is written while there are alarms.
    """
    with library.guard:
        library.refresh()
        library.writer.check()
        if not library.members.has_keys_to_give() or library.doubts:
            return
        with library.members.transaction(library.log) as transaction:
            library.members.refresh()
            library.members.give_keys(transaction)
