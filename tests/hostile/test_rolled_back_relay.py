"""Scenario 4: the relay's machine is put back to what it was, or begins again with nothing.

Elsewhere: the same under a running watch (test_two_histories.py).
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from core.devices import revoke
from crdt.documents import LIBRARY
from crdt.operations import Put
from sync_relay import errors
from tests.core.sync.conftest import PutBack
from tests.hostile.invariant import holds

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hostile.world import World


class TestRolledBackRelay:
    @pytest.mark.scenario(4, "to an earlier backup", alarm=("rolled-back", "not-a-member"))
    @pytest.mark.scenario(7, "it keeps its token", alarm=("rolled-back", "not-a-member"))
    def test_to_before_a_revocation(self, world: World, tmp_path: Path) -> None:
        """The relay lets the revoked device in again, which writes; the others tell it what it has forgotten."""
        first, second = world.first, world.second
        mallory = world.mallory()
        put_back = PutBack(tmp_path / "backup")
        put_back.save(world.relay)
        world.photo(first)
        world.photo(second)
        world.sync(first, second, first)
        revoke(first.library, mallory.id)
        world.sync(first, second)
        put_back(world.relay)
        client = mallory.at(world.relay)
        client.append(mallory.edit(LIBRARY, Put("search", "late", "cat"), at=1))
        alone = world.photo(second, month="2023-02")
        world.sync(second, first)
        assert first.library.catalog.photo(alone.pid) is not None
        with pytest.raises((errors.NotAMember, errors.NotSignedIn)):
            client.pull()
        assert "late" not in {name for name, _ in first.library.replica_items(LIBRARY, "search")}
        holds(world, f"device {mallory.id.hex()[:12]} was revoked", "was put back")

    @pytest.mark.scenario(4, "to nothing", alarm="rolled-back")
    def test_to_an_empty_database(self, world: World) -> None:
        first, second = world.first, world.second
        photo = world.photo(first)
        world.sync(first, second)
        world.relay.stop()
        shutil.rmtree(world.relay.base_settings.data)
        world.relay.start()
        world.photo(second)
        assert second.engine.run().worst_error is not None
        first.engine.relays.use(world.relay.url, world.relay.invite())
        world.sync(first, second, first)
        assert world.object_of(world.blob_of(photo)).is_file()
        holds(world, "of device")
