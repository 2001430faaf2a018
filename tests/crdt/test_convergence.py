"""Whatever is edited, shipped, repeated, reordered and reloaded on three replicas: they end up the same, and load."""

import hashlib
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from crdt.operations import Delete, Operation, Put
from crdt.replica import Replica, device_prefix

MONTH = "photos:2024-05"
DEVICES = [bytes([number]) * 32 for number in range(3)]
PHOTOS = [hashlib.blake2b(bytes([number]), digest_size=16).hexdigest() for number in range(3)]

photos = st.sampled_from(PHOTOS)
puts = st.one_of(
    st.builds(Put, st.just("caption"), photos, st.text(st.characters(exclude_categories=["Cs"]), max_size=12)),
    st.builds(Put, st.just("rating"), photos, st.integers(0, 5)),
    st.builds(Put, st.just("favourite"), photos, st.booleans()),
    st.builds(Put, st.just("label"), photos.map(lambda pid: pid + "/dog"), st.booleans()),
    st.builds(
        Put, st.just("album"), photos.map(lambda pid: pid + "/a"), st.floats(allow_nan=False, allow_infinity=False)
    ),
    st.builds(Put, st.just("photo"), photos, st.binary(min_size=1, max_size=40)),
    st.builds(Put, st.just("trash"), photos, st.integers(0, 2**40 % 253_402_300_799)),
)
deletes = st.builds(Delete, st.sampled_from(["caption", "rating", "favourite", "photo", "trash"]), photos) | st.builds(
    Delete, st.just("label"), photos.map(lambda pid: pid + "/dog")
)
operations: st.SearchStrategy[list[Operation]] = st.lists(puts | deletes, min_size=1, max_size=6)
which = st.integers(0, 2)


def content(replica: Replica) -> dict[str, list[tuple[str, Any]]]:
    names = ("photo", "label", "caption", "rating", "favourite", "album", "trash")
    return {name: [(key, repr(value)) for key, value in replica.items(name)] for name in names}


class ThreeReplicas(RuleBasedStateMachine):
    """Three devices, each with the changes that have been shipped and may arrive anywhere, any number of times."""

    @initialize()
    def start(self) -> None:
        self.sessions = 0
        self.replicas = [Replica.create(MONTH, self.new_actor(number)) for number in range(3)]
        self.shipped: list[tuple[int, bytes]] = []
        self.delivered: list[set[int]] = [set(), set(), set()]

    def new_actor(self, device: int) -> bytes:
        self.sessions += 1
        return device_prefix(DEVICES[device]) + self.sessions.to_bytes(8, "big")

    @rule(device=which, edit=operations)
    def edits(self, device: int, edit: list[Operation]) -> None:
        replica = self.replicas[device]
        before, heads = content(replica), replica.heads()
        change = replica.edit(edit)
        if change is None:
            assert (content(replica), replica.heads()) == (before, heads)
            return
        self.delivered[device].add(len(self.shipped))
        self.shipped.append((device, change))
        wanted = {(operation.map, operation.key): operation for operation in edit}
        for (map_name, key), operation in wanted.items():
            assert replica.get(map_name, key) == (operation.value if isinstance(operation, Put) else None)

    @rule(device=which, data=st.data())
    def receives_some_in_any_order(self, device: int, data: st.DataObject) -> None:
        if not self.shipped:
            return
        arrivals = data.draw(st.lists(st.integers(0, len(self.shipped) - 1), min_size=1, max_size=8))
        replica = self.replicas[device]
        for arrival in arrivals:
            before = content(replica)
            author, change = self.shipped[arrival]
            result = replica.apply([change], author=DEVICES[author])
            assert not result.refused
            after = content(replica)
            differing = {
                (name, key)
                for name in after
                for key in dict(before[name]).keys() | dict(after[name]).keys()
                if dict(before[name]).get(key) != dict(after[name]).get(key)
            }
            assert differing <= result.touched
            self.delivered[device].add(arrival)

    @rule(device=which)
    def is_loaded_again(self, device: int) -> None:
        replica = self.replicas[device]
        loaded = Replica.load(MONTH, replica.save(), self.new_actor(device))
        assert (loaded.heads(), content(loaded), loaded.missing()) == (
            replica.heads(),
            content(replica),
            replica.missing(),
        )
        self.replicas[device] = loaded

    @rule(device=which, prefix=st.sampled_from(PHOTOS))
    def reads_one_photo(self, device: int, prefix: str) -> None:
        replica = self.replicas[device]
        for name in ("label", "album"):
            assert list(replica.items(name, prefix)) == [
                (key, value) for key, value in replica.items(name) if key.startswith(prefix)
            ]

    @invariant()
    def replicas_with_the_same_changes_are_the_same(self) -> None:
        for one in range(3):
            for two in range(one):
                if self.delivered[one] == self.delivered[two]:
                    assert self.replicas[one].heads() == self.replicas[two].heads()
                    assert content(self.replicas[one]) == content(self.replicas[two])

    def teardown(self) -> None:
        if not hasattr(self, "replicas"):
            return
        for replica in self.replicas:
            replica.apply([change for _, change in reversed(self.shipped)], author=None)
            assert not replica.missing()
        assert len({replica.heads() for replica in self.replicas}) == 1
        reference = content(self.replicas[0])
        for replica in self.replicas:
            assert content(replica) == reference
            assert content(Replica.load(MONTH, replica.save(), self.new_actor(0))) == reference


ThreeReplicas.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestThreeReplicas = ThreeReplicas.TestCase
