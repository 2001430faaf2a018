"""Scenario 9: a relay drops envelopes that nothing stands in for, or gives a new device an old checkpoint.

Elsewhere: checkpoints that are made up, by one member or two (test_checkpoint_lies.py), and damaged ones
(tests/core/sync/test_bootstrap.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from core.sync.checkpoints import make_checkpoint
from core.sync.seen_checkpoints import look
from sync_relay import wire
from sync_relay.server.removal import sweep
from tests.hostile.invariant import holds

if TYPE_CHECKING:
    from tests.hostile.world import World

MONTH_S = 31 * 86_400


class TestEarlyPrunes:
    @pytest.mark.scenario(9, "envelopes are pruned too early", alarm="withheld")
    def test_what_no_checkpoint_stands_in_for(self, world: World) -> None:
        """The relay says that envelopes were pruned which nobody told it to drop; its owner puts them back."""
        first, second = world.first, world.second
        world.photo(first)
        world.sync(first)
        gone = [seq for seq, _ in world.unseen(first, second)]
        where = f"kind = 1 AND device_id = ? AND seq >= {gone[0]}"
        with world.database() as database:
            kept = database.execute(f"SELECT body, position FROM item WHERE {where}", (first.id,)).fetchall()  # noqa: S608
            database.execute(f"UPDATE item SET body = NULL WHERE {where}", (first.id,))  # noqa: S608
        alone = world.photo(second)
        world.sync(second, first, second)
        assert second.library.log.head(first.id)[0] < gone[0]
        assert first.library.catalog.photo(alone.pid) is not None, "the other direction goes on"
        with world.database() as database:
            database.executemany("UPDATE item SET body = ? WHERE position = ?", kept)
        holds(world, f"envelope {gone[0]} of device {first.id.hex()[:12]} was pruned")

    @pytest.mark.scenario(9, "it is an old one", alarm="withheld")
    def test_an_old_checkpoint_for_a_new_device(self, world: World) -> None:
        """The relay has dropped what the newer of two checkpoints stands for, and shows a newcomer the older one."""
        first, second = world.first, world.second

        def prune() -> None:
            world.photo(first)
            world.photo(second)
            world.sync(first, second, first)
            assert make_checkpoint(first.library, look(first.library))
            world.sync(first, second, first)
            world.relay.clock.now += MONTH_S  # type: ignore[attr-defined]
            assert world.relay.run(sweep(world.relay.service.parts))["envelopes"]

        prune()
        with world.database() as database:
            ((old,),) = database.execute("SELECT max(position) FROM item WHERE kind = 4").fetchall()
        prune()

        def older(page: wire.LogPage) -> wire.LogPage:
            items = [one for one in page.items if one.kind != wire.KIND_PRUNE or one.position <= old]
            return msgspec.structs.replace(page, items=items)

        newcomer = world.let_in(world.home.add())
        world.sync(first)
        world.lies[newcomer.id].update(log=older, past=older)
        world.sync(newcomer)
        assert {alarm.name for alarm in newcomer.engine.alarms.list()} == {"withheld"}
        world.photo(newcomer)
        holds(world, "was pruned, and gives out no checkpoint that holds it")
