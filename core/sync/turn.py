"""What reading a relay and giving to it begin with: one relay's turn in a run of sync."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.library import Library
    from core.sync.link import Link
    from core.sync.transfers import Transfers

    Progress = Callable[[str, int, int | None], None]


class Turn:
    """The library, one relay, and what moves blobs between both; a fresh one for each turn."""

    def __init__(self, library: Library, link: Link, transfers: Transfers, progress: Progress | None = None) -> None:
        """Work with the relay of `link`; `progress(stage, done, all)` counts what each of the two says it counts."""
        self._library = library
        self._link = link
        self._transfers = transfers
        self._progress = progress or (lambda *_: None)
        self.forked_self: int | None = None
        """The first number of this device under which the relay holds an envelope that somebody else wrote."""
