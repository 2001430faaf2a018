"""Make everything derived again from what is true: the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.library import Library
    from core.view import Progress


def rebuild(library: Library, progress: Progress | None = None) -> None:
    """Delete replicas and catalog and replay the whole log into new ones, in this process and on disk.

    `progress(done, all)` counts envelopes first, then documents. Envelopes that are damaged are left out and in
    `library.alarms`; nothing is saved then. Other processes go on working with what they have in memory.
    """
    library.remove_derived()
    library.rebuild_view(progress)
