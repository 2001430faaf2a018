"""What the rest of the program relies on a replica for."""

import hashlib
import itertools
import os
from typing import Any

import automerge.core as automerge
import pytest

from crdt import orphans
from crdt.change import MAX_OPERATIONS, parse_change
from crdt.documents import LIBRARY, DocumentKind
from crdt.errors import (
    ActorRefused,
    ChangeTooLarge,
    DependencyMissing,
    DocumentNameInvalid,
    OperationInvalid,
    OperationRefused,
    OrphanLimit,
    SnapshotInvalid,
    ValueRefused,
)
from crdt.genesis import RESERVED_ACTOR, extension_change
from crdt.operations import Delete, Operation, Put
from crdt.replica import Replica, device_prefix, new_actor

MONTH = "photos:2024-05"
PHOTO, SECOND = "ab" * 16, "cd" * 16


def test_edits_come_back_as_they_were_put(device: Any) -> None:
    replica = device.replica()
    values: dict[str, Any] = {
        "photo": b"\x00\xffpacked",
        "caption": "Café 🐕",
        "rating": 4,
        "favourite": False,
        "rotation": 270,
        "trash": 1_700_000_000,
        "purged": True,
    }
    change = replica.edit([Put(name, PHOTO, value) for name, value in values.items()])
    other = device.replica()
    assert change is not None
    assert other.apply([change], author=device.id).touched == {(name, PHOTO) for name in values}
    for name, value in values.items():
        found = other.get(name, PHOTO)
        assert (type(found), found) == (type(value), value)
    assert other.get("caption", SECOND) is None


def test_an_edit_that_changes_nothing_makes_no_change(device: Any) -> None:
    replica = device.replica()
    assert replica.edit([Put("favourite", PHOTO, True)]) is not None
    heads = replica.heads()
    assert replica.edit([Put("favourite", PHOTO, True), Delete("caption", PHOTO)]) is None
    assert replica.edit([Put("favourite", PHOTO, False), Put("favourite", PHOTO, True)]) is None
    assert replica.heads() == heads


def test_of_several_operations_at_one_key_the_last_holds(device: Any) -> None:
    replica = device.replica()
    change = replica.edit([Put("rating", PHOTO, 1), Delete("rating", PHOTO), Put("rating", PHOTO, 5)])
    assert change is not None
    assert len(parse_change(change, DocumentKind.SHARD).writes) == 1
    assert replica.get("rating", PHOTO) == 5


@pytest.mark.parametrize(
    "operation",
    [
        Put("nothing", PHOTO, 1),
        Put("extension:1", PHOTO, 1),
        Delete("nothing", PHOTO),
        Put("rating", PHOTO, 6),
        Put("rating", PHOTO, True),
        Put("favourite", PHOTO, 1),
        Put("caption", PHOTO, "x" * 8193),
        Put("caption", PHOTO, "\ud800"),
        Put("caption", "", "x"),
        Put("caption", "x" * 513, "x"),
        Put("caption", "\ud800", "x"),
        Put("album", PHOTO + "/a", 1),
        Put("album", PHOTO + "/a", float("nan")),
        Put("rotation", PHOTO, 45),
        Put("purged", PHOTO, False),
        Put("photo", PHOTO, b""),
        Put("trash", PHOTO, 2**63),
    ],
    ids=str,
)
def test_an_edit_outside_the_schema_leaves_the_document_as_it_was(operation: Operation, device: Any) -> None:
    replica = device.replica()
    before = replica.save()
    with pytest.raises(OperationInvalid):
        replica.edit([Put("caption", PHOTO, "fine"), operation])
    assert replica.save() == before
    assert replica.edit([Put("caption", PHOTO, "fine")]) is not None


def test_an_import_batch_fits_one_change_and_what_does_not_is_refused_whole(device: Any) -> None:
    replica, receiver = device.replica(), device.replica()
    batch: list[Operation] = [Put("bundle", os.urandom(32).hex(), os.urandom(8000))]
    for _ in range(256):
        pid = os.urandom(16).hex()
        batch += [Put("photo", pid, os.urandom(600)), Put("auto", f"{pid}/model@1", os.urandom(300))]
        batch += [Put("copy", f"{pid}/{os.urandom(32).hex()}", os.urandom(200)) for _ in range(2)]
        batch += [Put("album", f"{pid}/a", 1.0), Put("label", f"{pid}/dog", True)]
    change = replica.edit(batch)
    assert change is not None
    assert len(receiver.apply([change], author=device.id).touched) == len(batch)

    heads = replica.heads()
    with pytest.raises(ChangeTooLarge):
        replica.edit([Put("favourite", f"{number:032x}", True) for number in range(MAX_OPERATIONS + 1)])
    with pytest.raises(ChangeTooLarge):
        replica.edit([Put("bundle", f"{number:064x}", bytes(65_536)) for number in range(129)])
    assert replica.heads() == heads


def test_the_actor_is_the_author_s(device: Any, other_device: Any) -> None:
    sender = device.replica()
    change = sender.edit([Put("caption", PHOTO, "x")])
    assert change is not None
    receiver = other_device.replica()
    with pytest.raises(ActorRefused):
        receiver.apply([change], author=other_device.id)
    # Known changes too: an envelope may not repeat somebody else's.
    assert receiver.apply([change], author=device.id).applied == 1
    with pytest.raises(ActorRefused):
        receiver.apply([change], author=other_device.id)
    # A clone, or a restored backup, is allowed the changes of the device it continues.
    assert other_device.replica().apply([change], author=other_device.id, continues=[device.id]).applied == 1
    assert other_device.replica().apply([change], author=None).applied == 1


def test_actors_are_fresh_and_belong_to_their_device(device: Any) -> None:
    actors = {new_actor(device.id) for _ in range(50)}
    assert len(actors) == 50
    assert {actor[:8] for actor in actors} == {device_prefix(device.id)}
    for wrong in (b"", b"short", RESERVED_ACTOR, b"x" * 17):
        with pytest.raises(ActorRefused):
            Replica.create(MONTH, wrong)


def test_changes_apply_in_any_order(device: Any) -> None:
    sender = device.replica()
    changes = [sender.edit([Put("caption", PHOTO, str(number)), Put("rating", SECOND, number)]) for number in range(4)]
    for order in itertools.permutations(changes):
        receiver = device.replica()
        applied = sum(receiver.apply([change], author=device.id).applied for change in order if change)
        assert (applied, receiver.heads()) == (4, sender.heads())
        assert receiver.apply([change for change in order if change], author=device.id).applied == 0
        together = device.replica()
        assert together.apply([change for change in order if change], author=device.id).applied == 4


def test_what_waits_survives_saving(device: Any) -> None:
    sender = device.replica()
    first, second, third = (sender.edit([Put("rating", PHOTO, number)]) for number in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    receiver = device.replica()
    assert receiver.apply([third, second], author=device.id).queued == 2
    loaded = Replica.load(MONTH, receiver.save(), device.actor())
    assert loaded.missing() == receiver.missing() != []
    result = loaded.apply([first], author=device.id)
    assert (result.applied, result.touched) == (3, {("rating", PHOTO)})
    assert loaded.heads() == sender.heads()


@pytest.mark.scenario(11, "it floods devices and relays")
def test_a_flood_of_orphans_stops_at_the_flooding_device(
    device: Any, other_device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "MAX_ORPHANS", 5)
    flooding, honest = other_device.replica(), device.replica()
    flood = [flooding.edit([Put("rating", PHOTO, number % 6)]) for number in range(9)]
    honest_changes = [honest.edit([Put("caption", PHOTO, str(number))]) for number in range(3)]
    receiver = device.replica()
    receiver.apply([change for change in flood[1:6] if change], author=other_device.id)
    saved = receiver.save()
    # Guard: the bound on what waits, a device.
    with pytest.raises(OrphanLimit) as raised:
        receiver.apply([change for change in flood[6:] if change], author=other_device.id)
    assert raised.value.hint
    assert receiver.save() == saved
    assert receiver.apply([change for change in honest_changes[1:] if change], author=device.id).queued == 7
    assert receiver.apply([change for change in honest_changes[:1] if change], author=device.id).applied == 3
    # Room is made again when what they wait for arrives.
    assert receiver.apply([change for change in flood[:1] if change], author=other_device.id).applied == 6
    assert receiver.apply([change for change in flood[6:] if change], author=other_device.id).applied == 3


def test_a_rebuild_may_apply_one_device_s_log_before_another_s(
    device: Any, other_device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "MAX_ORPHANS", 5)
    one, two = device.replica(), other_device.replica()
    first = one.edit([Put("rating", PHOTO, 1)])
    assert first is not None
    two.apply([first], author=device.id)
    built_on_it = [two.edit([Put("rating", PHOTO, number)]) for number in (2, 3, 4, 5, 0, 1, 2)]
    rebuilt = device.replica()
    for change in built_on_it:
        assert change is not None
        rebuilt.apply([change], author=None)
    assert rebuilt.apply([first], author=None).applied == 8
    assert rebuilt.heads() == two.heads()


def test_a_byte_bound_on_orphans(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "MAX_ORPHAN_BYTES", 20_000)
    sender, receiver = device.replica(), device.replica()
    changes = [sender.edit([Put("caption", PHOTO, str(number) * 8000)]) for number in range(5)]
    with pytest.raises(OrphanLimit):
        receiver.apply([change for change in changes[1:] if change], author=device.id)
    assert receiver.apply([change for change in changes[1:3] if change], author=device.id).queued == 2


def test_items_by_prefix_follow_every_kind_of_change(device: Any, other_device: Any) -> None:
    replica, other = device.replica(), other_device.replica()
    assert list(replica.items("label", PHOTO)) == []
    made = replica.edit([Put("label", f"{PHOTO}/{name}", True) for name in ("dog", "cat", "zebra", "été")])
    replica.edit([Put("label", f"{SECOND}/dog", True), Put("label", "aa/before", True)])
    assert [key for key, _ in replica.items("label", f"{PHOTO}/")] == [
        f"{PHOTO}/{name}" for name in ("cat", "dog", "zebra", "été")
    ]
    assert made is not None
    other.apply([made], author=device.id)
    removed = other.edit([Delete("label", f"{PHOTO}/cat"), Put("label", f"{PHOTO}/bee", False)])
    assert removed is not None
    replica.apply([removed], author=other_device.id)
    assert list(replica.items("label", f"{PHOTO}/")) == [
        (f"{PHOTO}/bee", False),
        (f"{PHOTO}/dog", True),
        (f"{PHOTO}/zebra", True),
        (f"{PHOTO}/été", True),
    ]
    assert len(list(replica.items("label"))) == 6
    with pytest.raises(OperationInvalid):
        replica.items("nothing")


def test_counting_a_map(device: Any) -> None:
    replica = device.replica()
    replica.edit([Put("rating", f"{number:032x}", 1) for number in range(5)])
    replica.edit([Delete("rating", f"{0:032x}")])
    assert (replica.count("rating"), replica.count("photo")) == (4, 0)


def test_reading_while_editing_sees_the_state_of_the_call(device: Any) -> None:
    replica = device.replica()
    replica.edit([Put("rating", f"{number:032x}", 1) for number in range(5)])
    for key, _ in replica.items("rating"):
        replica.edit([Delete("rating", key)])
    assert list(replica.items("rating")) == []


def test_concurrent_values_settle_alike_and_an_edit_settles_them_for_good(device: Any, other_device: Any) -> None:
    here, there = device.replica(), other_device.replica()
    one, two = here.edit([Put("caption", PHOTO, "here")]), there.edit([Put("caption", PHOTO, "there")])
    assert one is not None
    assert two is not None
    here.apply([two], author=other_device.id)
    there.apply([one], author=device.id)
    assert here.get("caption", PHOTO) == there.get("caption", PHOTO)
    settled = there.edit([Put("caption", PHOTO, "settled")])
    assert settled is not None
    assert len(parse_change(settled, DocumentKind.SHARD).writes[0].predecessors) == 2
    here.apply([settled], author=other_device.id)
    assert here.get("caption", PHOTO) == "settled"


def test_a_snapshot_damaged_anywhere_is_refused(device: Any) -> None:
    replica = device.replica()
    sender = device.replica()
    sender.edit([Put("caption", PHOTO, "x" * 50)])
    waits = sender.edit([Put("caption", PHOTO, "y")])
    replica.edit([Put("caption", SECOND, "z")])
    assert waits is not None
    replica.apply([waits], author=device.id)
    saved = replica.save()
    for place in range(0, len(saved), 3):
        damaged = saved[:place] + bytes([saved[place] ^ 0x55]) + saved[place + 1 :]
        with pytest.raises(SnapshotInvalid):
            Replica.load(MONTH, damaged, device.actor())
    for length in range(0, len(saved) - 1, 7):
        if length == len(saved) - len(waits):
            continue
        with pytest.raises(SnapshotInvalid):
            Replica.load(MONTH, saved[:length], device.actor())
    with pytest.raises(SnapshotInvalid):
        Replica.load(MONTH, saved + saved, device.actor())


def test_a_snapshot_of_another_document_is_refused(device: Any) -> None:
    shard, library = device.replica(), device.replica(LIBRARY)
    library.edit([Put("setting", "pack", "x")])
    with pytest.raises(SnapshotInvalid):
        Replica.load(MONTH, library.save(), device.actor())
    with pytest.raises(SnapshotInvalid):
        Replica.load(LIBRARY, shard.save(), device.actor())
    foreign = _foreign_document()
    with pytest.raises(SnapshotInvalid):
        Replica.load(MONTH, foreign, device.actor())


def _foreign_document() -> bytes:
    """A sound Automerge document whose maps have the right names and were made by somebody else."""
    document = automerge.Document(b"m" * 16)
    with document.transaction() as transaction:
        for name in Replica.create(MONTH, b"n" * 16)._objects:
            transaction.put_object(automerge.ROOT, name, automerge.ObjType.Map)
    return bytes(document.save())


@pytest.mark.parametrize("name", ["", "Library", "photos:2024-13", "photos:2024-5", "undated:g", "photos:2024-05\n"])
def test_documents_have_the_names_of_the_scheme(name: str, device: Any) -> None:
    with pytest.raises(DocumentNameInvalid):
        Replica.create(name, device.actor())


def test_a_later_format_s_maps_are_kept_and_announced(device: Any, other_device: Any, hostile: Any) -> None:
    """A newer device has applied extensions 1 and 2 and writes to the second; this version knows neither."""
    replica = device.replica()
    second = extension_change(DocumentKind.SHARD, 2)
    earlier = _naming(hostile, replica, second, other_device.actor())
    assert replica.apply([earlier], author=other_device.id).applied == 1
    assert replica.unknown_maps() == ()
    parts = hostile.parts.of(replica, [hostile.op(key="a key", object=(15, RESERVED_ACTOR))], other_device.actor())
    result = replica.apply([parts.bytes()], author=other_device.id)
    assert result.touched == {("extension:2", "a key")}
    assert (replica.get("extension:2", "a key"), replica.unknown_maps()) == ("hello", ("extension:2",))
    loaded = Replica.load(MONTH, replica.save(), device.actor())
    assert (loaded.heads(), loaded.get("extension:2", "a key")) == (replica.heads(), "hello")
    # Guard: what no engine keeps bit by bit is refused there too.
    nan = hostile.op(key="nan", value=b"\xff" * 8, meta=0x85, object=(15, RESERVED_ACTOR))
    with pytest.raises(ValueRefused):
        loaded.apply([hostile.parts.of(loaded, [nan], other_device.actor()).bytes()], author=other_device.id)
    # Guard: whatever a later format may mean by it, one value has a bound.
    large = hostile.op(key="large", value=b"x" * 65_537, object=(15, RESERVED_ACTOR))
    with pytest.raises(ValueRefused):
        loaded.apply([hostile.parts.of(loaded, [large], other_device.actor()).bytes()], author=other_device.id)
    # Passed on, and edits go on beside it.
    assert loaded.edit([Put("caption", PHOTO, "x")]) is not None


def _naming(hostile: Any, replica: Replica, constant: bytes, actor: bytes) -> bytes:
    """A change that builds on everything and on a constant change, which nobody has shipped."""
    parts = hostile.parts.of(replica, [hostile.op(key="ff" * 16)], actor)
    parts.dependencies = sorted([hashlib.sha256(constant[8:]).digest()])
    parts.start = 16
    return bytes(parts.bytes())


def test_a_map_of_a_later_format_must_be_built_on(device: Any, other_device: Any, hostile: Any) -> None:
    replica = device.replica()
    replica.apply(
        [_naming(hostile, replica, extension_change(DocumentKind.SHARD, 2), other_device.actor())], author=None
    )
    parts = hostile.parts.of(replica, [hostile.op(object=(15, RESERVED_ACTOR))], other_device.actor())
    genesis = replica._history.at_sequence(RESERVED_ACTOR, 1)
    parts.dependencies, parts.start = [genesis], 14
    with pytest.raises(OperationRefused):
        replica.apply([parts.bytes()], author=other_device.id)


def test_constant_changes_may_arrive_and_do_nothing(device: Any) -> None:
    replica = device.replica()
    heads = replica.heads()
    for number in (0, 1, 2, 64):
        result = replica.apply([extension_change(DocumentKind.SHARD, number)], author=device.id)
        assert (result.applied, result.queued, replica.heads()) == (0, 0, heads)
    # Guard: any other change of the reserved actor is refused, also where no author is known.
    for author in (device.id, None):
        with pytest.raises(ActorRefused):
            replica.apply([extension_change(DocumentKind.LIBRARY, 1)], author=author)


def test_replicas_that_hold_the_same_list_the_same_changes_in_the_same_order(device: Any, other_device: Any) -> None:
    one, two, three = device.replica(), other_device.replica(), device.replica()
    mine = [one.edit([Put("rating", f"{n:032x}", n)]) for n in range(5)]
    theirs = [two.edit([Put("caption", f"{n:032x}", "x" * 300)]) for n in range(5)]
    one.apply(theirs, author=other_device.id)
    two.apply(mine, author=device.id)
    last = two.edit([Put("rating", "00" * 16, 3)])
    one.apply([last], author=other_device.id)
    assert one.changes() == two.changes() == Replica.load(MONTH, one.save(), device.actor()).changes()
    assert len(one.changes()) == 11
    assert one.changes()[-1] == last
    for at in range(0, 11, 3):
        three.merge(one.changes()[at : at + 3], devices={device.id, other_device.id})
    assert three.heads() == one.heads()
    assert three.holds(hashlib.sha256(last[8:]).digest())


def test_what_is_merged_is_by_known_devices_and_complete(device: Any, other_device: Any) -> None:
    one, two = device.replica(), other_device.replica()
    first, second = one.edit([Put("rating", PHOTO, 1)]), one.edit([Put("rating", PHOTO, 2)])
    with pytest.raises(ActorRefused):
        two.merge([first, second], devices={other_device.id})
    with pytest.raises(DependencyMissing):
        two.merge([second], devices={device.id})
    assert (two.changes(), two.waits()) == ([], 0)
    two.apply([second], author=device.id)
    assert (two.changes(), two.waits()) == ([], 1), "what waits is not part of the document"
    two.merge([first], devices={device.id})
    assert two.changes() == one.changes()
