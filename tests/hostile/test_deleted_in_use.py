"""A member asks a relay to remove what others still use: the blobs stay, and everybody learns whose word it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core import edits
from core.errors import DeletedInUse
from core.sync import who_deleted
from core.sync.free import free
from sync_relay.client import RelayClient
from sync_relay.statements import make_delete

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.library import Library
    from tests.core.sync.conftest import Device
    from tests.hostile.conftest import Hostile
    from tests.sync_relay.running_relay import Relay


def originals(library: Library, pids: Sequence[bytes]) -> list[bytes]:
    return [copy.blob_id for pid in pids for copy in library.catalog.copies(pid) if copy.role == "original"]


def signed_in(mallory: Hostile, relay: Relay) -> RelayClient:
    client = RelayClient(relay.url)
    client.sign_in(mallory.remote.secrets, mallory.library_id, 0)
    return client


def ask_to_remove(mallory: Hostile, relay: Relay, blobs: Sequence[bytes]) -> None:
    delete = make_delete(mallory.remote.secrets, mallory.library_id, sorted(blobs), time=1_700_000_000)
    with signed_in(mallory, relay) as client:
        client.append_statements([delete])


def states(mallory: Hostile, relay: Relay, blobs: Sequence[bytes]) -> list[str]:
    with signed_in(mallory, relay) as client:
        return [state.state for state in client.blob_states(blobs)]


@pytest.mark.scenario(11, "it has relays remove what others use", alarm="deleted-in-use")
def test_what_lies_here_is_given_again_and_the_relay_is_not_blamed(
    pair: tuple[Device, Device], mallory: Hostile, relay: Relay
) -> None:
    first, second = pair
    blobs = originals(first.library, first.photos(3))
    first.sync()
    mallory.knows(first.library)
    ask_to_remove(mallory, relay, blobs)
    assert states(mallory, relay, blobs) == ["leaving"] * 3
    # A device that has none of them, and never freed any, says nothing.
    assert second.sync().alarms == []
    (alarm,) = first.engine.run().alarms
    assert isinstance(alarm, DeletedInUse)
    assert f"device {mallory.id.hex()[:12]} asked the relay" in str(alarm)
    assert "3 were given" in str(alarm)
    assert "revoke" in (alarm.hint or "")
    (kept,) = first.engine.alarms.list()
    assert type(kept.error()) is DeletedInUse
    assert states(mallory, relay, blobs) == ["stored"] * 3
    assert first.sync().alarms == []


@pytest.mark.scenario(11, "it has relays remove what others use", alarm="deleted-in-use")
def test_what_lies_at_the_relay_alone_is_taken_from_there_and_given_again(
    pair: tuple[Device, Device], mallory: Hostile, relay: Relay
) -> None:
    first, _ = pair
    pids = first.photos(2)
    blobs = originals(first.library, pids)
    first.sync()
    assert free(first.library, single_copy=True).freed == 2
    mallory.knows(first.library)
    ask_to_remove(mallory, relay, blobs)
    (alarm,) = first.engine.run().alarms
    assert (alarm.name, "2 were given" in str(alarm)) == ("deleted-in-use", True)
    assert states(mallory, relay, blobs) == ["stored"] * 2
    assert not any(first.library.blobs.exists(blob_id) for blob_id in blobs)


@pytest.mark.scenario(11, "it has relays remove what others use", alarm="deleted-in-use")
def test_behind_many_deletes_it_is_still_named(
    pair: tuple[Device, Device], mallory: Hostile, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Years of honest deletes lie before its own: a few pages of the newest are enough."""
    for name, number in (("_PAGE", 4), ("_NEWEST", 4), ("_MOST_PAGES", 1)):
        monkeypatch.setattr(who_deleted, name, number)
    first, _ = pair
    blobs = originals(first.library, first.photos(1))
    first.sync()
    mallory.knows(first.library)
    secrets, library_id = first.library.members.secrets, first.library.library_id
    with signed_in(mallory, relay) as client:
        client.append_statements(
            [make_delete(secrets, library_id, [bytes([number]) * 32], time=1_700_000_000) for number in range(1, 12)]
        )
    ask_to_remove(mallory, relay, blobs)
    (alarm,) = first.engine.run().alarms
    assert f"device {mallory.id.hex()[:12]} asked the relay" in str(alarm)


@pytest.mark.scenario(11, "it has relays remove what others use")
def test_a_purge_that_was_not_read_yet_is_no_reason(
    pair: tuple[Device, Device], mallory: Hostile, relay: Relay
) -> None:
    first, second = pair
    pids = first.photos(2)
    for device in (first, second, first):
        device.sync()
    blobs = originals(first.library, pids)
    mallory.knows(first.library)
    edits.purge(second.library, pids)
    second.sync()
    assert states(mallory, relay, blobs) == ["leaving"] * 2
    # The purge comes to the relay after this device has read, and before it gives.
    report = first.engine.exchange([relay.url], pull=[], full=True)
    assert report.alarms == []
    assert states(mallory, relay, blobs) == ["leaving"] * 2
    assert first.sync().alarms == []
    assert not any(first.library.blobs.exists(blob_id) for blob_id in blobs)
