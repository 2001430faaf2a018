"""Watching: what one device does shows at another at once, and nothing crosses the network in between."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from core import edits
from core.library import Library
from core.sync.engine import SyncEngine
from tests.core.sync.conftest import converged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from core.sync.report import SyncReport
    from tests.core.sync.conftest import Device
    from tests.sync_relay.running_relay import Relay

PATIENCE_S = 60.0


class Watching:
    """A device that watches, in a thread and with a library of its own, as another process would."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.library = Library.open(device.root, device.secrets)
        self.engine = SyncEngine(self.library)
        self.stop = threading.Event()
        self.reports: list[SyncReport] = []
        self.changed = threading.Condition()
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.engine.watch(self.stop, self._note)
        except BaseException as error:
            self.failure = error
            raise
        finally:
            with self.changed:
                self.changed.notify_all()

    def _note(self, report: SyncReport) -> None:
        with self.changed:
            self.reports.append(report)
            self.changed.notify_all()

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds. Looked at after each report, and in between: where another process of the same
        library was quicker, this one has nothing to report."""
        until = time.monotonic() + PATIENCE_S
        with self.changed:
            while self.failure is None and not holds():
                assert time.monotonic() < until
                self.changed.wait(0.05)
        assert self.failure is None

    def until_reported(self, count: int = 1) -> None:
        self.until(lambda: len(self.reports) >= count)

    def shows(self, query: str, count: int) -> None:
        """Wait until the library of this device, as another process has it open, shows so many photos."""

        def holds() -> bool:
            self.device.library.refresh()
            return len(self.device.library.catalog.search(query)) == count

        self.until(holds)

    def end(self) -> None:
        self.stop.set()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        self.library.close()


@pytest.fixture
def watch() -> Iterator[Callable[[Device], Watching]]:
    started: list[Watching] = []

    def start(device: Device) -> Watching:
        started.append(Watching(device))
        started[-1].until_reported()
        return started[-1]

    yield start
    for watching in started:
        watching.end()


def test_an_edit_shows_at_the_other_device_by_itself(
    pair: tuple[Device, Device], watch: Callable[[Device], Watching]
) -> None:
    first, second = pair
    here, there = watch(first), watch(second)
    pids = first.photos(3)
    there.shows("", 3)
    edits.add_label(first.library, pids[:2], "lighthouse")
    there.shows("label:lighthouse", 2)
    edits.set_rating(second.library, pids, 5)
    here.shows("rating:5", 3)
    for watching in (here, there):
        assert all(report.worst_error is None for report in watching.reports)


def test_a_small_edit_takes_one_small_request_each_way(
    pair: tuple[Device, Device], relay: Relay, watch: Callable[[Device], Watching]
) -> None:
    first, second = pair
    pids = first.photos(1)
    first.sync()
    here, there = watch(first), watch(second)
    there.shows("", 1)
    edits.set_rating(first.library, pids, 1)
    there.shows("rating:1", 1)
    before = relay.log.getvalue().count("\n")
    traffic = [watching.engine._links[relay.url].client.traffic for watching in (here, there)]
    sent = [(one.sent, one.received) for one in traffic]
    edits.add_label(first.library, pids, "one small edit")
    there.shows('label:"one small edit"', 1)
    lines = relay.log.getvalue().splitlines()[before:]
    assert len(lines) <= 3, lines
    bytes_each = [(one.sent - start, one.received - end) for one, (start, end) in zip(traffic, sent, strict=True)]
    assert all(up <= 1_500 and down <= 1_500 for up, down in bytes_each), bytes_each


def test_a_relay_that_restarts_is_found_again(
    pair: tuple[Device, Device], relay: Relay, watch: Callable[[Device], Watching]
) -> None:
    first, second = pair
    pids = first.photos(1)
    first.sync()
    here, there = watch(first), watch(second)
    there.shows("", 1)
    relay.stop()
    edits.set_rating(first.library, pids, 3)
    here.until(lambda: here.reports[-1].worst_error is not None)
    relay.start()
    there.shows("rating:3", 1)


def test_two_processes_watch_one_library(
    pair: tuple[Device, Device], relay: Relay, watch: Callable[[Device], Watching]
) -> None:
    first, second = pair
    one, other, there = watch(first), watch(first), watch(second)
    pids = first.photos(2)
    there.shows("", 2)
    edits.set_rating(second.library, pids, 4)
    for watching in (one, other):
        watching.until(lambda: bool(first.library.refresh()) or len(first.library.catalog.search("rating:4")) == 2)
    for watching in (one, other, there):
        assert all(report.worst_error is None for report in watching.reports)
    for device in pair:
        device.sync()
    converged(first, second)
