"""One device and its relays: what it gives them, and what it notices of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core import edits
from core.errors import InvalidEdit, NoSuchRelay, RelayQuotaFull, RelayRefused, RelayUnreachable, RolledBack
from crdt.documents import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.core.sync.conftest import Device, Home, PutBack
    from tests.sync_relay.running_relay import Relay


def held(device: Device, relay: Relay) -> dict[bytes, int]:
    """Return the number of the newest envelope of each device that a relay holds, asked anew."""
    client = relay.client()
    client.sign_in(device.secrets, device.library.library_id)
    from sync_relay import wire

    return {head.device_id: head.seq for head in client.ask("GET", "/v1/heads", None, wire.Heads).heads}


def stored(device: Device, relay: Relay) -> set[bytes]:
    """Return those of a device's blobs that a relay has."""
    client = relay.client()
    client.sign_in(device.secrets, device.library.library_id)
    return {blob for blob in device.library.blobs.iter_ids() if client.blob(blob).state == "stored"}


def test_a_relay_is_used_once_it_knows_the_library(home: Home, relay: Relay) -> None:
    device = home.found()
    relays = device.engine.relays
    with pytest.raises(RelayRefused, match="does not know this library"):
        relays.use(relay.url)
    assert relays.urls() == []
    assert relays.use(relay.url.upper() + "/", relay.invite()) == relay.url
    assert relays.use(relay.url) == relay.url
    assert relays.urls() == [relay.url]
    assert list(device.library.replica_items(LIBRARY, "relay")) == [(relay.url, "")]
    with pytest.raises(NoSuchRelay):
        relays.remove("https://elsewhere.example")
    relays.remove(relay.url)
    assert relays.urls() == []


def test_what_is_no_relay_is_not_used(home: Home, relay: Relay) -> None:
    relays = home.found().engine.relays
    with pytest.raises(InvalidEdit):
        relays.use("http://relay.example")
    relay.stop()
    with pytest.raises(RelayUnreachable):
        relays.use(relay.url, "an invite")
    assert relays.urls() == []


def test_everything_goes_to_the_relay_once(home: Home, relay: Relay) -> None:
    device = home.found()
    device.engine.relays.use(relay.url, relay.invite())
    pids = device.photos(3)
    edits.set_rating(device.library, pids, 4)
    report = device.sync()
    assert (report.relays[0].pushed, report.relays[0].blobs_up) == (4, 3)
    assert held(device, relay) == {device.id: 4}
    assert stored(device, relay) == set(device.library.blobs.iter_ids())
    before = device.engine._links[relay.url].client.traffic.sent
    assert not device.sync().moved
    # A question about three blobs that it is to hold.
    assert device.engine._links[relay.url].client.traffic.sent - before < 4 * 40
    device.engine.close()
    assert not device.sync().moved
    device.reopen()
    assert not device.sync().moved
    assert relay.log.getvalue().count('"upload"') == 3


def test_a_relay_that_is_away_does_not_keep_another_one_waiting(home: Home, new_relay: Callable[..., Relay]) -> None:
    device = home.found()
    first, second = new_relay(), new_relay()
    for relay in (first, second):
        device.engine.relays.use(relay.url, relay.invite())
    device.photos()
    first.stop()
    report = device.engine.run()
    errors = {one.url: one.error for one in report.relays}
    assert errors[second.url] is None
    assert isinstance(errors[first.url], RelayUnreachable)
    assert report.worst_error is errors[first.url]
    assert held(device, second) == {device.id: 4}
    first.start()
    device.sync()
    assert held(device, first) == {device.id: 4}
    assert stored(device, first) == set(device.library.blobs.iter_ids())


@pytest.mark.scenario(12, "429, 507 and other refusals")
def test_over_the_quota_everything_stays_here_and_says_how_much_is_over(home: Home, relay: Relay) -> None:
    device = home.found()
    device.engine.relays.use(relay.url, relay.invite(quota_bytes=6_000))
    device.sync()
    pids = device.photos(20)
    report = device.engine.run()
    error = report.relays[0].error
    assert isinstance(error, RelayQuotaFull)
    assert "quota" in str(error)
    # The envelope that names them is kept back: what a relay holds is whole.
    assert held(device, relay) == {device.id: 2}
    edits.set_rating(device.library, pids, 5)
    assert isinstance(device.engine.run().worst_error, RelayQuotaFull)
    assert len(device.library.catalog.search("rating:5")) == 20
    assert device.engine.alarms.list() == []


def test_a_relay_that_was_put_back_is_named_and_filled_again(
    home: Home, new_relay: Callable[..., Relay], put_back: PutBack
) -> None:
    device = home.found()
    relay = new_relay()
    device.engine.relays.use(relay.url, relay.invite())
    device.photos()
    device.sync()
    device.engine.close()
    put_back.save(relay)
    device.photos(2)
    device.sync()
    device.engine.close()
    put_back(relay)
    report = device.engine.run()
    assert [type(alarm) for alarm in report.alarms] == [RolledBack]
    assert relay.url in str(report.alarms[0])
    assert held(device, relay) == {device.id: 4}
    assert stored(device, relay) == set(device.library.blobs.iter_ids())
    assert [kept.name for kept in device.engine.alarms.list()] == ["rolled-back"]
    device.engine.alarms.clear()
    assert not device.sync().moved
    assert device.engine.alarms.list() == []
