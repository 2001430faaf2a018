"""Any order of arrival leads to what `crypto.acceptance` says of the whole.

Devices write, name each other's envelopes, add and revoke each other, rotate; all of it then reaches one library in any
order and any grouping. What that library had accepted before it learnt of a revocation it acknowledges, and its
acknowledgements are part of the whole.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.envelope_body import vector_of
from core.library import Library
from crypto import kdf
from crypto.acceptance import accepted_vector
from crypto.keys import DeviceSecrets
from crypto.membership import evaluate
from tests.core.remote_device import Remote, beside, pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crypto.membership_entry import Entry

REMOTES = 4


@dataclass
class World:
    """Remote devices, and everything they ever said."""

    remotes: list[Remote]
    entries: list[Entry]

    def learn(self, who: Remote) -> None:
        who.learn(self.entries)

    def may(self, who: Remote) -> bool:
        return who.id in who.membership.members


ACTS = ["write", "write", "write", "write", "revoke", "add", "rotate", "learn"]


def play(world: World, draw: st.DataObject) -> None:
    """Let the devices do something, a few times."""
    for _ in range(draw.draw(st.integers(3, 14), "steps")):
        who = world.remotes[draw.draw(st.integers(0, len(world.remotes) - 1), "who")]
        act = draw.draw(st.sampled_from(ACTS), "act")
        if act == "write":
            who.write(names(world, who, draw))
        elif act == "learn":
            world.learn(who)
        elif world.may(who):
            change_membership(world, who, act, draw)


def names(world: World, who: Remote, draw: st.DataObject) -> dict[bytes, tuple[int, bytes]]:
    """Return some places of others' chains."""
    return {
        one.id: one.chain[draw.draw(st.integers(0, len(one.chain) - 1), "place")].place
        for one in world.remotes
        if one is not who and one.chain and draw.draw(st.booleans(), "names")
    }


def change_membership(world: World, who: Remote, act: str, draw: st.DataObject) -> None:
    other = world.remotes[draw.draw(st.integers(0, len(world.remotes) - 1), "whom")]
    if act == "revoke" and other is not who and other.id in who.membership.members:
        cut = draw.draw(st.integers(0, len(other.chain)), "cut")
        world.entries.append(who.revoke(other.id, other.chain[cut - 1].place if cut else (0, bytes(32))))
    elif act == "rotate":
        world.entries.append(who.rotate())
    elif act == "add" and len(world.remotes) < REMOTES + 2:
        if who.membership.rotation_due:
            world.entries.append(who.rotate())
        newcomer = Remote(who.genesis, DeviceSecrets.generate())
        world.entries.append(who.add(newcomer.secrets))
        newcomer.entries = dict(who.entries)
        world.remotes.append(newcomer)


def deliver(library: Library, world: World, draw: st.DataObject) -> None:
    things: list[tuple[bool, bytes]] = [(True, entry.data) for entry in world.entries]
    things += [(False, data) for remote in world.remotes for data in remote.envelopes]
    order = draw.draw(st.permutations(things), "order")
    size = draw.draw(st.integers(1, 5), "size")
    for start in range(0, len(order), size):
        group = order[start : start + size]
        library.ingest.entries([data for is_entry, data in group if is_entry])
        library.ingest.envelopes([data for is_entry, data in group if not is_entry])


def own_chain(library: Library) -> Iterator[tuple[tuple[int, bytes], dict[bytes, tuple[int, bytes]]]]:
    for stored in library.log.envelopes_of(library.device_id, 0, 1000):
        yield (stored.seq, stored.hash), vector_of(library.chain.open(stored).frontier)


@pytest.mark.scenario(3, "envelopes are reordered")
@settings(max_examples=15, deadline=None)
@given(draw=st.data())
def test_any_order_of_arrival_leads_to_the_same_vector(draw: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        library, _ = Library.create(
            Path(folder) / "library", b"p", device_name="here", kdf=kdf.new_parameters(*kdf.FLOOR)
        )
        with library:
            remotes = [pair(library) for _ in range(REMOTES)]
            world = World(remotes, list(library.members.membership.entries.values()))
            for remote in remotes:
                world.learn(remote)
            play(world, draw)
            deliver(library, world, draw)
            membership = evaluate(library.members.genesis, world.entries)
            if library.device_id in membership.members:
                library.acknowledge()
            chains = {
                remote.id: [(written.place, written.frontier) for written in remote.chain] for remote in world.remotes
            }
            chains[library.device_id] = list(own_chain(library))
            expected = accepted_vector(library.members.membership, chains)
            accepted = {device: seq for device, (seq, _) in library.log.heads().items()}
            assert accepted == {device: seq for device, seq in expected.items() if seq}
            library.refresh()
            assert library.alarms == []
            assert library.members.membership.entries.keys() >= membership.entries.keys()


def due(library: Library) -> bool:
    return library.members.must_rotate


def test_an_own_rotation_does_not_stand_in_the_way(library: Library) -> None:
    remote = pair(library)
    founder = beside(library)
    library.ingest.entries([founder.revoke(remote.id).data])
    assert due(library)
    assert library.rotate_if_due()
    assert not due(library)
    library.ingest.entries([founder.rotate().data])
    assert due(library), "two epochs beside each other: the next writer makes a third"
    library.set_setting("any", "thing")
    assert not due(library)
    assert library.epoch.epoch_id == library.members.membership.current
