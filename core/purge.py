"""Destroying photos for good: the library says so durably, then their blobs go, and their parts of bundles.

Thumbnails and vectors share a bundle with those of other photos. A bundle that holds a part of a purged photo is
written anew without it, the records that name it are changed in the same commit, and the old blob goes with the
others. What was said of a purged photo stays in the encrypted history.

What goes is remembered with the same commit as purged: sync then tells every relay to delete it, and never sends it
again. Other devices find the purge among what they pull, and do the same with what they have (`core.sync.purged`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from core import bundles
from core.bundle_records import once_held
from core.errors import BlobDamaged, BlobMissing, NoSuchRelay
from crdt.documents import LIBRARY
from crdt.errors import RecordInvalid
from crdt.operations import Delete, Put
from crdt.records import BundleEntry, BundleRecord
from crdt.schema import BLOB_ID_BYTES, photo_prefix, pid_key, split_copy_key

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from core.blobs import StagedBlob
    from core.commit import CommitReceipt
    from core.library import Library
    from crdt.operations import Operation

_MOST_BYTES: Final = 16 * bundles.MAX_BUNDLE_BYTES
"""Bytes of a bundle that are written anew; a bundle that a program of ours makes has a sixteenth of that."""


def purge_photos(library: Library, photos: Mapping[str, Collection[bytes]], summary: str) -> CommitReceipt:
    """Destroy photos, given by the documents that hold them."""
    gone = frozenset(pid for pids in photos.values() for pid in pids)
    changes: dict[str, list[Operation]] = {
        document: [Put("purged", pid_key(pid), value=True) for pid in pids] for document, pids in photos.items()
    }
    doomed = _copies(library, photos) - library.catalog.blobs_of_others(gone)
    staged: list[StagedBlob] = []
    try:
        concerned, keys = _bundles_of(library, photos, gone)
        _fetch_missing(library, concerned)
        for blob_id, documents in concerned.items():
            if _write_without(library, blob_id, documents, keys.get(blob_id, []), gone, changes, staged):
                doomed.add(blob_id)
        library.blobs.publish(staged)
    except BaseException:
        library.blobs.discard(staged)
        raise
    purged = sorted(doomed)
    receipt = library.commit(changes, action="purge", summary=summary, inverse=False, purged_blobs=purged)
    for blob_id in purged:
        library.blobs.remove(blob_id)
    return receipt


def _copies(library: Library, photos: Mapping[str, Collection[bytes]]) -> set[bytes]:
    found = set()
    for document, pids in photos.items():
        for pid in pids:
            for key, _ in library.replica_items(document, "copy", photo_prefix(pid)):
                parts = split_copy_key(key)
                if parts is not None:
                    found.add(parts[1])
    return found


def _bundles_of(
    library: Library, photos: Mapping[str, Collection[bytes]], gone: frozenset[bytes]
) -> tuple[dict[bytes, dict[str, BundleRecord]], dict[bytes, list[bytes]]]:
    """Return the bundles that hold a part of a purged photo, each with the records that name it, by document.

    And the keys that they were ever said to have, the newest first: a member may have written over a record.
    """
    found: dict[bytes, dict[str, BundleRecord]] = {}
    keys: dict[bytes, list[bytes]] = {}
    for document in photos:
        records = _records(library, document)
        for blob_id, said in once_held(library, document, gone).items():
            keys.setdefault(blob_id, []).extend(record.key for record in said)
            now = records.get(blob_id)
            is_listed = now is not None and any(entry.pid in gone for entry in now.entries)
            found.setdefault(blob_id, {})[document] = now if now is not None and is_listed else said[0]
    if not found:
        return found, keys
    neighbours = _named_together(library, photos, found)
    # Document by document: there may be many, and each has to be loaded.
    for document in sorted(set().union(*neighbours.values())):
        for blob_id, named in found.items():
            if document in neighbours[blob_id] and document not in named:
                other = _records(library, document, blob_id).get(blob_id)
                if other is not None:
                    named[document] = other
    return found, keys


def _fetch_missing(library: Library, concerned: Collection[bytes]) -> None:
    """Fetch the bundles that have to be written anew and are not here.

    Raises `RelayUnreachable` or `RelayRefused`: without them the purge would leave thumbnails. A library without relays
    has no other place to look; then `verify` names them.
    """
    from core.originals import transfers
    from core.sync.named_blobs import NamedBlob

    missing = [NamedBlob(blob_id, "bundle") for blob_id in sorted(concerned) if not library.blobs.exists(blob_id)]
    if missing:
        with contextlib.suppress(NoSuchRelay), transfers(library) as fetching:
            fetching.fetch_all(missing)


def _named_together(library: Library, documents: Collection[str], blob_ids: Collection[bytes]) -> dict[bytes, set[str]]:
    """Return, for each bundle, the documents of the envelopes that named it.

    One envelope names a bundle in all the documents it has photos of, so looking through the envelopes of one of these
    documents finds the others, without loading every shard of the library. Where the log builds on a checkpoint, the
    envelope may have been one of those that it covers: then it may be any document of the checkpoint.
    """
    wanted = {blob_id.hex().encode(): blob_id for blob_id in blob_ids}
    covered = {name for name in library.base.documents() if name != LIBRARY}
    found: dict[bytes, set[str]] = {blob_id: set(covered) for blob_id in blob_ids}
    places = {place for document in documents for place in library.catalog.documents_touched_since(document, {})}
    for device, seq in sorted(places):
        stored = library.log.envelope(device, seq)
        if stored is None:
            continue
        body = library.chain.open(stored)
        # Keys stand in a change as they are.
        changes = b"".join(change for part in body.payload for change in part.changes)
        for name, blob_id in wanted.items():
            if name in changes:
                found[blob_id].update(name for name in body.documents if name != LIBRARY)
    return found


def _records(library: Library, document: str, only: bytes | None = None) -> dict[bytes, BundleRecord]:
    found = {}
    for key, value in library.replica_items(document, "bundle", "" if only is None else only.hex()):
        if isinstance(value, bytes) and len(key) == 2 * BLOB_ID_BYTES:
            try:
                found[bytes.fromhex(key)] = BundleRecord.unpack(value)
            except (RecordInvalid, ValueError):
                continue
    return found


def _write_without(
    library: Library,
    blob_id: bytes,
    documents: Mapping[str, BundleRecord],
    keys: Sequence[bytes],
    gone: frozenset[bytes],
    changes: dict[str, list[Operation]],
    staged: list[StagedBlob],
) -> bool:
    """Stage a bundle without the parts of `gone`; tell whether the old one can go. One of `keys` may open it.

    Parts that lie over others are left out: nobody but a hostile device writes such, to fill memory here.
    """
    kept = [
        (document, entry) for document, record in documents.items() for entry in record.entries if entry.pid not in gone
    ]
    parts: list[tuple[bytes, bytes]] = []
    moving: list[str] = []
    try:
        if kept:
            key = _key_of(library, blob_id, [*(record.key for record in documents.values()), *keys])
            with library.blobs.open(blob_id, key) as bundle:
                room = min(bundle.size, _MOST_BYTES)
                for document, entry in kept:
                    if entry.length <= room:
                        room -= entry.length
                        parts.append((entry.pid, bundles.read_part(bundle, entry.offset, entry.length)))
                        moving.append(document)
    except (BlobMissing, BlobDamaged, ValueError):
        # What cannot be read cannot be written anew. The records stay, and `verify` names the blob.
        return False
    for document in documents:
        changes.setdefault(document, []).append(Delete("bundle", blob_id.hex()))
    if not parts:
        return True
    data, entries = bundles.build(parts)
    blob = library.blobs.stage_bytes(data)
    staged.append(blob)
    own: dict[str, list[BundleEntry]] = {}
    for document, entry in zip(moving, entries, strict=True):
        own.setdefault(document, []).append(entry)
    for document, moved in own.items():
        old = documents[document]
        record = BundleRecord(
            kind=old.kind,
            key=blob.ref.key,
            entries=moved,
            size=blob.ref.size,
            model=old.model,
            dimensions=old.dimensions,
            unknown=old.unknown,
        )
        changes[document].append(Put("bundle", blob.ref.id.hex(), record.pack()))
    return True


def _key_of(library: Library, blob_id: bytes, keys: Sequence[bytes]) -> bytes:
    """Return the first of some keys that opens a bundle; the first of all, if none does. Raises `BlobMissing`."""
    for key in dict.fromkeys(keys):
        with contextlib.suppress(BlobDamaged), library.blobs.open(blob_id, key):
            return key
    return keys[0]
