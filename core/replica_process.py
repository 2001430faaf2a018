"""The replica worker as its parent sees it: it answers, or it is ended, and the next request gets another one."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from core import snapshots
from core.confinement import PipeBroken
from core.errors import SnapshotDamaged, StorageFailed
from core.replica_messages import (
    Answer,
    Broken,
    Merge,
    Merged,
    Rehearse,
    Request,
    Step,
    Survived,
    Trying,
    Wanted,
    receive_answer,
    send,
)
from crdt.weight import MAX_DEVICE_WEIGHT, raw_weight

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from types import TracebackType

    from core.confined_process import ConfinedProcess
    from crdt.replica import Replica

LEAST_SECONDS: Final = 30.0
LEAST_MEMORY: Final = 512 << 20
BYTES_A_SECOND: Final = 50_000
"""A tenth of what the slowest machine in use applies in a second; a request's time is measured by its size."""
MEMORY_FOR_A_BYTE: Final = 64
MEMORY_FOR_WEIGHT: Final = 4
WEIGHT_A_SECOND: Final = 4 << 20
"""A document that deflates well needs more time and memory than its bytes tell: it is weighed (`crdt.weight`)."""
MOST_MEMORY: Final = 8 << 30
WORKER: Final = "core.replica_worker"
_HINT: Final = "It was made by a damaged or hostile program: look at the device that made the checkpoint."
_ENVIRONMENT: Final = {"MALLOC_ARENA_MAX": "1", "PYTHONSAFEPATH": "1"}


@dataclass(frozen=True)
class Death:
    """Why changes were not survived, and the last that was said to be tried, if that was asked for."""

    reason: str
    trying: Trying | None


class ReplicaProcess:
    """One worker, started when it is first needed, or expected to be. Used by one thread at a time."""

    def __init__(self, *, seconds: float = LEAST_SECONDS, memory: int = LEAST_MEMORY, module: str = WORKER) -> None:
        """Grant each request `seconds` and `memory` bytes, and more where it is large; `module` is the program."""
        self.seconds = seconds
        self.memory = memory
        self.module = module
        self._process: ConfinedProcess | None = None
        self._sent: set[str] = set()
        self._closed = False

    def __enter__(self) -> Self:
        """Return the process; leaving the block ends it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.close()

    def __del__(self) -> None:
        """End the process of a library that nobody closed."""
        with contextlib.suppress(Exception):
            self._end()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, unless it runs; it is ready a tenth of a second later, and nobody waits for that here.

        Raises `StorageFailed` where no process can be started, or another thread has closed this.
        """
        if self._closed:
            raise StorageFailed("the process that tries what other devices made was ended")
        if self._process is None:
            from core.confined_process import ConfinedProcess  # most commands start none

            try:
                self._process = ConfinedProcess(self.module, _ENVIRONMENT)
            except OSError as error:
                raise StorageFailed(
                    f"no process can be started to try what other devices made: {error.strerror}",
                    hint="It is tried again at the next start. `safelight doctor` shows what is missing.",
                ) from error

    def merge(self, document: str, snapshot: bytes, devices: Collection[bytes]) -> bytes:
        """Return the replica that a snapshot makes, as `Replica.save` writes it.

        Raises `SnapshotDamaged` for one that does not hold, or that the process did not survive, and `StorageFailed`
        as `start`.
        """
        # No honest device's snapshot holds more than all of them may write.
        weight = min(snapshots.weight(snapshot, document), len(devices) * MAX_DEVICE_WEIGHT)
        request = Merge(document, snapshot, sorted(devices), self._memory_for(len(snapshot), weight))
        answer = self._exchange(request, len(snapshot), weight)
        if isinstance(answer, Death):
            raise SnapshotDamaged(
                f"the snapshot of {document} cannot be loaded: the process that tried it {answer.reason}", hint=_HINT
            )
        if not isinstance(answer, Merged) or not answer.saved:
            refused = answer.refused if isinstance(answer, Merged) else "no answer"
            raise SnapshotDamaged(f"the snapshot of {document} does not hold: {refused}", hint=_HINT)
        return answer.saved

    def rehearse(self, replica: Replica, steps: Sequence[Step], *, careful: bool = False) -> Death | None:
        """Apply `steps` to a copy of `replica` in the worker; return None if it survived that.

        What the reader refuses was survived: it will be refused again. Raises `StorageFailed` as `start`.
        """
        self.start()
        since: list[bytes] = []
        added = sum(len(change) for step in steps for change in step.changes)
        added_weight = sum(raw_weight(change) for step in steps for change in step.changes)
        while True:
            start = None if replica.document in self._sent else replica.save_unchecked()
            size = len(start or b"") + added
            weight = replica.weight() + added_weight
            memory = self._memory_for(size, weight)
            request = Rehearse(replica.document, replica.state(), start, since, list(steps), careful, memory)
            answer = self._exchange(request, size, weight)
            if isinstance(answer, Survived):
                self._sent.add(replica.document)
                return None
            self._sent.discard(replica.document)
            if isinstance(answer, Death):
                return answer
            if start is not None or not isinstance(answer, Wanted):
                self._end()
                return Death("gave an answer that makes no sense", None)
            # It has an older state, of which most is what this device holds: only the rest has to cross the pipe.
            # Nothing of that is left where it differs in what waits alone: then it is sent whole.
            is_older = not since and answer.heads and all(map(replica.holds, answer.heads))
            since = replica.changes_since(answer.heads) if is_older else []
            if since:
                self._sent.add(replica.document)

    def close(self) -> None:
        """End the process, and start no other."""
        self._closed = True
        self._end()

    def _exchange(self, request: Request, size: int, weight: int) -> Answer | Death:
        """Return the answer, or why there is none; then the process is gone, or as good as new."""
        self.start()
        process = self._process
        trying: Trying | None = None
        if process is None:
            raise StorageFailed("the process that tries what other devices made was ended")
        try:
            with process.deadline(self.seconds + size / BYTES_A_SECOND + weight / WEIGHT_A_SECOND):
                send(process.write, request)
                answer = receive_answer(process.output)
                while isinstance(answer, Trying):
                    trying = answer
                    answer = receive_answer(process.output)
        except PipeBroken as error:
            reason = _obituary(process)
            self._end()
            if self._closed:
                raise StorageFailed("the process that tries what other devices made was ended") from error
            return Death(reason, trying)
        except BaseException:
            self._end()
            raise
        return Death(f"gave up: {answer.reason}", trying) if isinstance(answer, Broken) else answer

    def _memory_for(self, size: int, weight: int) -> int:
        return min(MOST_MEMORY, self.memory + MEMORY_FOR_A_BYTE * size + MEMORY_FOR_WEIGHT * weight)

    def _end(self) -> None:
        process, self._process = self._process, None
        self._sent.clear()
        if process is not None:
            process.end()


def _obituary(process: ConfinedProcess) -> str:
    """Say how the process, which answers no more, came to its end."""
    if process.timed_out:
        return "took too long"
    code = process.exit_code(1)
    if code is not None and -code == getattr(signal, "SIGKILL", 0):
        return "was ended by the system, most likely for want of memory"
    if code is not None and code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    return "ended without an answer"
