"""Runs that the state machine found and shrank, kept as they were: each is a list of steps, and then all must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.sync.alarms import SyncAlarms
from tests.soak.beginning import beginning
from tests.soak.in_process import URL
from tests.soak.mischief import Fault
from tests.soak.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    made = World(beginning())
    yield made
    made.close()


def test_a_revocation_that_the_relay_forgot_is_given_again(world: World) -> None:
    """The relay was put back, and others have brought it as far again before whoever revoked comes back."""
    world.add_device(0)
    for number in (0, 1, 2):
        world.sync(number)
    world.back_up()
    world.revoke(2, 1)
    world.sync(1)
    world.roll_back(announced=False)
    world.edit(0, 0)
    world.edit(0, 0)
    world.sync(0)
    world.check()
    assert world.devices[2].id not in world.devices[0].library.members.membership.members
    told = [alarm for device in world.devices[:2] for alarm in SyncAlarms(device.library).list()]
    assert any("membership entries that it had" in alarm.message for alarm in told)


def test_a_revocation_that_the_relay_forgot_and_nothing_shows_is_given_again(world: World) -> None:
    """Another device wrote just before it was given, and gives the relay what it lost before anybody looks."""
    world.add_device(0)
    for number in (0, 1, 2, 0, 1):
        world.sync(number)
    world.back_up()
    world.revoke(2, 1)
    world.edit(0, 0)
    world.sync_two(1, 0, 1)
    world.roll_back(announced=False)
    world.sync(0)
    world.check()
    assert world.devices[2].id not in world.devices[0].library.members.membership.members
    told = [alarm.message for alarm in SyncAlarms(world.devices[1].library).list()]
    assert any("lacks 2 membership entries that it had" in message for message in told), told


def test_what_a_revoked_device_wrote_and_relays_dropped_reaches_who_revoked_it(world: World) -> None:
    """Another device has it, and has confirmed the checkpoint of the revoked one in which alone it still is."""
    world.add_device(0)
    for number in (0, 1, 2, 0, 1):
        world.sync(number)
    world.withhold(2, 0)
    world.add_photos(2, 2)
    world.checkpoint(2)
    world.edit(2, 1)
    for number in (2, 1, 2, 1):
        world.sync(number)
    world.months_pass(2)
    world.revoke(2, 0)
    world.check()
    assert world.devices[0].library.catalog.count() == 2
    assert SyncAlarms(world.devices[0].library).list() == []


def test_a_device_that_was_away_twice_is_rebuilt(world: World) -> None:
    """It builds on two checkpoints, one after the other, with envelopes before, between and after them."""
    world.add_device(0)
    for number in (0, 1, 2, 0, 1):
        world.sync(number)
    for _ in range(2):
        for number in (0, 1):
            world.edit(0, 0)
            world.sync(0)
            world.sync(number)
        world.edit(0, 0)
        world.checkpoint(0)
        for number in (0, 2, 0, 2):
            world.sync(number)
        world.months_pass(2)
        world.edit(0, 0)
        for number in (0, 1):
            world.sync(number)
    library = world.devices[1].library
    assert library.log.base() != {}
    library.rebuild_view()
    assert library.alarms == []
    world.check()


def test_a_device_is_added_while_a_hostile_member_makes_two_epochs(world: World) -> None:
    """Each of two devices knows of the one or the other when it makes the next epoch, and then nobody writes."""
    world.hostile_writes(5, 2)
    world.add_device(1)
    world.hostile_writes(3, 0)
    world.check()


def test_a_user_takes_back_all_there_is_the_use_of_the_relay_too(world: World) -> None:
    """The devices forget their relay, each as it hears of it, until their users name it again."""
    world.add_photos(0)
    world.purge(0, 0)
    for _ in range(3):
        world.undo(0)
    assert world.devices[0].engine.relays.urls() == []
    world.sync(0)
    world.sync(1)
    assert world.devices[1].engine.relays.urls() == []
    world.edit(1, 0)
    world.check()


def test_an_answer_is_cut_off_and_altered_on_its_way(world: World) -> None:
    """What the crook alters is what came to it, whatever that is; what it keeps for later is what the relay said."""
    world.sync(1)
    world.add_photos(0)
    world.sync(0)
    world.sync(1, [Fault("cut", 0, 5), Fault("omit")])
    world.check()


def test_a_device_is_added_where_the_key_has_to_be_changed_first(world: World) -> None:
    """A hostile member has made two epochs, and pairing is the first thing that is done about it."""
    world.hostile_writes(5, 1)
    for number in (1, 0):
        world.sync(number)
    world.add_device(0)
    world.check()


def test_a_membership_entry_is_altered_where_it_says_whose_it_is(world: World) -> None:
    """It names nobody any more: the relay that gave it out does, which stands beside the alarm."""
    world.add_device(0)
    world.sync(0)
    world.sync(2, [Fault("damage", amount=350)])
    told = SyncAlarms(world.devices[2].library).list()
    assert [(alarm.name, alarm.relay) for alarm in told] == [("forged", URL)]
    assert "in ascending order" in told[0].message
    world.check()


def test_a_device_is_added_in_the_history_that_another_one_was_not_shown(world: World) -> None:
    """Nobody has written beside it: only that the relay lacks what it had tells that there is something to read."""
    world.fork(2)
    world.edit_meanwhile(1, 2, 97)
    world.add_device(2)
    world.undo(0)
    world.check()
    assert world.devices[2].id in world.devices[1].library.members.membership.members


def test_a_relay_is_put_back_and_lacks_a_snapshot_that_its_author_still_has(world: World) -> None:
    """A device has joined by the checkpoint, and the one that confirmed it never had the bytes."""
    world.add_photos(1, 2, 0)
    world.purge(1, 2)
    world.purge(1, 1)
    world.checkpoint(1)
    world.back_up()
    world.add_photos(1, 2, 1)
    world.edit(1, 0, 6, 4)
    world.purge(1, 0)
    world.sync(1)
    world.sync(0)
    world.add_device(3)
    world.edit(2, 6, 0, 2)
    world.sync(1)
    world.edit(2, 2, 2, 0)
    world.roll_back(announced=True)
    world.sync(2)
    world.add_photos(0, 1, 0)
    world.withhold(0, 1, 1)
    world.check()


def test_a_member_has_a_snapshot_removed_before_a_device_that_began_with_it_has_fetched_it(world: World) -> None:
    """A month has gone by until anybody looks, and the device that confirmed the checkpoint was revoked."""
    world.hostile_writes(4, 0)
    world.add_device(1)
    world.checkpoint(1)
    world.add_device(0)
    world.checkpoint(3)
    world.add_photos(1, 2, 1, same=True)
    world.sync(3)
    world.checkpoint(1)
    world.sync(1)
    world.sync(2)
    world.hostile_writes(6, 1)
    world.sync(0)
    world.months_pass(2)
    world.revoke(0, 1)
    world.add_photos(3, 1, 1)
    world.edit_meanwhile(1, 5, 88)
    world.add_photos(2, 1, 0, same=True)
    world.check()


def test_what_a_revoked_device_wrote_is_asked_for_again_where_a_member_has_built_on_it(world: World) -> None:
    """It came damaged to whoever had revoked its author, and counts only since another device has seen it."""
    world.add_device(0)
    world.add_device(1)
    world.keep_all(2, wanted=True)
    for number in (1, 2, 3):
        world.sync(number)
    world.revoke(2, 0)
    world.sync(0, [Fault("damage", amount=8_945)])
    world.edit(3, 0)
    world.check()
    assert world.devices[0].library.log.head(world.devices[2].id)[0] == 1


def test_a_device_revokes_who_confirmed_the_checkpoint_before_it_has_loaded_it(world: World) -> None:
    """It has written something by then, and nothing of what relays have dropped was shown to it."""
    world.sync(1)
    world.checkpoint(1)
    world.sync(1)
    world.sync(0)
    world.edit(0, 6, 4, 2)
    world.withhold(0, 1, 3)
    world.months_pass(1)
    world.free(1, single_copy=False)
    world.edit(1, 4, 3, 0)
    world.sync(0)
    world.free(0, single_copy=True)
    world.add_device(1)
    world.free(2, single_copy=True)
    world.add_device(1)
    world.withhold(0, 3, 1)
    world.edit(3, 7, 5, 5)
    world.edit(1, 2, 4, 0)
    world.revoke(0, 3)
    world.edit(0, 6, 7, 2)
    world.check()
