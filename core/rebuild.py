"""Make everything derived again from what is true: the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import LogDamaged
from core.verify import log_problems

if TYPE_CHECKING:
    from core.library import Library
    from core.view import Progress


def rebuild(library: Library, progress: Progress | None = None) -> None:
    """Delete replicas and catalog and replay the whole log into new ones, in this process and on disk.

    `progress(done, all)` counts envelopes first, then documents. Other processes go on working with what they have in
    memory. A log that is damaged is refused before anything is deleted: what it no longer says is still readable in
    the derived files, and nowhere else. What was refused because no process survived it is tried once more.
    """
    problems = log_problems(library)
    if problems:
        raise LogDamaged(
            f"nothing was rebuilt, and what is readable stays so: {problems[0].message}",
            hint="Restore log.db from a backup first; `safelight verify` lists everything that is damaged.",
        )
    library.try_refused_again()
    library.remove_derived()
    library.rebuild_view(progress)
