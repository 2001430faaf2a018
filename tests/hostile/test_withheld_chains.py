"""Scenario 5: a relay keeps something back from one client, for as long as it likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from core import edits
from crypto.envelope import read_header
from tests.core.remote_device import beside
from tests.hostile.invariant import holds
from tests.hostile.world import no_news_of_members, only_envelopes

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync_relay import wire
    from tests.hostile.world import World


def no_envelope_of(device: bytes) -> Callable[[wire.LogPage], wire.LogPage]:
    return only_envelopes(
        lambda items: [item for item in items if item.body is None or read_header(item.body).device_id != device]
    )


def no_head_of(device: bytes) -> Callable[[wire.Heads], wire.Heads]:
    return lambda heads: msgspec.structs.replace(
        heads, heads=[head for head in heads.heads if head.device_id != device]
    )


class TestWithheldChains:
    @pytest.mark.scenario(5, "one device's envelopes", alarm="withheld")
    def test_all_that_one_device_ever_wrote(self, world: World) -> None:
        """The relay denies it altogether; who has seen it names it, and whoever lacks it hears of that."""
        first, second = world.first, world.second
        third = world.let_in(world.home.add())
        world.sync(first)
        hide = no_envelope_of(third.id)
        world.lies[second.id].update(log=hide, past=hide, heads=no_head_of(third.id), envelope=lambda _: None)
        photo = world.photo(third)
        world.sync(third, first)
        edits.set_rating(first.library, [photo.pid], 4)
        world.photo(first)
        world.sync(first, second, second)
        assert second.library.catalog.photo(photo.pid) is None
        world.photo(second)
        world.sync(second, first)
        seq = third.library.log.head(third.id)[0]
        holds(world, f"envelope {seq} of device {third.id.hex()[:12]}, which device {first.id.hex()[:12]} has seen")
        assert second.library.catalog.search("rating:4")

    @pytest.mark.scenario(5, "membership entries", alarm="withheld")
    @pytest.mark.scenario(2, "under another epoch", alarm="withheld")
    def test_a_change_of_the_key(self, world: World) -> None:
        """A device that is held in the old epoch opens nothing of the new one, and says why."""
        first, second = world.first, world.second
        hide = no_news_of_members(second)
        world.lies[second.id].update(log=hide, past=hide)
        entry = beside(first.library).rotate()
        first.library.add_entries([entry])
        world.photo(first)
        world.sync(first, second, second)
        assert entry.hash not in second.library.members.membership.entries
        photo = world.photo(second)  # sealed under the old key, before its author saw the rotation
        world.sync(second, first)
        assert first.library.catalog.photo(photo.pid) is not None
        holds(world, f"of device {first.id.hex()[:12]} builds on membership entries that no relay gives out")
