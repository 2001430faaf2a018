"""Membership entries in an order in which each follows those it names, as relays take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
