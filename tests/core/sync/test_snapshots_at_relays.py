"""Snapshots that a relay lost, or was asked to remove: they are given again, or others are made in their place."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest

from core import edits
from core.errors import DeletedInUse, RolledBack, Withheld
from core.sync import checkpoints
from core.sync.checkpoints import make_checkpoint
from core.sync.seen_checkpoints import look, snapshots_of
from sync_relay.client import RelayClient
from sync_relay.statements import make_delete
from tests.core import remote_device
from tests.core.sync.conftest import shown
from tests.core.sync.test_bootstrap import full, let_grace_pass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sync_relay import wire
    from tests.core.sync.conftest import Device, Home
    from tests.sync_relay.running_relay import Relay

__all__ = ["full"]


def newest(device: Device) -> list[bytes]:
    """Return the snapshots of the newest checkpoint that a device knows."""
    return sorted(one.blob for one in snapshots_of(device.library, look(device.library).newest()[0]))


def lose(relay: Relay, blobs: Iterable[bytes]) -> None:
    """Have the relay know nothing of some blobs."""
    with closing(sqlite3.connect(relay.base_settings.data / "relay.db")) as database, database:
        for blob in blobs:
            assert database.execute("DELETE FROM blob WHERE id = ?", (blob,)).rowcount


def held(device: Device, blobs: list[bytes]) -> list[str]:
    (link,) = device.engine._links.values()
    return [state.state for state in link.client.blob_states(blobs)]


def test_whoever_has_the_bytes_gives_them_again(full: tuple[Device, Device], home: Home, relay: Relay) -> None:
    first, second = full
    first.sync()
    snapshots = newest(first)
    lose(relay, snapshots)
    (alarm,) = first.engine.run().alarms
    assert isinstance(alarm, RolledBack)
    assert f"{relay.url} lacks {len(snapshots)} snapshots" in str(alarm)
    assert held(first, snapshots) == ["stored"] * len(snapshots)
    assert newest(first) == snapshots
    newcomer = home.add()
    for device in (first, newcomer, second):
        device.sync()
    assert shown(newcomer) == shown(first) == shown(second)


def test_where_nobody_has_them_another_checkpoint_is_made_and_taken(
    full: tuple[Device, Device], home: Home, relay: Relay
) -> None:
    """Its author is gone, the relay lost them, and a device has just begun with them."""
    first, second = full
    edits.set_rating(second.library, second.library.catalog.pids("date:2024-05"), 2)
    for device in (second, first, second):
        device.sync()
    home.revoke(first, by=1)
    second.sync()
    snapshots = newest(second)
    missing = [blob for blob in snapshots if not second.library.blobs.exists(blob)]
    assert missing
    newcomer = home.add(by=1)
    second.sync()
    lose(relay, missing)
    report = newcomer.engine.run()
    assert any(isinstance(alarm, Withheld) for alarm in report.alarms)
    assert newcomer.library.base.missing()
    assert newcomer.library.catalog.count() == 0
    before = len(look(second.library).checkpoints)
    second.engine.run()
    assert len(look(second.library).checkpoints) == before + 1
    newcomer.sync()
    second.sync()
    assert shown(newcomer) == shown(second)
    assert newcomer.library.catalog.count("rating:2") == 4
    newcomer.reopen()
    assert (newcomer.library.alarms, newcomer.library.notes) == ([], [])
    assert shown(newcomer) == shown(second)
    # Once is enough.
    heads = second.library.log.heads()
    second.sync()
    assert second.library.log.heads() == heads


@pytest.mark.scenario(11, "it has relays remove what others use", alarm="deleted-in-use")
def test_what_a_member_had_removed_stays_and_the_member_is_named(
    pair: tuple[Device, Device], full: tuple[Device, Device], home: Home, relay: Relay
) -> None:
    first, second = full
    hostile = remote_device.pair(first.library)
    first.sync()
    snapshots = newest(first)
    delete = make_delete(hostile.secrets, first.library.library_id, snapshots, time=0)
    client = relay.client()
    client.sign_in(hostile.secrets, first.library.library_id)
    client.state(delete)
    assert held(first, snapshots) == ["leaving"] * len(snapshots)
    # The other device has none of them: it takes them from the relay itself.
    (alarm,) = second.engine.run().alarms
    assert isinstance(alarm, DeletedInUse)
    assert f"device {hostile.id.hex()[:12]} asked the relay {relay.url}" in str(alarm)
    let_grace_pass(relay)
    assert first.sync().alarms == []
    assert held(first, snapshots) == ["stored"] * len(snapshots)
    newcomer = home.add()
    first.sync()
    newcomer.sync()
    assert newcomer.library.catalog.count() == 10


def test_an_honest_device_may_ask_for_what_it_knows_to_be_superfluous(
    full: tuple[Device, Device], home: Home, relay: Relay
) -> None:
    """It has confirmed a checkpoint that names others, and not heard yet of one that names the old ones again."""
    first, second = full
    third = home.add()
    for device in (first, third, second, first):
        device.sync()
    old = newest(first)
    edits.set_rating(first.library, first.library.catalog.pids("date:2024-05"), 2)
    edits.set_rating(third.library, third.library.catalog.pids("date:2024-06"), 3)
    for device in (first, third):
        assert make_checkpoint(device.library, look(device.library))
    for device in (third, second):
        assert device.sync().alarms == []
    assert held(second, old).count("leaving") == 1
    for device in (first, second, third):
        assert device.sync().alarms == []
    named = {one.blob for known in look(first.library).newest() for one in snapshots_of(first.library, known)}
    assert set(held(first, sorted(named))) == {"stored"}


def test_a_relay_that_says_it_has_no_snapshot_does_not_have_checkpoints_made_without_end(
    full: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "MOST_REPLACED", 1)
    first, second = full
    told = RelayClient.blob_states

    def lie(client: RelayClient, ids: Sequence[bytes]) -> list[wire.BlobState]:
        named = {one.blob for known in look(first.library).checkpoints for one in snapshots_of(first.library, known)}
        return [msgspec.structs.replace(one, state="absent") if one.id in named else one for one in told(client, ids)]

    monkeypatch.setattr(RelayClient, "blob_states", lie)
    for rating in (1, 2, 3):
        for device in (first, second):
            edits.set_rating(device.library, device.library.catalog.pids("date:2024-05"), rating)
            device.engine.run()
    assert len(look(first.library).checkpoints) <= 3
