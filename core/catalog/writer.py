"""Puts what documents say of photos into the tables: the one way rows of photos are ever written.

A photo's rows are always replaced as a whole. Reading one photo again from its document costs microseconds; changing
rows field by field would need a rule for each map, and each rule a way to be wrong.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.dialects import sqlite

from core.catalog.entry import TAUGHT, CopyEntry, FactsEntry, LabelEntry, PhotoEntry, join
from core.catalog.looks import with_names
from core.catalog.records import DateSource, Extra
from core.catalog.tables import (
    album_photo,
    copy,
    free_number,
    label_photo,
    part,
    photo,
    rejected,
)
from core.catalog.taught import taught_labels, with_taught
from core.query.words import BREAK, words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Table
    from sqlalchemy.engine import Connection

    from core.catalog.labels import Labeller
    from core.catalog.terms import Terms

# Well below SQLite's limit on bound values, and large enough that its cost does not show.
_CHUNK = 500
_PART_DECODER = msgspec.msgpack.Decoder(PhotoEntry)
_EXTRA_DECODER = msgspec.msgpack.Decoder(Extra)
_ENCODER = msgspec.msgpack.Encoder()

_SET_WORDS = "INSERT INTO words (rowid, name, caption) VALUES (?, ?, ?)"
_UNSET_WORDS = "INSERT INTO words (words, rowid, name, caption) VALUES ('delete', ?, ?, ?)"


def _positional(table: Table) -> str:
    """Return an INSERT that takes tuples: half the time of dictionaries, of which a rebuild would make a million."""
    return str(insert(table).compile(dialect=sqlite.dialect(paramstyle="qmark")))


_INSERTS = {
    table.name: _positional(table) for table in (photo, label_photo, rejected, album_photo, copy, part, free_number)
}


SORT_COLUMNS = (photo.c.taken, photo.c.imported, photo.c.rating, photo.c.size, photo.c.name)
"""What photos are sorted by, beside their scores."""


class _Known(NamedTuple):
    """What the catalog holds of a photo before it is written again; ``keys`` are its `SORT_COLUMNS`."""

    number: int
    document: str
    extra: bytes
    colours: int
    keys: tuple[Any, ...]


@dataclass(slots=True)
class Rewritten:
    """Photos whose rows were written again: their numbers, and the `SORT_COLUMNS` that are not as they were.

    Where photos came or went, that is all of these columns.
    """

    numbers: set[int] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)


class PhotoWriter:
    """Writes photos into one catalog. The caller commits."""

    def __init__(self, connection: Connection, terms: Terms) -> None:
        """Write through this connection, naming texts by these terms."""
        self._connection = connection
        self._terms = terms

    def put(self, document: str, entries: Mapping[bytes, PhotoEntry], labeller: Labeller) -> Rewritten:
        """Make the rows of these photos say what ``document`` (now) and others say of them."""
        rewritten = Rewritten()
        # Even a document that shows no photo is known from now on, and looked for when it is read again.
        self._terms.require("document", document)
        pids = list(entries)
        for start in range(0, len(pids), _CHUNK):
            chunk = pids[start : start + _CHUNK]
            self._put({pid: entries[pid] for pid in chunk}, document, labeller, rewritten)
        return rewritten

    def pids_of(self, document: str) -> set[bytes]:
        """Return the photos that a document has said anything of."""
        number = self._terms.known("document", document)
        own = self._connection.execute(select(photo.c.pid).where(photo.c.document == number)).scalars()
        parts = self._connection.execute(select(part.c.pid).where(part.c.document == document)).scalars()
        return {*own, *parts}

    def _put(
        self, entries: Mapping[bytes, PhotoEntry], document: str, labeller: Labeller, rewritten: Rewritten
    ) -> None:
        known = self._known(entries)
        parts = self._parts(entries)
        taught = taught_labels(self._connection, self._terms, entries)
        kept: list[tuple[bytes, str, bytes]] = []
        shown: dict[bytes, tuple[str, PhotoEntry]] = {}
        for pid, entry in entries.items():
            said = parts.get(pid)
            if said is None:
                row = known.get(pid)
                other_home = row is not None and row.document != document
                said = {row.document: self._entry_of_rows(row.number)} if row is not None and other_home else {}
            said[document] = entry
            said = {name: other for name, other in said.items() if not other.silent}
            if len(said) > 1 or not all(other.shown for other in said.values()):
                kept.extend((pid, name, _ENCODER.encode(other)) for name, other in said.items())
            joined = join(said, labeller) if len(said) > 1 else next(iter(said.values()), None)
            if joined is not None and joined.shown:
                home = min(name for name, other in said.items() if other.facts is not None)
                shown[pid] = (home, with_taught(joined, taught.get(pid, ()), labeller))
        if parts:
            self._connection.execute(delete(part).where(part.c.pid.in_(list(parts))))
        self._many("part", kept)
        # Numbers are chosen before rows go: what is replaced keeps its own.
        numbers = self._numbers([pid for pid in shown if pid not in known])
        self._remove_rows([row.number for row in known.values()])
        gone = [(row.number,) for pid, row in known.items() if pid not in shown]
        self._many("free_number", gone)
        rows = [(known[pid].number if pid in known else next(numbers), pid, *entry) for pid, entry in shown.items()]
        self._insert_rows(rows, known)
        rewritten.numbers.update(row.number for row in known.values())
        rewritten.numbers.update(row[0] for row in rows)
        self._compare_keys(known, shown.keys(), rewritten)

    def _compare_keys(self, before: Mapping[bytes, _Known], shown: Collection[bytes], rewritten: Rewritten) -> None:
        names = [column.name for column in SORT_COLUMNS]
        if before.keys() != set(shown):
            rewritten.keys.update(names)
            return
        now = self._connection.execute(select(photo.c.pid, *SORT_COLUMNS).where(photo.c.pid.in_(list(shown))))
        for pid, *keys in now:
            rewritten.keys.update(
                name for name, was, is_now in zip(names, before[pid].keys, keys, strict=True) if was != is_now
            )

    def _known(self, pids: Iterable[bytes]) -> dict[bytes, _Known]:
        rows = self._connection.execute(
            select(photo.c.pid, photo.c.id, photo.c.document, photo.c.extra, photo.c.colours, *SORT_COLUMNS).where(
                photo.c.pid.in_(list(pids))
            )
        )
        return {
            pid: _Known(number, self._terms.text(document) or "", extra, colours, tuple(keys))
            for pid, number, document, extra, colours, *keys in rows
        }

    def _parts(self, pids: Iterable[bytes]) -> dict[bytes, dict[str, PhotoEntry]]:
        found: defaultdict[bytes, dict[str, PhotoEntry]] = defaultdict(dict)
        rows = self._connection.execute(
            select(part.c.pid, part.c.document, part.c.entry).where(part.c.pid.in_(list(pids)))
        )
        for pid, document, packed in rows:
            found[pid][document] = _PART_DECODER.decode(packed)
        return dict(found)

    def _numbers(self, pids: Sequence[bytes]) -> Iterator[int]:
        """As many free numbers: those of photos that are gone first, so that sets of photos stay short."""
        if not pids:
            return iter(())
        free = list(
            self._connection.execute(select(free_number.c.id).order_by(free_number.c.id).limit(len(pids))).scalars()
        )
        if free:
            self._connection.execute(delete(free_number).where(free_number.c.id.in_(free)))
        highest = self._connection.exec_driver_sql(
            "SELECT max(coalesce((SELECT max(id) FROM photo), 0), coalesce((SELECT max(id) FROM free_number), 0), ?)",
            (max(free, default=0),),
        ).scalar_one()
        return iter([*free, *range(highest + 1, highest + 1 + len(pids) - len(free))])

    def _remove_rows(self, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        captions = self._connection.execute(select(photo.c.id, photo.c.caption).where(photo.c.id.in_(numbers)))
        indexed = {number: ([], caption or "") for number, caption in captions}  # type: dict[int, tuple[list[str], str]]
        names = self._connection.execute(
            select(copy.c.photo, copy.c.name)
            .where(copy.c.photo.in_(numbers), copy.c.name.is_not(None))
            .order_by(copy.c.photo, copy.c.blob_id)
        )
        for number, name in names:
            indexed[number][0].append(name)
        self._words(_UNSET_WORDS, ((number, *texts) for number, texts in indexed.items()))
        for table in (label_photo, rejected, album_photo, copy):
            self._connection.execute(delete(table).where(table.c.photo.in_(numbers)))
        self._connection.execute(delete(photo).where(photo.c.id.in_(numbers)))

    def _insert_rows(self, rows: Sequence[tuple[int, bytes, str, PhotoEntry]], known: Mapping[bytes, _Known]) -> None:
        terms = self._terms
        extras = [_ENCODER.encode(entry.facts.extra if entry.facts else None) for _, _, _, entry in rows]
        colours = _colours_of(rows, extras, known)
        photos: list[tuple[Any, ...]] = []
        labels: list[tuple[int, int, int, int]] = []
        refused: list[tuple[int, int]] = []
        albums: list[tuple[int, int, float]] = []
        copies: list[tuple[Any, ...]] = []
        indexed: list[tuple[int, list[str], str]] = []
        for (number, pid, home, entry), extra, colour in zip(rows, extras, colours, strict=True):
            names = [one.name for one in entry.copies if one.name is not None]
            texts = (pid, names[0] if names else None, entry.caption, extra)
            photos.append((number, *self._photo_row(home, entry, colour), *texts))
            labels.extend(
                (terms.label(given.name), number, terms.require("model", given.model), given.score)
                for given in entry.labels
            )
            refused.extend((number, terms.label(name)) for name in entry.rejected)
            albums.extend((terms.album(album_id), number, position) for album_id, position in entry.albums)
            copies.extend((number, one.blob_id, int(one.preview), one.key, one.size, one.name) for one in entry.copies)
            indexed.append((number, names, entry.caption or ""))
        labels.sort()
        self._many("photo", photos)
        self._many("label_photo", labels)
        self._many("rejected", refused)
        self._many("album_photo", albums)
        self._many("copy", copies)
        self._words(_SET_WORDS, indexed)

    def _photo_row(self, home: str, entry: PhotoEntry, colours: int) -> tuple[int | None, ...]:
        """Return the numbers of a photo's row, between its own and its id."""
        facts, terms = entry.facts, self._terms
        names = [one.name for one in entry.copies if one.name is not None]
        if facts is None:
            raise TypeError("a photo without facts has no row")
        taken, offset, source = facts.taken, facts.taken_offset, facts.taken_from
        if entry.corrected is not None:
            (taken, offset), source = entry.corrected, DateSource.USER
        models = " ".join(sorted({given.model for given in entry.labels})) or None
        return (
            facts.width, facts.height, entry.rotation or 0, terms.require("mime", facts.mime), colours,
            with_names(facts.looks, names), facts.brightness, facts.iso, facts.aperture, facts.focal, facts.motion,
            source, facts.size, entry.rating or 0, int(entry.favourite), taken, facts.imported, entry.trashed,
            terms.number("camera", facts.camera), terms.number("lens", facts.lens), terms.number("models", models),
            facts.latitude, facts.longitude, terms.require("document", home), offset, facts.perceptual_hash,
        )  # fmt: skip

    def _words(self, statement: str, texts: Iterable[tuple[int, list[str], str]]) -> None:
        rows = [
            (number, f" {BREAK} ".join(" ".join(words(name)) for name in names), " ".join(words(caption)))
            for number, names, caption in texts
        ]
        if rows:
            self._connection.exec_driver_sql(statement, rows)

    def _many(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._connection.exec_driver_sql(_INSERTS[table], list(rows))

    def _entry_of_rows(self, number: int) -> PhotoEntry:
        """Return what the only document of a photo says of it, as far as joining it with another can need it.

        The date in the file is lost where the user corrected it; but the correction stands until its own document is
        read again, and with it the date. The same holds for labels that were rejected.
        """
        terms, connection = self._terms, self._connection
        row = connection.execute(select(photo).where(photo.c.id == number)).one()
        facts = FactsEntry(
            taken=row.taken, taken_offset=row.taken_offset, taken_from=row.taken_from, imported=row.imported,
            width=row.width, height=row.height, size=row.size, mime=terms.text(row.mime) or "",
            camera=terms.text(row.camera), lens=terms.text(row.lens), latitude=row.latitude, longitude=row.longitude,
            iso=row.iso, aperture=row.aperture, focal=row.focal, motion=row.motion,
            looks=row.looks, brightness=row.brightness, perceptual_hash=row.perceptual_hash,
            extra=_EXTRA_DECODER.decode(row.extra),
        )  # fmt: skip
        corrected = (row.taken, row.taken_offset) if row.taken_from == DateSource.USER else None
        labels = connection.execute(select(label_photo).where(label_photo.c.photo == number))
        refused = connection.execute(select(rejected.c.label).where(rejected.c.photo == number)).scalars()
        albums = connection.execute(select(album_photo).where(album_photo.c.photo == number))
        copies = connection.execute(select(copy).where(copy.c.photo == number).order_by(copy.c.blob_id))
        return PhotoEntry(
            facts=facts,
            copies=tuple(CopyEntry(c.blob_id, bool(c.preview), c.blob_key, c.size, c.name) for c in copies),
            labels=tuple(
                sorted(
                    LabelEntry(terms.label_name(given.label), model, given.score)
                    for given in labels
                    if (model := terms.text(given.model) or "") != TAUGHT  # no document says so
                )
            ),
            rejected=tuple(sorted(terms.label_name(number) for number in refused)),
            albums=tuple(sorted((terms.album_id(a.album), float(a.position)) for a in albums)),
            caption=row.caption,
            rating=row.rating or None,
            favourite=bool(row.favourite),
            rotation=row.rotation or None,
            corrected=corrected,
            trashed=row.trashed,
        )


def _colours_of(
    rows: Sequence[tuple[int, bytes, str, PhotoEntry]], extras: Sequence[bytes], known: Mapping[bytes, _Known]
) -> list[int]:
    """Return the colours of photos; those whose placeholder has not changed keep theirs."""
    found = [0] * len(rows)
    unknown: list[tuple[int, bytes]] = []
    for place, ((_, pid, _, entry), extra) in enumerate(zip(rows, extras, strict=True)):
        before = known.get(pid)
        if before is not None and before.extra == extra:
            found[place] = before.colours
        elif entry.facts is not None and entry.facts.extra.thumbhash is not None:
            unknown.append((place, entry.facts.extra.thumbhash))
    if unknown:
        # NumPy is heavy, and an edit of a photo's labels needs none of it.
        from core.catalog.colours import colours_of

        for (place, _), colours in zip(unknown, colours_of([thumbhash for _, thumbhash in unknown]), strict=True):
            found[place] = colours
    return found
