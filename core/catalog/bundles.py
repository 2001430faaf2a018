"""Where thumbnails and vectors lie: the rows made from the `bundle` maps of the shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from core.catalog.tables import bundle, thumbnail, vector_bundle
from crdt.errors import CrdtError
from crdt.records import BundleRecord
from crdt.schema import BLOB_ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine import Connection

    from core.catalog.entry import ReplicaReader
    from core.catalog.terms import Terms
    from crdt.operations import Scalar

BUNDLE_MAP = "bundle"

_NUMBER = select(bundle.c.id).where(bundle.c.blob_id == bindparam("blob_id"))
_FORGET = delete(thumbnail).where(
    thumbnail.c.bundle == bindparam("of_bundle"), thumbnail.c.document == bindparam("of_document")
)
_FORGET_VECTORS = delete(vector_bundle).where(
    vector_bundle.c.blob_id == bindparam("of_blob"), vector_bundle.c.document == bindparam("of_document")
)
_PUT_VECTORS = sqlite_insert(vector_bundle).on_conflict_do_nothing()
_PLACE = "INSERT OR REPLACE INTO thumbnail (pid, bundle, document, offset, length) VALUES (?, ?, ?, ?, ?)"


class BundleWriter:
    """Writes the places of thumbnails, and which bundles hold vectors. The caller commits."""

    def __init__(self, connection: Connection, terms: Terms) -> None:
        """Write through this connection, naming documents by these terms."""
        self._connection = connection
        self._terms = terms

    def forget(self, document: str) -> None:
        """Remove the places that a document named."""
        home = self._terms.require("document", document)
        self._connection.execute(delete(thumbnail).where(thumbnail.c.document == home))
        self._connection.execute(delete(vector_bundle).where(vector_bundle.c.document == home))

    def load(self, document: str, read: ReplicaReader) -> None:
        """Add all bundles of a document."""
        home = self._terms.require("document", document)
        for key, value in read.items(BUNDLE_MAP):
            self._put(key, value, home)

    def update(self, document: str, keys: Iterable[str], read: ReplicaReader) -> None:
        """Read these bundles of a document anew."""
        home = self._terms.require("document", document)
        for key in sorted(keys):
            blob_id = _blob_id(key)
            number = None if blob_id is None else self._connection.scalar(_NUMBER, {"blob_id": blob_id})
            if number is not None:
                self._connection.execute(_FORGET, {"of_bundle": number, "of_document": home})
            self._connection.execute(_FORGET_VECTORS, {"of_blob": blob_id, "of_document": home})
            value = read.get(BUNDLE_MAP, key)
            if value is not None:
                self._put(key, value, home)

    def _put(self, key: str, value: Scalar, home: int) -> None:
        blob_id = _blob_id(key)
        if blob_id is None or not isinstance(value, bytes):
            return
        try:
            record = BundleRecord.unpack(value)
        except CrdtError:
            return
        if record.kind == "vector" and record.model is not None:
            model = self._terms.require("vectors", record.model)
            self._connection.execute(_PUT_VECTORS, {"model": model, "document": home, "blob_id": blob_id})
        if record.kind != "thumb" or not record.entries:
            return
        number = self._connection.scalar(_NUMBER, {"blob_id": blob_id})
        if number is None:
            added = self._connection.execute(insert(bundle), {"blob_id": blob_id, "blob_key": record.key})
            number = added.inserted_primary_key[0]  # type: ignore[index]
        self._connection.exec_driver_sql(
            _PLACE, [(entry.pid, number, home, entry.offset, entry.length) for entry in record.entries]
        )


def _blob_id(key: str) -> bytes | None:
    try:
        blob_id = bytes.fromhex(key)
    except ValueError:
        return None
    return blob_id if len(blob_id) == BLOB_ID_BYTES and blob_id.hex() == key else None
