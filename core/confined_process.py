"""A confined process as its parent sees it: started with little of our environment, ended when it takes too long."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Mapping

_INHERITED = (
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "HOME", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "PYTHONPATH", "PYTHONHOME",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
)  # fmt: skip
"""Nothing else of the environment is handed on: it may hold a passphrase."""


class ConfinedProcess:
    """One child process and its two pipes; what it prints on stderr is dropped."""

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        """Run `module` as a program, with `environment` added to what is inherited. Raises `OSError`."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=inherited | dict(environment or {}),
        )
        self.input = cast("IO[bytes]", self._process.stdin)
        self.output = cast("io.FileIO", self._process.stdout)
        self.timed_out = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def write(self, data: bytes | memoryview) -> int | None:
        """Write some of `data`; return how much."""
        return self.input.write(data)

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """End the process if the block takes longer than `seconds`; `timed_out` tells."""
        timer = threading.Timer(seconds, self._time_out)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def exit_code(self, seconds: float) -> int | None:
        """Return how it ended, as `subprocess.Popen.returncode`; `None` if it runs for `seconds` more."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=seconds)
        return self._process.returncode

    def end(self) -> None:
        """End the process and free what it holds."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self.input, self.output):
            with contextlib.suppress(OSError):
                pipe.close()

    def _time_out(self) -> None:
        self.timed_out = True
        with contextlib.suppress(OSError):
            self._process.kill()
