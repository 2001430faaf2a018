"""The worker processes as the parent sees them: given a file, they answer, or they are replaced.

Any thread may ask; a worker serves one at a time. A worker that dies, or takes longer than the limit, costs the file it
was working on, and the next file gets a new one.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading

from core.confined_process import ConfinedProcess
from core.confinement import PipeBroken
from core.importing import protocol
from core.importing.errors import FileRefused, WorkerBroken
from core.importing.limits import STANDARD, Limits

MAX_WORKERS = 8
_START_SECONDS = 60.0
_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031
"""Linux's F_SETPIPE_SZ: with the usual 64 KiB a photo takes fifty turns of both processes."""

# One thread a worker: photos are the parallelism. glibc hands every freed image back to the system and takes zeroed
# pages for the next one, a tenth of a photo's time; up to these sizes it keeps them, and Pillow some of its blocks.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "67108864",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "PILLOW_BLOCKS_MAX": "4",
    "PYTHONSAFEPATH": "1",
}


def default_workers() -> int:
    """Return one worker a core that this process may use, at most `MAX_WORKERS`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MAX_WORKERS, cores))


class WorkerPool:
    """Up to `size` worker processes, started when first needed."""

    def __init__(
        self,
        size: int,
        model: protocol.Model | None = None,
        limits: Limits = STANDARD,
        *,
        image_text: protocol.Model | None = None,
    ) -> None:
        """Label with `model`, or not at all; make vectors with the pack `image_text`, or none."""
        self._start_message = protocol.Start(limits, model, image_text)
        self._limits = limits
        self._places: queue.LifoQueue[_WorkerProcess | None] = queue.LifoQueue()
        for _ in range(size):
            self._places.put(None)
        self._alive: set[_WorkerProcess] = set()
        self._guard = threading.Lock()
        self._closed = False
        self._heavy = threading.Lock()

    def photo(self, request: protocol.Photo, body: bytes | memoryview = b"") -> tuple[protocol.Done, bytearray]:
        """Have one file decoded. Raises `FileRefused`, whatever happens to the worker, and `WorkerBroken`."""
        answer, preview = self._ask(request, body)
        if not isinstance(answer, protocol.Done):
            raise FileRefused("the decoder gave no picture")
        return answer, preview

    def looked_at(self, preview: bytes, *, labels: bool = True, vector: bool = True) -> protocol.Labelled:
        """Have the models, or one of them, look at a preview. Raises `FileRefused` and `WorkerBroken`."""
        answer, _ = self._ask(protocol.Preview(labels, vector), preview)
        if not isinstance(answer, protocol.Labelled):
            raise FileRefused("the model gave no answer")
        return answer

    def processes(self) -> list[int]:
        """Return the process ids of the workers that run now."""
        with self._guard:
            return [worker.pid for worker in self._alive]

    def close(self) -> None:
        """End all workers; requests under way fail."""
        with self._guard:
            self._closed = True
            workers = list(self._alive)
        for worker in workers:
            worker.end()

    def _ask(self, request: protocol.Request, body: bytes | memoryview) -> tuple[protocol.Answer, bytearray]:
        worker = self._take()
        try:
            answer, preview = self._exchange(worker, request, body)
        except PipeBroken as error:
            reason = worker.obituary(self._limits)
            self._forget(worker)
            self._places.put(None)
            raise FileRefused(reason) from error
        except BaseException:
            worker.end()
            self._forget(worker)
            self._places.put(None)
            raise
        self._places.put(worker)
        if isinstance(answer, protocol.Refused):
            raise FileRefused(answer.reason)
        return answer, preview

    def _exchange(
        self, worker: _WorkerProcess, request: protocol.Request, body: bytes | memoryview
    ) -> tuple[protocol.Answer, bytearray]:
        with worker.deadline(self._limits.seconds):
            protocol.send(worker.write, request, body)
            answer, preview = protocol.receive_answer(worker.output)
        if not isinstance(answer, protocol.Heavy):
            return answer, preview
        # Time spent waiting for others' large pictures is not this file's.
        with self._heavy, worker.deadline(self._limits.seconds):
            protocol.send(worker.write, protocol.Go())
            return protocol.receive_answer(worker.output)

    def _take(self) -> _WorkerProcess:
        worker = self._places.get()
        if worker is not None:
            return worker
        try:
            return self._started()
        except BaseException:
            self._places.put(None)
            raise

    def _started(self) -> _WorkerProcess:
        with self._guard:
            if self._closed:
                raise WorkerBroken("the import is ending")
            try:
                worker = _WorkerProcess()
            except OSError as error:
                raise WorkerBroken(f"no worker process can be started: {error.strerror}") from error
            self._alive.add(worker)
        try:
            with worker.deadline(_START_SECONDS):
                protocol.send(worker.write, self._start_message)
                answer, _ = protocol.receive_answer(worker.output)
        except PipeBroken as error:
            self._forget(worker)
            raise WorkerBroken(
                f"a worker process did not start: {worker.obituary(self._limits)}",
                hint="`safelight doctor` shows what is missing.",
            ) from error
        if isinstance(answer, protocol.Refused):
            worker.end()
            self._forget(worker)
            raise WorkerBroken(answer.reason, hint="Choose another model with `safelight model use`.")
        return worker

    def _forget(self, worker: _WorkerProcess) -> None:
        with self._guard:
            self._alive.discard(worker)


class _WorkerProcess(ConfinedProcess):
    """One worker, with pipes that take a photo in few turns."""

    def __init__(self) -> None:
        super().__init__("core.importing.worker", _ENVIRONMENT)
        if sys.platform == "linux":
            import fcntl

            for pipe in (self.input, self.output):
                with contextlib.suppress(OSError):
                    fcntl.fcntl(pipe.fileno(), _SET_PIPE_SIZE, _PIPE_BYTES)

    def obituary(self, limits: Limits) -> str:
        """Say why the process, which answers no more, is gone; it is certainly gone afterwards."""
        self.exit_code(1)
        self.end()
        code = self.exit_code(0)
        if self.timed_out:
            return f"decoding it took longer than {limits.seconds:g} seconds"
        if code is not None and -code == getattr(signal, "SIGKILL", 0):
            return "the decoder was ended by the system, most likely for want of memory"
        if code is not None and code < 0:
            return f"the decoder crashed ({signal.Signals(-code).name})"
        return f"the decoder ended (exit code {code})"
