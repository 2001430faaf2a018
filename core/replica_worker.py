"""A replica worker: what other devices made is applied here before anywhere else. `python -P -m core.replica_worker`.

It reads what another device made, so it holds no key, knows no library and writes no file; its parent ends it when it
takes too long. What it does not survive costs that snapshot or that change, and no more. The same reader and the same
checks stand in front of the engine as in its parent. It keeps the last documents, so that the next change to one of
them crosses the pipe alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from core import snapshots
from core.confinement import PipeBroken, bound_memory, confine, own_pipes
from core.errors import CoreError
from core.replica_messages import (
    Answer,
    Broken,
    Merge,
    Merged,
    Rehearse,
    Step,
    Survived,
    Trying,
    Wanted,
    receive_request,
    send,
)
from crdt.errors import ChangeInvalid, CrdtError
from crdt.replica import Replica, new_actor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MAX_OPEN_FILES: Final = 16
_NOBODY: Final = bytes(32)
_HASHED_FROM: Final = 8
"""Where in a chunk the bytes begin that its hash is of."""
_KEPT_DOCUMENTS: Final = 8
_KEPT_WEIGHT: Final = 32 << 20
"""In memory it takes up to four times that."""


class Worker:
    """The documents of one worker, and its answers."""

    def __init__(self, tell: Callable[[Answer], None]) -> None:
        """Say by `tell` what is tried, where that is asked for."""
        self._tell = tell
        self._documents: OrderedDict[str, Replica] = OrderedDict()

    def answer(self, request: Merge | Rehearse) -> Answer:
        """Return the answer to one request."""
        return _merged(request) if isinstance(request, Merge) else self._rehearsed(request)

    def _rehearsed(self, request: Rehearse) -> Answer:
        replica = self._documents.pop(request.document, None)
        try:
            if request.start is not None:
                replica = Replica.load(request.document, request.start, new_actor(_NOBODY))
            elif replica is None:
                return Wanted([])
            elif request.since:
                replica.apply(request.since, author=None)
            if replica.state() != request.state:
                self._keep(replica)
                return Wanted([] if request.since else list(replica.heads()))
            if request.careful:
                self._apply_carefully(replica, request.steps)
            else:
                _apply(replica, request.steps)
        except CrdtError as error:
            return Broken(str(error))
        except MemoryError:
            return Broken("it needs more memory than its size allows")
        self._keep(replica)
        return Survived()

    def _apply_carefully(self, replica: Replica, steps: Sequence[Step]) -> None:
        for number, step in enumerate(steps):
            self._tell(Trying(number))

            def before_each(raw: bytes, number: int = number) -> None:
                self._tell(Trying(number, hashlib.sha256(raw[_HASHED_FROM:]).digest()))

            replica.watch_changes(before_each)
            with contextlib.suppress(ChangeInvalid):
                _apply_together(replica, [step])
        replica.watch_changes(None)

    def _keep(self, replica: Replica) -> None:
        self._documents[replica.document] = replica
        while len(self._documents) > _KEPT_DOCUMENTS or (
            len(self._documents) > 1 and sum(kept.weight() for kept in self._documents.values()) > _KEPT_WEIGHT
        ):
            self._documents.popitem(last=False)


def main(worker: type[Worker] = Worker) -> int:
    """Answer requests until the parent closes the pipe."""
    stdin, stdout = own_pipes()
    confine(open_files=_MAX_OPEN_FILES)
    working = worker(lambda answer: send(stdout.write, answer))
    try:
        while True:
            request = receive_request(stdin)
            bound_memory(request.memory, for_good=False)
            send(stdout.write, working.answer(request))
    except PipeBroken:
        return 0


def _merged(request: Merge) -> Merged:
    try:
        replica = Replica.create(request.document, new_actor(_NOBODY))
        snapshots.merge_into(replica, request.snapshot, request.devices)
        return Merged(saved=replica.save())
    except (CoreError, CrdtError) as error:
        return Merged(refused=str(error))
    except MemoryError:
        return Merged(refused="it needs more memory than a snapshot of its size may")


def _apply(replica: Replica, steps: Sequence[Step]) -> None:
    """Apply the steps, those of one author together: the engine takes two thousand changes in the time of a few calls.

    What is refused is left out, step by step, as it is everywhere.
    """
    for _, listed in itertools.groupby(steps, key=lambda step: step.devices):
        group = list(listed)
        try:
            _apply_together(replica, group)
        except ChangeInvalid:
            for step in group:
                with contextlib.suppress(ChangeInvalid):
                    _apply_together(replica, [step])


def _apply_together(replica: Replica, steps: Sequence[Step]) -> None:
    author, *continues = steps[0].devices
    changes = [change for step in steps for change in step.changes]
    replica.apply(changes, author=author, continues=continues, bounded=False)


if __name__ == "__main__":
    sys.exit(main())
