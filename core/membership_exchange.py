"""Membership entries, to and from one relay: what pairing, joining and recovering need before there is a sync.

Entries are few, and a page of the log can be asked to hold nothing else. They are asked for from the beginning: who
joins has no position yet, and who invites must know of every revocation first.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from core.errors import RelayRefused
from core.relay_errors import relay_errors
from core.sync.membership import in_order
from core.sync.patience import Patience
from crypto.genesis import entry_hash
from sync_relay.wire import KIND_MEMBERSHIP, MOST_ENTRIES

if TYPE_CHECKING:
    from core.ingest import Arrival
    from core.library import Library
    from sync_relay.client import RelayClient


def fetch_entries(client: RelayClient) -> list[bytes]:
    """Return all membership entries the relay has, genesis among them, unchecked; `client` is signed in.

    A connection that fails is tried again a few times. Raises `RelayUnreachable` and `RelayRefused`.
    """
    entries: list[bytes] = []
    position = 0
    patience = Patience()
    while True:
        after = position
        with relay_errors(client.url):
            page = patience.run(functools.partial(client.log, after, kinds=[KIND_MEMBERSHIP]))
        entries += [item.body for item in page.items if item.kind == KIND_MEMBERSHIP and item.body is not None]
        if not page.more:
            return entries
        if page.position <= position or len(entries) > MOST_ENTRIES:
            raise RelayRefused(
                f"the relay {client.url} sends membership entries without end",
                hint="Ask its owner to update it; until then use another relay.",
            )
        position = page.position


def exchange_entries(library: Library, client: RelayClient) -> Arrival:
    """Take in the entries that the relay has, and give it those it lacks; `client` is signed in.

    Returns what came of the relay's entries. Raises `RelayUnreachable`, and `RelayRefused` with its kinds.
    """
    theirs = fetch_entries(client)
    arrival = library.ingest.entries(theirs)
    library.members.refresh()
    known = {entry_hash(entry) for entry in theirs}
    lacking = [entry.data for entry in in_order(library.members.membership) if entry.hash not in known]
    if lacking:
        with relay_errors(client.url):
            Patience().run(lambda: client.append_entries(lacking))
    return arrival
