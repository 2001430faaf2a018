"""A text encoder in a process of its own: what a model makes ONNX Runtime do ends that process and nothing else."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final

import numpy as np

from core.confined_process import ConfinedProcess
from core.confinement import PipeBroken
from core.frames import receive_frame, send_frame
from core.text_messages import MAX_ANSWER_BYTES, Encode, Encoded, answers
from ml.errors import ModelUnusable, from_another_process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ml.pack import ImageTextPack

TIMEOUT_S: Final = 120.0
"""Longest wait for one request, seconds: loading a large model from a slow disk and a hundred prompts takes a tenth."""


class ConfinedTextEncoder:
    """The text encoder of one pack; its process is started by the first text. For one thread at a time."""

    def __init__(self, pack: ImageTextPack, *, threads: int = 1, worker: str = "core.text_encoder_worker") -> None:
        """Encode by `pack`; `threads` is the number of cores one inference may use, `worker` the process's module."""
        self._pack = pack
        self._threads = threads
        self._worker = worker
        self._process: ConfinedProcess | None = None

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``[N, D]`` as `ml.image_text.TextEncoder.encode` does, and raise what it and loading the model raise.

        `ModelUnusable` also where the process ends without an answer; the next text starts another one.
        """
        request = Encode(str(self._pack.folder.absolute()), self._pack.manifest_bytes, self._threads, list(texts))
        process = self._started()
        try:
            with process.deadline(TIMEOUT_S):
                send_frame(process.write, request)
                answer = receive_frame(process.output, answers, MAX_ANSWER_BYTES)
        except PipeBroken as error:
            self.close()
            how = f"did not answer within {TIMEOUT_S:g} s" if process.timed_out else "ended ONNX Runtime's process"
            raise ModelUnusable(
                f"{self._pack.model}: the text encoder {how}",
                hint="Its file is damaged, or needs another version of the runtime: `safelight model test` tries it.",
            ) from error
        except BaseException:
            self.close()  # an answer that nobody took would be taken for the next one's
            raise
        if isinstance(answer, Encoded):
            rows, size = answer.rows, len(answer.vectors)
            if rows != len(request.texts) or not rows or not size or size % (4 * rows):
                self.close()
                raise ModelUnusable(f"{self._pack.model}: the text encoder's process answered with other than vectors")
            return np.frombuffer(answer.vectors, dtype="<f4").astype(np.float32).reshape(rows, -1)
        raise from_another_process(answer.error, answer.message, answer.hint)

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _started(self) -> ConfinedProcess:
        if self._process is None:
            try:
                self._process = ConfinedProcess(self._worker)
            except OSError as error:
                raise ModelUnusable(f"no process can be started for the text encoder: {error.strerror}") from error
            # A library that is closed is forgotten, and its encoder with it.
            weakref.finalize(self, self._process.end)
        return self._process
