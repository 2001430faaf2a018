"""Which blobs envelopes name, as the library stands now: what was purged or written anew since is left out.

Keys stand in raw changes as they are, so they are found there by their shape, and looked up in the documents, which
say whether they are what they look like. That is a hundred times quicker than reading the changes.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from core.envelope_body import KIND_CHECKPOINT
from crdt.change import DEVICE_PREFIX_BYTES, parse_change
from crdt.documents import LIBRARY, document_kind, is_document_name
from crdt.errors import CrdtError
from crdt.records import BundleRecord, CopyRecord
from crypto.blob import encrypted_size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from core.envelope_body import EnvelopeBody, Snapshot
    from core.library import Library
    from core.log import Vector
    from crdt.replica import Replica

# A key is written behind its length: 64 (`@`) for a bundle, and a copy's holds its photo's id and a slash.
_BUNDLE: Final = re.compile(rb"@([0-9a-f]{64})")
_COPY: Final = re.compile(rb"([0-9a-f]{32})/([0-9a-f]{64})")

Role = Literal["bundle", "original", "preview", "snapshot"]


@dataclass(frozen=True)
class NamedBlob:
    """One blob: its id, what it is for, and the size of its ciphertext in bytes where a document tells it.

    `document` is the one that names it, where that is known.
    """

    id: bytes
    role: Role
    size: int | None = None
    document: str | None = field(default=None, compare=False)


def blobs_named(library: Library, bodies: Iterable[EnvelopeBody]) -> list[NamedBlob]:
    """Return the blobs that envelopes name and that the library still uses, each once, in the order of the naming."""
    found: dict[bytes, NamedBlob] = {}
    for body in bodies:
        if body.kind == KIND_CHECKPOINT:
            found.update((snapshot.blob, _snapshot(snapshot)) for snapshot in body.snapshots)
        for part in body.payload:
            if part.document == LIBRARY or not is_document_name(part.document):
                continue
            for change in part.changes:
                for blob in _in_change(library, part.document, change):
                    found.setdefault(blob.id, blob)
    return list(found.values())


def copies_named(bodies: Iterable[EnvelopeBody]) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield (document, photo's id, blob) of what looks like the key of a copy in envelopes."""
    for body in bodies:
        for part in body.payload:
            if part.document != LIBRARY and is_document_name(part.document):
                for change in part.changes:
                    for pid, digits in _COPY.findall(change):
                        yield part.document, bytes.fromhex(pid.decode()), bytes.fromhex(digits.decode())


def blobs_of_documents(library: Library, documents: Iterable[str]) -> Iterator[NamedBlob]:
    """Yield the blobs that documents name now, however they came to."""
    for document in documents:
        if document == LIBRARY or not is_document_name(document):
            continue
        purged = {key for key, _ in library.replica_items(document, "purged")}
        for key, value in library.replica_items(document, "bundle"):
            yield from _bundle(document, key, value)
        for key, value in library.replica_items(document, "copy"):
            if key[:32] not in purged:
                yield from _copy(document, key, value)


def writers_of(library: Library, blobs: Iterable[NamedBlob]) -> dict[bytes, set[bytes]]:
    """Return who wrote that blobs have the sizes that they are named with: the first bytes of their actors, by blob.

    A blob is left out where nobody knows the document that named it.
    """
    wanted: dict[str, set[NamedBlob]] = defaultdict(set)
    for blob in blobs:
        if blob.document is not None:
            wanted[blob.document].add(blob)
    found: dict[bytes, set[bytes]] = defaultdict(set)
    for document, named in wanted.items():
        for writer, blob_id in library.with_replica(document, functools.partial(_written, named)):
            found[blob_id].add(writer)
    return dict(found)


def _written(named: Collection[NamedBlob], replica: Replica, _vector: Vector) -> set[tuple[bytes, bytes]]:
    """Return (first bytes of the actor, blob) of the changes that name one of these blobs with its size."""
    document, found = replica.document, set()
    ids, readers = {blob.id.hex().encode() for blob in named}, {"bundle": _bundle, "copy": _copy}
    for raw in replica.changes():
        if not ids.isdisjoint((*_BUNDLE.findall(raw), *(digits for _, digits in _COPY.findall(raw)))):
            change = parse_change(raw, document_kind(document))
            for write in change.writes:
                if write.map in readers:
                    for blob in readers[write.map](document, write.key, write.value):
                        if blob in named:
                            found.add((change.actor[:DEVICE_PREFIX_BYTES], blob.id))
    return found


def _in_change(library: Library, document: str, change: bytes) -> Iterator[NamedBlob]:
    bundles, copies = _BUNDLE.findall(change), _COPY.findall(change)
    if bundles or copies:
        library.refresh()
    for digits in bundles:
        key = digits.decode()
        yield from _bundle(document, key, library.replica_get(document, "bundle", key))
    for pid, digits in copies:
        key = f"{pid.decode()}/{digits.decode()}"
        if library.replica_get(document, "purged", pid.decode()) is None:
            yield from _copy(document, key, library.replica_get(document, "copy", key))


def _bundle(document: str, key: str, value: object) -> Iterator[NamedBlob]:
    if isinstance(value, bytes):
        try:
            size = BundleRecord.unpack(value).size
            yield NamedBlob(bytes.fromhex(key), "bundle", None if size is None else encrypted_size(size), document)
        except (CrdtError, ValueError):
            return


def _copy(document: str, key: str, value: object) -> Iterator[NamedBlob]:
    if isinstance(value, bytes):
        try:
            record = CopyRecord.unpack(value)
            yield NamedBlob(bytes.fromhex(key.partition("/")[2]), record.role, encrypted_size(record.size), document)
        except (CrdtError, ValueError):
            return


def _snapshot(snapshot: Snapshot) -> NamedBlob:
    return NamedBlob(snapshot.blob, "snapshot")
