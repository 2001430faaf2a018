"""Records of copies that a member wrote over: what opens the blob is found in the history, and put back.

Only one key opens a blob (its header commits to it), and opening tells how large the file is. So of all that was ever
written about a copy, what is right can be told for sure wherever the blob is, and nobody's word is needed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from core.errors import BlobDamaged, BlobMissing, CoreError, Forged, IntegrityAlarm
from crdt.change import parse_change
from crdt.documents import document_kind
from crdt.errors import CrdtError
from crdt.operations import Put
from crdt.records import CopyRecord
from crdt.replica import device_prefix
from crdt.schema import copy_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from core.library import Library
    from crdt.replica import Replica

ACTION: Final = "copy.repair"
_PREFIX_BYTES: Final = 8


@dataclass(frozen=True)
class Repair:
    """The record that holds, and the alarm about the one that stood in its place."""

    record: CopyRecord
    alarm: Forged


def opens(library: Library, document: str, pid: bytes, blob_id: bytes) -> bool:
    """Tell whether a document's record of a copy has the key and the size of the blob, which is here."""
    record = _unpacked(library.replica_get(document, "copy", copy_key(pid, blob_id)))
    return record is not None and _size(library, blob_id, record.key) == record.size


def repair(library: Library, pid: bytes, blob_id: bytes, documents: Iterable[str] = ()) -> Repair | None:
    """Put back the record of a copy whose blob is here, where another stands in its place; None: nothing was to do.

    Looked at are `documents` and the one that has the photo's facts. Nothing is done either where no record that was
    ever written opens the blob: then it is the blob that is damaged. Where the library cannot be written, what is
    returned holds all the same, and stands nowhere yet.
    """
    library.refresh()
    places = dict.fromkeys([*documents, *library.catalog.documents_of([pid]).values()])
    key = copy_key(pid, blob_id)
    wrong = {}
    for document in places:
        value = library.replica_get(document, "copy", key)
        record = _unpacked(value)
        if value is not None and (record is None or _size(library, blob_id, record.key) != record.size):
            wrong[document] = value
    if not wrong:
        return None
    right = _right(library, blob_id, [one for document in places for one in _written(library, document, key)])
    if right is None:
        return None
    writers = {
        author
        for document, value in wrong.items()
        for author, written in _written(library, document, key)
        if written == value
    }
    with contextlib.suppress(CoreError, IntegrityAlarm):  # a library that is in doubt can be read all the same
        library.commit(
            {document: [Put("copy", key, right.pack())] for document in wrong},
            action=ACTION,
            summary="record of a file put right",
            inverse=False,
        )
    return Repair(right, _alarm(library, pid, blob_id, writers))


def name_writers(library: Library, writers: Collection[bytes]) -> str:
    """Return what alarms call the devices whose actors begin with these bytes."""
    members = library.members.membership
    names = sorted(
        device.hex()[:12] for device in {*members.members, *members.departed} if device_prefix(device) in writers
    )
    return f"device {' and '.join(names)}" if names else "a device"


def _right(library: Library, blob_id: bytes, written: list[tuple[bytes, object]]) -> CopyRecord | None:
    """Return the newest record with the key and the size that the blob has; of wrong sizes, with the right one."""
    almost = None
    for _, value in reversed(written):
        record = _unpacked(value)
        size = None if record is None else _size(library, blob_id, record.key)
        if record is None or size is None:
            continue
        if record.size == size:
            return record
        almost = almost or msgspec.structs.replace(record, size=size)
    return almost


def _size(library: Library, blob_id: bytes, key: bytes) -> int | None:
    """Return how large the file in a blob is, in bytes; None where the key does not open it, or it is not here."""
    try:
        with library.blobs.open(blob_id, key) as reader:
            return reader.size
    except (BlobDamaged, BlobMissing):
        return None


def _written(library: Library, document: str, key: str) -> list[tuple[bytes, object]]:
    """List what was ever put at a key, each with the first bytes of its actor: those of the device that did it."""
    return library.with_replica(document, lambda replica, _: list(_puts(replica, document, key)))


def _puts(replica: Replica, document: str, key: str) -> Iterator[tuple[bytes, object]]:
    needle, kind = key.encode(), document_kind(document)
    for raw in replica.changes():
        if needle in raw:  # keys stand in changes as they are
            change = parse_change(raw, kind)
            for write in change.writes:
                if (write.map, write.key) == ("copy", key) and write.value is not None:
                    yield change.actor[:_PREFIX_BYTES], write.value


def _unpacked(value: object) -> CopyRecord | None:
    try:
        return CopyRecord.unpack(value) if isinstance(value, bytes) else None
    except CrdtError:
        return None


def _alarm(library: Library, pid: bytes, blob_id: bytes, writers: set[bytes]) -> Forged:
    by = name_writers(library, writers)
    return Forged(
        f"{by} wrote over the record of a file of photo {pid.hex()[:12]} (blob {blob_id.hex()[:12]}): with its key and "
        "size the file would not open; those that do were found and stand there again",
        hint="It runs a damaged or hostile program: look at it, and revoke it with `safelight device revoke` if it is "
        "not yours.",
    )
