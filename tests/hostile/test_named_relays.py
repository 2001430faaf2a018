"""Scenario 11: relays that a hostile member has named for everybody.

All devices use the relays that the `library` document names, so a member can name any. The rule: an address that no
relay can have is left out and named; there are no more than sixteen; and those a device was in touch with before come
first, so that no new one keeps it from them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from core.errors import RelayUnreachable
from core.sync.relays import MAX_RELAYS, Relays
from crdt.documents import LIBRARY
from crdt.operations import Put
from sync_relay.client import RelayClient
from tests.core.sync.conftest import converged
from tests.hostile.conftest import sync_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.core.sync.conftest import Device
    from tests.hostile.conftest import Hostile
    from tests.sync_relay.running_relay import Relay


NONE_OF_THEM = [
    "file:///etc/passwd",
    "http://192.0.2.1",
    "https://user:secret@example.org",
    "https://example.org/\x1b]0;owned\x07",
    "https://example.org?collect=1",
    "\x00",
    "HTTPS://EXAMPLE.ORG",
]


@pytest.mark.scenario(11, "it names relays, words and times that mislead", alarm="forged")
class TestAddressesOfNoRelay:
    def test_they_are_left_out_and_named_once(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        first, second = pair
        mallory.at(relay).append(mallory.edit(LIBRARY, *(Put("relay", url, "") for url in NONE_OF_THEM)))
        alarms = sync_all(first, second)
        assert Relays(first.library).urls() == [relay.url]
        assert [alarm.name for alarm in alarms] == ["forged"] * 2, "once on each device"
        assert all(str(alarm).isprintable() for alarm in alarms)
        first.photos()
        sync_all(first, second)
        converged(first, second)
        for url in NONE_OF_THEM:
            first.engine.relays.remove(url)
        assert first.engine.relays.left_out() == []


@pytest.mark.scenario(11, "it floods devices and relays", alarm="forged")
class TestTooMany:
    def test_no_more_than_a_few_are_used_and_those_known_before_come_first(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay, new_relay: Callable[..., Relay]
    ) -> None:
        first, second = pair
        other = new_relay()
        first.engine.relays.use(other.url, other.invite())
        sync_all(first, second)
        crowd = [Put("relay", f"http://127.0.0.1:{port}", "") for port in range(100, 400)]
        mallory.at(relay).append(mallory.edit(LIBRARY, *crowd))
        # What is tried and not there costs a refused connection each.
        alarms = sync_all(first, second, rounds=2)
        assert [alarm.name for alarm in alarms] == ["forged"] * 2
        used = Relays(first.library).urls()
        assert len(used) == MAX_RELAYS
        assert {relay.url, other.url} == set(used[:2])
        first.photos()
        sync_all(first, second, rounds=1)
        converged(first, second)


class Swallower:
    """A machine that takes every connection and says nothing, until it is let go."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._taken: list[socket.socket] = []
        self.was_asked = threading.Event()
        self._thread = threading.Thread(target=self._take)
        self._thread.start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._taken.append(self._listening.accept()[0])
                self.was_asked.set()

    def let_go(self) -> None:
        # A thread that waits for a connection keeps the socket open: only what it accepts wakes it.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for taken in self._taken:
            taken.close()


@pytest.mark.scenario(11, "it names relays, words and times that mislead")
class TestOneThatSaysNothing:
    def test_the_others_are_synced_with_while_it_is_waited_for(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay
    ) -> None:
        first, _ = pair
        swallower = Swallower()
        with ThreadPoolExecutor(1) as thread:
            try:
                first.library.commit(
                    {LIBRARY: [Put("relay", swallower.url, "")]}, action="relay.use", summary="another"
                )
                first.photos()
                seq, _ = first.library.log.head(first.id)
                under_way = thread.submit(first.engine.run)
                client = RelayClient(relay.url)
                client.sign_in(mallory.remote.secrets, mallory.library_id, 0)
                until = time.monotonic() + 40  # less than a request may take
                while seq > next(head.seq for head in client.heads().heads if head.device_id == first.id):
                    assert time.monotonic() < until, "it waits for the one that says nothing"
                    time.sleep(0.05)
                assert swallower.was_asked.wait(40)
                client.close()
            finally:
                swallower.let_go()
            by_url = {one.url: one.error for one in under_way.result().relays}
        assert by_url[relay.url] is None
        assert isinstance(by_url[swallower.url], RelayUnreachable)
