"""Which photos are marked: a set, or everything but a set, so that marking a hundred thousand costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from core.catalog.sequence import PhotoSequence


class Marks:
    """The marked photos among those that are shown."""

    def __init__(self) -> None:
        """Mark nothing."""
        self._everything = False
        self._pids: set[bytes] = set()  # marked; or not marked, where everything is

    def __contains__(self, pid: bytes) -> bool:
        return (pid in self._pids) != self._everything

    def count(self, shown: int) -> int:
        """How many are marked of so many that are shown."""
        return max(0, shown - len(self._pids)) if self._everything else len(self._pids)

    def set(self, pids: Iterable[bytes], *, marked: bool) -> None:
        """Mark photos, or take their marks away."""
        if marked != self._everything:
            self._pids.update(pids)
        else:
            self._pids.difference_update(pids)

    def everything(self) -> None:
        """Mark all that is shown."""
        self._everything = True
        self._pids.clear()

    def clear(self) -> None:
        """Mark nothing."""
        self._everything = False
        self._pids.clear()

    def among(self, shown: PhotoSequence) -> list[bytes]:
        """Return the marked photos in the order in which they are shown."""
        if not self._everything and not self._pids:
            return []
        return [pid for pid in shown if pid in self]
