"""The trial process as its parent sees it: given a snapshot, it answers with a replica, or it is replaced."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, Any, Final, Self, cast

from core.errors import SnapshotDamaged, StorageFailed
from core.trial import protocol

if TYPE_CHECKING:
    import io
    from collections.abc import Collection, Iterator
    from types import TracebackType

LEAST_SECONDS: Final = 60.0
LEAST_MEMORY: Final = 512 << 20
BYTES_A_SECOND: Final = 50_000
"""A tenth of what the slowest machine in use applies in a second; a snapshot's time is measured by its size."""
MEMORY_FOR_A_BYTE: Final = 64
MOST_MEMORY: Final = 8 << 30
_HINT = "It was made by a damaged or hostile program: look at the device that made the checkpoint."
_INHERITED = (
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "HOME", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "PYTHONPATH", "PYTHONHOME",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE",
)  # fmt: skip


class Trial:
    """One process for snapshots, started when it is first needed. Used by one thread at a time."""

    def __init__(self, *, seconds: float = LEAST_SECONDS, memory: int = LEAST_MEMORY) -> None:
        """Grant each snapshot `seconds` and `memory` bytes, and more where it is large."""
        self._seconds = seconds
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
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
            with _deadline(process, self._seconds + len(snapshot) / BYTES_A_SECOND) as over:
                protocol.send(_pipe(process.stdin), request)
                answer = protocol.receive(_pipe(process.stdout), protocol.Answer)
        except protocol.PipeClosed as error:
            self._end()
            if self._closed:
                raise StorageFailed("the process that tries snapshots was ended") from error
            why = "took too long" if over.is_set() else "ended without an answer"
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
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise StorageFailed("the process that tries snapshots was ended")
        if self._process is None:
            environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "core.trial.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    bufsize=0,
                    env=environment,
                )
            except OSError as error:
                raise StorageFailed(f"no process can be started to try a snapshot: {error.strerror}") from error
        return self._process


@contextlib.contextmanager
def _deadline(process: subprocess.Popen[Any], seconds: float) -> Iterator[threading.Event]:
    """End `process` if the block takes longer; the event tells."""
    over = threading.Event()

    def end() -> None:
        over.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield over
    finally:
        timer.cancel()


def _pipe(pipe: IO[bytes] | None) -> io.FileIO:
    return cast("io.FileIO", pipe)
