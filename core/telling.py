"""Hearing from the relays, and telling them who belongs to the library now, without a whole sync."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import RelayRefused, RelayUnreachable
from core.membership_exchange import exchange_entries
from core.relay_errors import relay_errors
from core.sync.alarms import SyncAlarms
from core.sync.introduction import sign_in
from core.sync.link import Link
from core.sync.patience import Patience
from core.sync.pull import Pull
from core.sync.relays import Relays
from core.sync.report import RelayReport, SyncProgress
from core.sync.transfers import Transfers
from sync_relay.client import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.library import Library

    Tell = Callable[[SyncProgress], None]

Failures = list[RelayUnreachable | RelayRefused]


def read_relay(library: Library, client: RelayClient, progress: Tell | None = None) -> None:
    """Take everything that the relay of `client` has and this device lacks, blobs aside; nothing is sent.

    What the relay does that none should is kept as an alarm of the library. Raises `RelayUnreachable` and
    `RelayRefused` with its kinds.
    """

    def tell(stage: str, done: int, count: int | None) -> None:
        if progress is not None:
            progress(SyncProgress(client.url, stage, done, count))

    link = Link(library, Relays(library), client, SyncAlarms(library), Patience())
    link.report = RelayReport(client.url)
    with relay_errors(client.url):
        Pull(library, link, Transfers(library, [client]), tell).run()
    library.refresh()


def hear_relays(
    library: Library, *, connect: Callable[[str], RelayClient] = RelayClient, progress: Tell | None = None
) -> Failures:
    """Do `read_relay` with every relay; return why it did not come to it, for each that it did not."""
    return _with_each(library, connect, lambda client: read_relay(library, client, progress))


def tell_relays(library: Library, *, connect: Callable[[str], RelayClient] = RelayClient) -> Failures:
    """Exchange membership entries with every relay; return why it did not come to it, for each that it did not.

    What a relay's entries raise as alarms is kept with those of sync.
    """

    def exchange(client: RelayClient) -> None:
        sign_in(library, client)
        for alarm in exchange_entries(library, client).alarms:
            SyncAlarms(library).raise_(alarm, client.url)

    return _with_each(library, connect, exchange)


def _with_each(
    library: Library, connect: Callable[[str], RelayClient], contact: Callable[[RelayClient], None]
) -> Failures:
    failures: Failures = []
    for url in Relays(library).urls():
        try:
            with relay_errors(url), connect(url) as client:
                contact(client)
        except (RelayUnreachable, RelayRefused) as error:
            failures.append(error)
    return failures
