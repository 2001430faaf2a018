"""The rows made from the `library` document: album names, and small texts such as settings and saved searches."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, update
from sqlalchemy.dialects.sqlite import insert

from core.catalog.tables import album, library_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine import Connection

    from core.catalog.entry import ReplicaReader
    from core.catalog.terms import Terms
    from crdt.operations import Scalar

TEXT_MAPS = ("device", "relay", "search", "setting", "vocabulary")
"""Maps whose texts are kept as they are."""

TAUGHT_MAP = "taught"
"""Map whose values are long and wanted seldom: of these the hash is kept, which tells when one has changed."""

WORDS_PREFIX = "words:"
"""Begins the names of settings that hold the texts of a label by words (`core.vocabulary`)."""

_MAPS = ("album", TAUGHT_MAP, *TEXT_MAPS)
_NAME_ALBUM = update(album).where(album.c.id == bindparam("number")).values(name=bindparam("new_name"))
_SET = insert(library_value)
_SET_VALUE = _SET.on_conflict_do_update(index_elements=["map", "key"], set_={"value": _SET.excluded.value})
_UNSET_VALUE = delete(library_value).where(
    library_value.c.map == bindparam("of_map"), library_value.c.key == bindparam("of_key")
)


def value_digest(value: bytes) -> str:
    """Return the hash that stands for a long value."""
    return hashlib.blake2b(value, digest_size=16).hexdigest()


class LibraryWriter:
    """Writes what the `library` document says. The caller commits."""

    def __init__(self, connection: Connection, terms: Terms) -> None:
        """Write through this connection, naming albums by these terms."""
        self._connection = connection
        self._terms = terms

    def load(self, read: ReplicaReader) -> None:
        """All of the document, in place of what was known of it."""
        self._connection.execute(update(album).values(name=None))
        self._connection.execute(delete(library_value))
        for map_name in _MAPS:
            for key, value in read.items(map_name):
                self._put(map_name, key, value)

    def update(self, touched: Iterable[tuple[str, str]], read: ReplicaReader) -> None:
        """Read these keys of the document anew."""
        for map_name, key in sorted(touched):
            if map_name in _MAPS:
                self._put(map_name, key, read.get(map_name, key))

    def _put(self, map_name: str, key: str, value: Scalar | None) -> None:
        text = value if isinstance(value, str) else None
        if map_name == TAUGHT_MAP and isinstance(value, bytes):
            text = value_digest(value)
        if map_name == "album":
            self._connection.execute(_NAME_ALBUM, {"number": self._terms.album(key), "new_name": text})
        elif text is None:
            self._connection.execute(_UNSET_VALUE, {"of_map": map_name, "of_key": key})
        else:
            self._connection.execute(_SET_VALUE, {"map": map_name, "key": key, "value": text})
