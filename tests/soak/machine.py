"""Any sequence of what users, networks and attackers do to a library on several devices: the rules of `World`."""

from __future__ import annotations

import atexit
import functools
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.soak.beginning import Beginning, make_beginning, memory_folder
from tests.soak.counts import Counts
from tests.soak.mischief import HARMLESS, KINDS, Fault
from tests.soak.world import MOST_DEVICES, World

if TYPE_CHECKING:
    from collections.abc import Sequence

DEVICES = st.integers(0, MOST_DEVICES - 1)
PHOTOS = st.integers(0, 7)
REQUESTS = st.integers(0, 12)
FAULTS = st.builds(Fault, st.sampled_from(KINDS), REQUESTS, st.integers(0, 1 << 16))
FAILURES = st.builds(Fault, st.sampled_from(sorted(HARMLESS)), REQUESTS, st.integers(0, 1 << 16))

TRIED = Counts()
"""What the machines of this process have done."""


@functools.cache
def beginning() -> Beginning:
    """Return what every run of this process begins with."""
    folder = Path(tempfile.mkdtemp(prefix="safelight-beginning-", dir=memory_folder()))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_beginning(folder)


class Devices(RuleBasedStateMachine):
    """Devices, a relay, and whoever stands between them."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None

    @initialize(seed=st.integers(0, 1 << 16), more=st.integers(0, MOST_DEVICES - 2))
    def begin(self, seed: int, more: int) -> None:
        self.world = World(beginning(), seed)
        for by in range(more):
            self.world.add_device(by)

    @property
    def at(self) -> World:
        assert self.world is not None
        return self.world

    def teardown(self) -> None:
        if self.world is None:
            return
        world = self.world
        try:
            if sys.exception() is not None:  # of a step: what comes after it means nothing
                return
            steps = world.steps
            world.check()
            TRIED.steps += steps
            TRIED.alarms += world.alarms
        finally:
            note("\n".join([f"world = World(beginning(), {world.seed})", *world.log]))
            world.close()

    # What users do

    @rule(device=DEVICES, count=st.integers(1, 2), month=st.integers(0, 1), same=st.booleans())
    def add_photos(self, device: int, count: int, month: int, same: bool) -> None:
        self.at.add_photos(device, count, month, same=same)

    @rule(device=DEVICES, what=st.integers(0, 8), photo=PHOTOS, value=st.integers(0, 5))
    def edit(self, device: int, what: int, photo: int, value: int) -> None:
        self.at.edit(device, what, photo, value)

    @rule(device=DEVICES, what=st.integers(0, 8), photo=PHOTOS, value=st.integers(0, 5))
    def edit_more(self, device: int, what: int, photo: int, value: int) -> None:
        self.at.edit(device, what, photo, value)

    @rule(device=DEVICES)
    def undo(self, device: int) -> None:
        self.at.undo(device)

    @rule(device=DEVICES, photo=PHOTOS)
    def purge(self, device: int, photo: int) -> None:
        self.at.purge(device, photo)

    @precondition(lambda self: self.world is not None and len(self.at.devices) < MOST_DEVICES)
    @rule(by=DEVICES)
    def add_device(self, by: int) -> None:
        self.at.add_device(by)

    @rule(device=DEVICES, by=DEVICES)
    def revoke(self, device: int, by: int) -> None:
        self.at.revoke(device, by)

    @rule(device=DEVICES, killed=st.booleans())
    def restart(self, device: int, killed: bool) -> None:
        self.at.restart(device, killed=killed)

    @rule(device=DEVICES, wanted=st.booleans())
    def keep_all(self, device: int, wanted: bool) -> None:
        self.at.keep_all(device, wanted=wanted)

    @rule(device=DEVICES, single_copy=st.booleans())
    def free(self, device: int, single_copy: bool) -> None:
        self.at.free(device, single_copy=single_copy)

    @rule(device=DEVICES)
    def checkpoint(self, device: int) -> None:
        self.at.checkpoint(device)

    # Sync

    @rule(device=DEVICES, originals=st.sampled_from([None, None, True]))
    def sync(self, device: int, originals: bool | None) -> None:
        self.at.sync(device, originals=originals)

    @rule(device=DEVICES, plan=st.lists(FAULTS, min_size=1, max_size=3))
    def sync_with_a_liar(self, device: int, plan: Sequence[Fault]) -> None:
        self.at.sync(device, plan)

    @rule(device=DEVICES, plan=st.lists(FAILURES, min_size=1, max_size=3))
    def sync_over_a_bad_network(self, device: int, plan: Sequence[Fault]) -> None:
        self.at.sync(device, plan)

    @rule(device=DEVICES, other=DEVICES, at=REQUESTS)
    def sync_two(self, device: int, other: int, at: int) -> None:
        self.at.sync_two(device, other, at)

    @rule(device=DEVICES, at=REQUESTS, value=st.integers(0, 99))
    def edit_meanwhile(self, device: int, at: int, value: int) -> None:
        self.at.edit_meanwhile(device, at, value)

    @rule(device=DEVICES, at=REQUESTS)
    def kill(self, device: int, at: int) -> None:
        self.at.kill(device, at)

    # The relay

    @rule()
    def release(self) -> None:
        self.at.release()

    @rule(author=DEVICES, reader=DEVICES, back=st.integers(0, 3))
    def withhold(self, author: int, reader: int, back: int) -> None:
        self.at.withhold(author, reader, back)

    @precondition(lambda self: self.world is not None and bool(self.at.crook.hidden))
    @rule()
    def relent(self) -> None:
        self.at.relent()

    @rule()
    def back_up(self) -> None:
        self.at.back_up()

    @rule(announced=st.booleans())
    def roll_back(self, announced: bool) -> None:
        self.at.roll_back(announced=announced)

    @rule(members=st.integers(1, 2**MOST_DEVICES - 2))
    def fork(self, members: int) -> None:
        self.at.fork(members)

    @precondition(lambda self: self.world is not None and len(self.at.crook.relays) > 1)
    @rule(second=st.booleans())
    def join(self, second: bool) -> None:
        self.at.join(second=second)

    @rule(what=st.integers(0, 6), victim=DEVICES)
    def hostile_writes(self, what: int, victim: int) -> None:
        self.at.hostile_writes(what, victim)

    @precondition(lambda self: self.world is not None and self.at.member is not None)
    @rule(by=DEVICES)
    def revoke_hostile(self, by: int) -> None:
        self.at.revoke_hostile(by)

    @rule(count=st.integers(1, 2))
    def months_pass(self, count: int) -> None:
        self.at.months_pass(count)
