"""Scenarios 4 and 6: a relay that forgets under a running watch, and clients that were shown different histories.

Elsewhere: a database put back between two syncs, and a relay that begins again with nothing
(tests/core/sync/test_two_devices.py, test_one_device.py); second chains as they come in (tests/core/test_ingest.py);
copies of one device (tests/core/sync/test_forks.py).
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import msgspec
import pytest

from core import edits
from core.sync.alarms import SyncAlarms
from crdt.documents import LIBRARY
from crdt.operations import Put
from sync_relay import wire
from tests.core.sync.conftest import converged, shown
from tests.core.sync.test_watch import Watching
from tests.hostile.conftest import Hostile, LyingClient, about, lie_to, still_sound, sync_all
from tests.hostile.test_relay_words import without

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.core.sync.conftest import Device, PutBack
    from tests.sync_relay.running_relay import Relay


@pytest.mark.scenario(6, "by a member", alarm="forked")
class TestAMemberThatTellsTwoStories:
    def test_two_relays_that_were_told_differently_meet(
        self, pair: tuple[Device, Device], mallory: Hostile, relay: Relay, new_relay: Callable[..., Relay]
    ) -> None:
        """Each honest device has seen another envelope of the member; then they exchange what they know."""
        first, second = pair
        other = new_relay()
        first.engine.relays.use(other.url, other.invite())
        sync_all(first, second)
        one = mallory.edit(LIBRARY, Put("search", "one", "dog"))
        at = mallory.remote.place
        mallory.remote.chain.clear()
        mallory.replicas.clear()
        another = mallory.edit(LIBRARY, Put("search", "another", "cat"))
        assert mallory.remote.place[0] == at[0] == 1
        mallory.at(relay).append(one)
        mallory.at(other).append(another)
        first.engine.run(only=[relay.url])
        second.engine.run(only=[other.url])
        pids = first.photos(2)
        edits.set_caption(second.library, second.photos(2, month="2024-06"), "by the second")
        alarms = sync_all(first, second, rounds=3)
        assert set(about(alarms, mallory.id)) == {"forked"}
        for device in (first, second):
            assert "forked" in {kept.name for kept in SyncAlarms(device.library).list()}
            assert device.library.catalog.count() == 4, "what honest devices wrote reaches both"
        edits.set_rating(first.library, pids, 5)
        sync_all(first, second)
        assert shown(first)["photos"] == shown(second)["photos"]
        still_sound(first, second)


def hidden(device: bytes, place: tuple[int, bytes]) -> Callable[[wire.Heads], wire.Heads]:
    """Have a relay name an older envelope of a device as its newest."""

    def altered(heads: wire.Heads) -> wire.Heads:
        others = [head for head in heads.heads if head.device_id != device]
        older = wire.Head(device_id=device, seq=place[0], hash=place[1])
        return msgspec.structs.replace(heads, heads=[*others, older])

    return altered


@pytest.mark.scenario(6, "by the relay")
class TestARelayThatTellsTwoStories:
    def test_what_was_kept_apart_comes_together(self, pair: tuple[Device, Device]) -> None:
        """The relay shows neither what the other has written. Nobody can tell; once they meet, nothing is lost."""
        first, second = pair
        sync_all(first, second)
        heads = {device.id: device.library.log.head(device.id) for device in pair}
        lies = []
        for one, other in ((first, second), (second, first)):
            keep = without(other.id, heads[other.id][0] + 1)
            lies.append(lie_to(one, log=keep, past=keep, heads=hidden(other.id, heads[other.id])))
        first.photos(2)
        edits.set_caption(second.library, second.photos(2, month="2024-06"), "alone")
        assert sync_all(first, second) == []
        assert first.library.catalog.count() == second.library.catalog.count() == 2
        for lie in lies:
            lie.clear()
        sync_all(first, second)
        converged(first, second)
        assert first.library.catalog.count() == 4
        still_sound(first, second)

    def test_a_second_relay_is_where_they_meet(
        self, pair: tuple[Device, Device], new_relay: Callable[..., Relay], relay: Relay
    ) -> None:
        first, second = pair
        other = new_relay()
        first.engine.relays.use(other.url, other.invite())
        sync_all(first, second)
        last = second.library.log.head(second.id)
        keep = without(second.id, last[0] + 1)
        lie_to(first, log=keep, past=keep, heads=hidden(second.id, last))
        second.photos(2)
        second.sync()
        assert sync_all(first) == []
        first.engine.close()
        first.connect, first._engine = (lambda url: LyingClient(url, {} if url == other.url else {"log": keep})), None
        sync_all(first, second)
        converged(first, second)
        assert first.library.catalog.count() == 2


@pytest.mark.scenario(4, "to an earlier backup", "to nothing", alarm="rolled-back")
class TestARelayThatForgetsWhileItIsWatched:
    @pytest.mark.parametrize("to", ["an earlier state", "nothing"])
    def test_it_is_named_and_filled_again(
        self, pair: tuple[Device, Device], relay: Relay, put_back: PutBack, to: str
    ) -> None:
        first, second = pair
        sync_all(first, second)
        for device in pair:
            device.engine.close()
        put_back.save(relay)
        first.photos(2)
        watching = Watching(first)
        try:
            watching.until_reported()
            first.photos(1, month="2024-06")
            watching.until(lambda: len(watching.reports) > 1)
            if to == "nothing":
                relay.stop()
                shutil.rmtree(relay.base_settings.data)
                relay.start()
                invite = relay.invite()
            else:
                put_back(relay)
            pids = first.photos(1, month="2024-07")
            if to == "nothing":
                watching.until(lambda: watching.reports[-1].worst_error is not None)
                first.engine.relays.use(relay.url, invite)
            watching.until(lambda: any(kept.name == "rolled-back" for kept in SyncAlarms(first.library).list()))
        finally:
            watching.end()
        first.engine.run()
        sync_all(second, first)
        converged(first, second)
        assert second.library.catalog.photo(pids[0]) is not None
        assert second.library.catalog.count() == 4
        still_sound(first, second)
