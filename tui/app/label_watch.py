"""Keeps labels that were taught, by examples or words, up to date while the app is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import CoreError
from core.own_labels import has_taught_labels, has_word_labels, refresh_own_labels

if TYPE_CHECKING:
    from core.library import Library
    from core.log import Vector
    from tui.app.app import SafelightApp


class LabelWatch:
    """Looks, now and then, whether anything was written on which such labels rest."""

    def __init__(self) -> None:
        self._as_of: Vector | None = None
        self._busy = False

    async def look(self, app: SafelightApp) -> bool:
        """Work the labels out anew if something was written since the last look; tell whether photos changed.

        Raises `NotOpen` when the app ends. What goes wrong otherwise is tried again after the next change.
        """
        if self._busy:
            return False
        self._busy = True
        try:
            as_of = await app.library.ask(_rests_on, background=True)
            if as_of is None or as_of == self._as_of:
                return False
            library = app.library.library
            self._as_of = as_of
            return await app.syncing.errand(lambda _stop: refresh_own_labels(library)) > 0
        except CoreError:
            return False
        finally:
            self._busy = False


def _rests_on(library: Library) -> Vector | None:
    return library.vector if has_taught_labels(library) or has_word_labels(library) else None
