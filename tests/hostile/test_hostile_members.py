"""Scenario 11: a member with real keys writes changes that no program of ours writes, one worse than the other.

Elsewhere: each against the engine alone (tests/crdt), in records and names (test_hostile_records.py,
test_named_relays.py, test_terminal_words.py), and floods (tests/core/test_ingest_bounds.py).
"""

from __future__ import annotations

import hashlib
import random
import zlib
from typing import TYPE_CHECKING

import pytest

from core.envelope_body import DocumentChanges
from crdt.leb128 import write_unsigned
from crdt.operations import Put
from crdt.replica import Replica, new_actor
from tests.crdt.conftest import Op, Parts, run_lengths, signed
from tests.hostile.invariant import holds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile.conftest import Hostile
    from tests.hostile.world import World

MONTH = "photos:2024-05"
MUTANTS = 40


def honest_change(mallory: Hostile, caption: str = "an honest one") -> bytes:
    change = Replica.create(MONTH, new_actor(mallory.id)).edit([Put("caption", "ab" * 16, caption)])
    assert change is not None
    return change


def mutated(change: bytes, chance: random.Random) -> bytes:
    """Return a change with a byte altered somewhere, whose checksum is right."""
    altered = bytearray(change)
    altered[9 + chance.randrange(len(altered) - 9)] ^= 1 << chance.randrange(8)
    altered[4:8] = hashlib.sha256(altered[8:]).digest()[:4]
    return bytes(altered)


def deflated(change: bytes) -> bytes:
    """Return a change as the type that inflates when it is applied."""
    packed = zlib.compress(change[11:] + bytes(1 << 20))[2:-4]
    body = b"\2" + write_unsigned(len(packed)) + packed
    return b"\x85\x6f\x4a\x83" + hashlib.sha256(body).digest()[:4] + body


def attacks(mallory: Hostile) -> Iterator[tuple[str, list[bytes]]]:
    """Yield what the changes of one envelope are to bring about, and the changes."""
    replica = Replica.create(MONTH, new_actor(mallory.id))
    actor = new_actor(mallory.id)
    twins = [Parts.of(replica, [Op(value=value)], actor).bytes() for value in (b"one", b"two")]
    yield "one (actor, seq) twice", twins
    actor = new_actor(mallory.id)
    early = [Parts.of(replica, [Op(value=value)], actor) for value in (b"one", b"two")]
    for part in early:
        part.dependencies = [b"\xff" * 32]
    yield "one (actor, seq) twice, early", [part.bytes() for part in early]
    many = signed(2**40)
    bomb = Parts.of(replica, [Op(key="k")], new_actor(mallory.id))
    bomb.columns = {0x01: many + b"\1", 0x02: many + b"\6", 0x15: many + b"\1k", 0x34: write_unsigned(2**40)}
    bomb.columns |= {0x42: many + b"\1", 0x56: many + b"\6", 0x70: many + b"\0"}
    yield "a run-length bomb", [bomb.bytes()]
    yield "a deflated change", [deflated(honest_change(mallory))]
    yield "an object", [Parts.of(replica, [Op(action=0)], new_actor(mallory.id)).bytes()]
    yield "a root key", [Parts.of(replica, [Op(object=None)], new_actor(mallory.id)).bytes()]
    yield "another's actor", [Parts.of(replica, [Op()], new_actor(bytes(32))).bytes()]
    literal = Parts.of(replica, [Op(key="a"), Op(key="b")], new_actor(mallory.id))
    literal.columns[0x42] = b"\x7e\x01\x01"
    assert literal.columns[0x42] != run_lengths([1, 1])
    yield "a column in another spelling", [literal.bytes()]
    yield (
        "an overwrite of nothing",
        [Parts.of(replica, [Op(predecessors=[(9, b"p" * 16)])], new_actor(mallory.id)).bytes()],
    )
    yield "no change at all", [b"\x85\x6f\x4a\x83" + bytes(20)]


class TestHostileMembers:
    @pytest.mark.scenario(11, "it uses one (actor, seq) twice", "it sends bombs", alarm="forged")
    def test_each_change_is_refused_and_named(self, world: World) -> None:
        first, second = world.first, world.second
        mallory = world.mallory()
        client = mallory.at(world.relay)
        photo = world.photo(first)
        for what, changes in attacks(mallory):
            body = mallory.body(payload=[DocumentChanges(MONTH, changes)])
            client.append(mallory.remote.write(body=body))
            seq, _ = mallory.remote.place
            world.sync(second)
            named = [alarm.message for alarm in second.engine.alarms.list()]
            assert any(f"envelope {seq} of device {mallory.id.hex()[:12]}" in message for message in named), (
                what,
                named,
            )
            second.engine.alarms.clear()
        # Its honest neighbours in the same envelope stream still count.
        client.append(mallory.edit(MONTH, Put("rating", photo.pid.hex(), 3)))
        world.photo(second)
        world.sync(first, second)
        assert second.library.catalog.search("rating:3")
        holds(world, f"of device {mallory.id.hex()[:12]}")

    @pytest.mark.scenario(11, "it alters changes, with right checksums", alarm="forged")
    def test_altered_changes_with_right_checksums(self, world: World) -> None:
        """A good change with one bit flipped anywhere, its checksum made anew: refused, or a change like any other."""
        mallory = world.mallory()
        chance = random.Random(11)
        change = honest_change(mallory)
        client = mallory.at(world.relay)
        world.photo(world.first)
        bodies = [mallory.body(payload=[DocumentChanges(MONTH, [mutated(change, chance)])]) for _ in range(MUTANTS)]
        client.append(*(mallory.remote.write(body=body) for body in bodies))
        world.photo(world.second)
        holds(world, f"of device {mallory.id.hex()[:12]}")
