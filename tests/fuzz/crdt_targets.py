"""Targets for what `crdt` and `core.snapshots` read: changes, columns, numbers, packed records, saved documents."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path

from core import snapshots
from core.bundles import read_vectors
from core.errors import SnapshotDamaged, UnknownFormat
from core.thumbhash import aspect_ratio, average, decode
from crdt.change import MAGIC, parse_change
from crdt.columns import read_deltas, read_run_lengths, read_text
from crdt.documents import DocumentKind
from crdt.errors import ChangeInvalid, ChangeMalformed, CrdtError, RecordInvalid
from crdt.leb128 import read_signed, read_unsigned, write_unsigned
from crdt.records import AutoRecord, BundleRecord, CopyRecord, PhotoFacts, TaughtRecord
from crdt.replica import Replica, device_prefix
from crdt.snapshot import split_snapshot
from tests.fuzz.target import same, target

MONTH = "photos:2024-05"
AUTHOR = bytes(range(32))
OTHER = bytes(range(32, 64))
_OWN_ACTOR = device_prefix(OTHER) + b"fuzzing!"
_VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "crdt-changes.json"
_LIMIT = 500
_CHUNK_BODY = 9
_BODY_LENGTH = 2


@target(ChangeMalformed, covers=("crdt.leb128",), longest=64)
def leb128(data: bytes) -> None:
    """A number, signed or not: it has one spelling."""
    with suppress(ChangeMalformed):
        read_signed(data, 0)
    number, end = read_unsigned(data, 0)
    same(write_unsigned(number), data[:end], "a number in LEB128")


@target(ChangeInvalid, covers=("crdt.columns", "crdt.leb128"))
def column(data: bytes) -> None:
    """A column of each kind, which may never have more values than it is allowed."""
    kind, data = data[:1], data[1:]
    values: list[int | None] | list[str | None]
    if kind < b"\x55":
        values = read_run_lengths(data, read_unsigned, _LIMIT)
    elif kind < b"\xaa":
        values = read_run_lengths(data, read_text, _LIMIT)
    else:
        values = read_deltas(data, _LIMIT)
    same(len(values) <= _LIMIT, True, "the length of a column")


@cache
def saved_replica() -> bytes:
    """Return the document of the vectors, saved: what the changes of the corpus build on."""
    replica = Replica.create(MONTH, _OWN_ACTOR)
    history = json.loads(_VECTORS.read_text("utf-8"))["history"]
    replica.apply([bytes.fromhex(change) for change in history[1:]], author=None)
    return replica.save()


def chunk(body: bytes) -> bytes:
    """Return a change chunk of this body, with the length and the checksum that it has to have."""
    rest = b"\x01" + write_unsigned(len(body)) + body
    return MAGIC + hashlib.sha256(rest).digest()[:4] + rest


def chunk_body(change: bytes) -> bytes:
    """Return what `chunk` made a chunk of."""
    return change[read_unsigned(change, _CHUNK_BODY)[1] :]


@target(covers=("crdt.change", "crdt.columns", "crdt.leb128", "crdt.schema"))
def change(data: bytes) -> None:
    """A change of either kind of document, as it arrives."""
    for kind in DocumentKind:
        with suppress(CrdtError):
            same(parse_change(data, kind).raw, data, "a change")


@target(CrdtError, covers=("crdt.change", "crdt.columns", "crdt.schema", "crdt.history", "crdt.replica", "crdt.engine"))
def change_content(data: bytes) -> None:
    """A change of any content with the right checksum, by a member: what is accepted loads again after it was saved."""
    raw = chunk(data)
    read = parse_change(raw, DocumentKind.SHARD)
    replica = Replica.load(MONTH, saved_replica(), _OWN_ACTOR)
    applied = replica.apply([raw], author=AUTHOR)
    if not applied.applied:
        return
    again = Replica.load(MONTH, replica.save(), _OWN_ACTOR)
    same(again.heads(), replica.heads(), "the heads of a document that was saved")
    for write in read.writes:
        same(again.get(write.map, write.key), replica.get(write.map, write.key), "a value that was saved")


@target(CrdtError, covers=("crdt.snapshot", "crdt.replica"))
def saved_document(data: bytes) -> None:
    """A saved document of this device's own, damaged on its way: the frame, and the change chunks behind it."""
    document, waiting = split_snapshot(data)
    same(document + b"".join(waiting), data, "the chunks of a saved document")
    if document == saved_replica():
        Replica.load(MONTH, data, _OWN_ACTOR)


_SNAPSHOT = (SnapshotDamaged, UnknownFormat, CrdtError)


@target(*_SNAPSHOT, covers=("core.snapshots",))
def snapshot(data: bytes) -> None:
    """A snapshot as a checkpoint names it."""
    snapshots.merge_into(Replica.create(MONTH, _OWN_ACTOR), data, [AUTHOR, OTHER])


@target(*_SNAPSHOT, covers=("core.snapshots", "crdt.replica", "crdt.history"))
def snapshot_content(data: bytes) -> None:
    """A snapshot of any content that is compressed as it should be: what is taken makes the same bytes again."""
    count, inflated = data[:1] or b"\0", data[1:]
    _merge(count[0], inflated)


@target(*_SNAPSHOT, covers=("core.snapshots", "crdt.replica", "crdt.history", "crdt.change"))
def snapshot_changes(data: bytes) -> None:
    """A snapshot of changes of any content, two bytes for the length of each: their checksums are right."""
    changes = []
    while len(data) > _BODY_LENGTH:
        length = int.from_bytes(data[:_BODY_LENGTH], "big")
        changes.append(chunk(data[_BODY_LENGTH : _BODY_LENGTH + length]))
        data = data[_BODY_LENGTH + length :]
    _merge(len(changes), b"".join(struct.pack(">I", len(change)) + change for change in changes))


def _merge(count: int, inflated: bytes) -> None:
    name = MONTH.encode()
    head = struct.pack(">4sBB", b"SLSN", 1, len(name)) + name + struct.pack(">IQ", count, len(inflated))
    replica = Replica.create(MONTH, _OWN_ACTOR)
    snapshots.merge_into(replica, head + zlib.compress(inflated), [AUTHOR, OTHER])
    made = snapshots.make(replica)
    again = Replica.create(MONTH, _OWN_ACTOR)
    snapshots.merge_into(again, made, [AUTHOR, OTHER])
    same(snapshots.make(again), made, "a snapshot")


RECORDS = (PhotoFacts, CopyRecord, BundleRecord, AutoRecord, TaughtRecord)


@target(RecordInvalid, covers=("crdt.records",), values=1)
def record(data: bytes) -> None:
    """A packed record of each kind: what was read can be written, and says the same again."""
    which, data = data[:1] or b"\0", data[1:]
    kind = RECORDS[which[0] % len(RECORDS)]
    packed = kind.unpack(data).pack()
    same(kind.unpack(packed).pack(), packed, f"a {kind.__name__}")


@target(ValueError, covers=("core.thumbhash",), longest=64)
def thumbhash(data: bytes) -> None:
    """The blurred placeholder of a photo, which another device made."""
    aspect_ratio(data)
    average(data)
    decode(data[:32])


@target(ValueError, covers=("core.bundles",), longest=256)
def vectors(data: bytes) -> None:
    """Vectors of a bundle that another device made."""
    read_vectors(data[1:], data[0] if data else 0)
