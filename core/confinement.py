"""What a process does to itself before it reads what comes from anywhere, and how it talks with its parent.

A confined process holds no key and knows no library; it takes over its pipes, and gives up writing files and taking
memory without bound. :mod:`core.confined_process` is its parent's side.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from core.core_dumps import forbid_core_dumps

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE: Final = 1 << 20


class PipeBroken(Exception):
    """The other side is gone, or says what no honest one does."""


class Readable(Protocol):
    """A pipe's reading end."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill some of `buffer`; return how much, 0 at the end."""


def own_pipes() -> tuple[io.FileIO, io.FileIO]:
    """Return this process's stdin and stdout, taken away from everybody else: code that prints must not speak for us.

    Ctrl-C at the terminal is the parent's business from now on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stdin, stdout = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.close(nowhere)
    return io.FileIO(stdin, "rb"), io.FileIO(stdout, "wb")


def confine(*, open_files: int) -> None:
    """Give up writing files and opening many, and being looked into by others, for good. Windows has no such calls."""
    if sys.platform == "win32":
        return
    import resource

    # When memory runs out all the same, the system is to end this process and not the one that holds the library.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    # Nothing is ever written to disk in the clear, by whatever bug in whatever decoder.
    forbid_core_dumps()
    _limit(resource.RLIMIT_FSIZE, 0, for_good=True)
    _limit(resource.RLIMIT_NOFILE, open_files, for_good=True)


def bound_memory(memory: int, *, for_good: bool) -> None:
    """Take at most `memory` bytes beyond what is taken now; only a bound that is not for good can be raised later.

    It holds on Linux alone; elsewhere the limits on pixels, sizes and time do what they can.
    """
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + memory, for_good=for_good)


def read_exactly(stream: Readable, length: int) -> bytearray:
    """Return the next `length` bytes, a number that the caller has bounded; raises `PipeBroken`."""
    data = bytearray(length)
    view = memoryview(data)
    while view:
        try:
            count = stream.readinto(view[:_PIECE])
        except (OSError, ValueError) as error:
            raise PipeBroken(str(error)) from error
        if not count:
            raise PipeBroken("the other process closed its pipe")
        view = view[count:]
    return data


def write_all(write: Callable[[bytes | memoryview], int | None], data: bytes | memoryview) -> None:
    """Write all of `data` through `write`, which may take less than it is given; raises `PipeBroken`."""
    view = memoryview(data)
    while view:
        try:
            count = write(view)
        except (OSError, ValueError) as error:
            raise PipeBroken(str(error)) from error
        view = view[count or 0 :]


def _limit(limit: int, value: int, *, for_good: bool) -> None:
    import resource

    _, hard = resource.getrlimit(limit)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(limit, (value, value if for_good else hard))
