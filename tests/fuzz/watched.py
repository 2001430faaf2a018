"""Giving one input to one target, under limits on processor time and memory: what came of it, if it was a fault.

Time is that of this process's own work, never of a clock: a busy machine makes no faults.
"""

from __future__ import annotations

import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from tests.fuzz.target import Target

CPU_SECONDS = 2.0
MEMORY_BYTES = 512 << 20
_PRODUCT = ("core", "crypto", "crdt", "ml", "sync_relay")
_ROOT = Path(__file__).resolve().parent.parent.parent
_HAS_TIMER = hasattr(signal, "setitimer") and hasattr(signal, "ITIMER_VIRTUAL")


class TooSlow(BaseException):
    """One input took more processor time than any may."""


@dataclass(frozen=True)
class Fault:
    """What an input did that no parser may do. Two faults of one `place` are taken for the same."""

    place: str
    message: str


def watch(target: Target, data: bytes, cpu_seconds: float = CPU_SECONDS) -> Fault | None:
    """Return the fault that `data` makes `target` commit, or None."""
    before = _peak()
    try:
        _timed(target, data, cpu_seconds)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - panics of the CRDT engine are no Exceptions
        return Fault(f"{type(error).__name__} at {_place(error.__traceback__)}", _message(error))
    if _peak() - before > MEMORY_BYTES:
        return Fault("TooLarge", f"it took more than {MEMORY_BYTES >> 20} MiB of memory")
    return None


def _timed(target: Target, data: bytes, cpu_seconds: float) -> None:
    if not _HAS_TIMER:
        target(data)
        return
    before = signal.signal(signal.SIGVTALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_seconds)
    try:
        target(data)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _out_of_time(_number: int, _frame: FrameType | None) -> NoReturn:
    raise TooSlow("more processor time than any input may take")


def _peak() -> int:
    """Return the most memory this process has ever held, in bytes."""
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _place(trace: TracebackType | None) -> str:
    """Return the innermost line of the product that an error passed; one of the target where it passed none."""
    inner = "nowhere"
    for frame in traceback.extract_tb(trace):
        path = Path(frame.filename)
        if path.is_relative_to(_ROOT):
            relative = path.relative_to(_ROOT)
            if relative.parts[0] in _PRODUCT or inner == "nowhere" or not inner.startswith(_PRODUCT):
                inner = f"{relative.as_posix()}:{frame.lineno}"
    return inner


def _message(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
