"""Scenario 6: two clients are shown different histories, go on from there, and meet.

Elsewhere: by way of two relays, and a relay that hides each from the other (test_two_histories.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from core.devices import devices, revoke
from crdt.documents import LIBRARY
from crdt.operations import Put
from crypto.envelope import envelope_hash
from sync_relay import wire
from tests.hostile.invariant import holds
from tests.hostile.world import no_news_of_members, only_envelopes

if TYPE_CHECKING:
    from tests.hostile.world import World


class TestSplitViews:
    @pytest.mark.scenario(6, "by the relay", alarm="not-a-member")
    def test_each_sees_its_own_membership(self, world: World) -> None:
        """Both add a device while the relay hides the other's entries: a graph has room for both."""
        first, second = world.first, world.second
        known = len(first.library.members.membership.entries)

        for device in (first, second):
            hide = no_news_of_members(device)
            world.lies[device.id].update(log=hide, past=hide)
        newcomers = [world.let_in(world.home.add(by=by)) for by in (0, 1)]
        world.sync(first, second)
        for newcomer in newcomers:
            world.photo(newcomer)
        world.sync(*newcomers, first, second)
        for device in (first, second):
            assert len(device.library.members.membership.entries) == known + 1
            assert device.library.members.membership.alarms == ()
        holds(world, *(f"of device {newcomer.id.hex()[:12]} is by no member" for newcomer in newcomers))
        assert len(first.library.members.membership.entries) >= known + 2
        assert {one.id for one in newcomers} <= {one.device_id for one in devices(second.library) if not one.revoked}

    @pytest.mark.scenario(6, "by a member", alarm="forked")
    @pytest.mark.scenario(11, "it writes two envelopes of one number", alarm="forked")
    def test_a_member_and_the_relay_together(self, world: World) -> None:
        first, second = world.first, world.second
        mallory = world.mallory()
        one = mallory.edit(LIBRARY, Put("search", "one", "dog"))
        seq, hashed = mallory.remote.place
        mallory.remote.chain.pop()
        mallory.replicas.clear()
        other = mallory.edit(LIBRARY, Put("search", "other", "cat"))
        mallory.at(world.relay).append(one)
        swap = only_envelopes(
            lambda items: [
                msgspec.structs.replace(item, body=other, hash=item.hash and envelope_hash(other))
                if item.body == one
                else item
                for item in items
            ]
        )

        def heads(told: wire.Heads) -> wire.Heads:
            other_head = wire.Head(device_id=mallory.id, seq=seq, hash=envelope_hash(other))
            return msgspec.structs.replace(
                told, heads=[other_head if head.hash == hashed else head for head in told.heads]
            )

        world.lies[second.id].update(
            log=swap, past=swap, heads=heads, envelope=lambda told: other if told == one else told
        )
        for device in (first, second, first):
            world.photo(device)
            world.sync(device)
        assert {name for name, _ in first.library.replica_items(LIBRARY, "search")} == {"one"}
        world.lies[second.id].clear()
        world.sync(second, first)
        # What the hint says: revoke it.
        revoke(first.library, mallory.id)
        world.sync(first, second)
        holds(world, f"envelope {seq}", f"device {mallory.id.hex()[:12]}", apart=True)
