"""Trying again: what a network or a busy relay refuses now, it may do a moment later."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from sync_relay import errors
from sync_relay.client import Unreachable, UpdateNeeded

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")

_FIRST_S: Final = 0.2
_LONGEST_S: Final = 10.0
_MOST_RETRY_AFTER_S: Final = 30.0
_TRANSIENT: Final = (Unreachable, errors.TooManyRequests, errors.Unavailable)


class Stopped(Exception):
    """Somebody asked to stop while a pause was being waited out."""


class Patience:
    """How often and how long one run waits for one relay. Used by several threads."""

    def __init__(
        self,
        stop: threading.Event | None = None,
        *,
        tries: int = 5,
        budget_s: float = 90.0,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        """Try each request at most `tries` times, and pause at most `budget_s` seconds in all.

        `pause` waits for that many seconds; by default until then or until `stop` is set, which raises `Stopped`.
        """
        self._stop = stop or threading.Event()
        self._tries = tries
        self._left_s = budget_s
        self._lock = threading.Lock()
        self._pause = self._wait if pause is None else pause

    def run(self, request: Callable[[], Answer]) -> Answer:
        """Return what `request` returns; it is made again where it may succeed the next time.

        Raises what it raised last, once there is no patience left.
        """
        for number in range(1, self._tries + 1):
            if self._stop.is_set():
                raise Stopped
            try:
                return request()
            except _TRANSIENT as error:
                pause = self._pause_after(error, number)
                if pause is None:
                    raise
            self._pause(pause)
        raise AssertionError("the last try returns or raises")

    def _pause_after(self, error: Exception, number: int) -> float | None:
        """Return for how many seconds to pause after the `number`-th failure; None: not any more."""
        if number == self._tries or isinstance(error, UpdateNeeded):
            return None
        # Jitter, so that the devices of a relay that was down do not come back all at once.
        pause: float = min(_LONGEST_S, _FIRST_S * 2.0 ** (number - 1)) * random.uniform(0.5, 1.5)  # noqa: S311
        if isinstance(error, errors.RelayError) and error.details.retry_after is not None:
            if error.details.retry_after > _MOST_RETRY_AFTER_S:
                return None
            pause = max(pause, error.details.retry_after)
        with self._lock:
            if pause > self._left_s:
                return None
            self._left_s -= pause
        return pause

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped
