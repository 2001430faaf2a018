"""Which blobs hold photos and what was made of them, and which documents say that a photo is purged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import exists, select, union

from core.catalog.entry import PhotoEntry
from core.catalog.listing import chunks, numbers_of
from core.catalog.tables import bundle, copy, part, thumbnail, vector_bundle

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.engine import Connection

    from core.catalog.terms import Terms


def purged(connection: Connection, pids: Collection[bytes]) -> dict[bytes, str]:
    """Those of these photos that were purged, with the document that says so."""
    found: dict[bytes, str] = {}
    for chunk in chunks(pids):
        for row in connection.execute(select(part).where(part.c.pid.in_(chunk)).order_by(part.c.document)):
            if msgspec.msgpack.decode(row.entry, type=PhotoEntry).purged:
                found.setdefault(row.pid, row.document)
    return found


def blobs_of_others(connection: Connection, pids: Collection[bytes]) -> set[bytes]:
    """Those blobs of these photos that other photos have too."""
    numbers = set(numbers_of(connection, pids).values())
    shared: set[bytes] = set()
    for chunk in chunks(numbers):
        own = select(copy.c.blob_id).where(copy.c.photo.in_(chunk))
        rows = connection.execute(select(copy.c.photo, copy.c.blob_id).where(copy.c.blob_id.in_(own)))
        shared.update(row.blob_id for row in rows if row.photo not in numbers)
    return shared


def blobs_in_use(connection: Connection, blob_ids: Collection[bytes]) -> set[bytes]:
    """Those of these blobs that hold a photo which is not purged, or a thumbnail of one."""
    found: set[bytes] = set()
    for chunk in chunks(blob_ids):
        copies = select(copy.c.blob_id).where(copy.c.blob_id.in_(chunk))
        thumbnails = exists().where(thumbnail.c.bundle == bundle.c.id)
        bundles = select(bundle.c.blob_id).where(bundle.c.blob_id.in_(chunk), thumbnails)
        found.update(row.blob_id for row in connection.execute(union(copies, bundles)))
    return found


def vector_bundles(connection: Connection, terms: Terms, model: str) -> list[tuple[str, bytes]]:
    """Return which bundles hold vectors of a model: document that says so and blob id, sorted."""
    number = terms.known("vectors", model)
    rows = connection.execute(select(vector_bundle).where(vector_bundle.c.model == number))
    return sorted((terms.text(row.document) or "", row.blob_id) for row in rows)
