"""Watches the event loop's thread: what it opens, connects or starts, and how long it works without a pause.

Time on the clock says little on a machine that others use, so the loop's own processor time is measured; and what
would wait for a disk or a network is found by Python's audit events, however quickly it was over.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType

_WAITS = {
    "open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir", "os.truncate", "shutil.rmtree",
    "socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen", "os.posix_spawn",
}  # fmt: skip
"""Audit events of what may take as long as it likes."""
_BEAT_S = 0.005
_WORTH_A_LOOK_S = 0.05
_DEEPEST = 12


class _Hook:
    """The one audit hook of this process: there is no way to take it away again, only to have it look elsewhere."""

    def __init__(self) -> None:
        self.watched: Watchdog | None = None
        self._added = False

    def watch(self, watchdog: Watchdog | None) -> None:
        if not self._added:
            sys.addaudithook(self)
            self._added = True
        self.watched = watchdog

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        watchdog = self.watched
        if watchdog is not None and event in _WAITS and threading.get_ident() == watchdog.thread:
            watchdog.met(event, arguments)


_hook = _Hook()


class Watchdog:
    """Watches the thread that enters it, as long as it is entered.

    Attributes:
        waited_for: what the thread opened, connected to or started, and where in the program.
        longest: the longest stretch of its work without a turn of the loop, in seconds of processor time.
        culprit: what it was at then.
    """

    def __init__(self) -> None:
        self.thread = 0
        self.waited_for: list[str] = []
        self.longest = 0.0
        self.culprit = ""
        self._beat = 0.0
        self._clock = 0
        self._over = threading.Event()

    async def __aenter__(self) -> Self:
        self.thread = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self.thread)
        self._beat = self._worked()
        self._task = asyncio.get_running_loop().create_task(self._live())
        self._sampler = threading.Thread(target=self._sample, name="watchdog")
        self._sampler.start()
        _hook.watch(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        _hook.watch(None)
        self._over.set()
        self._task.cancel()
        await asyncio.to_thread(self._sampler.join)

    def met(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take note of something that the loop may not wait for; reading the program itself is no such thing."""
        stack = _stack(sys._getframe(2))
        if not any(place.startswith("<frozen importlib") for place in stack):
            self.waited_for.append(f"{event} {arguments[:1]} in {' < '.join(stack[:_DEEPEST])}")

    def _worked(self) -> float:
        return time.clock_gettime(self._clock)

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            self._beat = self._worked()

    def _sample(self) -> None:
        while not self._over.wait(_BEAT_S):
            stretch = self._worked() - self._beat
            if stretch > max(_WORTH_A_LOOK_S, self.longest):
                self.longest = stretch
                self.culprit = " < ".join(_stack(sys._current_frames().get(self.thread))[:_DEEPEST])


def _stack(frame: FrameType | None) -> list[str]:
    """Return the places of a stack, innermost first, without reading any source for it."""
    places = []
    while frame is not None:
        name = frame.f_code.co_filename.rsplit("/", 1)[-1]
        places.append(f"{name}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return places
