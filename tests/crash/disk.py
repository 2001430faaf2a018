"""What a process does to the disk, one step after the other, and what may go wrong between any two of them.

A `Disk` belongs to one forked process. Everything that the process does to files passes it: what SQLite does through
`tests.crash.sqlite_steps`, what Python does through `tests.crash.file_steps`. Before each step its fault is asked,
which may end the process, let the step fail, or do nothing.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.crash.power import PowerCut

Result = TypeVar("Result")
Kind = Literal["create", "write", "truncate", "sync", "rename", "remove", "make folder", "remove folder", "request"]

GROWS = frozenset({"create", "write", "make folder"})
"""Steps that take room on the disk."""


@dataclass(frozen=True)
class Step:
    """One thing done to the file or folder `path`; a write of `data` at `offset`, a rename to `target`.

    `new_journal` marks the first sync of a journal that SQLite has made, with which it syncs the folder as well.
    `size` is that of a truncated file.
    """

    kind: Kind
    path: Path
    offset: int = 0
    data: bytes = b""
    target: Path | None = None
    size: int = 0
    new_journal: bool = False


class Fault(Protocol):
    """What goes wrong."""

    def meet(self, number: int, step: Step, disk: Disk) -> None:
        """Meet step `number` (from 1), which is about to be taken: raise `OSError`, end the process, or return."""


class Disk:
    """The steps of one process in the folders `roots`."""

    def __init__(self, roots: list[Path], fault: Fault, power: PowerCut | None = None) -> None:
        self.roots = [root.resolve() for root in roots]
        self.fault: Fault = fault
        self.power = power
        self.taken = 0
        self.is_over = False
        """The process is about to be killed: what its other threads come to is of no interest."""
        self._lock = threading.RLock()
        self._at_work = False
        self.kept: list[object] = []
        """What has to live as long as the process."""

    def watches(self, path: Path) -> bool:
        return any(path.is_relative_to(root) for root in self.roots)

    def take(self, step: Step, do: Callable[[], Result]) -> Result:
        """Take a step; other threads take theirs before or after it. Raises the `OSError` of the fault."""
        with self._lock:
            if self._at_work:  # the fault's own steps
                return do()
            self._at_work = True
            try:
                return self._take(step, do)
            finally:
                self._at_work = False

    def _take(self, step: Step, do: Callable[[], Result]) -> Result:
        self.taken += 1
        self.fault.meet(self.taken, step, self)
        if self.power is not None:
            self.power.about_to(step)
        result = do()
        if self.power is not None:
            self.power.note(step)
        return result

    def cut_power(self, chance: random.Random) -> NoReturn:
        """End the process, and leave of its files what a power cut leaves."""
        with self._lock:
            self._at_work = self.is_over = True
            try:
                assert self.power is not None
                self.power.fall(chance)
            except BaseException:  # noqa: BLE001 - in whatever thread, this process has nothing more to do
                traceback.print_exc()
                os._exit(2)
            end_process()

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self.fault = Nothing()


class Nothing:
    """A disk that works."""

    def meet(self, number: int, step: Step, disk: Disk) -> None:
        pass


class Kill:
    """`kill -9` before step `at`, or in the middle of it where it is a write."""

    def __init__(self, at: int, seed: int) -> None:
        self._at = at
        self._random = random.Random(seed)

    def meet(self, number: int, step: Step, disk: Disk) -> None:
        if number == self._at:
            if step.kind == "write" and self._random.random() < 0.5:
                write_part(step, self._random.randrange(len(step.data) + 1))
            end_process()


class Cut:
    """The power goes before step `at`: of what was not synced some is on the disk, and some is not."""

    def __init__(self, at: int, seed: int) -> None:
        self._at = at
        self.seed = seed
        self._random = random.Random(seed)

    def meet(self, number: int, step: Step, disk: Disk) -> None:
        if number == self._at:
            assert disk.power is not None
            if step.kind == "write":
                disk.power.about_to(step)
                disk.power.note(step)
            disk.cut_power(self._random)


class Full:
    """From step `at` on there is no room, until there is some again (`Disk.heal`)."""

    def __init__(self, at: int) -> None:
        self._at = at
        self.met = False

    def meet(self, number: int, step: Step, disk: Disk) -> None:
        if number >= self._at and step.kind in GROWS:
            if step.kind == "write" and not self.met:
                write_part(step, len(step.data) // 2)  # what just fitted
            self.met = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Broken:
    """Step `at`, or the next that is one of the disk, fails with EIO, once."""

    def __init__(self, at: int) -> None:
        self._at = at
        self.met = False

    def meet(self, number: int, step: Step, disk: Disk) -> None:
        if number >= self._at and not self.met and step.kind != "request":
            self.met = True
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def end_process() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit  # never reached


def write_part(step: Step, size: int) -> None:
    """Write the first `size` bytes of a step's data."""
    if not step.data:
        return
    descriptor = os.open(step.path, os.O_WRONLY)
    os.pwrite(descriptor, step.data[:size], step.offset)
    os.close(descriptor)
