"""The constants every device must share, for ever: these values may only be added to."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import automerge.core as automerge
import pytest

from crdt.documents import DocumentKind
from crdt.errors import ChangeInvalid, CrdtError
from crdt.genesis import (
    GENESIS,
    GENESIS_MAPS,
    MAX_EXTENSIONS,
    RESERVED_ACTOR,
    constant_changes,
    extension_change,
    object_ids,
)
from crdt.leb128 import write_unsigned
from crdt.operations import Put
from crdt.replica import Replica, new_actor
from crdt.schema import SHAPES

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "crdt-constants.json"


def _hash(change: bytes) -> str:
    return hashlib.sha256(change[8:]).hexdigest()


def test_the_constant_vectors_are_those_of_the_code() -> None:
    made = {
        "comment": "Changes of the reserved actor: the genesis of each kind of document, then its extensions.",
        "reserved_actor": RESERVED_ACTOR.hex(),
        "maps": {kind.value: list(GENESIS_MAPS[kind]) for kind in DocumentKind},
        "changes": {
            kind.value: [extension_change(kind, number).hex() for number in range(MAX_EXTENSIONS + 1)]
            for kind in DocumentKind
        },
    }
    if os.environ.get("SAFELIGHT_WRITE_VECTORS"):
        VECTORS.write_text(json.dumps(made, indent=1) + "\n")
    assert json.loads(VECTORS.read_text()) == made


def test_the_genesis_changes_are_these() -> None:
    assert _hash(GENESIS[DocumentKind.SHARD]) == "97287f8b896923a8183529c369577d4c4d7db49d84b7b665b394a215c91cbdb4"
    assert _hash(GENESIS[DocumentKind.LIBRARY]) == "228329a736437cc858aa5da26841d48806f52a12d2e896b8aeb6793b1eb6bce2"


@pytest.mark.parametrize("kind", DocumentKind)
def test_the_genesis_change_is_what_the_engine_makes_of_the_maps(kind: DocumentKind) -> None:
    document = automerge.Document(RESERVED_ACTOR)
    with document.transaction() as transaction:
        for name in GENESIS_MAPS[kind]:
            transaction.put_object(automerge.ROOT, name, automerge.ObjType.Map)
    (made,) = document.get_changes([])
    assert bytes(made.raw_bytes) == GENESIS[kind]
    # And every further constant change what it makes of one more map.
    for number in range(1, MAX_EXTENSIONS + 1):
        heads = document.get_heads()
        with document.transaction() as transaction:
            transaction.put_object(automerge.ROOT, f"extension:{number}", automerge.ObjType.Map)
        (made,) = document.get_changes(heads)
        assert bytes(made.raw_bytes) == extension_change(kind, number)


@pytest.mark.parametrize("kind", DocumentKind)
def test_object_ids_are_the_engine_s(kind: DocumentKind) -> None:
    document = automerge.Document(b"w" * 16)
    changes = [extension_change(kind, number) for number in range(MAX_EXTENSIONS + 1)]
    message = b"\x42\0\0\0" + write_unsigned(len(changes))
    message += b"".join(write_unsigned(len(change)) + change for change in changes)
    document.receive_sync_message(automerge.SyncState(), automerge.Message.decode(message))
    for name, object_id in object_ids(kind).items():
        assert document.get(automerge.ROOT, name) == (automerge.ObjType.Map, object_id)
    assert len(constant_changes(kind)) == MAX_EXTENSIONS + 1
    # A map is written to by the ids of the code, in any document.
    with document.transaction() as transaction:
        transaction.put(object_ids(kind)["album"], "key", automerge.ScalarType.Str, "value")
    assert automerge.extract(document, object_ids(kind)["album"]) == {"key": "value"}


def test_every_map_of_the_genesis_has_a_shape() -> None:
    for kind in DocumentKind:
        assert set(SHAPES[kind]) == set(GENESIS_MAPS[kind])


@pytest.mark.parametrize("number", [-1, MAX_EXTENSIONS + 1])
def test_extensions_end(number: int) -> None:
    with pytest.raises(CrdtError):
        extension_change(DocumentKind.SHARD, number)


def test_a_photo_s_shard_and_the_library_take_no_changes_of_each_other(device: Any) -> None:
    library = device.replica("library")
    shard = Replica.create("photos:2024-05", new_actor(device.id))
    for receiver, change in (
        (shard, library.edit([Put("setting", "pack", "x")])),
        (library, shard.edit([Put("favourite", "ab" * 16, True)])),
    ):
        assert change is not None
        with pytest.raises(ChangeInvalid):
            receiver.apply([change], author=device.id)
