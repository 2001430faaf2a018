"""^C during long work: the first one asks it to stop at a good place, the second one stops at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from tui.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextlib.contextmanager
def first_interrupt_stops() -> Iterator[threading.Event]:
    """An event that the first ^C (or SIGTERM) sets."""
    stopped = threading.Event()

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()
        if output.is_terminal(sys.stderr):
            # Straight to the terminal: the signal may have come while a stream was being written to, and Python's
            # streams refuse to be entered twice.
            with contextlib.suppress(OSError, ValueError):
                os.write(sys.stderr.fileno(), b"\nFinishing what is begun; ^C again stops at once.\n")

    numbers = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may take signals; elsewhere (an app that runs a command) there are none to take.
        yield stopped
        return
    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
