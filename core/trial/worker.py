"""A trial process: a snapshot in, a replica out. `python -P -m core.trial.worker`.

It reads what another device made, so it holds no key, knows no library and writes no file; its parent ends it when it
takes too long. What it does not survive costs that snapshot, and no more.
"""

from __future__ import annotations

import sys

from core import snapshots
from core.confinement import PipeBroken, bound_memory, confine, own_pipes
from core.errors import CoreError
from core.trial import protocol
from crdt.errors import CrdtError
from crdt.replica import Replica, new_actor

_MAX_OPEN_FILES = 16
_NOBODY = bytes(32)


def main() -> int:
    """Answer requests until the parent closes the pipe."""
    stdin, stdout = own_pipes()
    confine(open_files=_MAX_OPEN_FILES)
    try:
        while True:
            request = protocol.receive(stdin, protocol.Merge)
            bound_memory(request.memory, for_good=False)
            protocol.send(stdout.write, _answer(request))
    except PipeBroken:
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


if __name__ == "__main__":
    sys.exit(main())
