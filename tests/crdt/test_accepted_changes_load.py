"""Whatever the checks let through, the document saves, loads, and is the same wherever it arrives.

Two searches for a change that the checks accept and the engine cannot keep: bytes of honest changes altered at random,
and changes composed at random of plausible parts. Checksums hold throughout.
"""

import hashlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdt.errors import ChangeInvalid
from crdt.operations import Delete, Put
from crdt.replica import Replica, device_prefix

MONTH = "photos:2024-05"
AUTHOR, OTHER = b"a" * 32, b"b" * 32
RESERVED = b"safelight/schema"
PHOTOS = ["00" * 16, "01" * 16, "02" * 16]


def _actor(device: bytes, session: int) -> bytes:
    return device_prefix(device) + session.to_bytes(8, "big")


def _history() -> tuple[list[bytes], list[bytes]]:
    """Changes of two devices that were concurrent and then saw each other's; and all their actors."""
    one, two = Replica.create(MONTH, _actor(AUTHOR, 1)), Replica.create(MONTH, _actor(OTHER, 1))
    made = []
    for step, (replica, peer) in enumerate([(one, two), (two, one), (one, two), (two, one)]):
        for count, photo in enumerate(PHOTOS):
            edit = [Put("caption", photo, f"{step} {count}"), Put("rating", photo, (step + count) % 6)]
            change = replica.edit(
                [*edit, Put("label", photo + "/dog", bool(step % 2)), Delete("rating", PHOTOS[step % 3])]
            )
            assert change is not None
            made.append(change)
        if step % 2:
            peer.apply(made, author=None)
            replica.apply(made, author=None)
    return made, [_actor(AUTHOR, 1), _actor(OTHER, 1)]


HISTORY, ACTORS = _history()


def _replica() -> Replica:
    replica = Replica.create(MONTH, _actor(OTHER, 9))
    replica.apply(HISTORY, author=None)
    return replica


def _check_kept(replica: Replica, change: bytes) -> None:
    """The change was let through: the document must load, and another replica that gets it first be the same."""
    loaded = Replica.load(MONTH, replica.save(), _actor(OTHER, 10))
    assert loaded.heads() == replica.heads()
    reordered = Replica.create(MONTH, _actor(OTHER, 11))
    reordered.apply([change], author=None)
    assert not reordered.apply(HISTORY[::-1], author=None).refused
    assert reordered.heads() == replica.heads()
    edit = replica.edit([Put("caption", photo, "after") for photo in PHOTOS] + [Delete("label", PHOTOS[0] + "/dog")])
    assert edit is not None
    loaded.apply([edit], author=OTHER)
    assert Replica.load(MONTH, loaded.save(), _actor(OTHER, 12)).heads() == replica.heads()


@pytest.mark.scenario(11, "it alters changes, with right checksums")
@settings(max_examples=400)
@given(
    which=st.integers(0, len(HISTORY) - 1),
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_altered_bytes_are_refused_or_kept(which: int, edits: list[tuple[int, int]]) -> None:
    changed = bytearray(HISTORY[which])
    for place, byte in edits:
        changed[9 + place % (len(changed) - 9)] = byte
    changed[4:8] = hashlib.sha256(changed[8:]).digest()[:4]
    replica = Replica.create(MONTH, _actor(OTHER, 9))
    replica.apply(HISTORY[:which], author=None)
    before = replica.save()
    try:
        replica.apply([bytes(changed)], author=None)
    except ChangeInvalid:
        assert replica.save() == before
        return
    loaded = Replica.load(MONTH, replica.save(), _actor(OTHER, 10))
    assert (loaded.heads(), loaded.missing()) == (replica.heads(), replica.missing())


@pytest.mark.scenario(11, "it alters changes, with right checksums")
@pytest.mark.parametrize("seed", range(30))
def test_composed_changes_are_refused_or_kept(seed: int, hostile: Any) -> None:
    chance = random.Random(seed)
    accepted = 0
    for _ in range(25):
        replica = _replica()
        author = _actor(AUTHOR, chance.choice([1, 1, 2]))
        sequence = 7 if author == ACTORS[0] else 1
        ops = [_random_operation(chance, hostile, replica) for _ in range(chance.randint(1, 3))]
        made = hostile.parts.of(replica, ops, ACTORS[0], sequence=7)
        made.actor, made.sequence = author, sequence
        made.set_operations(ops)
        own = replica._history.at_sequence(author, sequence - 1)
        known = sorted(replica._history._nodes)
        made.dependencies = sorted({*made.dependencies, *([own] if own and chance.random() < 0.9 else [])})
        if chance.random() < 0.3:
            made.dependencies = sorted({*chance.sample(known, 2), *([own] if own else [])})
            made.start = 1 + max(replica._history._nodes[h].last for h in made.dependencies)
        change = made.bytes()
        try:
            result = replica.apply([change], author=None)
        except ChangeInvalid:
            continue
        accepted += result.applied
        _check_kept(replica, change)
    assert accepted  # the search does reach what is let through


def _random_operation(chance: random.Random, hostile: Any, replica: Replica) -> Any:
    map_counter, key, value, meta = chance.choice(
        [
            (6, chance.choice(PHOTOS), b"hello", None),
            (7, chance.choice(PHOTOS), b"\x03", 0x14),
            (5, chance.choice(PHOTOS) + "/dog", b"", chance.choice([1, 2])),
        ]
    )
    operation = hostile.op(key=key, value=value, meta=meta, object=(map_counter, RESERVED))
    seen = replica._engine.operation(replica._objects[{6: "caption", 7: "rating", 5: "label"}[map_counter]], key)
    kind = chance.random()
    if kind < 0.5 and seen is not None:
        operation.predecessors = [seen]
    elif kind < 0.7:
        some = {(chance.randint(14, 60), chance.choice(ACTORS)) for _ in range(chance.randint(1, 2))}
        operation.predecessors = sorted({*some, *([seen] if seen and chance.random() < 0.5 else [])})
    if chance.random() < 0.3:
        operation.action, operation.value, operation.meta = 3, b"", 0
    return operation
