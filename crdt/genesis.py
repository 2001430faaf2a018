"""The constant first change of every document, and the constant changes by which later formats add maps.

Devices that create one document independently must share its maps: two ``put_object`` at one key make two objects, of
which Automerge shows one, and edits to the other vanish. So the maps are made by changes that are the same bytes
everywhere, by one reserved actor, and nobody else may make an object.

A format that needs another map takes the next *extension*: change ``n`` of the reserved actor is a pure function of
``n`` (:func:`extension_change`). This version therefore knows the object ids of maps it has no meaning for, keeps what
newer devices write there, and can still refuse every change of the reserved actor that is not one of these.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from crdt.documents import DocumentKind
from crdt.errors import CrdtError

RESERVED_ACTOR = b"safelight/schema"
MAX_EXTENSIONS = 64
EXTENSION_PREFIX = "extension:"

GENESIS: Mapping[DocumentKind, bytes] = MappingProxyType(
    {
        DocumentKind.SHARD: bytes.fromhex(
            "856f4a8397287f8b0182010010736166656c696768742f736368656d6101010000000515593401420256027002730570686f746f"
            "04636f70790662756e646c65046175746f056c6162656c0763617074696f6e06726174696e67096661766f757269746508726f74"
            "6174696f6e0574616b656e05616c62756d057472617368067075726765640d0d000d000d00"
        ),
        DocumentKind.LIBRARY: bytes.fromhex(
            "856f4a83228329a7015e0010736166656c696768742f736368656d61010100000005153534014202560270027905616c62756d06"
            "6465766963650572656c6179067365617263680a766f636162756c617279067461756768740773657474696e6707070007000700"
        ),
    }
)
"""One raw Automerge change each: sequence 1 of the reserved actor, a ``makeMap`` at the root for every map below."""

GENESIS_MAPS: Mapping[DocumentKind, tuple[str, ...]] = MappingProxyType(
    {
        DocumentKind.SHARD: (
            "photo",
            "copy",
            "bundle",
            "auto",
            "label",
            "caption",
            "rating",
            "favourite",
            "rotation",
            "taken",
            "album",
            "trash",
            "purged",
        ),
        DocumentKind.LIBRARY: ("album", "device", "relay", "search", "vocabulary", "taught", "setting"),
    }
)
"""The maps in the order of their operations in the genesis change: map ``i`` is the object (i + 1)@reserved actor."""


@cache
def map_names(kind: DocumentKind) -> tuple[str, ...]:
    """Name all maps of a kind of document, extensions included; map ``i`` is the object (i + 1)@reserved actor."""
    return GENESIS_MAPS[kind] + tuple(f"{EXTENSION_PREFIX}{n}" for n in range(1, MAX_EXTENSIONS + 1))


@cache
def object_ids(kind: DocumentKind) -> Mapping[str, bytes]:
    """Spell the binding's object id of every map: a type, the actor behind its length, an index, the counter.

    All counters are below 128, and an extra byte 0 (the index of the actor, a hint only) stands between.
    """
    head = b"\x10" + bytes([len(RESERVED_ACTOR)]) + RESERVED_ACTOR + b"\x00"
    return MappingProxyType({name: head + bytes([i]) for i, name in enumerate(map_names(kind), start=1)})


@cache
def constant_changes(kind: DocumentKind) -> Mapping[bytes, int]:
    """Hash all changes of the reserved actor that can be in a document: its genesis is 0, extension ``n`` is n."""
    return MappingProxyType(
        {hashlib.sha256(extension_change(kind, n)[8:]).digest(): n for n in range(MAX_EXTENSIONS + 1)}
    )


@cache
def extension_change(kind: DocumentKind, number: int) -> bytes:
    """Make the constant change that adds the map ``extension:<number>``.

    Args:
        kind: the kind of document.
        number: 1 to 64; 0 gives the genesis change.

    Returns:
        A raw Automerge change that follows the change before it and is the reserved actor's change ``number + 1``.
    """
    if number == 0:
        return GENESIS[kind]
    if not 0 < number <= MAX_EXTENSIONS:
        raise CrdtError(f"there is no extension {number}; they end at {MAX_EXTENSIONS}")
    before = hashlib.sha256(extension_change(kind, number - 1)[8:]).digest()
    name = f"{EXTENSION_PREFIX}{number}".encode()
    # Each column holds one value: a literal of one (-1 is 7f), or one boolean run.
    columns = (
        (0x15, b"\x7f" + bytes([len(name)]) + name),  # key
        (0x34, b"\x01"),  # insert: false, once
        (0x42, b"\x7f\x00"),  # action: make a map
        (0x56, b"\x7f\x00"),  # value: null
        (0x70, b"\x7f\x00"),  # overwrites nothing
    )
    body = (
        b"\x01"  # one dependency
        + before
        + bytes([len(RESERVED_ACTOR)])
        + RESERVED_ACTOR
        + bytes([number + 1, len(GENESIS_MAPS[kind]) + number])  # sequence, counter of the operation
        + b"\x00\x00\x00"  # time, no message, no other actors
        + bytes([len(columns)])
        + b"".join(bytes([column, len(data)]) for column, data in columns)
        + b"".join(data for _, data in columns)
    )
    hashed = b"\x01" + bytes([len(body)]) + body
    return b"\x85\x6f\x4a\x83" + hashlib.sha256(hashed).digest()[:4] + hashed
