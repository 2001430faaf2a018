"""What builds on what, in histories of several sessions that part and meet at random."""

import random

import pytest

from crdt.operations import Operation, Put
from crdt.replica import Replica, device_prefix

MONTH = "photos:2024-05"
PHOTOS = [f"{number:032x}" for number in range(4)]


def _tangle(chance: random.Random) -> Replica:
    """A replica with the changes of three devices, each in several sessions, merged now and then."""
    sessions = 0

    def actor(device: int) -> bytes:
        nonlocal sessions
        sessions += 1
        return device_prefix(bytes([device]) * 32) + sessions.to_bytes(8, "big")

    replicas = [Replica.create(MONTH, actor(device)) for device in range(3)]
    shipped: list[bytes] = []
    for _ in range(40):
        device = chance.randrange(3)
        if chance.random() < 0.2:
            replicas[device] = Replica.load(MONTH, replicas[device].save(), actor(device))
        if chance.random() < 0.25:
            replicas[device].apply(shipped, author=None)
        edit: list[Operation] = [Put("rating", chance.choice(PHOTOS), chance.randrange(6))]
        shipped.append(replicas[device].edit(edit) or shipped[-1])
    replicas[0].apply(chance.sample(shipped, len(shipped)), author=None)
    return replicas[0]


@pytest.mark.parametrize("seed", range(12))
def test_what_a_change_builds_on(seed: int) -> None:
    chance = random.Random(seed)
    history = _tangle(chance)._history
    below: dict[bytes, set[bytes]] = {}
    for node in history._order:
        below[node.hash] = {node.hash}.union(*(below[dependency] for dependency in node.dependencies))
    answers = set()
    for _ in range(300):
        heads = chance.sample(list(below), chance.randint(1, 3))
        everything = set().union(*(below[head] for head in heads))
        wanted = chance.sample(history._order, chance.randint(1, 4))
        if chance.random() < 0.5:
            wanted = [node for node in wanted if node.hash in everything]
        expected = all(node.hash in everything for node in wanted)
        assert history._covered(heads, wanted) is expected
        answers.add(expected)
    assert answers == {True, False}


@pytest.mark.parametrize("seed", range(6))
def test_reading_old_changes_and_asking_the_engine_agree(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edits that settle conflicts name operations of long ago: both ways of looking them up let them through."""
    chance = random.Random(seed)
    replica = _tangle(chance)
    edit: list[Operation] = [Put("rating", photo, 5 - int(replica.get("rating", photo) or 0)) for photo in PHOTOS]
    receiver = Replica.load(MONTH, replica.save(), device_prefix(b"r" * 32) + b"receiver")
    change = replica.edit(edit)
    assert change is not None
    if seed % 2:
        monkeypatch.setattr("crdt.history.MAX_ENGINE_LOOKUPS", 0)
    assert receiver.apply([change], author=None).applied == 1
    assert receiver.heads() == replica.heads()
