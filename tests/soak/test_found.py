"""Runs that the state machine found and shrank, kept as they were: each is a list of steps, and then all must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.soak.machine import beginning
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
