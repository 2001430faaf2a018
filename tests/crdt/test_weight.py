"""How much one device may write to one document: the same for everybody, however its changes came."""

import itertools
import random
from collections.abc import Iterator

import pytest

from crdt import weight
from crdt.change import parse_change
from crdt.documents import DocumentKind
from crdt.errors import DocumentFull
from crdt.operations import Delete, Put
from crdt.replica import Replica, new_actor

from .conftest import MONTH, Op, Parts

WRITER, OTHER = bytes([1]) * 32, bytes([2]) * 32
PHOTO = "00" * 16


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """A bound that some fifty changes reach, and the room that an edit has to leave."""
    monkeypatch.setattr(weight, "MAX_DEVICE_WEIGHT", 256 << 10)
    monkeypatch.setattr(weight, "LAST_EDIT_WEIGHT", 16 << 10)
    return 256 << 10


def _changes(device: bytes, count: int, size: int = 1_000) -> Iterator[bytes]:
    """Changes of a program that knows no bound: each of a session that has seen the ones before."""
    replica = Replica.create(MONTH, new_actor(device))
    for number in range(count):
        made = replica.edit([Put("caption", PHOTO, str(number) * size)])
        assert made is not None
        yield made
        if number % 10 == 9:
            replica = Replica.load(MONTH, replica.save(), new_actor(device))


def _apply_one_by_one(replica: Replica, changes: list[bytes]) -> None:
    for raw in changes:
        replica.apply([raw], author=WRITER, bounded=False)


def test_a_device_that_writes_without_end_is_stopped_and_nobody_else(small: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weight, "MAX_DEVICE_WEIGHT", 1 << 40)
        changes = list(_changes(WRITER, 80))
    reader = Replica.create(MONTH, new_actor(OTHER))
    accepted = 0
    for raw in changes:
        try:
            reader.apply([raw], author=WRITER, bounded=False)
        except DocumentFull:
            break
        accepted += 1
        heads = reader.heads()
    assert 10 < accepted < len(changes) - 1
    assert reader.heads() == heads
    assert reader.weight() <= small
    assert reader.edit([Put("rating", PHOTO, 5)]), "there is room for everybody else"
    later = next(_changes(bytes([3]) * 32, 1))
    assert reader.apply([later], author=bytes([3]) * 32).applied == 1

    at_once = Replica.create(MONTH, new_actor(OTHER))
    with pytest.raises(DocumentFull, match=f"has written as much to {MONTH}"):
        at_once.apply(changes[: accepted + 1], author=WRITER)
    assert at_once.apply(changes[:accepted], author=WRITER).applied == accepted
    newcomer = Replica.create(MONTH, new_actor(OTHER))
    newcomer.merge(changes[:accepted], devices=[WRITER])
    for one in (newcomer, Replica.load(MONTH, newcomer.save(), new_actor(OTHER))):
        with pytest.raises(DocumentFull):
            one.apply([changes[accepted]], author=WRITER)
    with pytest.raises(DocumentFull):
        Replica.create(MONTH, new_actor(OTHER)).merge(changes[: accepted + 1], devices=[WRITER, OTHER])


def test_what_waits_weighs_as_much(small: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weight, "MAX_DEVICE_WEIGHT", 1 << 40)
        missing, *changes = _changes(WRITER, 80)
    reader = Replica.create(MONTH, new_actor(OTHER))
    with pytest.raises(DocumentFull):
        _apply_one_by_one(reader, changes)
    waiting, weighs = reader.waits(), reader.weight()
    assert reader.apply([missing], author=None).applied == waiting + 1
    assert reader.weight() == weighs + weight.raw_weight(missing)


def test_an_own_edit_is_refused_before_others_would_refuse_it(small: int) -> None:
    """What was made is accepted by everybody; what was refused has left nothing behind."""
    writer = Replica.create(MONTH, new_actor(WRITER))
    made: list[bytes] = []
    edits = (writer.edit([Put("caption", PHOTO, f"{number}" * 3_000)]) or b"" for number in itertools.count())
    with pytest.raises(DocumentFull):
        made.extend(edits)
    heads = writer.heads()
    with pytest.raises(DocumentFull, match="as much"):
        writer.edit([Put("rating", PHOTO, 3)])
    assert writer.heads() == heads
    reader = Replica.create(MONTH, new_actor(OTHER))
    assert reader.apply(made, author=WRITER, bounded=False).applied == len(made)
    assert reader.edit([Put("rating", PHOTO, 3)])
    copy = Replica.load(MONTH, writer.save(), new_actor(bytes([3]) * 32))
    assert copy.edit([Put("rating", PHOTO, 3)]), "the same machine under a new name"


@pytest.mark.parametrize("seed", range(4))
def test_a_change_weighs_the_same_read_or_by_its_bytes_alone(seed: int) -> None:
    chance = random.Random(seed)
    replicas = [Replica.create(MONTH, new_actor(bytes([device]) * 32)) for device in range(3)]
    made: list[bytes] = []
    for _ in range(30):
        replica = chance.choice(replicas)
        keys = [f"{key:032x}" for key in chance.sample(range(40), chance.randint(1, 30))]
        edits = [Delete("rating", key) if replica.get("rating", key) else Put("rating", key, 1) for key in keys]
        made.append(replica.edit(edits) or b"")
        if chance.random() < 0.3:
            chance.choice(replicas).apply(made, author=None)
    for raw in made:
        change = parse_change(raw, DocumentKind.SHARD)
        overwritten = sum(len(write.predecessors) for write in change.writes)
        assert weight.raw_weight(raw) == weight.change_weight(change)
        assert weight.raw_weight(raw) == 4096 + len(raw) + 128 * len(change.writes) + 32 * overwritten
    replicas[0].apply(made, author=None)
    loaded = Replica.load(MONTH, replicas[0].save(), new_actor(WRITER))
    assert loaded.weight() == replicas[0].weight() == sum(map(weight.raw_weight, made))


def test_bytes_that_are_no_change_weigh_something_too() -> None:
    chance = random.Random(1)
    whole = next(_changes(WRITER, 1))
    for end in range(len(whole)):
        assert weight.raw_weight(whole[:end]) >= end
    for column in (b"\x80\x80\x80\x7c" + b"\1" * 4_000_000, bytes(4_000_000)):  # literals without end, nothing at all
        large = Parts.of(Replica.create(MONTH, new_actor(WRITER)), [Op()], new_actor(WRITER))
        large.columns[0x42] = large.columns[0x70] = column
        assert weight.raw_weight(large.bytes()) < 20 << 20
    for _ in range(500):
        damaged = bytearray(whole[:120])
        damaged[chance.randrange(9, 120)] = chance.randrange(256)
        assert weight.raw_weight(bytes(damaged)) < 8 << 20
