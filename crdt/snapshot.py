"""The frame of a saved document: one document chunk, then the change chunks that wait, as Automerge's own files."""

from crdt.change import MAGIC
from crdt.errors import ChangeMalformed, SnapshotInvalid
from crdt.leb128 import read_unsigned

MAX_SNAPSHOT_BYTES = 1 << 30
_HEADER_BYTES = 9
_DOCUMENT_CHUNK, _CHANGE_CHUNK = 0, 1


def split_snapshot(snapshot: bytes) -> tuple[bytes, list[bytes]]:
    """Split off the document chunk and the change chunks behind it.

    The engine, left alone, would skip what it cannot read after the first chunk. Checksums are checked where the chunks
    are read.

    Raises:
        SnapshotInvalid: if the bytes are anything else.
    """
    if len(snapshot) > MAX_SNAPSHOT_BYTES:
        raise SnapshotInvalid(f"a snapshot of {len(snapshot)} bytes is over {MAX_SNAPSHOT_BYTES}")
    chunks: list[bytes] = []
    at = 0
    while at < len(snapshot):
        start = at
        kind = _CHANGE_CHUNK if chunks else _DOCUMENT_CHUNK
        head = snapshot[at : at + _HEADER_BYTES]
        if len(head) < _HEADER_BYTES or head[:4] != MAGIC or head[8] != kind:
            raise SnapshotInvalid(f"there is no chunk of type {kind} at byte {at} of a snapshot")
        try:
            length, at = read_unsigned(snapshot, at + _HEADER_BYTES)
        except ChangeMalformed as error:
            raise SnapshotInvalid(f"the chunk at byte {start} of a snapshot has no length") from error
        at += length
        chunk = snapshot[start:at]
        if at > len(snapshot):
            raise SnapshotInvalid(f"the chunk at byte {start} of a snapshot is cut off")
        chunks.append(chunk)
    if not chunks:
        raise SnapshotInvalid("a snapshot is empty")
    return chunks[0], chunks[1:]
