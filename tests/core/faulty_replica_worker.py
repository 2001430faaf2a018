"""A replica worker with holes, as another program would have: `python -P -m tests.core.faulty_replica_worker`.

What the reader refuses goes to the engine all the same, and at a caption that begins with the name of a fault the
engine has that fault.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import automerge.core as automerge

from core.replica_worker import main
from crdt.engine import Engine
from crdt.errors import ChangeInvalid
from crdt.replica import Applied, Replica

if TYPE_CHECKING:
    from collections.abc import Sequence

_apply = Replica.apply
_receive = Engine._receive


def _unguarded(replica: Replica, changes: Sequence[bytes], **more: Any) -> Applied:
    try:
        return _apply(replica, changes, **more)
    except ChangeInvalid:
        for change in changes:
            replica._engine.receive([change])
        return Applied()


def _with_faults(engine: Engine, changes: Sequence[bytes]) -> None:
    content = b"".join(changes)
    if b"fault:crash" in content:
        os.abort()
    if b"fault:panic" in content:
        try:
            _panic()
        except BaseException as error:
            raise engine._failed("taking changes in", error) from error
    if b"fault:endless" in content:
        while True:
            time.sleep(60)
    if b"fault:memory" in content:
        kept = []
        while True:
            kept.append(bytearray(1 << 20))
    _receive(engine, changes)


def _panic() -> None:
    document = automerge.Document(b"1" * 16)
    with document.transaction():
        pass
    other = automerge.Document(b"2" * 16)
    with other.transaction() as transaction:
        transaction.put(automerge.ROOT, "key", automerge.ScalarType.Str, "x")
    document.merge(other)
    transaction = document.transaction()
    transaction.__enter__().put(automerge.ROOT, "key", automerge.ScalarType.Str, "y")
    transaction.__exit__(KeyError, KeyError(), None)


if __name__ == "__main__":
    Replica.apply = _unguarded  # type: ignore[method-assign, assignment]
    Engine._receive = _with_faults  # type: ignore[method-assign, assignment]
    sys.exit(main())
