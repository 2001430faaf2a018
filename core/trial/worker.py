"""A trial process: a snapshot in, a replica out. `python -P -m core.trial.worker`.

It reads what another device made, so it holds no key, knows no library and writes no file; its parent ends it when it
takes too long. What it does not survive costs that snapshot, and no more.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from pathlib import Path

from core import snapshots
from core.errors import CoreError
from core.trial import protocol
from crdt.errors import CrdtError
from crdt.replica import Replica, new_actor

_MAX_OPEN_FILES = 16
_NOBODY = bytes(32)


def main() -> int:
    """Answer requests until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stdin, stdout = _own_pipes()
    try:
        while True:
            request = protocol.receive(stdin, protocol.Merge)
            _limit(request.memory)
            protocol.send(stdout, _answer(request))
    except protocol.PipeClosed:
        return 0


def _answer(request: protocol.Merge) -> protocol.Answer:
    try:
        replica = Replica.create(request.document, new_actor(_NOBODY))
        snapshots.merge_into(replica, request.snapshot, request.devices)
        return protocol.Answer(saved=replica.save())
    except (CoreError, CrdtError) as error:
        return protocol.Answer(refused=str(error))
    except MemoryError:
        return protocol.Answer(refused="it needs more memory than a snapshot of its size may")


def _own_pipes() -> tuple[io.FileIO, io.FileIO]:
    """Take the pipes away from everybody else: an engine that prints must not speak for us."""
    stdin, stdout = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.close(nowhere)
    return io.FileIO(stdin, "rb"), io.FileIO(stdout, "wb")


def _limit(memory: int) -> None:
    """Bound what this process may take beyond what it has. Windows has no such calls: there time alone is bounded."""
    if sys.platform == "win32":
        return
    import resource

    # When memory runs out all the same, the system is to end this process and not the one that holds the library.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory, hard))
    for limit, value in (
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    sys.exit(main())
