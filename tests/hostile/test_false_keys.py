"""Scenario 10: keys that are not what they are said to be.

Elsewhere: in pairing, for a recovery phrase, codes that are guessed or used twice, devices that revoke each other
(tests/core/devices); keys that a member makes up (test_members_at_war.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crypto import signing
from crypto.keys import DeviceSecrets
from crypto.membership import create_genesis
from crypto.phrase import new_phrase, phrase_secrets
from crypto.purposes import Signed
from crypto.signing import SIGNATURE_BYTES
from sync_relay import wire
from tests.core.remote_device import beside
from tests.hostile.invariant import holds

if TYPE_CHECKING:
    from tests.hostile.world import World


class TestFalseKeys:
    @pytest.mark.scenario(10, "in the membership", alarm=("forged", "not-a-member"))
    def test_entries_that_the_relay_signed_itself(self, world: World) -> None:
        """Another genesis, a device that nobody added, and a member's own entries with a key or an author changed."""
        first, second = world.first, world.second
        stranger, newcomer = DeviceSecrets.generate(), DeviceSecrets.generate()
        add, rotation = beside(first.library).add(newcomer).data, beside(first.library).rotate().data

        def signed(entry: bytes, *changes: tuple[bytes, bytes]) -> bytes:
            for old, new in changes:
                assert old in entry
                entry = entry.replace(old, new, 1)  # the first is the author, others may be recipients
            body = entry[:-SIGNATURE_BYTES]
            return body + signing.sign(stranger.signing_seed, Signed.MEMBERSHIP, body)

        entries = [
            create_genesis(stranger, phrase_secrets(new_phrase())),
            signed(add, (first.id, stranger.device_id)),
            signed(rotation, (first.id, stranger.device_id)),
            add.replace(newcomer.exchange_public, stranger.exchange_public),
            add.replace(newcomer.device_id, stranger.device_id),
            signed(rotation),
        ]
        members = set(first.library.members.membership.members)
        for entry in entries:
            with world.given_out(wire.KIND_MEMBERSHIP, entry):
                world.photo(first)
                world.sync(first, second)
            alarms = second.engine.alarms.list()
            assert {alarm.name for alarm in alarms} <= {"forged", "not-a-member"}, (entries.index(entry), alarms)
            assert alarms, entries.index(entry)
            second.engine.alarms.clear()
            assert set(second.library.members.membership.members) == members
            assert second.library.members.current.epoch_id == first.library.members.current.epoch_id
        holds(world)
