"""Telling the relays at once who belongs to the library now, without waiting for the next sync."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from core.errors import RelayRefused, RelayUnreachable
from core.membership_exchange import exchange_entries
from core.relay_errors import relay_errors
from core.sync.alarms import SyncAlarms
from core.sync.relays import Relays
from sync_relay.client import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.library import Library


def tell_relays(
    library: Library, *, connect: Callable[[str], RelayClient] = RelayClient
) -> list[RelayUnreachable | RelayRefused]:
    """Exchange membership entries with every relay; return why it did not come to it, for each that it did not.

    What a relay's entries raise as alarms is kept with those of sync.
    """
    failures: list[RelayUnreachable | RelayRefused] = []
    for url in Relays(library).urls():
        try:
            with relay_errors(url), connect(url) as client:
                client.sign_in(library.members.secrets, library.library_id, int(time.time()))
                for alarm in exchange_entries(library, client).alarms:
                    SyncAlarms(library).raise_(alarm, url)
        except (RelayUnreachable, RelayRefused) as error:
            failures.append(error)
    return failures
