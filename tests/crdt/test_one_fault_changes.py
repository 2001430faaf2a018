"""Changes with one fault each: every one is refused with its own error, and leaves no trace.

Each case names the guard without which it fails, and says what the engine does when it gets the change all the same.
The cases are also in tests/vectors/crdt-changes.json, for other implementations; with SAFELIGHT_WRITE_VECTORS=1 in the
environment the file is written anew.
"""

import hashlib
import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crdt import errors
from crdt.genesis import GENESIS, extension_change
from crdt.leb128 import write_unsigned
from crdt.operations import Delete, Put
from crdt.replica import Applied, Replica, device_prefix

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "crdt-changes.json"
MONTH = "photos:2024-05"
AUTHOR = bytes(range(32))
OTHER = bytes(range(32, 64))
ACTOR = device_prefix(AUTHOR) + b"author-1"
OTHER_ACTOR = device_prefix(OTHER) + b"other--1"
RESERVED = b"safelight/schema"
PHOTO = "0123456789abcdef0123456789abcdef"
SECOND = "fedcba9876543210fedcba9876543210"
CAPTION, RATING = 6, 7

Make = Callable[["Bench"], bytes]


@dataclass
class Bench:
    """A replica with three changes of two devices, and what hostile changes that follow them are made with."""

    hostile: Any
    replica: Replica
    history: list[bytes]

    def parts(self, *ops: Any, **kwargs: Any) -> Any:
        """The author's next change, with these operations, in every other way as it should be."""
        kwargs.setdefault("sequence", 3)
        made = self.hostile.parts.of(self.replica, ops or [self.hostile.op(key=SECOND)], ACTOR, **kwargs)
        own = self.replica._history.at_sequence(ACTOR, 2)
        made.dependencies = sorted({*made.dependencies, own})
        return made

    def op(self, **kwargs: Any) -> Any:
        kwargs.setdefault("key", SECOND)
        return self.hostile.op(**kwargs)

    def columns(self, replaced: dict[int, bytes], *ops: Any) -> bytes:
        """The next change with some columns replaced."""
        made = self.parts(*ops)
        made.columns.update(replaced)
        made.columns = {number: data for number, data in made.columns.items() if data}
        return bytes(made.bytes())

    def changed(self, **fields: Any) -> bytes:
        """The next change with some fields replaced."""
        made = self.parts()
        for name, value in fields.items():
            assert hasattr(made, name)
            setattr(made, name, value)
        return bytes(made.bytes())


@pytest.fixture
def bench(hostile: Any) -> Bench:
    author, other = Replica.create(MONTH, ACTOR), Replica.create(MONTH, OTHER_ACTOR)
    first = author.edit([Put("caption", PHOTO, "one"), Put("rating", PHOTO, 3)])
    concurrent = other.edit([Put("caption", PHOTO, "two")])
    assert first is not None
    assert concurrent is not None
    author.apply([concurrent], author=OTHER)
    second = author.edit([Delete("rating", PHOTO)])
    assert second is not None
    return Bench(hostile, author, [first, concurrent, second])


def _two(bench: Bench) -> tuple[Any, Any]:
    return bench.op(key=PHOTO + "/a"), bench.op(key=PHOTO + "/b")


def _first_only(bench: Bench) -> list[bytes]:
    """Dependencies that leave the author's second change out, while naming the sequence number after it."""
    known = bench.replica._history
    return sorted(h for h in (known.at_sequence(ACTOR, 1), known.at_sequence(OTHER_ACTOR, 1)) if h is not None)


def _count_of(bench: Bench, listed: bytes) -> bytes:
    """The next change with the count of a list, 1, replaced by 2**60."""
    made = bench.parts()
    if listed[1:33] in made.dependencies:
        made.dependencies = made.dependencies[:1]
    body = made.bytes()[11:]
    assert body.count(listed) == 1
    body = body.replace(listed, b"\x80" * 8 + b"\x10" + listed[1:])
    hashed: bytes = b"\x01" + write_unsigned(len(body)) + body
    return b"\x85\x6f\x4a\x83" + hashlib.sha256(hashed).digest()[:4] + hashed


def _by_reserved_actor(bench: Bench) -> bytes:
    made = bench.parts(sequence=2)
    made.actor = RESERVED
    made.set_operations([bench.op()])
    return bytes(made.bytes())


def _overwriting_in_a_new_map(bench: Bench) -> bytes:
    made = bench.parts(bench.op(key=PHOTO, object=(14, RESERVED), predecessors=[(14, ACTOR)]))
    extension = hashlib.sha256(extension_change(bench.replica._kind, 1)[8:]).digest()
    made.dependencies = sorted([*made.dependencies, extension])
    return bytes(made.bytes())


def _changed_extension(bench: Bench) -> bytes:
    made = bench.hostile.parts.read(extension_change(bench.replica._kind, 1))
    made.columns[0x15] = made.columns[0x15].replace(b"extension:1", b"extension:x")
    return bytes(made.bytes())


GOOD: dict[str, Make] = {
    "a caption": lambda b: b.changed(),
    "overwrites both of two concurrent captions": lambda b: b.parts(
        b.op(key=PHOTO, predecessors=sorted([(14, ACTOR), (14, OTHER_ACTOR)]))
    ).bytes(),
    "every kind of value": lambda b: b.parts(
        b.op(object=(1, RESERVED), value=b"\x80", meta=1 << 4 | 7),
        b.op(object=(5, RESERVED), key=SECOND + "/dog", value=b"", meta=1),
        b.op(object=(8, RESERVED), value=b"", meta=2),
        b.op(object=(7, RESERVED), value=b"\x05", meta=1 << 4 | 4),
        b.op(object=(11, RESERVED), key=SECOND + "/a", value=struct.pack("<d", 1.5), meta=8 << 4 | 5),
        b.op(),
    ).bytes(),
    "a key of no known shape": lambda b: b.parts(b.op(key="of a later format")).bytes(),
}

BAD: dict[str, tuple[type[errors.CrdtError], Make]] = {
    # The frame. The engine drops all of these without a word, except where said.
    "empty": (errors.ChangeMalformed, lambda b: b""),
    "wrong magic": (errors.ChangeMalformed, lambda b: b"\x86" + b.changed()[1:]),
    "wrong checksum": (errors.ChangeChecksum, lambda b: b.changed()[:4] + b"\0\0\0\0" + b.changed()[8:]),
    "cut off": (errors.ChangeMalformed, lambda b: b.changed()[:-1]),
    "a byte too many": (errors.ChangeMalformed, lambda b: b.changed() + b"\0"),
    "two chunks": (errors.ChangeMalformed, lambda b: b.changed() * 2),
    "a document chunk": (errors.ChangeMalformed, lambda b: b.changed(kind=0)),
    # 1 MB of these cost the engine 15 s and 4 GB.
    "a deflated chunk": (errors.CompressedChangeRefused, lambda b: b.changed(kind=2)),
    "a deflated column": (errors.CompressedChangeRefused, lambda b: b.columns({0x57 | 8: b"\0"})),
    # Fields. The engine keeps some of them, but makes other bytes of the change when it loads the document again.
    "no dependencies": (errors.ChangeMalformed, lambda b: b.changed(dependencies=[])),
    "no dependencies, of a new actor": (
        errors.ChangeMalformed,
        lambda b: b.changed(dependencies=[], actor=ACTOR[:8] + b"new-one!", sequence=1),
    ),
    "2**60 dependencies": (errors.ChangeMalformed, lambda b: _count_of(b, b"\x01" + b.parts().dependencies[0])),
    "2**60 other actors": (errors.ChangeMalformed, lambda b: _count_of(b, b"\x01\x10" + RESERVED)),
    "dependencies out of order": (
        errors.ChangeMalformed,
        lambda b: b.changed(dependencies=sorted([*b.parts().dependencies, b"\0" * 32], reverse=True)),
    ),
    "a dependency twice": (errors.ChangeMalformed, lambda b: b.changed(dependencies=b.parts().dependencies * 2)),
    "an actor of 15 bytes": (errors.ChangeMalformed, lambda b: b.changed(actor=ACTOR[:15])),
    "sequence zero": (errors.ChangeMalformed, lambda b: b.changed(sequence=0)),
    "sequence 2**63": (errors.ChangeMalformed, lambda b: b.changed(sequence=2**63)),
    "counter zero": (errors.ChangeMalformed, lambda b: b.changed(start=0)),
    "counter 2**62": (errors.ChangeMalformed, lambda b: b.changed(start=2**62)),
    "a time": (errors.ChangeMalformed, lambda b: b.changed(time=1)),
    "the lowest time": (errors.ChangeMalformed, lambda b: b.changed(time=-(2**63))),
    "a message": (errors.ChangeMalformed, lambda b: b.changed(message=b"hello")),
    "bytes behind the columns": (errors.ChangeMalformed, lambda b: b.changed(extra=b"x")),
    "an actor that is not used": (errors.ChangeMalformed, lambda b: b.changed(others=[RESERVED, b"z" * 16])),
    "actors out of order": (errors.ChangeMalformed, lambda b: b.changed(others=[b"z" * 16, RESERVED])),
    "an unknown column": (errors.ChangeMalformed, lambda b: b.columns({0x100: b"\x7f\x01"})),
    "an empty column": (
        errors.ChangeMalformed,
        lambda b: b.changed(directory=[*((n, len(c)) for n, c in sorted(b.parts().columns.items())), (0x73, 0)]),
    ),
    "columns out of order": (
        errors.ChangeMalformed,
        lambda b: b.changed(directory=[(n, len(c)) for n, c in sorted(b.parts().columns.items(), reverse=True)]),
    ),
    "no operations": (errors.OperationRefused, lambda b: b.changed(columns={})),
    # Columns that say what they say in another way than Automerge would: the document would never load again.
    "a run of one": (errors.ChangeMalformed, lambda b: b.columns({0x42: b"\x01\x01"})),
    "a split run": (
        errors.ChangeMalformed,
        lambda b: b.columns({0x42: b"\x02\x01\x02\x01"}, *_two(b), b.op(key="c"), b.op(key="d")),
    ),
    "a literal of equals": (errors.ChangeMalformed, lambda b: b.columns({0x42: b"\x7e\x01\x01"}, *_two(b))),
    "a split literal": (
        errors.ChangeMalformed,
        lambda b: b.columns({0x15: b"\x7f\x01a\x7f\x01b"}, *_two(b)),
    ),
    "a number that could be shorter": (errors.ChangeMalformed, lambda b: b.columns({0x56: b"\x7f\xd6\x80\x00"})),
    "a run length that could be shorter": (errors.ChangeMalformed, lambda b: b.columns({0x42: b"\xff\x7f\x01"})),
    "a key that is not UTF-8": (errors.ChangeMalformed, lambda b: b.columns({0x15: b"\x7f\x02\xff\xff"})),
    "fewer keys than operations": (errors.ChangeMalformed, lambda b: b.columns({0x15: b"\x7f\x01a"}, *_two(b))),
    "a column that ends inside a value": (errors.ChangeMalformed, lambda b: b.columns({0x15: b"\x7f\x05a"})),
    # Bombs: 62 bytes of these cost the engine 10 s for 50,000 operations.
    "a run of 20,001 operations": (
        errors.ChangeTooLarge,
        lambda b: b.columns({0x42: b.hostile.signed(20_001) + b"\x01"}),
    ),
    "a run of 2**62 operations": (
        errors.ChangeTooLarge,
        lambda b: b.columns({0x42: b.hostile.signed(2**62) + b"\x01"}),
    ),
    "a run of 2**62 nulls": (
        errors.ChangeTooLarge,
        lambda b: b.columns({0x42: b"\x00" + b"\x80" * 8 + b"\x40\x7f\x01"}),
    ),
    "2**40 predecessors": (
        errors.ChangeTooLarge,
        lambda b: b.columns({0x70: b"\x7f" + b"\x80" * 5 + b"\x20", 0x71: b"\x7f\x00", 0x73: b"\x7f\x01"}),
    ),
    # Operations. The engine takes all of these in.
    "makes a map": (errors.OperationRefused, lambda b: b.parts(b.op(action=0, value=b"", meta=0)).bytes()),
    "makes a list": (errors.OperationRefused, lambda b: b.parts(b.op(action=2, value=b"", meta=0)).bytes()),
    "increments": (errors.OperationRefused, lambda b: b.parts(b.op(action=5, value=b"\x01", meta=0x14)).bytes()),
    # Of a map and value that the schema knows, or of a map it does not: nothing but the action is wrong with it.
    "increments a rating": (
        errors.OperationRefused,
        lambda b: b.parts(b.op(object=(RATING, RESERVED), action=5, value=b"\x01", meta=0x14)).bytes(),
    ),
    "a mark": (errors.OperationRefused, lambda b: b.columns({0x94: b"\x01"})),
    "an action of a later format": (errors.OperationRefused, lambda b: b.parts(b.op(action=9)).bytes()),
    "an action that is null": (errors.OperationRefused, lambda b: b.columns({0x42: b"\x7f\x01\x00\x01"}, *_two(b))),
    "puts at the root": (errors.OperationRefused, lambda b: b.parts(b.op(object=None, key="photo")).bytes()),
    "puts at the root in one of two operations": (
        errors.OperationRefused,
        lambda b: b.parts(b.op(), b.op(object=None, key="photo")).bytes(),
    ),
    "an object nobody made": (errors.OperationRefused, lambda b: b.parts(b.op(object=(99, RESERVED))).bytes()),
    "an object of the author's": (errors.OperationRefused, lambda b: b.parts(b.op(object=(CAPTION, ACTOR))).bytes()),
    "inserts": (errors.OperationRefused, lambda b: b.columns({0x34: b"\x00\x01"})),
    "works on a list element": (errors.OperationRefused, lambda b: b.columns({0x11: b"\x7f\x00", 0x13: b"\x7f\x01"})),
    "an operation without a key": (errors.OperationRefused, lambda b: b.parts(b.op(key=None), b.op()).bytes()),
    "one key twice": (errors.OperationRefused, lambda b: b.parts(b.op(), b.op(value=b"other")).bytes()),
    "writes to a map it does not build on": (
        errors.OperationRefused,
        lambda b: b.parts(b.op(object=(14, RESERVED))).bytes(),
    ),
    # Predecessors. The engine drops those it does not find; the document then saves and never loads.
    "a delete of nothing": (errors.OperationRefused, lambda b: b.parts(b.op(action=3, value=b"", meta=0)).bytes()),
    "overwrites what is not there": (
        errors.OperationRefused,
        lambda b: b.parts(b.op(predecessors=[(9, ACTOR)])).bytes(),
    ),
    "overwrites what is at another key": (
        errors.OperationRefused,
        lambda b: b.parts(b.op(predecessors=[(14, ACTOR)])).bytes(),
    ),
    "overwrites what is in another map": (
        errors.OperationRefused,
        lambda b: b.parts(
            b.op(key=PHOTO, object=(RATING, RESERVED), value=b"\1", meta=0x14, predecessors=[(14, ACTOR)])
        ).bytes(),
    ),
    # The engine raises what has no name when it is asked about a map that the document lacks.
    "overwrites something in a map that is not there": (
        errors.OperationRefused,
        lambda b: b.parts(b.op(key=PHOTO, object=(14, RESERVED), predecessors=[(14, ACTOR)])).bytes(),
    ),
    "overwrites something in a map that comes with it": (errors.OperationRefused, _overwriting_in_a_new_map),
    "overwrites a delete": (
        errors.OperationRefused,
        lambda b: b.parts(
            b.op(key=PHOTO, object=(RATING, RESERVED), value=b"\1", meta=0x14, predecessors=[(16, ACTOR)])
        ).bytes(),
    ),
    "overwrites itself": (errors.OperationRefused, lambda b: b.parts(b.op(predecessors=[(17, ACTOR)])).bytes()),
    "overwrites one operation twice": (
        errors.ChangeMalformed,
        lambda b: b.parts(b.op(key=PHOTO, predecessors=[(14, ACTOR), (14, ACTOR)])).bytes(),
    ),
    "predecessors out of order": (
        errors.ChangeMalformed,
        lambda b: b.parts(b.op(key=PHOTO, predecessors=sorted([(14, ACTOR), (14, OTHER_ACTOR)], reverse=True))).bytes(),
    ),
    "a predecessor of an actor that is not listed": (
        errors.ChangeMalformed,
        lambda b: b.columns({0x70: b"\x7f\x01", 0x71: b"\x7f\x05", 0x73: b"\x7f\x0e"}),
    ),
    # Place in the history.
    "a sequence number left out": (errors.ChangeMalformed, lambda b: b.changed(sequence=4)),
    "a sequence number used before": (errors.DuplicateSequence, lambda b: b.changed(sequence=2)),
    "does not build on its actor's last change": (
        errors.ChangeMalformed,
        lambda b: b.changed(dependencies=_first_only(b), start=16),
    ),
    "counters left out": (errors.ChangeMalformed, lambda b: b.changed(start=18)),
    "counters used before": (errors.ChangeMalformed, lambda b: b.changed(start=16)),
    # Keys and values.
    "an empty key": (errors.ValueRefused, lambda b: b.parts(b.op(key="")).bytes()),
    "a key of 513 bytes": (errors.ValueRefused, lambda b: b.parts(b.op(key="é" * 256 + "x")).bytes()),
    "a caption that is a number": (errors.ValueRefused, lambda b: b.parts(b.op(value=b"\x05", meta=0x14)).bytes()),
    "a caption of 8193 bytes": (errors.ValueRefused, lambda b: b.parts(b.op(value=b"x" * 8193)).bytes()),
    "a rating of 6": (
        errors.ValueRefused,
        lambda b: b.parts(b.op(object=(RATING, RESERVED), value=b"\x06", meta=0x14)).bytes(),
    ),
    "a rating that is a boolean": (
        errors.ValueRefused,
        lambda b: b.parts(b.op(object=(RATING, RESERVED), value=b"", meta=2)).bytes(),
    ),
    "a counter": (errors.ValueRefused, lambda b: b.parts(b.op(value=b"\x05", meta=0x18)).bytes()),
    "a timestamp": (errors.ValueRefused, lambda b: b.parts(b.op(value=b"\x05", meta=0x19)).bytes()),
    "a null": (errors.ValueRefused, lambda b: b.parts(b.op(value=b"", meta=0)).bytes()),
    "a kind of value of a later format": (errors.ValueRefused, lambda b: b.parts(b.op(value=b"x", meta=0x1F)).bytes()),
    "a boolean with bytes": (
        errors.ValueRefused,
        lambda b: b.parts(b.op(object=(8, RESERVED), value=b"x", meta=0x12)).bytes(),
    ),
    "a position that is not a number": (
        errors.ValueRefused,
        lambda b: b.parts(b.op(object=(11, RESERVED), value=struct.pack("<d", float("nan")), meta=0x85)).bytes(),
    ),
    "an infinite position": (
        errors.ValueRefused,
        lambda b: b.parts(b.op(object=(11, RESERVED), value=struct.pack("<d", float("inf")), meta=0x85)).bytes(),
    ),
    "a text that is not UTF-8": (errors.ChangeMalformed, lambda b: b.parts(b.op(value=b"\xff\xff")).bytes()),
    "an integer that could be shorter": (
        errors.ChangeMalformed,
        lambda b: b.parts(b.op(object=(RATING, RESERVED), value=b"\x81\x00", meta=0x24)).bytes(),
    ),
    "an integer with a byte behind it": (
        errors.ValueRefused,
        lambda b: b.parts(b.op(object=(RATING, RESERVED), value=b"\x01\x00", meta=0x24)).bytes(),
    ),
    "a value that runs over the end": (errors.ChangeMalformed, lambda b: b.columns({0x57: b"hell"})),
    "bytes that belong to no value": (errors.ChangeMalformed, lambda b: b.columns({0x57: b"hello!"})),
    "a delete with a value": (
        errors.ChangeMalformed,
        lambda b: b.parts(b.op(key=PHOTO, action=3, predecessors=[(14, ACTOR)])).bytes(),
    ),
    "a delete with a kind of value": (
        errors.ChangeMalformed,
        lambda b: b.parts(b.op(key=PHOTO, action=3, value=b"", meta=2, predecessors=[(14, ACTOR)])).bytes(),
    ),
    "overwrites what the reserved actor made": (
        errors.OperationRefused,
        lambda b: b.parts(b.op(key="caption", predecessors=[(6, RESERVED)])).bytes(),
    ),
    # Actors.
    "another device's actor": (errors.ActorRefused, lambda b: b.changed(actor=OTHER_ACTOR, sequence=2)),
    "a change of the reserved actor": (errors.ActorRefused, _by_reserved_actor),
    "an extension that is not the constant one": (
        errors.ActorRefused,
        _changed_extension,
    ),
}


def _read_vectors() -> dict[str, Any]:
    return dict(json.loads(VECTORS.read_text()))


def test_the_vectors_are_those_made_here(bench: Bench) -> None:
    made = {
        "comment": (
            "Changes of the document photos:2024-05. `history` is what the replica has, genesis first. Each `good` "
            "change is then applied and touches these keys; each `bad` one is refused with an error of this class, "
            "and with it the good `companion` that comes in the same call."
        ),
        "document": MONTH,
        "author": AUTHOR.hex(),
        "history": [GENESIS[bench.replica._kind].hex(), *(raw.hex() for raw in bench.history)],
        "companion": _companion(bench).hex(),
        "good": [
            {"name": name, "change": make(bench).hex(), "touched": _touched(bench, make(bench))}
            for name, make in GOOD.items()
        ],
        "bad": [
            {"name": name, "change": make(bench).hex(), "error": error.__name__} for name, (error, make) in BAD.items()
        ],
    }
    if os.environ.get("SAFELIGHT_WRITE_VECTORS"):
        VECTORS.write_text(json.dumps(made, indent=1) + "\n")
    assert _read_vectors() == made


def _companion(bench: Bench) -> bytes:
    """A good change by another actor of the author's."""
    return bytes(bench.hostile.parts.of(bench.replica, [bench.op()], device_prefix(AUTHOR) + b"author-2").bytes())


def _touched(bench: Bench, change: bytes) -> list[list[str]]:
    return [list(pair) for pair in sorted(_fresh(bench.history).apply([change], author=AUTHOR).touched)]


def _fresh(history: list[bytes]) -> Replica:
    replica = Replica.create(MONTH, ACTOR[:8] + b"reader-1")
    assert replica.apply(history, author=None).applied == len(history)
    return replica


@pytest.mark.parametrize("name", GOOD)
def test_good_vectors_are_applied(name: str) -> None:
    vectors = _read_vectors()
    (case,) = (case for case in vectors["good"] if case["name"] == name)
    replica = _fresh([bytes.fromhex(raw) for raw in vectors["history"]][1:])
    result = replica.apply([bytes.fromhex(case["change"])], author=AUTHOR)
    assert sorted(map(list, result.touched)) == case["touched"]
    assert (result.applied, result.queued) == (1, 0)
    assert Replica.load(MONTH, replica.save(), ACTOR).heads() == replica.heads()


@pytest.mark.scenario(11, "it alters changes, with right checksums")
@pytest.mark.parametrize("name", BAD)
def test_a_change_with_one_fault_is_refused_and_leaves_no_trace(name: str) -> None:
    vectors = _read_vectors()
    (case,) = (case for case in vectors["bad"] if case["name"] == name)
    replica = _fresh([bytes.fromhex(raw) for raw in vectors["history"]][1:])
    good = bytes.fromhex(vectors["companion"])
    heads, content, saved = replica.heads(), _content(replica), replica.save()
    with pytest.raises(errors.ChangeInvalid) as raised:
        # The good change that comes with it must not be applied either, nor queued.
        replica.apply([good, bytes.fromhex(case["change"])], author=AUTHOR)
    assert type(raised.value).__name__ == case["error"]
    assert raised.value.hint
    assert (replica.heads(), _content(replica), replica.save()) == (heads, content, saved)
    later: Applied = replica.apply([good], author=AUTHOR)
    assert (later.applied, later.queued) == (1, 0)
    assert Replica.load(MONTH, replica.save(), ACTOR).heads() == replica.heads()


def _content(replica: Replica) -> dict[str, list[tuple[str, Any]]]:
    return {name: list(replica.items(name)) for name in replica._objects if not name.startswith("extension:")}


@pytest.mark.parametrize("name", [name for name in BAD if name.startswith("overwrites")])
def test_reading_old_changes_refuses_what_asking_the_engine_does(
    name: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crdt.history.MAX_ENGINE_LOOKUPS", 0)
    error, make = BAD[name]
    with pytest.raises(error):
        bench.replica.apply([make(bench)], author=AUTHOR)


@pytest.mark.parametrize("name", [name for name in BAD if name.startswith("overwrites")])
def test_what_arrives_in_the_same_call_can_be_overwritten_no_more_freely(name: str, bench: Bench) -> None:
    # Guard: a change the engine does not have yet is looked into itself.
    error, make = BAD[name]
    replica = Replica.create(MONTH, OTHER_ACTOR[:8] + b"reader-1")
    with pytest.raises(error):
        replica.apply([make(bench), *bench.history], author=None)
    assert replica.apply([make_good(bench), *bench.history], author=None).applied == 4


def make_good(bench: Bench) -> bytes:
    return GOOD["overwrites both of two concurrent captions"](bench)
