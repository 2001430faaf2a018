"""Scenario 12: what was acknowledged is lost, and a device comes back from a backup, in one library.

Elsewhere, each at every step: connections (tests/core/sync/test_faults.py), kills (tests/crash),
full disks, copies and processes (tests/core, tests/e2e).
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from core import edits
from core.errors import BlobMissing
from core.originals import Originals
from sync_relay import wire
from tests.hostile.invariant import holds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.hostile.world import World


class TestFailingMachines:
    @pytest.mark.scenario(12, "acknowledged writes are lost", alarm="rolled-back")
    def test_a_relay_that_acknowledges_what_it_loses(self, world: World) -> None:
        first, second = world.first, world.second
        photo = world.photo(first)

        def lose(envelopes: Sequence[bytes]) -> wire.Appended:
            session = next(iter(first.engine._links.values())).client.session
            assert session is not None
            return wire.Appended(position=session.position + len(envelopes), stored=len(envelopes))

        world.lies[first.id].update(
            append=lose, upload=lambda blob: wire.BlobState(id=blob, state="stored", size=1_000)
        )
        world.sync(first, second)
        assert second.library.catalog.photo(photo.pid) is None
        world.lies[first.id].clear()
        world.sync(first, second)
        with Originals(second.library) as originals:
            originals.ensure(photo.pid)
        holds(world, f"of device {first.id.hex()[:12]}")

    @pytest.mark.scenario(12, "acknowledged writes are lost", alarm="rolled-back")
    def test_a_relay_that_acknowledges_a_blob_and_loses_it(self, world: World) -> None:
        """It holds the envelope that names it, so nothing looks wrong before somebody wants the photo."""
        first, second = world.first, world.second
        photo = world.photo(first)
        world.lies[first.id].update(upload=lambda blob: wire.BlobState(id=blob, state="stored", size=1_000))
        world.sync(first)
        world.lies[first.id].clear()
        world.sync(second)
        with Originals(second.library) as originals, pytest.raises(BlobMissing):
            originals.ensure(photo.pid)
        world.sync(first)
        with Originals(second.library) as originals:
            originals.ensure(photo.pid)
        holds(world, "lacks blobs that it had acknowledged: 1 of")

    @pytest.mark.scenario(12, "a device is restored from an old backup")
    def test_a_device_that_is_restored_from_an_old_backup(self, world: World, tmp_path: Path) -> None:
        first, second = world.first, world.second
        old = second.id
        world.photo(first)
        world.sync(first, second)
        second.close()
        shutil.copytree(second.root, tmp_path / "backup")
        second.reopen()
        photo = world.photo(second)
        world.sync(second, first)
        world.photo(second)
        second.close()
        lost = world.planted.pop()
        shutil.rmtree(second.root)
        shutil.copytree(tmp_path / "backup", second.root)
        second.reopen()
        world.let_in(second)
        edits.set_rating(second.library, second.library.catalog.pids()[:1], 2)
        world.sync(second, first)
        with Originals(second.library) as originals:
            originals.ensure(photo.pid)  # the backup is older than it, and the relay has it
        assert second.id != old
        assert second.library.catalog.photo(photo.pid) is not None
        assert second.library.catalog.photo(lost.pid) is None, "what never left the lost disk is lost with it"
        holds(world)
