"""Scenario 3: a relay that gives out everything, but in another order, twice, or with something left out."""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING

import pytest

from core.errors import BlobDamaged, BlobMissing
from core.originals import Originals
from tests.core.sync.conftest import converged
from tests.hostile.invariant import holds
from tests.hostile.world import only_envelopes

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync_relay.wire import Item
    from tests.hostile.world import World


def shuffled(items: list[Item]) -> list[Item]:
    return random.Random(3).sample(items, len(items))


def without(gone: bytes, items: list[Item]) -> list[Item]:
    return [item for item in items if item.body != gone]


ORDERS: dict[str, Callable[[list[Item]], list[Item]]] = {
    "backwards": lambda items: items[::-1],
    "twice each": lambda items: [item for item in items for _ in range(2)],
    "twice, the second time backwards": lambda items: items + items[::-1],
    "shuffled": shuffled,
}


class TestShuffledAnswers:
    @pytest.mark.scenario(3, "envelopes are reordered", "envelopes are repeated")
    def test_envelopes_in_another_order_or_twice(self, world: World) -> None:
        """Also from the beginning: a device that has nothing yet is told all of it that way."""
        first, second = world.first, world.second
        for change in ORDERS.values():
            world.photo(first)
            world.sync(first)
            world.lies[second.id].update(log=only_envelopes(change), past=only_envelopes(change))
            world.sync(second)
            converged(first, second)
        newcomer = world.let_in(world.home.add())
        world.sync(first)
        world.lies[newcomer.id].update(log=only_envelopes(shuffled), past=only_envelopes(shuffled))
        world.sync(newcomer)
        converged(first, newcomer)
        holds(world)

    @pytest.mark.scenario(3, "envelopes are dropped", alarm="withheld")
    def test_one_envelope_after_the_other_is_left_out(self, world: World) -> None:
        first, second = world.first, world.second
        for left_out in range(3):
            world.photo(first)
            world.sync(first)
            seq, gone = world.unseen(first, second)[left_out]
            drop = only_envelopes(functools.partial(without, gone))
            world.lies[second.id].update(log=drop, past=drop)
            world.sync(second)
            assert second.library.log.head(first.id)[0] == seq - 1
            words = [kept.message for kept in second.engine.alarms.list()]
            assert any(f"envelope {seq} of device {first.id.hex()[:12]}" in message for message in words), words
            world.lies[second.id].clear()
            world.sync(second)
            assert second.library.log.head(first.id)[0] >= seq
        holds(world)

    @pytest.mark.scenario(3, "blobs are dropped or exchanged", alarm=("blob-damaged", "blob-missing"))
    def test_blobs_are_exchanged_or_gone(self, world: World) -> None:
        first, second = world.first, world.second
        one, other = world.photo(first), world.photo(first)
        world.sync(first, second)
        files = [world.object_of(world.blob_of(photo)) for photo in (one, other)]
        contents = [file.read_bytes() for file in files]
        for file, content in zip(files, reversed(contents), strict=True):
            file.write_bytes(content)
        for photo in (one, other):
            with Originals(second.library) as originals, pytest.raises(BlobDamaged) as damaged:
                originals.ensure(photo.pid)
            world.heard.append(damaged.value)
        files[0].unlink()
        with Originals(second.library) as originals, pytest.raises(BlobMissing) as missing:
            originals.ensure(one.pid)
        world.heard.append(missing.value)
        for file, content in zip(files, contents, strict=True):
            file.write_bytes(content)
        with Originals(second.library) as originals:
            assert all(originals.ensure(photo.pid) for photo in (one, other))
        holds(world, world.blob_of(one).hex(), world.blob_of(other).hex())
