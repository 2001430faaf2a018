"""Scenario 7: a revoked device writes on, and the relay helps it.

Elsewhere: at a relay that keeps to the rules (test_members_at_war.py), and one that was put back to before the
revocation (test_rolled_back_relay.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.devices import revoke
from crdt.documents import LIBRARY
from crdt.operations import Put
from crypto.envelope import read_header
from crypto.epochs import open_epochs
from crypto.keys import DeviceSecrets
from sync_relay import wire
from tests.hostile.invariant import holds

if TYPE_CHECKING:
    from tests.hostile.world import World


class TestRevokedWriters:
    @pytest.mark.scenario(
        7, "it forges or dates back an envelope", "it brings others in", alarm=("not-a-member", "rolled-back")
    )
    @pytest.mark.scenario(7, "it reads what is written afterwards", alarm=("not-a-member", "rolled-back"))
    def test_a_relay_that_keeps_it_as_a_member(self, world: World) -> None:
        first, second = world.first, world.second
        mallory = world.mallory()
        mallory.at(world.relay).append(mallory.edit(LIBRARY, Put("search", "before", "dog")))
        world.sync(first, second)
        before = mallory.remote.membership
        revoke(first.library, mallory.id)
        world.photo(first)
        world.sync(first, second)
        with world.database() as database:
            database.execute("UPDATE member SET active = 1")
        # It goes on as if it had heard of nothing: dated before the revocation, under the key that it has.
        assert mallory.remote.membership.current == before.current
        client = mallory.at(world.relay)
        client.append(mallory.edit(LIBRARY, Put("search", "late", "cat"), at=1))
        accomplice = mallory.remote.add(DeviceSecrets.generate())
        rotation = mallory.remote.rotate()
        with (
            world.given_out(wire.KIND_MEMBERSHIP, accomplice.data),
            world.given_out(wire.KIND_MEMBERSHIP, rotation.data),
        ):
            photo = world.photo(second)
            world.sync(second, first, second)
        for device in (first, second):
            membership = device.library.members.membership
            assert accomplice.author not in membership.members
            assert accomplice.admission.device_id not in membership.members
            assert {name for name, _ in device.library.replica_items(LIBRARY, "search")} == {"before"}
        # It sees the envelope go by, and has no key for it.
        mallory.knows(first.library)
        keys = open_epochs(mallory.remote.membership, mallory.remote.secrets).keys
        sealed = [one.data for one in second.library.log.envelopes_of(second.id, 0, 1000)][-1]
        assert photo.device is second
        assert read_header(sealed).epoch_id not in keys
        # What the relay gave out it does not hold, as an honest one holds what it ever gave: that is named too.
        holds(world, f"device {mallory.id.hex()[:12]} was revoked")
