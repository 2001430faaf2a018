"""One replica worker for all libraries that the tests of a file open: each would start its own, for a change or two.

What becomes of a worker that dies, and that libraries end theirs, is shown by tests that do without this.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import threading
from typing import TYPE_CHECKING

import pytest

from core.replica_process import Death, ReplicaProcess

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from core.replica_messages import Step
    from crdt.replica import Replica


class _ForAll(ReplicaProcess):
    """A worker that libraries do not end, used by one thread after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = threading.RLock()

    def start(self) -> None:
        with self._turn:
            super().start()

    def merge(self, document: str, snapshot: bytes, devices: Collection[bytes]) -> bytes:
        with self._turn:
            return super().merge(document, snapshot, devices)

    def rehearse(self, replica: Replica, steps: Sequence[Step], *, careful: bool = False) -> Death | None:
        with self._turn:
            return super().rehearse(replica, steps, careful=careful)

    def close(self) -> None:
        """Stay for the next library."""

    def end(self) -> None:
        super().close()


@functools.cache
def _one() -> ReplicaProcess:
    made = _ForAll()
    atexit.register(made.end)
    return made


@contextlib.contextmanager
def one_worker() -> Iterator[None]:
    """Have every library that is opened inside the block use the one worker of this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.library.ReplicaProcess", _one)
        patch.setattr("core.sync.bootstrap.ReplicaProcess", _one)
        yield


@pytest.fixture(scope="module", autouse=True)
def _one_worker() -> Iterator[None]:
    with one_worker():
        yield
