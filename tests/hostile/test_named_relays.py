"""Scenario 11: relays that a hostile member has named for everybody.

All devices use the relays that the `library` document names, so a member can name any. The rule: an address that no
relay can have is left out and named; there are no more than sixteen; and those a device was in touch with before come
first, so that no new one keeps it from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.sync.relays import MAX_RELAYS, Relays
from crdt.documents import LIBRARY
from crdt.operations import Put
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
