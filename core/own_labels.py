"""Labels of the user's own making, by examples or by words: kept up to date, whoever changed what they rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.catalog.library_document import TAUGHT_MAP, WORDS_PREFIX

if TYPE_CHECKING:
    from core.library import Library


def has_taught_labels(library: Library) -> bool:
    """Tell whether any label was taught by examples."""
    return bool(library.catalog.library_values(TAUGHT_MAP))


def has_word_labels(library: Library) -> bool:
    """Tell whether any label is known by words."""
    return any(name.startswith(WORDS_PREFIX) for name in library.catalog.library_values("setting"))


def refresh_own_labels(library: Library, *, learn: bool = True) -> int:
    """Bring the photos of these labels up to date; return of how many labels they changed.

    Without `learn` only what another process worked out already is taken over. A library without such labels is asked
    two questions, and nothing heavy is imported. Raises `StorageFailed`, and what the packs in use raise.
    """
    changed = 0
    if has_taught_labels(library):
        from core import teaching

        changed += teaching.refresh(library, learn=learn)
    if learn and has_word_labels(library):
        from core import vocabulary

        changed += vocabulary.refresh(library)
    return changed
