"""Looking whether a relay still has what it took: at some blobs in every full run, at others each time.

A relay may acknowledge an upload and lose it, and a member may ask it to remove what others still use. Nobody would
notice before somebody wants the photo, and by then it may be gone here as well, and the relay's grace over.
"""

from __future__ import annotations

import itertools
import secrets
from typing import TYPE_CHECKING, Final

from core.errors import DeletedInUse, RolledBack
from core.log import BLOB_FREED
from core.sync.named_blobs import NamedBlob
from core.sync.snapshots_at_relays import SnapshotsAtRelay
from core.sync.who_deleted import who_deleted
from sync_relay import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from core.library import Library
    from core.sync.link import Link

_LOOKED_AT: Final = 256
"""How many blobs a relay is asked about in a run that looks again, of those here and of those freed: some kilobytes."""


def look_at_some(
    library: Library,
    link: Link,
    give: Callable[[list[NamedBlob]], object],
    give_snapshots: Callable[[Sequence[bytes]], set[bytes]],
) -> set[bytes]:
    """Ask a relay about some blobs that are in use; `give` again what is lost or on its way out, and raise an alarm.

    Everything that is in use, and here, was given before this. So is asked about the snapshots that devices which are
    new need; `give_snapshots` gives what there is of them, and returns what there is nowhere, as does this.
    """
    here = list(itertools.islice(library.blobs.iter_ids(secrets.token_bytes(1)), _LOOKED_AT))
    some = library.log.some_blobs_in_state(BLOB_FREED, secrets.token_bytes(2), _LOOKED_AT)
    used = sorted(library.catalog.blobs_in_use([*here, *some]))
    snapshots = SnapshotsAtRelay(library, link)
    asked = [*used, *snapshots.asked]
    if not asked:
        return set()
    states = {state.id: state.state for state in link.ask(lambda: link.client.blob_states(asked))}
    _give_lost(link, give, [blob_id for blob_id in used if states[blob_id] in {"absent", "partial"}], set(here))
    leaving = [blob_id for blob_id in used if states[blob_id] == "leaving"]
    # Whoever purged a photo said so before it asked for this: while anything is unread, it may have been that.
    if leaving and not link.ask(lambda: link.client.log(link.state.cursor, 1, (wire.KIND_ENVELOPE,))).items:
        _keep(library, link, give, leaving)
    snapshots.keep(states, give_snapshots)
    return snapshots.nowhere


def _give_lost(link: Link, give: Callable[[list[NamedBlob]], object], lost: Sequence[bytes], here: set[bytes]) -> None:
    """Give what a relay lacks. Of what was freed, it may be a new relay that does, and another one has it."""
    before = link.report.blobs_up
    give([NamedBlob(blob_id, "original") for blob_id in lost])
    given = link.report.blobs_up - before
    if given and here.intersection(lost):
        link.raise_(
            RolledBack(
                f"the relay {link.url} lacks blobs that it had acknowledged: {given} of those that it was asked about",
                hint="This device gave them back, and every sync looks at others. Do not free any room before the "
                "relay's owner has found out what happened.",
            )
        )


def _keep(library: Library, link: Link, give: Callable[[list[NamedBlob]], object], leaving: Sequence[bytes]) -> None:
    """Give blobs that a relay is about to remove, from here or from the relay itself, and say who wanted that."""
    authors = set(who_deleted(library, link, leaving).values())
    before = link.report.blobs_up
    give([NamedBlob(blob_id, "original") for blob_id in leaving])
    given = link.report.blobs_up - before
    names = " and ".join(f"device {author.hex()[:12]}" for author in sorted(authors))
    who = f"{names} asked the relay {link.url}" if names else f"the relay {link.url} was asked, nobody knows by whom,"
    link.raise_(
        DeletedInUse(
            f"{who} to remove {len(leaving)} blobs that photos still use, and {given} were given to it again",
            hint="Look at that device in `safelight device list`, and revoke it if it is not in your hands. Every sync "
            "looks at others: do not free any room before.",
        )
    )
