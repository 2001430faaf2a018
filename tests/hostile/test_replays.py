"""Scenario 2: what was right once, and signed, is given out again where it does not belong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from core.library import Library
from sync_relay import wire
from tests.core.remote_device import beside
from tests.core.sync.conftest import COSTS
from tests.hostile.invariant import holds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.hostile.world import World


class TestReplays:
    @pytest.mark.scenario(2, "from another library", alarm=("forged", "withheld"))
    def test_what_another_library_wrote(self, world: World, tmp_path: Path) -> None:
        first, second = world.first, world.second
        library, _ = Library.create(tmp_path / "another", b"another passphrase", device_name="another", kdf=COSTS)
        with library:
            other = beside(library)
            foreign, entry = other.write(after=library.log.head(library.device_id)), other.rotate()
        world.photo(first)
        world.sync(first)
        ((seq, _), *_) = world.unseen(first, second)
        with world.stored((first.id, seq), foreign), world.given_out(wire.KIND_MEMBERSHIP, entry.data):
            world.sync(second)
            assert second.library.log.head(first.id)[0] < seq
            assert entry.hash not in second.library.members.membership.entries
        messages = [kept.message for kept in second.engine.alarms.list() if kept.name == "forged"]
        assert any("envelope" in message for message in messages)
        assert any("membership entry" in message for message in messages)
        holds(world, f"envelope {seq} of device {first.id.hex()[:12]}")

    @pytest.mark.scenario(
        2, "as another device's", "under another number", "as another kind of thing", alarm=("forged", "withheld")
    )
    def test_what_this_library_wrote_in_another_place(self, world: World) -> None:
        first, second = world.first, world.second
        world.photo(second)
        world.sync(second, first)
        world.photo(first)
        world.sync(first)
        ((seq, _), *_) = world.unseen(first, second)
        (own, *_) = second.library.log.envelopes_of(second.id, 0, 1)
        (earlier, *_) = first.library.log.envelopes_of(first.id, 0, 1)
        entries = [entry.data for entry in first.library.members.membership.entries.values()]
        for body, alarms in (
            (own.data, {"withheld"}),
            (earlier.data, {"withheld"}),
            (entries[-1], {"forged", "withheld"}),
        ):
            with world.stored((first.id, seq), body):
                world.sync(second)
            assert {kept.name for kept in second.engine.alarms.list()} == alarms
            assert second.library.log.head(first.id)[0] < seq
            second.engine.alarms.clear()
        with world.given_out(wire.KIND_MEMBERSHIP, earlier.data), world.given_out(wire.KIND_PRUNE, entries[-1]):
            world.sync(second)
        assert "forged" in {kept.name for kept in second.engine.alarms.list()}
        holds(world, f"envelope {seq} of device {first.id.hex()[:12]}")

    @pytest.mark.scenario(2, "an earlier answer or sign-in", alarm="rolled-back")
    def test_an_answer_of_the_relay_that_it_gave_before(self, world: World) -> None:
        first, second = world.first, world.second
        world.photo(first)
        world.sync(first, second)
        kept: dict[str, Any] = {}

        def remembered(what: str) -> Callable[[Any], Any]:
            return lambda answer: kept.setdefault(what, answer)

        world.lies[second.id].update({what: remembered(what) for what in ("heads", "log", "past")})
        world.sync(second)
        world.photo(second)
        world.sync(second)
        world.photo(first)
        world.sync(first, second)
        assert "rolled-back" in {alarm.name for alarm in second.engine.alarms.list()}
        holds(world, f"of device {second.id.hex()[:12]}")
