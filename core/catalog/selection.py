"""Which photos a query finds, and in which order.

Sets of photos are whole numbers of one byte a photo: AND, OR and NOT of two sets of 100,000 photos take 20 µs,
whatever the query. In SQL alone the same costs a search in an index for each photo and each term: two labels that
half of the photos have took 70 ms (measured at 100,000), and three terms more. So each term is asked by itself, once,
and remembered; terms that look at the photo's own row are asked together. After an edit, what is remembered is asked
again of the photos that were edited, and of those alone, when it is next wanted.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import compress, islice
from typing import TYPE_CHECKING, Literal

import msgspec
from sqlalchemy import func, select

from core.catalog.descriptions import asked_texts, combined, describes
from core.catalog.entry import IMPLIED, TAUGHT, USER
from core.catalog.listing import numbers_of
from core.catalog.query_sql import (
    by_albums,
    by_condition,
    by_conditions,
    by_labels,
    by_score,
    by_words,
    column_condition,
    in_any_album,
    listed,
)
from core.catalog.tables import album, album_photo, free_number, label_photo, photo
from core.catalog.tables import words as words_table
from core.errors import QueryError
from core.query.fields import nearest
from core.query.nodes import And, Flag, Node, Not, Or, Similar, Text, Words, walk
from core.query.words import contains, words
from ml.aliases import labels_meant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Select
    from sqlalchemy.engine import Connection
    from sqlalchemy.sql.elements import ColumnElement

    from core.catalog.descriptions import Answers
    from core.catalog.terms import Terms
    from core.catalog.writer import Rewritten
    from core.query import Query

SortKey = Literal["taken", "imported", "rating", "name", "size", "score"]
SORT_KEYS: tuple[SortKey, ...] = ("taken", "imported", "rating", "name", "size", "score")
ASCENDING_BY_DEFAULT = frozenset({"name"})
"""Other keys show what is newest, best or largest first."""

_SORT_ALIASES: dict[str, SortKey] = {
    "date": "taken", "added": "imported", "filename": "name", "stars": "rating",
}  # fmt: skip

Photos = int
"""A set of photos: byte ``n`` is 1 if it holds photo number ``n``, else 0."""


def sort_key(name: str) -> SortKey:
    """Return the key of this name.

    Raises:
        QueryError: there is none.
    """
    lowered = name.lower()
    key = _SORT_ALIASES.get(lowered) or next((key for key in SORT_KEYS if key == lowered), None)
    if key is None:
        meant = nearest(name, [*SORT_KEYS, *_SORT_ALIASES])
        raise QueryError(
            f"photos cannot be sorted by {name[:40]!r}",
            query=name,
            length=len(name),
            hint=f"did you mean {meant}?" if meant else f"sort by {', '.join(SORT_KEYS)}",
        )
    return key


_KEPT_TERMS = 128
"""At one byte a photo: 13 MB at 100,000 photos."""
_SORTED_IN_SQL = 5000
"""Up to here SQLite may be asked to sort just the photos found."""
_SORT_COST = 8
"""Finding and sorting one photo costs as much as walking past this many in an index."""
_WALK_AT_LEAST = 500
_WALK_AT_MOST = 30_000
"""A longer walk is made once, to the end, and kept: the next page will need it."""

_TOGETHER = 100
"""Conditions asked in one statement: SQLite takes expressions of a thousand levels, and a condition has several."""

_PATCHED_AT_MOST = 2_000
"""After edits of more photos than this, asking everything anew costs no more than patching."""

_numbers = msgspec.json.Decoder(list[int])

_PHOTO, _LABELLED = listed(photo.c.id), listed(label_photo.c.photo)
_IN_ALBUM, _WORDS = listed(album_photo.c.photo), listed(words_table.c.rowid)


@dataclass(frozen=True, slots=True)
class Scoring:
    """The labels a query asks for, whose scores rank what it finds: numbers of labels, and of the models believed."""

    labels: tuple[int, ...]
    models: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Believed:
    """Whose word on labels counts: numbers of terms; ``active`` is the model's among them, 0 if it never spoke."""

    active: int
    all: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Order:
    sort: SortKey
    descending: bool


@dataclass(frozen=True, slots=True)
class _Remembered:
    """The photos a term found, when ``edits`` edits had been made."""

    photos: Photos
    edits: int


@dataclass(frozen=True, slots=True)
class _Within:
    """The photos a question is limited to: as a set, and as SQL takes them."""

    photos: Photos
    numbers: str


class Selector:
    """Finds and sorts photos; remembers what it was asked until :meth:`forget`."""

    def __init__(self, connection: Connection, terms: Terms, active_model: Callable[[], str | None]) -> None:
        """Ask this connection; ``active_model`` names the model whose labels count."""
        self._connection = connection
        self._terms = terms
        self._active_model = active_model
        self._sets: OrderedDict[Node, _Remembered] = OrderedDict()
        self._edits: list[frozenset[int]] = []
        self._orders: dict[_Order, list[int]] = {}
        self._scored: dict[tuple[Scoring, bool], list[int]] = {}
        self._all: tuple[Photos, int] | None = None
        self._answers: Answers = {}

    def told(self, answers: Answers) -> None:
        """Take note of what the descriptions of the next query find."""
        self._answers = answers

    def forget(self) -> None:
        """Forget all answers: the catalog has changed in ways that touch any photo."""
        self._sets.clear()
        self._edits.clear()
        self._orders.clear()
        self._scored.clear()
        self._all = None

    def rewritten(self, photos: Rewritten) -> None:
        """Take note that rows of some photos were written again: the answers about all others still hold."""
        if sum(map(len, self._edits)) + len(photos.numbers) > _PATCHED_AT_MOST:
            self.forget()
            return
        if photos.numbers:
            self._edits.append(frozenset(photos.numbers))
        self._orders = {order: known for order, known in self._orders.items() if order.sort not in photos.keys}
        self._scored.clear()
        self._all = None

    def find(self, query: Query) -> Photos:
        """Return the photos a query finds. The trash is left out unless the query speaks of it.

        Raises:
            QueryError: if the query asks for what cannot be answered here.
        """
        nodes = walk(query.root)
        found = self._set(query.root)
        trash = Flag(field="is", name="trash")
        if trash in nodes:
            return found
        return found & ~self._set(trash)

    def pick(
        self, found: Photos, query: Query, sort: SortKey, *, descending: bool, limit: int | None, offset: int
    ) -> list[int]:
        """Numbers of some of the photos found, in order; photos that lack the key come last."""
        stop = found.bit_count() if limit is None else min(found.bit_count(), offset + limit)
        if stop <= offset:
            return []
        texts = asked_texts(query)
        if sort == "score" and texts:
            return self._by_likeness(found, texts, stop, descending=descending)[offset:]
        if sort == "score":
            return self._by_score(found, self.scoring(query), stop, descending=descending)[offset:]
        return self._by_column(found, _Order(sort, descending), stop)[offset:]

    def _by_column(self, found: Photos, order: _Order, stop: int) -> list[int]:
        known = self._orders.get(order)
        if known is None:
            count = found.bit_count()
            # How far all photos, in order, have to be walked if those found are spread evenly, and half as far again.
            walked = _WALK_AT_LEAST + stop * self.everything().bit_count() * 3 // (2 * count)
            few = count <= _SORTED_IN_SQL
            if walked <= _WALK_AT_MOST and not (few and count * _SORT_COST <= walked):
                picked = self._held(found, self._first(order, walked), stop)
                if len(picked) == stop:
                    return picked
            if few:
                return self._sorted(self.numbers(found), order)[:stop]
            known = self._orders[order] = self._first(order, -1)
        return self._held(found, known, stop)

    def _by_score(self, found: Photos, scoring: Scoring, stop: int, *, descending: bool) -> list[int]:
        """Return the photos that have a score, and the others after them, newest first."""
        key = (scoring, descending)
        if key not in self._scored:
            self._scored[key] = self._numbers_of(by_score(scoring.labels, scoring.models, descending=descending))
        scored = self._scored[key]
        picked = self._held(found, scored, stop)
        if len(picked) < stop:
            others = found & ~self.among(scored)
            picked += self._by_column(others, _Order("taken", descending=True), stop - len(picked))
        return picked

    def _by_likeness(self, found: Photos, texts: Sequence[str], stop: int, *, descending: bool) -> list[int]:
        """Return the photos that look like the texts, and the others after them, newest first."""
        numbers = self._described(list(combined(self._answers, texts)))
        picked = self._held(found, numbers if descending else numbers[::-1], stop)
        if len(picked) < stop:
            others = found & ~self.among(numbers)
            picked += self._by_column(others, _Order("taken", descending=True), stop - len(picked))
        return picked

    def likeness(self, query: Query) -> dict[bytes, tuple[float, bool]]:
        """Return the score and the sureness of the photos that the query's descriptions found."""
        return combined(self._answers, asked_texts(query))

    def _described(self, pids: Sequence[bytes]) -> list[int]:
        """Return the numbers of photos, in their order; those that are gone meanwhile are left out."""
        known = numbers_of(self._connection, pids)
        return [known[pid] for pid in pids if pid in known]

    def numbers(self, found: Photos) -> list[int]:
        """Numbers of all photos of a set, ascending."""
        held = self._bytes(found)
        return list(compress(range(len(held)), held))

    def scoring(self, query: Query) -> Scoring:
        """Return the labels that a query asks for outside of any denial."""
        asked: set[int] = set()
        waiting: list[Node] = [query.root]
        while waiting:
            match waiting.pop():
                case And(items=items) | Or(items=items):
                    waiting.extend(items)
                case Text(field="label") as node:
                    asked.update(self._labels(node))
                case Words() as node:
                    asked.update(self._labels_with_words(node))
                case _:
                    pass
        return Scoring(tuple(sorted(asked)), self.models())

    def models(self) -> tuple[int, ...]:
        """Return the numbers of the terms whose word on labels counts."""
        return self.believed().all

    def believed(self) -> Believed:
        """Return whose word on labels counts."""
        known = (self._terms.known("model", name) for name in self._believed())
        active = self._terms.known("model", self._active_model() or "")
        return Believed(active or 0, tuple(sorted(number for number in known if number is not None)))

    def everything(self) -> Photos:
        """All photos, those in the trash included."""
        return self._everything()[0]

    def among(self, numbers: Iterable[int]) -> Photos:
        """Return the set of these photos."""
        size = self._everything()[1]
        held = bytearray(size)
        for number in numbers:
            held[number] = 1
        return int.from_bytes(held, "little")

    def _set(self, node: Node) -> Photos:
        if describes(node):
            # Its answer changes with the vectors, of which nothing here knows; whoever gave it has kept it.
            return self._ask(node)
        known = self._sets.get(node)
        if known is not None and known.edits == len(self._edits):
            self._sets.move_to_end(node)
            return known.photos
        found = self._ask(node) if known is None else self._patched(node, known)
        self._sets[node] = _Remembered(found, len(self._edits))
        self._sets.move_to_end(node)
        if len(self._sets) > _KEPT_TERMS:
            self._sets.popitem(last=False)
        return found

    def _patched(self, node: Node, known: _Remembered) -> Photos:
        """Ask about the photos that were edited since, and keep what is known of all others."""
        edited = frozenset().union(*self._edits[known.edits :])
        held = bytearray(max(max(edited) + 1, self._everything()[1]))
        for number in edited:
            held[number] = 1
        photos = int.from_bytes(held, "little")
        within = _Within(photos, msgspec.json.encode(sorted(edited)).decode())
        return (known.photos & ~photos) | self._ask(node, within)

    def _ask(self, node: Node, within: _Within | None = None) -> Photos:  # noqa: C901, PLR0911 - one answer a kind of node
        match node:
            case And(items=items):
                return self._all_of(items, within)
            case Or(items=items):
                found = 0
                for item in items:
                    found |= self._part(item, within)
                return found
            case Not(item=item):
                return self._universe(within) & ~self._part(item, within)
            case Words(text=wanted, prefix=prefix):
                found = self._photos(by_words(wanted, prefix=prefix), _WORDS, within)
                found |= self._labelled(self._labels_with_words(node), within)
                return found | self._in_albums(wanted, within, prefix=prefix)
            case Text(field="label"):
                return self._labelled(self._labels(node), within)
            case Text(field="album", text=wanted, prefix=prefix):
                return self._in_albums(wanted, within, prefix=prefix)
            case Text(field="name" | "caption" as field, text=wanted, prefix=prefix):
                return self._photos(by_words(wanted, prefix=prefix, field=field), _WORDS, within)
            case Similar(text=wanted):
                found = self.among(self._described([pid for pid, _, _ in self._answers[wanted]]))
                return found if within is None else found & within.photos
            case Flag(field="has", name="album"):
                return self._photos(in_any_album(), _IN_ALBUM, within)
            case _:
                condition = column_condition(node, self._terms, self._believed())
                if condition is None:
                    raise TypeError(f"{type(node).__name__} has no meaning in the catalog")
                return self._photos(by_condition(condition), _PHOTO, within)

    def _part(self, node: Node, within: _Within | None) -> Photos:
        return self._set(node) if within is None else self._ask(node, within)

    def _universe(self, within: _Within | None) -> Photos:
        return self.everything() if within is None else self.everything() & within.photos

    def _all_of(self, items: Sequence[Node], within: _Within | None) -> Photos:
        """Return what all items find: those about a photo's own row are asked together, unless an answer is known."""
        found = self._universe(within)
        together: list[ColumnElement[bool]] = []
        for item in items:
            if within is not None:
                found &= self._ask(item, within)
                continue
            condition = None if item in self._sets else column_condition(item, self._terms, self._believed())
            if condition is None or len(items) == 1:
                found &= self._set(item)
            else:
                together.append(condition)
        for start in range(0, len(together), _TOGETHER):
            some = together[start : start + _TOGETHER]
            statement = by_condition(some[0]) if len(some) == 1 else by_conditions(some)
            found &= self._photos(statement, _PHOTO, None)
        return found

    def _photos(self, statement: Select[str], edited: ColumnElement[bool], within: _Within | None) -> Photos:
        if within is None:
            return self.among(self._numbers_of(statement))
        return self.among(self._numbers_of(statement.where(edited), numbers=within.numbers))

    def _numbers_of(self, statement: Select[str], **values: str) -> list[int]:
        return _numbers.decode(self._connection.execute(statement, values).scalar_one())

    def _labelled(self, labels: Sequence[int], within: _Within | None) -> Photos:
        models = self.models()
        return self._photos(by_labels(labels, models), _LABELLED, within) if labels and models else 0

    def _labels(self, node: Text) -> list[int]:
        if not node.prefix:
            return self._named(node.text)
        return [number for name, number in self._terms.labels.items() if name.startswith(node.text)]

    def _labels_with_words(self, node: Words) -> list[int]:
        wanted = words(node.text)
        found = [n for name, n in self._terms.labels.items() if contains(name, wanted, prefix=node.prefix)]
        return list(dict.fromkeys([*found, *self._named(" ".join(wanted))]))

    def _named(self, name: str) -> list[int]:
        """Return the label of this folded name, and those of which it is another word: "kitty" is "cat"."""
        found = (self._terms.labels.get(label) for label in (name, *labels_meant(name)))
        return [number for number in found if number is not None]

    def _in_albums(self, wanted: str, within: _Within | None, *, prefix: bool) -> Photos:
        row = words(wanted)
        named = self._connection.execute(select(album.c.id, album.c.name).where(album.c.name.is_not(None)))
        numbers = [number for number, name in named if contains(name, row, prefix=prefix)]
        return self._photos(by_albums(numbers), _IN_ALBUM, within) if numbers else 0

    def _believed(self) -> set[str]:
        active = self._active_model()
        return {USER, IMPLIED, TAUGHT} if active is None else {USER, IMPLIED, TAUGHT, active}

    def _everything(self) -> tuple[Photos, int]:
        if self._all is None:
            highest = max(self._connection.scalar(select(func.max(photo.c.id))) or 0, 0)
            free = self._connection.execute(select(free_number.c.id)).scalars().all()
            held = bytearray(b"\0" + b"\1" * highest)
            for number in free:
                if number <= highest:
                    held[number] = 0
            self._all = int.from_bytes(held, "little"), len(held)
        return self._all

    def _bytes(self, found: Photos) -> bytes:
        return found.to_bytes(self._everything()[1], "little")

    def _held(self, found: Photos, order: list[int], stop: int) -> list[int]:
        held = self._bytes(found)
        return list(islice(compress(order, map(held.__getitem__, order)), stop))

    def _first(self, order: _Order, limit: int) -> list[int]:
        """Return the first of all photos in an order; all of them for a negative limit."""
        ordered = _ordered(order).limit(limit).subquery()
        return self._numbers_of(select(func.json_group_array(ordered.c.id)))

    def _sorted(self, numbers: list[int], order: _Order) -> list[int]:
        wanted = {"numbers": msgspec.json.encode(numbers).decode()}
        return list(self._connection.execute(_ordered(order).where(_PHOTO), wanted).scalars())


_COLUMNS = {
    "taken": photo.c.taken,
    "imported": photo.c.imported,
    "rating": photo.c.rating,
    "name": photo.c.name,
    "size": photo.c.size,
}


def _ordered(order: _Order) -> Select[int]:
    """All photos by the key; equal ones by their ids, so that a catalog built anew has the same order.

    An index on the key has just that order, and SQLite walks it from either end.
    """
    column, photos = _COLUMNS[order.sort], select(photo.c.id)
    if order.descending:
        return photos.order_by(column.desc().nulls_last(), photo.c.pid.desc())
    return photos.order_by(column.asc().nulls_last(), photo.c.pid.asc())
