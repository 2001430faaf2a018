"""Records of bundles that a member wrote over: what was ever written of one is found in the history.

A purge has to find every bundle with a part of the photo, and what opens it, whatever stands there now.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from crdt.change import parse_change
from crdt.documents import document_kind
from crdt.errors import CrdtError
from crdt.records import BundleRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from core.library import Library
    from crdt.replica import Replica

_KEY: Final = re.compile(rb"@[0-9a-f]{64}")  # a key is written behind its length, and stands in a raw change as it is


def names_bundles(change: bytes) -> bool:
    """Tell whether a raw change looks as if it wrote to a bundle's record."""
    return _KEY.search(change) is not None


def once_held(library: Library, document: str, photos: Collection[bytes]) -> dict[bytes, list[BundleRecord]]:
    """Return the bundles that a document names now, and that were ever said there to hold a part of these photos.

    Each with the records that said so, the newest first; by the bundle's id.
    """
    found: dict[bytes, list[BundleRecord]] = {}
    if photos:
        for key, record in library.with_replica(document, lambda replica, _: list(_records(replica, document))):
            if any(entry.pid in photos for entry in record.entries):
                found.setdefault(bytes.fromhex(key), []).insert(0, record)
    return {one: said for one, said in found.items() if library.replica_get(document, "bundle", one.hex()) is not None}


def _records(replica: Replica, document: str) -> Iterator[tuple[str, BundleRecord]]:
    kind = document_kind(document)
    for raw in replica.changes():
        if names_bundles(raw):
            for write in parse_change(raw, kind).writes:
                if write.map == "bundle" and isinstance(write.value, bytes):
                    try:
                        bytes.fromhex(write.key)
                        yield write.key, BundleRecord.unpack(write.value)
                    except (CrdtError, ValueError):
                        continue
