"""Devices that are added while keys change elsewhere: they read what all others read, before anybody writes again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import edits
from crypto.membership_entry import NO_ENVELOPE
from tests.core import remote_device
from tests.core.sync.conftest import converged

if TYPE_CHECKING:
    from tests.core.sync.conftest import Device, Home, PutBack
    from tests.sync_relay.running_relay import Relay


def entries(device: Device) -> int:
    device.library.members.refresh()
    return len(device.library.members.membership.entries)


def test_a_device_added_while_another_one_was_revoked_reads_what_was_written_since(
    pair: tuple[Device, Device], home: Home
) -> None:
    first, second = pair
    lost = home.add()
    for device in (first, second, lost):
        device.sync()
    home.revoke(lost)
    pids = first.photos(2)
    first.sync()
    newcomer = home.add(by=1)  # by a device that has heard of nothing yet
    # Nobody has done anything wrong, so nothing is alarming; what cannot be read yet waits.
    assert newcomer.sync().alarms == []
    assert newcomer.library.catalog.pids() == []
    assert newcomer.library.log.held_sizes().keys() == {first.id}
    # Nobody edits anything, and it reads all once any device has synced that can.
    before = entries(second)
    for device in (second, first, newcomer):
        assert device.sync().alarms == []
    assert sorted(newcomer.library.catalog.pids()) == sorted(pids)
    known = entries(second)
    assert before < known
    for device in (first, second, newcomer):
        assert device.sync().moved == 0
    converged(first, second, newcomer)
    assert entries(second) == entries(first) == known


def test_devices_that_give_the_same_keys_at_once_give_them_once_each(pair: tuple[Device, Device], home: Home) -> None:
    first, second = pair
    lost = home.add()
    for device in (first, second, lost):
        device.sync()
    home.revoke(lost)
    first.photos(1)
    newcomer = home.add(by=1)
    # Each hears of the other's entries before either has given any keys.
    told = [[entry.data for entry in one.library.members.membership.entries.values()] for one in (first, second)]
    second.library.ingest.entries(told[0])
    first.library.ingest.entries(told[1])
    relays = [(device, device.engine.relays.urls()) for device in (first, second)]
    for device, (url,) in relays:
        device.engine.exchange([url], pull=[], full=True)
    count = {entries(device) for device in (first, second)}
    for _ in range(2):
        for device in (first, second, newcomer):
            device.sync()
    assert {entries(device) for device in (first, second, newcomer)} == {max(count) + 1}
    converged(first, second, newcomer)


def test_what_was_written_under_an_epoch_that_counts_no_more_reaches_a_newcomer(
    pair: tuple[Device, Device], home: Home
) -> None:
    first, second = pair
    gone = remote_device.pair(first.library)
    for device in (first, second):
        device.sync()
    gone.learn(first.library.members.membership.entries.values())
    second.library.ingest.entries([gone.rotate().data])
    pids = second.photos(1)  # under the key of one that is being revoked elsewhere, so that it counts as never made
    founder = remote_device.beside(first.library)
    first.library.add_entries([founder.revoke(gone.id, (0, NO_ENVELOPE.hash)), founder.rotate()])
    newcomer = home.add()
    for _ in range(2):
        for device in (newcomer, first, second):
            assert device.engine.run().worst_error is None
    newcomer.sync()
    assert newcomer.library.catalog.pids() == pids
    converged(first, second, newcomer)


def test_a_device_that_a_relay_names_where_another_had_read_already_is_heard_of(
    pair: tuple[Device, Device], home: Home, relay: Relay, put_back: PutBack
) -> None:
    """The relay was put back, and has come as far again: its numbers were given out anew, to something else."""
    first, second = pair
    first.photos()
    for device in (first, second):
        device.sync()
    put_back.save(relay)
    for rating in (1, 2, 3):
        edits.set_rating(second.library, second.library.catalog.pids(), rating)
        second.sync()
    first.sync()
    put_back(relay)
    newcomer = home.add()  # it never wrote anything, so no vector of envelopes names it
    assert [alarm.name for alarm in first.engine.run().alarms] == ["rolled-back"]
    for device in (second, first, newcomer):
        device.sync()
    assert entries(second) == entries(first)
    converged(first, second, newcomer)
    assert [device.sync().moved for device in (first, second, newcomer)] == [0, 0, 0]
