"""A trial run in a process of its own: a model that makes ONNX Runtime abort, or never ends, ends only that process.

``python -P -m ml.trial FOLDER REPEATS`` prints one line of JSON, the report or the error.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ml.errors import MlError, ModelUnusable, from_another_process

if TYPE_CHECKING:
    from ml.check import CheckReport
    from ml.check_image_text import ImageTextReport

TIMEOUT_S = 300.0
"""Longest trial, seconds; a large model on a slow machine takes a tenth of it."""


class _Answer(msgspec.Struct, frozen=True):
    report: dict[str, object] | None = None
    texts: bool = False
    """Whether the report is that of an image-text pack."""
    error: str = ""
    message: str = ""
    hint: str | None = None


def try_pack(folder: Path, *, repeats: int = 5, timeout_s: float = TIMEOUT_S) -> CheckReport | ImageTextReport:
    """Load and run the pack in ``folder``; returns the report of ``check_pack`` or ``check_image_text_pack``.

    Raises what those raise, and ModelUnusable where the process ended without an answer.
    """
    from ml.check import CheckReport
    from ml.check_image_text import ImageTextReport

    command = [sys.executable, "-P", "-m", "ml.trial", str(folder), str(repeats)]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
            timeout=timeout_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired as cause:
        raise ModelUnusable(f"{folder}: the model did not answer within {timeout_s:g} s") from cause
    try:
        # The runtime may have printed something before.
        answer = msgspec.json.decode(ended.stdout.rpartition(b"\n")[2], type=_Answer)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        answer = None
    if ended.returncode or answer is None:
        raise ModelUnusable(
            f"{folder}: ONNX Runtime ended by {_how(ended.returncode)} while it loaded or ran the model",
            hint="The file is damaged, or needs another version of the runtime. It was not installed.",
        )
    if answer.report is not None:
        if answer.texts:
            return msgspec.convert(answer.report, type=ImageTextReport)
        return msgspec.convert(answer.report, type=CheckReport)
    raise from_another_process(answer.error, answer.message, answer.hint)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _main() -> int:
    from ml.check import check_pack
    from ml.check_image_text import check_image_text_pack
    from ml.pack import ImageTextPack, open_pack

    _no_core_dump()
    folder, repeats = Path(sys.argv[1]), int(sys.argv[2])
    try:
        pack = open_pack(folder)
        if isinstance(pack, ImageTextPack):
            report = msgspec.to_builtins(check_image_text_pack(pack, repeats=repeats))
            answer = _Answer(report=report, texts=True)
        else:
            answer = _Answer(report=msgspec.to_builtins(check_pack(pack, repeats=repeats)))
    except MlError as error:
        answer = _Answer(error=type(error).__name__, message=str(error), hint=error.hint)
    sys.stdout.buffer.write(b"\n" + msgspec.json.encode(answer))
    return 0


def _no_core_dump() -> None:
    """Leave no image of the process behind when it aborts, where the system would write one."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(_main())
