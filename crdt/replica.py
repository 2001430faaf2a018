"""One document held in memory by the CRDT engine, with everything a foreign change must pass before the engine sees it.
(Skeleton: validation is being written.)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

import automerge.core as automerge

from crdt.documents import DocumentKind, document_kind
from crdt.errors import ChangeInvalid, OperationInvalid, SnapshotInvalid
from crdt.genesis import GENESIS, RESERVED_ACTOR, map_names, object_ids
from crdt.operations import Delete, Operation, Put, Scalar
from crdt.schema import shape_of

ACTOR_BYTES = 16


def device_prefix(device_id: bytes) -> bytes:
    """First half of every actor of a device: the first 8 bytes of BLAKE2b(device id)."""
    return hashlib.blake2b(device_id).digest()[:8]


def new_actor(device_id: bytes) -> bytes:
    """A fresh actor of a device, 16 bytes; one each time a replica is opened for writing."""
    return device_prefix(device_id) + os.urandom(8)


@dataclass(slots=True)
class Applied:
    """What :meth:`Replica.apply` did."""

    touched: set[tuple[str, str]] = field(default_factory=set)
    queued: int = 0
    applied: int = 0


class Replica:
    """One document."""

    def __init__(self, document: str, engine: automerge.Document, kind: DocumentKind) -> None:
        self._document = document
        self._engine = engine
        self._kind = kind
        self._objects = object_ids(kind)
        self._names = {i: n for i, n in enumerate(map_names(kind), start=1)}
        self._known = {c.hash for c in engine.get_changes([])}
        self._queue: dict[bytes, bytes] = {}

    @property
    def document(self) -> str:
        """The document's name."""
        return self._document

    @classmethod
    def create(cls, document: str, actor: bytes) -> Self:
        """A document that holds its genesis change and nothing else."""
        kind = document_kind(document)
        engine = automerge.Document(actor)
        _receive(engine, [GENESIS[kind]])
        return cls(document, engine, kind)

    @classmethod
    def load(cls, document: str, snapshot: bytes, actor: bytes) -> Self:
        """A document as :meth:`save` wrote it."""
        kind = document_kind(document)
        try:
            engine = automerge.Document.load(snapshot)
        except Exception as error:
            raise SnapshotInvalid(f"the snapshot of {document} does not load: {error}") from error
        engine.set_actor(actor)
        return cls(document, engine, kind)

    def save(self) -> bytes:
        """The document as bytes; loaded back and its heads compared before they are returned."""
        saved = self._engine.save()
        if automerge.Document.load(saved).get_heads() != self._engine.get_heads():
            raise SnapshotInvalid(f"the snapshot of {self._document} does not load back to the same heads")
        return saved

    def heads(self) -> tuple[bytes, ...]:
        """Hashes of the changes no other change builds on, sorted."""
        return tuple(self._engine.get_heads())

    def edit(self, operations: Sequence[Operation]) -> bytes | None:
        """Make one change of these operations; returns its raw bytes, or ``None`` if nothing differs."""
        for operation in operations:
            if operation.map not in self._objects:
                raise OperationInvalid(f"{self._document} has no map {operation.map!r}")
            if isinstance(operation, Put) and not shape_of(self._kind, operation.map).accepts(operation.value):
                raise OperationInvalid(f"{operation.value!r} is no value for the map {operation.map!r}")
        if not any(self._differs(operation) for operation in operations):
            return None
        before = self._engine.get_heads()
        with self._engine.transaction() as transaction:
            for operation in operations:
                map_id = self._objects[operation.map]
                if isinstance(operation, Delete):
                    transaction.delete(map_id, operation.key)
                else:
                    transaction.put(map_id, operation.key, _scalar_type(operation.value), operation.value)
        made = self._engine.get_changes(before)
        if not made:
            return None
        self._known.add(made[0].hash)
        return made[0].raw_bytes

    def apply(self, changes: Sequence[bytes], *, author: bytes | None) -> Applied:
        """Apply foreign changes."""
        result = Applied()
        for raw in changes:
            if len(raw) < 9 or raw[:4] != b"\x85\x6f\x4a\x83" or raw[8] != 1:
                raise ChangeInvalid("not a change")
            digest = _chunk_hash(raw)
            if digest[:4] != raw[4:8]:
                raise ChangeInvalid("checksum")
            if digest not in self._known:
                self._queue[digest] = raw
        if not self._queue:
            return result
        was = self._everything()
        before = self._engine.get_heads()
        _receive(self._engine, self._queue.values())
        for change in self._engine.get_changes(before):
            self._queue.pop(change.hash, None)
            if change.hash not in self._known:
                self._known.add(change.hash)
                result.applied += 1
        result.queued = len(self._queue)
        result.touched = {pair for pair in (was.items() ^ self._everything().items()) for pair in (pair[0],)}
        return result

    def get(self, map_name: str, key: str) -> Scalar | None:
        """The value at a key, ``None`` if there is none."""
        found = self._engine.get(self._objects[map_name], key)
        return None if found is None else found[0][1]  # type: ignore[index,return-value]

    def items(self, map_name: str, prefix: str = "") -> Iterator[tuple[str, Scalar]]:
        """Keys that start with ``prefix``, sorted, with their values."""
        map_id = self._objects[map_name]
        for key in self._engine.keys(map_id):
            if key.startswith(prefix):
                value = self.get(map_name, key)
                if value is not None:
                    yield key, value

    def _everything(self) -> dict[tuple[str, str], Scalar]:
        return {(m, k): v for m in self._names.values() if not m.startswith('extension') for k, v in self.items(m)}

    def _differs(self, operation: Operation) -> bool:
        now = self.get(operation.map, operation.key)
        if isinstance(operation, Delete):
            return now is not None
        return type(now) is not type(operation.value) or now != operation.value


def _scalar_type(value: Scalar) -> automerge.ScalarType:
    if isinstance(value, bool):
        return automerge.ScalarType.Boolean
    if isinstance(value, int):
        return automerge.ScalarType.Int
    if isinstance(value, float):
        return automerge.ScalarType.F64
    return automerge.ScalarType.Str if isinstance(value, str) else automerge.ScalarType.Bytes


def _uleb(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _chunk_hash(raw: bytes) -> bytes:
    return hashlib.sha256(raw[8:]).digest()


def _receive(engine: automerge.Document, changes: Iterable[bytes]) -> None:
    listed = list(changes)
    message = b"\x42\x00\x00\x00" + _uleb(len(listed)) + b"".join(_uleb(len(c)) + c for c in listed)
    engine.receive_sync_message(automerge.SyncState(), automerge.Message.decode(message))
