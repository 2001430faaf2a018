"""Keeping a library in sync: at once when a relay says that there is news, or when this library was written to.

A thread listens at each relay and does nothing but note the position it is told; one thread does everything else. It
looks at the log's data version several times a second, which costs a few microseconds, because another process may
have written. Between edits nothing crosses the network but the sockets' own signs of life.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Final

from core.errors import RelayRefused, RelayUnreachable, StorageFailed
from sync_relay.client import Unreachable
from sync_relay.errors import RelayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.errors import CoreError
    from core.sync.engine import SyncEngine
    from core.sync.link import Link
    from core.sync.report import SyncReport
    from sync_relay.client import RelayClient
    from sync_relay.client_events import Listener

_log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.05
"""How long another process's edit may go unnoticed."""
FULL_EVERY_S: Final = 300.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 300.0
_LONGEST_DEAF_S: Final = 15.0
_MOST_DOUBLINGS: Final = 16
_LISTEN_S: Final = 5.0
_AFTER_STORAGE_FAILED_S: Final = 5.0


class Watch:
    """One `watch` of an engine."""

    def __init__(self, engine: SyncEngine, stop: threading.Event, on_report: Callable[[SyncReport], None]) -> None:
        """Run `engine` until `stop` is set."""
        self._engine = engine
        self._library = engine.library
        self._stop = stop
        self._on_report = on_report
        self._wake = threading.Event()
        self._ears: dict[str, _Ear] = {}
        self._pauses: dict[str, _Pause] = {}
        self._full_at = 0.0

    def run(self) -> None:
        """Sync until it is to stop."""
        try:
            while not self._stop.is_set():
                try:
                    self._round()
                except StorageFailed as error:  # the disk is full, or another process keeps the lock: it may pass
                    _log.warning("watch_waits: %s", error.name)
                    self._stop.wait(_AFTER_STORAGE_FAILED_S)
                self._wake.wait(LOOK_EVERY_S)
        finally:
            for ear in self._ears.values():
                ear.close()

    def _round(self) -> None:
        self._wake.clear()
        now = time.monotonic()
        wrote, full = self._engine.standing() != self._engine.given, now >= self._full_at
        if full:
            self._library.refresh()
            self._listen(self._engine.relays.urls())
        ready = [url for url, ear in self._ears.items() if ear.take_came_back() or self._pauses[url].is_over(now)]
        news = [url for url in ready if full or self._ears[url].has_news(self._engine.link(url))]
        if not news and not (wrote and ready):
            return
        report = self._engine.exchange(ready, pull=news, full=full)
        if full:
            self._full_at = time.monotonic() + FULL_EVERY_S * random.uniform(0.8, 1.2)  # noqa: S311
        for relay in report.relays:
            self._pauses[relay.url].note(relay.error)
            link = self._engine.link(relay.url)
            if link is not None:
                self._ears[relay.url].listen(link, was_read=relay.url in news)
        # Only now: what was written here is at the relays sooner than it shows in this process.
        self._library.refresh()
        self._listen(self._engine.relays.urls())
        if full or report.moved or report.worst_error is not None:
            self._on_report(report)

    def _listen(self, urls: list[str]) -> None:
        for url in self._ears.keys() - set(urls):
            self._ears.pop(url).close()
        for url in urls:
            if url not in self._ears:
                self._ears[url] = _Ear(self._wake)
                self._pauses[url] = _Pause()


class _Pause:
    """When a relay that failed is asked again."""

    def __init__(self) -> None:
        self._until = 0.0
        self._failures = 0

    def is_over(self, now: float) -> bool:
        return now >= self._until

    def note(self, error: CoreError | None) -> None:
        """Note how an exchange ended. One that refuses is asked again as one that is away: somebody may have acted."""
        if not isinstance(error, RelayRefused | RelayUnreachable):
            self._until, self._failures = 0.0, 0
            return
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._failures)
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        self._until = time.monotonic() + pause * random.uniform(0.5, 1.5)  # noqa: S311


class _Ear:
    """Listens at one relay, in a thread of its own, for positions."""

    def __init__(self, wake: threading.Event) -> None:
        """Set `wake` when there is something to look at. Listen to nothing yet."""
        self._wake = wake
        self._closed = threading.Event()
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None
        self._position = 0
        self._told = 0
        self._read = 0
        self._misses = self._told_misses = self._read_misses = 0
        self._came_back = threading.Event()

    def take_came_back(self) -> bool:
        """Tell whether the relay can be reached again, once each time.

        Asked before the relay is: it may come back while the exchange that finds it away is still going on, and the
        pause that follows must not hide that.
        """
        came_back = self._came_back.is_set()
        self._came_back.clear()
        return came_back

    def has_news(self, link: Link | None) -> bool:
        """Tell whether the relay's log goes on after what was read of it."""
        self._told, self._told_misses = self._position, self._misses
        if link is None or self._told_misses > self._read_misses:
            return True
        return self._told > max(self._read, link.state.cursor)

    def listen(self, link: Link, *, was_read: bool) -> None:
        """Listen from now on, once the client of `link` has signed in; `was_read`: what was told before is read."""
        if was_read and link.report.error is None:
            self._read, self._read_misses = self._told, self._told_misses
        if self._thread is None and link.client.session is not None:
            self._thread = threading.Thread(target=self._run, args=(link.client,), name="relay listener", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._closed.set()
        listener = self._listener
        if listener is not None:
            listener.close()
        if self._thread is not None:
            self._thread.join()

    def _run(self, client: RelayClient) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                with client.listen() as listener:
                    self._listener = listener
                    failures = 0
                    self._came_back.set()
                    self._wake.set()
                    while not self._closed.is_set():
                        position = listener.wait(_LISTEN_S)
                        if position is not None:
                            self._position = position
                            self._wake.set()
            except (Unreachable, RelayError) as error:
                _log.info("listening_failed: %s", type(error).__name__)
            finally:
                self._listener = None
            # What happens at the relay from now on is not told: it has to be read, and the sign-in may be over.
            self._misses += 1
            self._wake.set()
            failures = min(failures + 1, _MOST_DOUBLINGS)
            pause = min(_LONGEST_DEAF_S, _FIRST_PAUSE_S * 2**failures)
            self._closed.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311
