"""What another device has purged goes from this one too.

A purge is an edit like others: it says of photos that they are purged, and takes their parts out of bundles. The
device that does it removes the blobs it has. Every other device comes here after each pull: it removes its own blobs
of those photos, and the bundles that no document names any more, and remembers them as purged, so that it never
uploads them again and tells relays to delete them that the first device may not reach.

Two devices that purge different photos of one bundle while they are apart each write it anew with the other's photo in
it. Whoever sees both takes that out as well; as bundles of one content are one blob, it does no harm if both do.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from core.bundle_records import names_bundles, once_held
from core.errors import BlobMissing, IntegrityAlarm, RelayRefused, RelayUnreachable
from core.log import BLOB_PURGED
from core.whereabouts import blobs_in_changes
from crdt.documents import LIBRARY, is_document_name
from crdt.errors import CrdtError
from crdt.records import BundleRecord
from crdt.schema import BLOB_ID_BYTES, key_pid, split_copy_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from core.envelope_body import EnvelopeBody
    from core.library import Library
    from core.log import Vector

_FACT = "purges finished"
_PURGE = "purge"
_AT_ONCE = 256
_Places = dict[bytes, tuple[int, bytes]]


@dataclass(frozen=True)
class FinishedPurges:
    """What was removed from this device: blobs, and their bytes on disk."""

    blobs: int = 0
    bytes: int = 0


def finish_purges(library: Library) -> FinishedPurges:
    """Remove the blobs of photos that envelopes, which came in since the last call, have purged.

    Cheap where nothing came in. What is removed is durably remembered as purged before; a process killed in between
    does it again. While the library has alarms, or parts of it are still to be fetched, nothing is done: what names a
    blob may be what is not known.
    Raises `StorageFailed`, and what writing to the log raises.
    """
    library.refresh()
    position, base = library.log.last_position(), library.log.base()
    seen, seen_base = _remembered(library)
    if (seen, seen_base) == (position, base) or library.doubts or library.base.missing():
        return FinishedPurges()
    documents, mentioned, rewritten = _since(library, seen, position)
    if seen_base != base:
        documents |= _shards(library.base.documents())
        rewritten |= documents
    try:
        _mend_bundles(library, documents, rewritten)
    except (RelayUnreachable, RelayRefused):
        return FinishedPurges()  # a bundle could not be had, or this device was revoked: the next sync looks again
    doomed = _of_purged_photos(library, documents) | _no_longer_named(library, mentioned)
    if library.doubts:
        return FinishedPurges()
    known = library.log.blobs_in_state(BLOB_PURGED)
    # A photo that was imported again, because the user insists, makes the same blobs again. The device that has them
    # goes on to know them as purged: that is how it gives them to relays again.
    again = library.catalog.blobs_in_use(known) - doomed
    back = [blob_id for blob_id in again if not library.blobs.exists(blob_id)]
    fresh = sorted(doomed - known)
    with library.log.transaction() as transaction:
        if fresh:
            transaction.set_blob_states(fresh, BLOB_PURGED)
        transaction.forget_blob_states(back, BLOB_PURGED)
        transaction.set_fact(_FACT, msgspec.msgpack.encode((position, base)))
    return _remove(library, doomed)


def _remove(library: Library, doomed: set[bytes]) -> FinishedPurges:
    blobs = size = 0
    for blob_id in sorted(doomed):
        try:
            bytes_there = library.blobs.size_on_disk(blob_id)
        except BlobMissing:
            continue
        if library.blobs.remove(blob_id):
            blobs += 1
            size += bytes_there
    return FinishedPurges(blobs, size)


def _remembered(library: Library) -> tuple[int, Vector]:
    """Return the position in the log, and the base, up to which purges are finished."""
    packed = library.log.fact(_FACT)
    with contextlib.suppress(msgspec.MsgspecError):  # then everything is looked at once more
        if packed is not None:
            return msgspec.msgpack.decode(packed, type=tuple[int, _Places])
    return 0, {}


def _since(library: Library, seen: int, position: int) -> tuple[set[str], dict[bytes, set[str]], set[str]]:
    """Return the documents that others changed, and the blobs here that their changes speak of, with the documents.

    And those of the documents in which they purged something, or wrote to records of bundles.
    """
    documents: set[str] = set()
    rewritten: set[str] = set()
    mentioned: dict[bytes, set[str]] = {}
    for body in _others(library, seen, position):
        named = _shards(body.documents)
        documents |= named
        if body.action == _PURGE:
            rewritten |= named
        rewritten.update(part.document for part in body.payload if any(map(names_bundles, part.changes)))
        for blob_id in blobs_in_changes(body):
            if library.blobs.exists(blob_id):
                mentioned.setdefault(blob_id, set()).update(named)
    return documents, mentioned, rewritten & documents


def _others(library: Library, seen: int, position: int) -> Iterator[EnvelopeBody]:
    """Yield what is in the envelopes of other devices after position `seen` of the log, up to `position`."""
    while seen < position:
        page = library.log.past_position(seen, _AT_ONCE)
        if not page:
            return
        for stored in page:
            seen = stored.position
            if stored.device == library.device_id or seen > position:
                continue
            try:
                yield library.chain.open(stored)
            except IntegrityAlarm as alarm:
                library.raise_alarm(alarm)


def _shards(documents: Iterable[str]) -> set[str]:
    return {name for name in documents if is_document_name(name) and name != LIBRARY}


def _mend_bundles(library: Library, documents: set[str], rewritten: set[str]) -> None:
    """Take photos that are purged out of bundles that still name them, or that name something else in their place."""
    left: dict[str, set[bytes]] = {}
    for document in sorted(documents):
        gone = _purged_in(library, document)
        for _, value in library.replica_items(document, "bundle") if gone else ():
            with contextlib.suppress(CrdtError, TypeError):
                entries = BundleRecord.unpack(bytes(value)).entries  # type: ignore[arg-type]
                if found := gone.intersection(entry.pid for entry in entries):
                    left.setdefault(document, set()).update(found)
        # Somebody may have written over the record of one that is here.
        for blob_id, said in once_held(library, document, gone).items() if document in rewritten else ():
            if library.blobs.exists(blob_id):
                listed = gone.intersection(entry.pid for record in said for entry in record.entries)
                left.setdefault(document, set()).update(listed)
    if left:
        from core.purge import purge_photos  # it needs numpy

        purge_photos(library, left, "purge finished: thumbnails of photos that were purged on two devices at once")


def _purged_in(library: Library, document: str) -> set[bytes]:
    found = (key_pid(key) for key, value in library.replica_items(document, "purged") if value is True)
    return {pid for pid in found if pid is not None}


def _of_purged_photos(library: Library, documents: set[str]) -> set[bytes]:
    """Return the blobs of purged photos of these documents that no other photo has too."""
    copies: set[bytes] = set()
    for document in sorted(documents):
        gone = _purged_in(library, document)
        if not gone:
            continue
        for key, _ in library.replica_items(document, "copy"):
            parts = split_copy_key(key)
            if parts is not None and parts[0] in gone:
                copies.add(parts[1])
    return copies - library.catalog.blobs_in_use(copies) if copies else copies


def _no_longer_named(library: Library, mentioned: dict[bytes, set[str]]) -> set[bytes]:
    """Return those of the blobs `mentioned` that nothing names now.

    A bundle's records stand in the documents of the envelope that named it, and a purge takes them out of all of these
    (`core.purge`); so what was spoken of there, and stands there no longer, was written anew without the photo. What
    ever was a copy of a photo goes with a purge of that photo and in no other way, whoever takes its record out.
    """
    unused = mentioned.keys() - library.catalog.blobs_in_use(mentioned) if mentioned else set()
    unused -= ever_copies(library, unused) if unused else set()
    documents = set().union(*(mentioned[blob_id] for blob_id in unused))
    named = {
        bytes.fromhex(key) for name in documents for key, _ in library.replica_items(name, "bundle") if _is_id(key)
    }
    for name in documents:
        named.update(parts[1] for key, _ in library.replica_items(name, "copy") if (parts := split_copy_key(key)))
    return unused - named


def ever_copies(library: Library, blob_ids: Iterable[bytes]) -> set[bytes]:
    """Return those of some blobs that were ever named as a photo's copy, in an envelope or in a checkpoint's snapshots.

    Reads all of them; but bundles are written anew seldom.
    """
    # A copy's key ends with a slash and the blob's id, and stands in a raw change as it is.
    wanted = {b"/" + blob_id.hex().encode(): blob_id for blob_id in blob_ids}
    found: set[bytes] = set()

    def look(change: bytes) -> None:
        found.update(blob_id for key, blob_id in wanted.items() if key in change)

    for stored in library.log.after({}, library.raise_alarm):
        try:
            body = library.chain.open(stored)
        except IntegrityAlarm as alarm:
            library.raise_alarm(alarm)
            continue
        for part in body.payload:
            for change in part.changes:
                look(change)
    for document in _shards(library.base.documents()):
        for change in library.with_replica(document, lambda replica, _: replica.changes()):
            look(change)
    return found


def _is_id(key: str) -> bool:
    return len(key) == 2 * BLOB_ID_BYTES and all(digit in "0123456789abcdef" for digit in key)
