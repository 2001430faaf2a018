"""The trial process as its parent sees it: given a snapshot, it answers with a replica, or it is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from core.confined_process import ConfinedProcess
from core.confinement import PipeBroken
from core.errors import SnapshotDamaged, StorageFailed
from core.trial import protocol

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType

LEAST_SECONDS: Final = 60.0
LEAST_MEMORY: Final = 512 << 20
BYTES_A_SECOND: Final = 50_000
"""A tenth of what the slowest machine in use applies in a second; a snapshot's time is measured by its size."""
MEMORY_FOR_A_BYTE: Final = 64
MOST_MEMORY: Final = 8 << 30
_HINT = "It was made by a damaged or hostile program: look at the device that made the checkpoint."


class Trial:
    """One process for snapshots, started when it is first needed. Used by one thread at a time."""

    def __init__(self, *, seconds: float = LEAST_SECONDS, memory: int = LEAST_MEMORY) -> None:
        """Grant each snapshot `seconds` and `memory` bytes, and more where it is large."""
        self._seconds = seconds
        self._memory = memory
        self._process: ConfinedProcess | None = None
        self._closed = False

    def __enter__(self) -> Self:
        """Return the trial; leaving the block ends its process."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.close()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._process is None else self._process.pid

    def merge(self, document: str, snapshot: bytes, devices: Collection[bytes]) -> bytes:
        """Return the replica that a snapshot makes, as `Replica.save` writes it.

        Raises `SnapshotDamaged` for one that does not hold, or that the process did not survive, and `StorageFailed`
        where no process can be started, or another thread has closed the trial.
        """
        process = self._started()
        memory = min(MOST_MEMORY, self._memory + MEMORY_FOR_A_BYTE * len(snapshot))
        request = protocol.Merge(document, snapshot, sorted(devices), memory)
        try:
            with process.deadline(self._seconds + len(snapshot) / BYTES_A_SECOND):
                protocol.send(process.write, request)
                answer = protocol.receive(process.output, protocol.Answer)
        except PipeBroken as error:
            self._end()
            if self._closed:
                raise StorageFailed("the process that tries snapshots was ended") from error
            why = "took too long" if process.timed_out else "ended without an answer"
            raise SnapshotDamaged(
                f"the snapshot of {document} cannot be loaded: the process that tried it {why}", hint=_HINT
            ) from error
        except BaseException:
            self._end()
            raise
        if not answer.saved:
            raise SnapshotDamaged(f"the snapshot of {document} does not hold: {answer.refused}", hint=_HINT)
        return answer.saved

    def close(self) -> None:
        """End the process, and start no other."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _started(self) -> ConfinedProcess:
        if self._closed:
            raise StorageFailed("the process that tries snapshots was ended")
        if self._process is None:
            try:
                self._process = ConfinedProcess("core.trial.worker")
            except OSError as error:
                raise StorageFailed(f"no process can be started to try a snapshot: {error.strerror}") from error
        return self._process
