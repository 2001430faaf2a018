"""Whose word it was that blobs are to go from a relay: its log is searched for it."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Final

from crypto.errors import CryptoError
from sync_relay import statements, wire

if TYPE_CHECKING:
    from collections.abc import Collection

    from core.library import Library
    from core.sync.link import Link

_PAGE: Final = 1_000
_MOST_PAGES: Final = 16
"""Pages of deletes that are searched for whoever wrote one."""
_NEWEST: Final = 1_000
"""How many of a relay's newest positions are searched first; then four times as many before them, and so on."""


def who_deleted(library: Library, link: Link, blobs: Collection[bytes]) -> dict[bytes, bytes]:
    """Return the devices on whose word a relay holds that blobs are to go: for each blob the newest word.

    The log is read from its end, in stretches: what was asked for lately, and is not carried out yet, stands there.
    """
    authors: dict[bytes, bytes] = {}
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
        authors |= found
        left -= found.keys()
        end, width = start, 4 * width
    return authors
