"""Snapshots: all changes of one document in one file, so that two devices that know the same make the same bytes.

    `SLSN` ‖ version (1) ‖ length of name (1) ‖ document's name ‖ changes (4) ‖ length (8) ‖ zlib stream

The stream inflates to `length` bytes: each change behind its own length (4). A change stands after all it builds on;
of those that could stand at a place, the one with the lowest hash does. Automerge's own files are half the work to
load, but nobody can check the history in them; here every change passes the same reader as one that arrives alone.

A snapshot comes from another device, through a relay. What it says of its size is bounded before anything is inflated,
what is inflated is cut into changes at once, and the first that is none ends the reading.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

from core.errors import SnapshotDamaged, UnknownFormat
from crdt.change import MAX_CHANGE_BYTES, chunk_hash
from crdt.errors import ChangeInvalid
from crdt.weight import CHANGE_WEIGHT, OPERATION_WEIGHT
from crypto.compression import LEVEL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from crdt.replica import Replica

MAGIC: Final = b"SLSN"
VERSION: Final = 1
MAX_BYTES: Final = 1 << 30
"""What all changes of a document may take, inflated: fifty times that of a month of 30,000 photos."""
MAX_CHANGES: Final = 1 << 22
MERGED_AT_ONCE: Final = 512
"""How many changes are given to a replica in one call, and half of what is in memory beside it."""
MERGED_BYTES: Final = 8 << 20

_START: Final = struct.Struct(">4sBB")
_SIZES: Final = struct.Struct(">IQ")
_LENGTH: Final = struct.Struct(">I")
_READ_AT_ONCE: Final = 1 << 16
_INFLATED_AT_ONCE: Final = 1 << 20
_LEAST_OPERATION: Final = 2
"""How many bytes each operation of a change takes at least: its key."""
_DEFLATE_RATIO: Final = 1_032
"""Nothing that zlib reads becomes longer than this many times itself."""
_HINT: Final = "It was made by a damaged or hostile program: look at the device that made the checkpoint."


def make(replica: Replica) -> bytes:
    """Return the snapshot of a document; what waits for other changes is not in it.

    Raises `SnapshotDamaged` for a document whose snapshot nobody would read: over a gigabyte of changes, or none.
    """
    changes = replica.changes()
    length = sum(_LENGTH.size + len(change) for change in changes)
    if not changes or length > MAX_BYTES or len(changes) > MAX_CHANGES:
        raise SnapshotDamaged(
            f"{replica.document} has {len(changes)} changes of {length} bytes: no snapshot holds that"
        )
    deflater = zlib.compressobj(LEVEL)
    parts = [_head(replica.document, len(changes), length)]
    for change in changes:
        parts += (deflater.compress(_LENGTH.pack(len(change))), deflater.compress(change))
    parts.append(deflater.flush())
    return b"".join(parts)


def read(snapshot: bytes, document: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield (hash, raw bytes) of the changes in the snapshot of `document`, each chunk whole and none twice.

    What a change does is not looked at, and an error may come after some were yielded: `merge_into` throws them away.
    Raises `SnapshotDamaged`, and `UnknownFormat` for a later version.
    """
    count, length, start = _read_head(snapshot, document)
    seen: set[bytes] = set()
    for raw in _cut(_inflate(memoryview(snapshot)[start:], length, document), document):
        if len(seen) >= count:
            raise _damaged(document, f"it has more changes than the {count} it says")
        try:
            change_hash = chunk_hash(raw)
        except ChangeInvalid as error:
            raise _damaged(document, str(error)) from error
        if change_hash in seen:
            raise _damaged(document, "it holds one change twice")
        seen.add(change_hash)
        yield change_hash, raw
    if len(seen) != count:
        raise _damaged(document, f"it has {len(seen)} changes and says {count}")


def merge_into(replica: Replica, snapshot: bytes, devices: Collection[bytes]) -> None:
    """Apply a snapshot to a replica of its document; the changes may be by any of `devices`.

    Raises `SnapshotDamaged`, `UnknownFormat` and what `Replica.merge` raises; the replica, which may then hold some of
    the changes, must be thrown away.
    """
    batch: list[bytes] = []
    size = 0
    for _, raw in read(snapshot, replica.document):
        batch.append(raw)
        size += len(raw)
        if len(batch) >= MERGED_AT_ONCE or size >= MERGED_BYTES:
            replica.merge(batch, devices=devices)
            batch, size = [], 0
    replica.merge(batch, devices=devices)


def weight(snapshot: bytes, document: str) -> int:
    """Return the most that what a snapshot says it holds can weigh (`crdt.weight`): 0 for one that is none."""
    try:
        count, length, _ = _read_head(snapshot, document)
    except (SnapshotDamaged, UnknownFormat):
        return 0
    return CHANGE_WEIGHT * count + length * (1 + OPERATION_WEIGHT // _LEAST_OPERATION)


def _head(document: str, count: int, length: int) -> bytes:
    name = document.encode()
    return _START.pack(MAGIC, VERSION, len(name)) + name + _SIZES.pack(count, length)


def _read_head(snapshot: bytes, document: str) -> tuple[int, int, int]:
    """Return number of changes, inflated length, and where the stream begins."""
    if len(snapshot) < _START.size:
        raise _damaged(document, "it is cut off")
    magic, version, name_length = _START.unpack_from(snapshot)
    if magic != MAGIC:
        raise _damaged(document, "it is none")
    if version != VERSION:
        raise UnknownFormat(
            f"the snapshot of {document} is of version {version}", hint="Update safelight: a newer version made it."
        )
    end = _START.size + name_length
    if len(snapshot) < end + _SIZES.size:
        raise _damaged(document, "it is cut off")
    if snapshot[_START.size : end] != document.encode():
        raise _damaged(document, "it is that of another document")
    count, length = _SIZES.unpack_from(snapshot, end)
    start = end + _SIZES.size
    if not 1 <= count <= MAX_CHANGES or length > MAX_BYTES:
        raise _damaged(document, f"it says that it holds {count} changes of {length} bytes, which is over the bounds")
    if length > (len(snapshot) - start) * _DEFLATE_RATIO:
        raise _damaged(document, f"it says that it holds {length} bytes, which cannot come out of it")
    return count, length, start


def _inflate(compressed: memoryview, length: int, document: str) -> Iterator[bytes]:
    """Yield what is compressed in pieces of at most a megabyte, `length` bytes in all."""
    inflater = zlib.decompressobj()
    left, at = length, 0
    pending: bytes | memoryview = b""
    while not inflater.eof:
        if not pending:
            pending = compressed[at : at + _READ_AT_ONCE]
            at += len(pending)
        if not pending:
            raise _damaged(document, "its stream ends early")
        try:
            # One byte more than is left: a stream that goes on is noticed, and nothing of it is made.
            piece = inflater.decompress(pending, min(_INFLATED_AT_ONCE, left + 1))
        except zlib.error as error:
            raise _damaged(document, "its stream is damaged") from error
        pending = inflater.unconsumed_tail
        left -= len(piece)
        if left < 0:
            raise _damaged(document, f"it inflates to more than the {length} bytes it says")
        yield piece
    if left or inflater.unused_data or at < len(compressed):
        raise _damaged(document, "its stream ends early, or has bytes behind it")


def _cut(pieces: Iterator[bytes], document: str) -> Iterator[bytes]:
    """Cut the inflated stream into changes."""
    held = bytearray()
    for piece in pieces:
        held += piece
        at = 0
        while len(held) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(held, at)
            if not 1 <= length <= MAX_CHANGE_BYTES:
                raise _damaged(document, f"it holds a change of {length} bytes")
            end = at + _LENGTH.size + length
            if end > len(held):
                break
            with memoryview(held) as view:
                change = bytes(view[at + _LENGTH.size : end])
            yield change
            at = end
        del held[:at]
    if held:
        raise _damaged(document, "its last change is cut off")


def _damaged(document: str, why: str) -> SnapshotDamaged:
    return SnapshotDamaged(f"the snapshot of {document} is damaged: {why}", hint=_HINT)
