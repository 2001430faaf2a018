"""Devices that a relay was never told of: they tell it themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core import edits
from core.errors import NotAMember, RolledBack
from core.sync.introduction import sign_in
from core.sync.membership import in_order
from crypto.keys import DeviceSecrets
from sync_relay import errors
from sync_relay.client import RelayClient
from tests.core.sync.conftest import converged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.core.sync.conftest import Device, Home, PutBack
    from tests.sync_relay.running_relay import Relay


def test_a_relay_that_was_away_while_everybody_it_knew_went(home: Home, new_relay: Callable[..., Relay]) -> None:
    first, here, away = home.found(), new_relay(), new_relay()
    for relay in (here, away):
        first.engine.relays.use(relay.url, relay.invite())
    first.photos(2)
    first.sync()
    away.stop()
    second = home.add()
    assert first.engine.run().worst_error is not None
    assert second.engine.run().worst_error is not None
    home.revoke(first, by=1)
    edits.set_rating(second.library, second.library.catalog.pids(), 4)
    assert second.engine.run().worst_error is not None
    away.start()
    second.sync()
    third = home.add(relays=[away.url], by=1)
    third.sync()
    converged(second, third)
    assert isinstance(first.engine.run().worst_error, NotAMember)


@pytest.mark.scenario(4, "to an earlier backup", alarm="rolled-back")
def test_a_relay_put_back_to_before_a_device_was_added(
    pair: tuple[Device, Device], relay: Relay, put_back: PutBack, home: Home
) -> None:
    first, second = pair
    first.photos(1)
    second.sync()
    put_back.save(relay)
    third = home.add()
    first.sync()
    third.sync()
    third.photos(1, month="2021-01")
    third.sync()
    put_back(relay)
    for device in (first, second, third):
        device.engine.close()
    assert [type(alarm) for alarm in third.engine.run().alarms] == [RolledBack]
    second.engine.run()
    first.engine.run()
    converged(first, second, third)


def test_a_device_that_knows_of_its_revocation_brings_nothing(
    pair: tuple[Device, Device], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    second.sync()
    home.revoke(second)
    first.sync()
    with RelayClient(first.engine.relays.urls()[0]) as client:
        with pytest.raises(errors.NotAMember):
            sign_in(second.library, client)  # it does not know yet, and brings what it has: in vain
        second.library.ingest.entries([entry.data for entry in in_order(first.library.members.membership)])
        brought: list[object] = []
        monkeypatch.setattr("core.sync.introduction.in_order", brought.append)
        with pytest.raises(errors.NotAMember):
            sign_in(second.library, client)
        assert brought == []


def test_a_library_that_is_not_there_is_told_apart_by_nobody(home: Home, relay: Relay) -> None:
    first = home.found()
    with RelayClient(relay.url) as client:
        with pytest.raises(errors.NotAMember):
            sign_in(first.library, client)
        with pytest.raises(errors.NotAMember):
            client.sign_in(DeviceSecrets.generate(), first.library.library_id, 0)
