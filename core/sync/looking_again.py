"""Looking whether a relay still has what it took: at some blobs in every full run, at others each time.

A relay may acknowledge an upload and lose it, and a member may ask it to remove what others still use. Nobody would
notice before somebody wants the photo, and by then it may be gone here as well, and the relay's grace over.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import secrets
from typing import TYPE_CHECKING, Final

from core.errors import DeletedInUse, RolledBack
from core.log import BLOB_FREED
from core.sync.named_blobs import NamedBlob
from crypto.errors import CryptoError
from sync_relay import statements, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from core.library import Library
    from core.sync.link import Link

_LOOKED_AT: Final = 256
"""How many blobs a relay is asked about in a run that looks again, of those here and of those freed: some kilobytes."""
_PAGE: Final = 1_000
_MOST_PAGES: Final = 16
"""Pages of deletes that are searched for whoever wrote one."""
_NEWEST: Final = 1_000
"""How many of a relay's newest positions are searched first; then four times as many before them, and so on."""


def look_at_some(library: Library, link: Link, give: Callable[[list[NamedBlob]], object]) -> None:
    """Ask a relay about some blobs that are in use; `give` again what is lost or on its way out, and raise an alarm.

    Everything that is in use, and here, was given before this.
    """
    here = list(itertools.islice(library.blobs.iter_ids(secrets.token_bytes(1)), _LOOKED_AT))
    some = library.log.some_blobs_in_state(BLOB_FREED, secrets.token_bytes(2), _LOOKED_AT)
    used = sorted(library.catalog.blobs_in_use([*here, *some]))
    if not used:
        return
    states = {state.id: state.state for state in link.ask(lambda: link.client.blob_states(used))}
    _give_lost(link, give, [blob_id for blob_id in used if states[blob_id] in {"absent", "partial"}], set(here))
    leaving = [blob_id for blob_id in used if states[blob_id] == "leaving"]
    # Whoever purged a photo said so before it asked for this: while anything is unread, it may have been that.
    if leaving and not link.ask(lambda: link.client.log(link.state.cursor, 1, (wire.KIND_ENVELOPE,))).items:
        _keep(library, link, give, leaving)


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
    authors = _who_deleted(library, link, set(leaving))
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


def _who_deleted(library: Library, link: Link, blobs: set[bytes]) -> set[bytes]:
    """Return the devices on whose word a relay holds that the blobs are to go: for each blob the newest word.

    The log is read from its end, in stretches: what was asked for lately, and is not carried out yet, stands there.
    """
    authors: set[bytes] = set()
    left, pages = set(blobs), 0
    end, width = link.state.cursor, _NEWEST
    while left and end > 0 and pages < _MOST_PAGES:
        after = start = max(0, end - width)
        found: dict[bytes, bytes] = {}
        while after < end and pages < _MOST_PAGES:
            page = link.ask(functools.partial(link.client.log, after, _PAGE, kinds=(wire.KIND_DELETE,)))
            pages += 1
            for item in page.items:
                with contextlib.suppress(CryptoError):  # no word of anybody's
                    word = statements.read_statement(item.body or b"", library.library_id)
                    if isinstance(word, statements.Delete):
                        found |= dict.fromkeys(left.intersection(word.blobs), word.device_id)
            after = page.position
            if not page.more:
                break
        authors.update(found.values())
        left -= found.keys()
        end, width = start, 4 * width
    return authors
