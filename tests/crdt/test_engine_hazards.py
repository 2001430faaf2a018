"""What the bare CRDT engine does when it is handed trouble, and that a replica does not.

The first half of each test shows the hazard on the binding itself, so that an update which removes one is noticed; the
second half fails without the guard that is named.
"""

from typing import Any

import automerge.core as automerge
import pytest

from crdt import columns
from crdt.errors import (
    ChangeChecksum,
    ChangeMalformed,
    ChangeNotApplied,
    ChangeTooLarge,
    CompressedChangeRefused,
    DuplicateSequence,
    OperationInvalid,
    OperationRefused,
)
from crdt.leb128 import write_unsigned
from crdt.operations import Delete, Put
from crdt.replica import Replica

MONTH = "photos:2024-05"
PHOTO = "ab" * 16


def hand_over(document: Any, *changes: bytes) -> None:
    """Give changes to the binding in the only way there is, unchecked."""
    listed = b"".join(write_unsigned(len(change)) + change for change in changes)
    message = automerge.Message.decode(b"\x42\0\0\0" + write_unsigned(len(changes)) + listed)
    document.receive_sync_message(automerge.SyncState(), message)


def bare(replica: Replica) -> Any:
    return automerge.Document.load(replica.save())


def never_loads(document: Any) -> bool:
    saved = document.save()
    try:
        automerge.Document.load(saved)
    except Exception:  # noqa: BLE001 - the binding raises nothing more specific
        return True
    return False


def edited(replica: Replica, caption: str) -> bytes:
    change = replica.edit([Put("caption", PHOTO, caption)])
    assert change is not None
    return change


def test_two_devices_that_create_a_document_share_its_maps(device: Any, other_device: Any) -> None:
    one, two = automerge.Document(b"1" * 16), automerge.Document(b"2" * 16)
    for document, key in ((one, "a"), (two, "b")):
        with document.transaction() as transaction:
            made = transaction.put_object(automerge.ROOT, "caption", automerge.ObjType.Map)
            transaction.put(made, key, automerge.ScalarType.Str, key)
    one.merge(two)
    assert automerge.extract(one) == {"caption": {"b": "b"}}  # the other edit has vanished

    # Guard: the constant genesis change.
    here, there = device.replica(), other_device.replica()
    assert here.heads() == there.heads()
    here.edit([Put("caption", "00" * 16, "here")])
    change = there.edit([Put("caption", "11" * 16, "there")])
    here.apply([change], author=other_device.id)
    assert [value for _, value in here.items("caption")] == ["here", "there"]


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda raw: raw[:-1], ChangeMalformed),
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), ChangeChecksum),
        (lambda raw: raw[:8] + b"\x07" + raw[9:], ChangeMalformed),
        (lambda _: b"nothing like a change", ChangeMalformed),
    ],
    ids=["truncated", "corrupt", "unknown type", "garbage"],
)
def test_damage_is_not_swallowed(damage: Any, error: Any, device: Any) -> None:
    change = edited(device.replica(), "hello")
    receiver = device.replica()
    document = bare(receiver)
    heads = document.get_heads()
    hand_over(document, damage(change))  # no error
    assert document.get_heads() == heads

    # Guard: our own reading of the chunk.
    with pytest.raises(error):
        receiver.apply([damage(change)], author=device.id)


def test_a_change_the_engine_drops_is_noticed(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    change = edited(device.replica(), "hello")
    receiver = device.replica()
    # As if the engine had a reason to drop the change that our checks do not know of.
    monkeypatch.setattr(receiver._engine, "receive", lambda _: None)
    # Guard: heads are compared after handing over.
    with pytest.raises(ChangeNotApplied):
        receiver.apply([change], author=device.id)
    with pytest.raises(ChangeNotApplied):
        receiver.edit([Put("caption", PHOTO, "on a replica that is not what it should be")])


def test_repeats_of_an_early_change_take_no_room(device: Any) -> None:
    sender, receiver = device.replica(), device.replica()
    first, second = edited(sender, "one"), edited(sender, "two")
    document = bare(receiver)
    sizes = set()
    for _ in range(4):
        hand_over(document, second)
        sizes.add(len(document.save()))
    assert len(sizes) == 4  # the queue has grown with every repeat

    # Guard: the queue is ours, and holds each change once.
    receiver.apply([second], author=device.id)
    saved = receiver.save()
    for _ in range(3):
        assert receiver.apply([second, second], author=device.id).queued == 1
    assert receiver.save() == saved
    assert receiver.missing() == [sender._history.at_sequence(sender.actor, 1)]
    assert receiver.apply([first], author=device.id).applied == 2
    assert (receiver.missing(), receiver.get("caption", PHOTO)) == ([], "two")


@pytest.mark.scenario(11, "it uses one (actor, seq) twice")
def test_two_early_changes_with_one_number(device: Any, hostile: Any) -> None:
    sender, receiver = device.replica(), device.replica()
    first = edited(sender, "one")
    actor = device.actor()
    contradicting = [hostile.parts.of(sender, [hostile.op(value=text)], actor).bytes() for text in (b"one", b"two")]
    document = bare(receiver)
    for change in contradicting:
        hand_over(document, change)
    hand_over(document, first)
    assert never_loads(document)

    # Guard: (actor, number) of what waits.
    receiver.apply([contradicting[0]], author=device.id)
    with pytest.raises(DuplicateSequence):
        receiver.apply([contradicting[1]], author=device.id)
    with pytest.raises(DuplicateSequence):
        device.replica().apply(contradicting, author=device.id)
    # Guard: (actor, number) of what is applied, when the other arrives early.
    assert receiver.apply([first], author=device.id).applied == 2
    late = hostile.parts.read(contradicting[1])
    late.dependencies = [b"\xff" * 32]
    with pytest.raises(DuplicateSequence):
        receiver.apply([late.bytes()], author=device.id)
    assert Replica.load(MONTH, receiver.save(), device.actor()).heads() == receiver.heads()


def test_an_early_change_that_proves_invalid_harms_nobody_else(device: Any, other_device: Any, hostile: Any) -> None:
    honest, receiver = device.replica(), device.replica()
    innocent = edited(honest, "one")
    bad = hostile.parts.of(honest, [hostile.op(predecessors=[(9, b"p" * 16)])], other_device.actor())
    assert receiver.apply([bad.bytes()], author=other_device.id).queued == 1
    # Guard: what waited is checked again when its turn comes, and then the change that came is not to blame.
    result = receiver.apply([innocent], author=device.id)
    assert (result.applied, result.queued, result.touched) == (1, 0, {("caption", PHOTO)})
    (refusal,) = result.refused
    assert (refusal.actor, type(refusal.error)) == (bad.actor, OperationRefused)
    assert Replica.load(MONTH, receiver.save(), device.actor()).heads() == honest.heads()
    with pytest.raises(OperationRefused):
        receiver.apply([bad.bytes()], author=other_device.id)


def test_a_rollback_after_an_empty_transaction(device: Any) -> None:
    replica = device.replica()
    document = bare(replica)
    captions = replica._objects["caption"]
    with document.transaction():
        pass
    hand_over(document, edited(device.replica(), "foreign"))
    transaction = document.transaction()
    transaction.__enter__().put(captions, PHOTO, automerge.ScalarType.Str, "x")
    with pytest.raises(BaseException, match="assertion failed"):
        transaction.__exit__(KeyError, KeyError(), None)
    with pytest.raises(Exception, match="poisoned"):
        document.get_heads()

    # Guard: what makes no difference, or is refused, never reaches a transaction.
    assert replica.edit([]) is None
    assert replica.edit([Delete("caption", PHOTO)]) is None
    replica.apply([edited(device.replica(), "foreign")], author=device.id)
    assert replica.edit([Put("caption", PHOTO, "foreign")]) is None
    heads = replica.heads()
    for wrong in (
        Put("rating", PHOTO, 9),
        Put("nothing", PHOTO, 1),
        Put("caption", "", "x"),
        Put("caption", "\ud800", "x"),
    ):
        with pytest.raises(OperationInvalid):
            replica.edit([Put("caption", PHOTO, "right"), wrong])
    assert (replica.heads(), replica.get("caption", PHOTO)) == (heads, "foreign")
    assert replica.edit([Put("caption", PHOTO, "right")]) is not None


def test_a_failure_of_the_engine_closes_the_replica(device: Any) -> None:
    replica = device.replica()
    saved = replica.save()

    class Unwritable(str):
        __slots__ = ()

    # Guard: failures of the engine, panics included, become one error, and the replica is not written to again.
    with pytest.raises(ChangeNotApplied):
        replica._engine.transact([(b"no object", PHOTO, Unwritable("x"))])
    with pytest.raises(ChangeNotApplied):
        replica.edit([Put("caption", PHOTO, "x")])
    with pytest.raises(ChangeNotApplied):
        replica.save()
    assert Replica.load(MONTH, saved, device.actor()).edit([Put("caption", PHOTO, "x")]) is not None


@pytest.mark.scenario(11, "it sends bombs")
def test_deflated_changes_are_refused_and_never_shipped(device: Any) -> None:
    sender = device.replica()
    long = sender.edit([Put("caption", PHOTO, "x" * 8000)])
    (made,) = sender._engine._document.get_changes(Replica.create(MONTH, device.actor()).heads())
    assert (made.bytes[8], len(made.bytes) < 300) == (2, True)  # what the binding would have us ship
    document = bare(device.replica())
    hand_over(document, bytes(made.bytes))
    assert document.get_heads() == list(sender.heads())  # and would inflate without a bound

    # Guards: raw bytes are shipped; type 2 is refused.
    assert long is not None
    assert (long[8], len(long) > 8000) == (1, True)
    with pytest.raises(CompressedChangeRefused):
        device.replica().apply([bytes(made.bytes)], author=device.id)


@pytest.mark.scenario(11, "it sends bombs")
def test_a_short_change_with_very_many_operations(device: Any, hostile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    replica = device.replica()

    def bomb(count: int) -> bytes:
        parts = hostile.parts.of(replica, [hostile.op(key="k")], device.actor())
        many = hostile.signed(count)
        parts.columns = {0x01: many + b"\1", 0x02: many + b"\6", 0x15: many + b"\1k", 0x34: write_unsigned(count)}
        parts.columns |= {0x42: many + b"\1", 0x56: many + b"\6", 0x70: many + b"\0"}
        return bytes(parts.bytes())

    document = bare(replica)
    hand_over(document, bomb(500))
    assert document.get_changes([])[-1].max_op > 500  # 120 bytes, any number of operations

    # Guard: the column reader counts before it expands.
    expanded = 0

    def counting(*args: Any) -> list[Any]:
        nonlocal expanded
        values = read(*args)
        expanded += len(values)
        return values

    read = columns.read_run_lengths
    monkeypatch.setattr("crdt.change.read_run_lengths", counting)
    assert len(bomb(2**40)) < 200
    with pytest.raises(ChangeTooLarge):
        replica.apply([bomb(2**40)], author=device.id)
    assert expanded == 0


@pytest.mark.parametrize("predecessors", [[(9, b"p" * 16)], [(14, b"s" * 16)]], ids=["no such", "of another key"])
def test_overwriting_what_is_not_at_the_key(predecessors: Any, device: Any, hostile: Any) -> None:
    sender = device.replica()
    edited(sender, "one")
    predecessors = [(counter, sender.actor if actor == b"s" * 16 else actor) for counter, actor in predecessors]
    change = hostile.parts.of(sender, [hostile.op(predecessors=predecessors)], device.actor()).bytes()
    document = bare(sender)
    hand_over(document, change)
    assert never_loads(document)

    # Guard: History.admit looks the operation up at that key.
    with pytest.raises(OperationRefused):
        sender.apply([change], author=device.id)


def test_a_column_written_in_another_way(device: Any, hostile: Any) -> None:
    replica = device.replica()
    parts = hostile.parts.of(replica, [hostile.op(key="a"), hostile.op(key="b")], device.actor())
    parts.columns[0x42] = b"\x7e\x01\x01"  # two puts as a literal of two, where Automerge writes a run
    document = bare(replica)
    hand_over(document, parts.bytes())
    assert never_loads(document)

    # Guard: the column reader takes the canonical form only.
    with pytest.raises(ChangeMalformed):
        replica.apply([parts.bytes()], author=device.id)


def test_a_snapshot_that_would_not_load_is_not_handed_out(device: Any, hostile: Any) -> None:
    replica = device.replica()
    edited(replica, "one")
    # As if a change had come through that the engine cannot keep.
    change = hostile.parts.of(replica, [hostile.op(predecessors=[(9, b"p" * 16)])], device.actor()).bytes()
    hand_over(replica._engine._document, change)
    # Guard: save loads back.
    with pytest.raises(Exception, match="does not load back") as raised:
        replica.save()
    assert "rebuild" in (getattr(raised.value, "hint", None) or "")
