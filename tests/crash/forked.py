"""Work in a forked process, which may end anywhere: what it has told is known, and what it left on the disk is there.

The process that forks has loaded everything, so a kill costs no start of an interpreter.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core import library
from core.errors import CoreError
from core.replica_process import ReplicaProcess
from sync_relay import client_http
from sync_relay.errors import RelayError
from tests.crash import file_steps, sqlite_steps
from tests.crash.disk import Cut, Disk, Fault, Nothing, Step
from tests.crash.power import PowerCut, scramble_shared_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


_PATIENCE_S = 120
"""Seconds after which a process that hangs is ended, and is a failure."""


@dataclass(frozen=True)
class Ended:
    """How a forked process ended.

    `done` is what it told, in that order; `refusals` are the named errors that its disk's fault led to, with their
    hints; `steps` is how many it had taken, if it came to its end. `struck` tells whether it met its fault, and `cut`
    whether that was a power cut, which may bring back what was just removed.
    """

    killed: bool
    struck: bool
    done: list[str]
    refusals: list[tuple[str, str]]
    steps: int
    cut: bool = False


class Session:
    """What a forked process tells the one that forked it."""

    def __init__(self, disk: Disk, tell: Callable[[str], None]) -> None:
        self.disk = disk
        self._tell = tell

    def tell(self, done: str) -> None:
        """Tell, at once, that something was acknowledged."""
        self._tell(f"done: {done}")

    def insist(self, do: Callable[[], object]) -> None:
        """Do something, and again where the disk's fault has led to a named error."""
        if not self.attempt(do):
            do()

    def attempt(self, do: Callable[[], object]) -> bool:
        """Do something; where the disk's fault leads to a named error, tell it, and let the disk work from then on.

        Return whether it was done. Any other error, and one without a fault, is raised.
        """
        try:
            do()
        except (CoreError, RelayError) as error:
            if not getattr(self.disk.fault, "met", False):
                raise
            self._tell(f"refused: {error.name}: {error.hint or ''}")
            self.disk.heal()
            return False
        return True


def fork(work: Callable[[Session], None], roots: Sequence[Path], fault: Fault | None = None) -> Ended:
    """Do `work` in a process of its own, whose steps in the folders `roots` meet `fault`.

    What it raises is raised here, in words, as an `AssertionError`.
    """
    return Running(work, roots, fault).end()


class Running:
    """Work that goes on in a forked process."""

    def __init__(self, work: Callable[[Session], None], roots: Sequence[Path], fault: Fault | None = None) -> None:
        """Begin; see `fork`."""
        self._roots, self._fault = roots, fault
        readable, writable = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(readable)
            _child(work, list(roots), fault or Nothing(), writable)
        os.close(writable)
        self._told = os.fdopen(readable, encoding="utf-8", errors="replace")

    def acknowledged(self) -> str:
        """Wait for what it tells next, and return that."""
        line = self._told.readline().rstrip("\n")
        assert line.startswith("done: "), f"the process failed by itself:\n{line}\n{self._told.read()}"
        return line.removeprefix("done: ")

    def kill(self) -> None:
        """End it wherever it is."""
        os.kill(self._process, signal.SIGKILL)  # not waited for yet, so this id is nobody else's
        self.end()

    def end(self) -> Ended:
        """Wait until it ends, and return how it did."""
        with self._told:
            told = self._told.read().splitlines()
        code = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        if code not in {0, -signal.SIGKILL}:
            raise AssertionError(f"the process failed by itself ({code}):\n" + "\n".join(told))
        if isinstance(self._fault, Cut) and code:
            scramble_shared_memory(self._roots, self._fault.seed)
        found: dict[str, list[str]] = {"done": [], "refused": [], "steps": [], "struck": []}
        for line in told:
            kind, _, rest = line.partition(": ")
            found[kind].append(rest)
        refusals = [(name, hint) for name, _, hint in (line.partition(": ") for line in found["refused"])]
        steps = int(found["steps"][0]) if found["steps"] else 0
        struck = code != 0 or bool(found["struck"])
        return Ended(code != 0, struck, found["done"], refusals, steps, isinstance(self._fault, Cut))


def _child(work: Callable[[Session], None], roots: list[Path], fault: Fault, writable: int) -> None:
    real_write = os.write

    def tell(line: str) -> None:
        real_write(writable, f"{line}\n".encode())

    code = 1
    signal.alarm(_PATIENCE_S)
    disk = Disk(roots, fault, PowerCut() if isinstance(fault, Cut) else None)
    try:
        vars(library)["ReplicaProcess"] = ReplicaProcess  # one of its own, where the one that forked shares one
        file_steps.install(disk)
        sqlite_steps.install(disk)
        _watch_requests(disk)
        work(Session(disk, tell))
        tell(f"steps: {disk.taken}")
        if getattr(fault, "met", False):
            tell("struck: ")
        code = 0
    except BaseException:  # noqa: BLE001 - told to the parent, whose own code must not run on in this process
        if disk.is_over:
            signal.pause()
        with contextlib.suppress(OSError):
            tell(traceback.format_exc())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _watch_requests(disk: Disk) -> None:
    """Let a process be killed before each request to a relay as well."""
    real = client_http.Line.open

    def open_(line: client_http.Line, *more: object, **named: object) -> object:
        disk.take(Step("request", disk.roots[0]), lambda: None)
        return real(line, *more, **named)  # type: ignore[arg-type]

    client_http.Line.open = open_  # type: ignore[assignment, method-assign]
