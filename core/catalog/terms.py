"""Texts that repeat in many rows, each stored once: cameras, lenses, media types, models, documents, devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from core.catalog.tables import album, label, term

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection

_INSERT_TERM = insert(term)
_INSERT_LABEL = insert(label)
_INSERT_ALBUM = insert(album)
_ALL_TERMS = select(term.c.id, term.c.kind, term.c.text)
_ALL_LABELS = select(label.c.id, label.c.name)
_ALL_ALBUMS = select(album.c.id, album.c.album_id)


class Terms:
    """The numbers of terms, labels and albums, read once and kept: there are hundreds, not hundreds of thousands."""

    def __init__(self, connection: Connection) -> None:
        """Read them all."""
        self._connection = connection
        self._numbers: dict[tuple[str, str], int] = {}
        self._texts: dict[int, str] = {}
        for number, kind, text in connection.execute(_ALL_TERMS):
            self._numbers[kind, text] = number
            self._texts[number] = text
        self._labels: dict[str, int] = {name: number for number, name in connection.execute(_ALL_LABELS)}
        self._label_names = {number: name for name, number in self._labels.items()}
        self._albums: dict[str, int] = {album_id: number for number, album_id in connection.execute(_ALL_ALBUMS)}
        self._album_ids = {number: album_id for album_id, number in self._albums.items()}

    def number(self, kind: str, text: str | None) -> int | None:
        """Return the number of a text; a text that is new gets one."""
        if text is None:
            return None
        return self.known(kind, text) or self._add(kind, text)

    def require(self, kind: str, text: str) -> int:
        """As :meth:`number`, of a text that is there."""
        return self.known(kind, text) or self._add(kind, text)

    def known(self, kind: str, text: str) -> int | None:
        """Return the number of a text, ``None`` if it has none."""
        return self._numbers.get((kind, text))

    def text(self, number: int | None) -> str | None:
        """Return the text of a number."""
        return None if number is None else self._texts[number]

    def all(self, kind: str) -> Mapping[int, str]:
        """Numbers and texts of one kind."""
        return {number: text for (of_kind, text), number in self._numbers.items() if of_kind == kind}

    def label(self, name: str) -> int:
        """Return the number of a label's folded name; a new one gets one."""
        number = self._labels.get(name)
        if number is None:
            number = _inserted(self._connection, _INSERT_LABEL, {"name": name})
            self._labels[name] = number
            self._label_names[number] = name
        return number

    def label_name(self, number: int) -> str:
        """Return the folded name of a label."""
        return self._label_names[number]

    @property
    def labels(self) -> Mapping[str, int]:
        """All labels ever met, by folded name."""
        return self._labels

    def album(self, album_id: str) -> int:
        """Return the number of an album; a new one gets one."""
        number = self._albums.get(album_id)
        if number is None:
            number = _inserted(self._connection, _INSERT_ALBUM, {"album_id": album_id})
            self._albums[album_id] = number
            self._album_ids[number] = album_id
        return number

    def known_album(self, album_id: str) -> int | None:
        """Return the number of an album, ``None`` if it was never met."""
        return self._albums.get(album_id)

    def album_id(self, number: int) -> str:
        """Return the id of an album."""
        return self._album_ids[number]

    def _add(self, kind: str, text: str) -> int:
        number = _inserted(self._connection, _INSERT_TERM, {"kind": kind, "text": text})
        self._numbers[kind, text] = number
        self._texts[number] = text
        return number


def _inserted(connection: Connection, statement: object, values: Mapping[str, str]) -> int:
    result = connection.execute(statement, values)  # type: ignore[call-overload]
    return int(result.inserted_primary_key[0])
