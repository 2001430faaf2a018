"""What an import tells its caller while it runs, and at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

EventKind = Literal["added", "duplicate", "skipped", "failed", "note", "progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is, in files and bytes of the sources, and in seconds. Totals grow until `counted`."""

    files: int
    total_files: int
    bytes: int
    total_bytes: int
    counted: bool
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """Return an estimate of the time that is left, from the bytes done so far; None before there is one."""
        if not self.counted or self.seconds < 1 or not self.bytes:
            return None
        return self.seconds / self.bytes * max(0, self.total_bytes - self.bytes)


@dataclass(frozen=True, slots=True)
class ImportEvent:
    """One thing that happened.

    `added` comes after the photo is stored durably. `path` is printable text (see `walk.printable`). `reason` says why
    a file was skipped or failed, or what is to be noted about it.
    """

    kind: EventKind
    path: str | None = None
    pid: bytes | None = None
    reason: str | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did. `videos` are among the `skipped`; `group` is what `undo` takes back, if anything.

    `unmoved` are sources that a move was to remove and that are still there; `left` are photos that were left to
    other devices to label, which are at it.
    """

    added: int
    duplicates: int
    skipped: int
    failed: int
    videos: int
    moved: int
    unmoved: int
    seconds: float
    group: bytes | None
    left: int = 0


Listener = Callable[[ImportEvent], None]
