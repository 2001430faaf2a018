"""Our own reading of a change chunk, before the CRDT engine sees it.

The engine swallows what it cannot read, and expands whatever it is told to. A chunk is the magic bytes, the first four
bytes of the SHA-256 of what follows them, a type, a length, and for a change (type 1): dependencies, actor, sequence
number, counter of the first operation, time, message, other actors, column directory, columns. :func:`parse_change`
accepts exactly what Automerge writes for puts and deletes of plain values in maps made by the reserved actor;
docs/schema.md lists the bounds.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from crdt.columns import read_deltas, read_run_lengths, read_text
from crdt.documents import DocumentKind
from crdt.engine import OperationId
from crdt.errors import (
    ActorRefused,
    ChangeChecksum,
    ChangeMalformed,
    ChangeTooLarge,
    CompressedChangeRefused,
    OperationRefused,
    ValueRefused,
)
from crdt.genesis import RESERVED_ACTOR, map_names
from crdt.leb128 import read_signed, read_unsigned, write_unsigned
from crdt.operations import Scalar
from crdt.schema import ANY_SHAPE, MAX_KEY_BYTES, MAX_VALUE_BYTES, SHAPES

MAGIC = b"\x85\x6f\x4a\x83"
HASH_BYTES = 32
ACTOR_BYTES = 16
DEVICE_PREFIX_BYTES = 8
"""How many bytes at the start of an actor name its device."""
MAX_CHANGE_BYTES = 8 * 1024 * 1024
MAX_OPERATIONS = 20_000
MAX_PREDECESSORS = 100_000
MAX_COUNTER = 2**31
"""Bound on sequence numbers and operation counters, far below where the engine's own counters end."""

_HEADER_BYTES = 9
_CHANGE_CHUNK, _COMPRESSED_CHUNK = 1, 2
_DEFLATED = 0b1000
_SET, _DELETE = 1, 3

_OBJECT_ACTOR, _OBJECT_COUNTER, _KEY_TEXT, _INSERT, _ACTION = 0x01, 0x02, 0x15, 0x34, 0x42
_VALUE_KIND, _VALUE, _PREDECESSORS, _PREDECESSOR_ACTOR, _PREDECESSOR_COUNTER = 0x56, 0x57, 0x70, 0x71, 0x73
_REQUIRED_COLUMNS = frozenset({_OBJECT_ACTOR, _OBJECT_COUNTER, _KEY_TEXT, _INSERT, _ACTION, _VALUE_KIND, _PREDECESSORS})
_KNOWN_COLUMNS = _REQUIRED_COLUMNS | {_VALUE, _PREDECESSOR_ACTOR, _PREDECESSOR_COUNTER}
_LIST_COLUMNS = frozenset({0x11, 0x13, 0x94, 0xA5})

_FALSE, _TRUE, _INT, _FLOAT, _TEXT, _BYTES = 1, 2, 4, 5, 6, 7
_FLOAT_FORMAT = struct.Struct("<d")


@dataclass(frozen=True, slots=True)
class Write:
    """One operation of a change.

    Attributes:
        map: name of the map.
        key: the key.
        value: what is put there; ``None`` for a delete.
        predecessors: the operations it overwrites, ascending.
    """

    map: str
    key: str
    value: Scalar | None
    predecessors: tuple[OperationId, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A change whose own bytes are in order; what it refers to is checked against a document by its history.

    Attributes:
        raw: the chunk as received.
        hash: its SHA-256, 32 bytes.
        dependencies: hashes of the changes it was made after, ascending.
        actor: who made it, 16 bytes.
        sequence: which of the actor's changes it is, from 1.
        start: counter of its first operation.
        writes: at least one, no two at one key.
    """

    raw: bytes
    hash: bytes
    dependencies: tuple[bytes, ...]
    actor: bytes
    sequence: int
    start: int
    writes: tuple[Write, ...]

    @property
    def last(self) -> int:
        """Counter of its last operation."""
        return self.start + len(self.writes) - 1


def chunk_hash(raw: bytes) -> bytes:
    """Check a change chunk's frame and return its hash.

    Raises:
        ChangeMalformed: if it is no change chunk, or has another length than it says.
        CompressedChangeRefused: if it is a deflated one.
        ChangeTooLarge: if it is over 8 MiB.
        ChangeChecksum: if its checksum does not hold.
    """
    if len(raw) > MAX_CHANGE_BYTES:
        raise ChangeTooLarge(f"a change of {len(raw)} bytes is over {MAX_CHANGE_BYTES}")
    if len(raw) < _HEADER_BYTES or raw[:4] != MAGIC:
        raise ChangeMalformed("the bytes are no Automerge chunk")
    if raw[8] == _COMPRESSED_CHUNK:
        raise CompressedChangeRefused("a change is deflated; changes travel as raw bytes in compressed envelopes")
    if raw[8] != _CHANGE_CHUNK:
        raise ChangeMalformed(f"the chunk is of type {raw[8]}, not a change")
    length, at = read_unsigned(raw, _HEADER_BYTES)
    if at + length != len(raw):
        raise ChangeMalformed(f"a change says it has {length} bytes and has {len(raw) - at}")
    digest = hashlib.sha256(raw[8:]).digest()
    if digest[:4] != raw[4:8]:
        raise ChangeChecksum("the checksum of a change does not hold")
    return digest


def change_actor(raw: bytes) -> bytes:
    """Return the actor of a chunk whose frame :func:`chunk_hash` has checked."""
    _, at = read_unsigned(raw, _HEADER_BYTES)
    dependencies, at = read_unsigned(raw, at)
    return _read_actor(raw, at + dependencies * HASH_BYTES)[0]


def parse_change(raw: bytes, kind: DocumentKind) -> Change:
    """Read a change of a document of this kind, checking everything that its own bytes can tell.

    Raises:
        ChangeInvalid: one of its subclasses, by what is wrong (see docs/schema.md).
    """
    digest = chunk_hash(raw)
    _, at = read_unsigned(raw, _HEADER_BYTES)
    dependencies, at = _read_dependencies(raw, at)
    actor, at = _read_actor(raw, at)
    if actor == RESERVED_ACTOR:
        raise ActorRefused("a change of the reserved actor is none of the constant ones")
    sequence, at = read_unsigned(raw, at)
    start, at = read_unsigned(raw, at)
    time, at = read_signed(raw, at)
    message_length, at = read_unsigned(raw, at)
    if time or message_length:
        raise ChangeMalformed("a change carries a time or a message; this format has neither")
    others, at = _read_other_actors(raw, at)
    columns = _read_columns(raw, at)

    actions = read_run_lengths(columns[_ACTION], read_unsigned, MAX_OPERATIONS)
    count = len(actions)
    if not (1 <= sequence < MAX_COUNTER and 1 <= start < MAX_COUNTER - count):
        raise ChangeMalformed("the sequence number or first counter of a change is out of range")
    if not set(actions) <= {_SET, _DELETE}:
        raise OperationRefused("a change does something else than put and delete: make an object, count, or mark text")
    if columns[_INSERT] != write_unsigned(count):
        raise OperationRefused("a change inserts into a list")
    actors = (actor, *others)
    maps = _read_maps(columns, count, actors, map_names(kind))
    keys = _read_keys(columns[_KEY_TEXT], count)
    values = _read_values(columns, actions, maps, kind)
    predecessors = _read_predecessors(columns, actions, actors)
    used = {maker for operations in predecessors for _, maker in operations} | {RESERVED_ACTOR}
    if used - {actor} != set(others):
        raise ChangeMalformed("a change lists actors it does not use")
    if len(set(zip(maps, keys, strict=True))) != count:
        raise OperationRefused("a change writes one key twice")
    writes = tuple(map(Write, maps, keys, values, predecessors))
    return Change(raw, digest, dependencies, actor, sequence, start, writes)


def _read_dependencies(raw: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    count, at = read_unsigned(raw, at)
    end = at + count * HASH_BYTES
    if count == 0 or end > len(raw):
        raise ChangeMalformed("a change has no dependencies, or ends inside them")
    hashes = tuple(raw[i : i + HASH_BYTES] for i in range(at, end, HASH_BYTES))
    _check_ascending(hashes, "dependencies")
    return hashes, end


def _read_actor(raw: bytes, at: int) -> tuple[bytes, int]:
    length, at = read_unsigned(raw, at)
    if length != ACTOR_BYTES or at + length > len(raw):
        raise ChangeMalformed(f"an actor has {length} bytes, not {ACTOR_BYTES}, or runs over the end")
    return raw[at : at + length], at + length


def _read_other_actors(raw: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    count, at = read_unsigned(raw, at)
    if at + count * (ACTOR_BYTES + 1) > len(raw):
        raise ChangeMalformed("a change ends inside its list of actors")
    others = []
    for _ in range(count):
        other, at = _read_actor(raw, at)
        others.append(other)
    _check_ascending(others, "actors")
    return tuple(others), at


def _read_columns(raw: bytes, at: int) -> dict[int, bytes]:
    """Split off the columns, by number; those left out because they would be empty are empty."""
    count, at = read_unsigned(raw, at)
    if count > len(_KNOWN_COLUMNS) + len(_LIST_COLUMNS):
        raise ChangeMalformed(f"a change has {count} columns")
    directory = []
    for _ in range(count):
        number, at = read_unsigned(raw, at)
        length, at = read_unsigned(raw, at)
        if number in _LIST_COLUMNS:
            raise OperationRefused("a change works on a list or marks text")
        if number & _DEFLATED:
            raise CompressedChangeRefused("a column of a change is deflated")
        if number not in _KNOWN_COLUMNS or length == 0:
            raise ChangeMalformed(f"a change has an unknown or empty column {number:#x}")
        directory.append((number, length))
    _check_ascending([number for number, _ in directory], "columns")
    columns = dict.fromkeys(_KNOWN_COLUMNS, b"")
    for number, length in directory:
        columns[number] = raw[at : at + length]
        at += length
    if at != len(raw):
        raise ChangeMalformed("the columns of a change do not fill it, or run over its end")
    if not columns[_OBJECT_ACTOR] or not columns[_OBJECT_COUNTER]:
        raise OperationRefused("a change works on the root")
    if any(not columns[number] for number in _REQUIRED_COLUMNS):
        raise ChangeMalformed("a change has no operations, or lacks a column")
    return columns


def _read_maps(columns: dict[int, bytes], count: int, actors: tuple[bytes, ...], names: tuple[str, ...]) -> list[str]:
    makers = _read_full(columns[_OBJECT_ACTOR], count, "objects")
    counters = _read_full(columns[_OBJECT_COUNTER], count, "objects")
    maps = []
    for maker, counter in zip(makers, counters, strict=True):
        if maker is None or counter is None:
            raise OperationRefused("a change works on a key of the root")
        if maker >= len(actors) or actors[maker] != RESERVED_ACTOR or not 1 <= counter <= len(names):
            raise OperationRefused("a change works on an object that is none of the document's maps")
        maps.append(names[counter - 1])
    return maps


def _read_keys(column: bytes, count: int) -> list[str]:
    keys: list[str] = []
    for key in read_run_lengths(column, read_text, count):
        if key is None:
            raise OperationRefused("an operation has no key")
        if not key or len(key.encode()) > MAX_KEY_BYTES:
            raise ValueRefused(f"a key is empty or over {MAX_KEY_BYTES} bytes: {key[:64]!r}")
        keys.append(key)
    if len(keys) != count:
        raise ChangeMalformed("the column of keys has another length than that of actions")
    return keys


def _read_values(
    columns: dict[int, bytes], actions: list[int | None], maps: list[str], kind: DocumentKind
) -> list[Scalar | None]:
    kinds = _read_full(columns[_VALUE_KIND], len(actions), "values")
    data = columns[_VALUE]
    shapes = SHAPES[kind]
    at = 0
    values: list[Scalar | None] = []
    for action, map_name, meta in zip(actions, maps, kinds, strict=True):
        if meta is None:
            raise ChangeMalformed("a value has no kind")
        code, length = meta & 0xF, meta >> 4
        if action == _DELETE:
            if meta:
                raise ChangeMalformed("a delete has a value")
            values.append(None)
            continue
        if length > MAX_VALUE_BYTES:
            raise ValueRefused(f"a value of {length} bytes is over {MAX_VALUE_BYTES}")
        end = at + length
        if end > len(data):
            raise ChangeMalformed("a value runs over the end of its column")
        value = _read_value(code, data[at:end])
        shape = shapes.get(map_name, ANY_SHAPE)
        if not shape.accepts(value):
            raise ValueRefused(f"the map {map_name!r} holds {shape.value}, not {value!r:.80}")
        values.append(value)
        at = end
    if at != len(data):
        raise ChangeMalformed("the column of values has bytes that belong to none")
    return values


def _read_value(code: int, data: bytes) -> Scalar:
    if code == _BYTES:
        return data
    if code == _TEXT:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise ChangeMalformed("a text value is not UTF-8") from error
    if code in {_FALSE, _TRUE} and not data:
        return code == _TRUE
    if code == _INT and data:
        number, end = read_signed(data, 0)
        if end == len(data):
            return number
    elif code == _FLOAT and len(data) == _FLOAT_FORMAT.size:
        (real,) = _FLOAT_FORMAT.unpack(data)
        if math.isfinite(real):
            return float(real)
    raise ValueRefused(f"a value of kind {code} and {len(data)} bytes is not one that maps hold")


def _read_predecessors(
    columns: dict[int, bytes], actions: list[int | None], actors: tuple[bytes, ...]
) -> list[tuple[OperationId, ...]]:
    counts = _read_full(columns[_PREDECESSORS], len(actions), "predecessors")
    total = 0
    for action, number in zip(actions, counts, strict=True):
        if number is None:
            raise ChangeMalformed("an operation does not say how many it overwrites")
        if action == _DELETE and number == 0:
            raise OperationRefused("a delete overwrites nothing")
        total += number
        if total > MAX_PREDECESSORS:
            raise ChangeTooLarge(f"a change overwrites more than {MAX_PREDECESSORS} operations")
    makers = _read_full(columns[_PREDECESSOR_ACTOR], total, "predecessors")
    counters = read_deltas(columns[_PREDECESSOR_COUNTER], total)
    if len(counters) != total:
        raise ChangeMalformed("the columns of predecessors differ in length")
    ids: list[OperationId] = []
    for maker, counter in zip(makers, counters, strict=True):
        if maker is None or maker >= len(actors) or counter is None or not 1 <= counter < MAX_COUNTER:
            raise ChangeMalformed("a predecessor is no operation id")
        ids.append((counter, actors[maker]))
    grouped = []
    at = 0
    for number in counts:
        group = tuple(ids[at : at + (number or 0)])
        if len(group) > 1:
            _check_ascending(group, "predecessors")
        grouped.append(group)
        at += len(group)
    return grouped


def _read_full(column: bytes, count: int, what: str) -> list[int | None]:
    values = read_run_lengths(column, read_unsigned, count)
    if len(values) != count:
        raise ChangeMalformed(f"a column of {what} has {len(values)} entries where {count} are needed")
    return values


def _check_ascending(values: Sequence[Any], what: str) -> None:
    if any(before >= after for before, after in pairwise(values)):
        raise ChangeMalformed(f"the {what} of a change are not in ascending order")
