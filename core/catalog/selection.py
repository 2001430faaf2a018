"""Which photos a query finds, and in which order.

Sets of photos are whole numbers of one byte a photo: AND, OR and NOT of two sets of 100,000 photos take 20 µs, whatever the
query. In SQL alone the same costs a search in an index for each photo and each term: two labels that half of the photos have
took 70 ms (measured at 100,000), and three terms more. So each term is asked by itself, once, and remembered until the
catalog changes; terms that look at the photo's own row are asked together.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import compress, islice
from typing import TYPE_CHECKING, Literal

import msgspec
from sqlalchemy import String, and_, bindparam, func, select, text
from sqlalchemy.sql.elements import ColumnElement

from core.catalog.entry import IMPLIED, USER
from core.catalog.tables import album, free_number, label_photo, photo
from core.errors import QueryError
from core.query.fields import nearest
from core.query.nodes import And, Flag, Node, Not, Or, Text, Words, walk
from core.query.words import contains, words
from core.catalog.query_sql import (
    by_albums,
    by_condition,
    by_labels,
    by_words,
    column_condition,
    in_any_album,
    refuse_what_is_missing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Select
    from sqlalchemy.engine import Connection

    from core.catalog.terms import Terms
    from core.query import Query

SortKey = Literal["taken", "imported", "rating", "name", "size", "width", "height", "score"]
SORT_KEYS: tuple[SortKey, ...] = ("taken", "imported", "rating", "name", "size", "width", "height", "score")
ASCENDING_BY_DEFAULT = frozenset({"name"})
"""Other keys show what is newest, best or largest first."""

_SORT_ALIASES: dict[str, SortKey] = {
    "date": "taken", "added": "imported", "filename": "name", "stars": "rating",
}  # fmt: skip

Photos = int
"""A set of photos: byte ``n`` is 1 if it holds photo number ``n``, else 0."""


def sort_key(name: str) -> SortKey:
    """The key of this name.

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
_SORTED_IN_SQL = 4000
"""Up to here SQLite sorts the photos found; beyond, one order of all photos is walked, and kept for the next page."""

_numbers = msgspec.json.Decoder(list[int])
_IN_NUMBERS = text("photo.id IN (SELECT value FROM json_each(:numbers))").bindparams(bindparam("numbers", type_=String))


@dataclass(frozen=True, slots=True)
class Scoring:
    """The labels a query asks for, whose scores rank what it finds: numbers of labels, and of the models believed."""

    labels: tuple[int, ...]
    models: tuple[int, ...]


class Selector:
    """Finds and sorts photos; remembers what it was asked until :meth:`forget`."""

    def __init__(self, connection: Connection, terms: Terms, active_model: Callable[[], str | None]) -> None:
        """Ask this connection; ``active_model`` names the model whose labels count."""
        self._connection = connection
        self._terms = terms
        self._active_model = active_model
        self._sets: OrderedDict[Node, Photos] = OrderedDict()
        self._orders: dict[tuple[str, bool, Scoring | None], list[int]] = {}
        self._all: tuple[Photos, int] | None = None

    def forget(self) -> None:
        """Forget all answers: the catalog has changed."""
        self._sets.clear()
        self._orders.clear()
        self._all = None

    def find(self, query: Query) -> Photos:
        """The photos a query finds. The trash is left out unless the query speaks of it.

        Raises:
            QueryError: if the query asks for what cannot be answered here.
        """
        nodes = walk(query.root)
        for node in nodes:
            refuse_what_is_missing(node, query.text)
        found = self._set(query.root)
        trash = Flag(field="is", name="trash")
        if trash in nodes:
            return found
        return found & ~self._set(trash)

    def pick(
        self, found: Photos, query: Query, sort: SortKey, *, descending: bool, limit: int | None, offset: int
    ) -> list[int]:
        """Numbers of some of the photos found, in order; photos that lack the key come last."""
        count = found.bit_count()
        if limit == 0 or offset >= count:
            return []
        scoring = self.scoring(query) if sort == "score" else None
        if count <= _SORTED_IN_SQL and scoring is None:
            return self._sorted(self.numbers(found), sort, descending=descending, limit=limit, offset=offset)
        order = self._order(sort, scoring, descending=descending)
        held = self._bytes(found)
        stop = None if limit is None else offset + limit
        return list(islice(compress(order, map(held.__getitem__, order)), offset, stop))

    def numbers(self, found: Photos) -> list[int]:
        """Numbers of all photos of a set, ascending."""
        held = self._bytes(found)
        return list(compress(range(len(held)), held))

    def scoring(self, query: Query) -> Scoring:
        """The labels that a query asks for outside of any denial."""
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
        """Numbers of the terms whose word on labels counts."""
        known = (self._terms.known("model", name) for name in self._believed())
        return tuple(sorted(number for number in known if number is not None))

    def everything(self) -> Photos:
        """All photos, those in the trash included."""
        return self._everything()[0]

    def visible(self) -> Photos:
        """All photos outside the trash."""
        return self.everything() & ~self._set(Flag(field="is", name="trash"))

    def among(self, numbers: Iterable[int]) -> Photos:
        """The set of these photos."""
        size = self._everything()[1]
        held = bytearray(size)
        for number in numbers:
            held[number] = 1
        return int.from_bytes(held, "little")

    def _set(self, node: Node) -> Photos:
        known = self._sets.get(node)
        if known is not None:
            self._sets.move_to_end(node)
            return known
        found = self._ask(node)
        self._sets[node] = found
        if len(self._sets) > _KEPT_TERMS:
            self._sets.popitem(last=False)
        return found

    def _ask(self, node: Node) -> Photos:
        match node:
            case And(items=items):
                return self._all_of(items)
            case Or(items=items):
                found = 0
                for item in items:
                    found |= self._set(item)
                return found
            case Not(item=item):
                return self.everything() & ~self._set(item)
            case Words(text=wanted, prefix=prefix):
                found = self._photos(by_words(wanted, prefix=prefix))
                found |= self._labelled(self._labels_with_words(node))
                return found | self._in_albums(wanted, prefix=prefix)
            case Text(field="label"):
                return self._labelled(self._labels(node))
            case Text(field="album", text=wanted, prefix=prefix):
                return self._in_albums(wanted, prefix=prefix)
            case Text(field="name" | "caption" as field, text=wanted, prefix=prefix):
                return self._photos(by_words(wanted, prefix=prefix, field=field))
            case Flag(field="has", name="album"):
                return self._photos(in_any_album())
            case _:
                condition = column_condition(node, self._terms, self._believed())
                if condition is None:
                    raise TypeError(f"{type(node).__name__} has no meaning in the catalog")
                return self._photos(by_condition(condition))

    def _all_of(self, items: Sequence[Node]) -> Photos:
        """What all items find: those about a photo's own row are asked in one statement, unless an answer is known."""
        found = self.everything()
        together: list[ColumnElement[bool]] = []
        for item in items:
            condition = None if item in self._sets else column_condition(item, self._terms, self._believed())
            if condition is None or len(items) == 1:
                found &= self._set(item)
            else:
                together.append(condition)
        if together:
            found &= self._photos(by_condition(and_(*together)))
        return found

    def _photos(self, statement: Select[tuple[str]]) -> Photos:
        return self.among(_numbers.decode(self._connection.execute(statement).scalar_one()))

    def _labelled(self, labels: Sequence[int]) -> Photos:
        models = self.models()
        return self._photos(by_labels(labels, models)) if labels and models else 0

    def _labels(self, node: Text) -> list[int]:
        if not node.prefix:
            number = self._terms.labels.get(node.text)
            return [] if number is None else [number]
        return [number for name, number in self._terms.labels.items() if name.startswith(node.text)]

    def _labels_with_words(self, node: Words) -> list[int]:
        wanted = words(node.text)
        return [n for name, n in self._terms.labels.items() if contains(name, wanted, prefix=node.prefix)]

    def _in_albums(self, wanted: str, *, prefix: bool) -> Photos:
        row = words(wanted)
        named = self._connection.execute(select(album.c.id, album.c.name).where(album.c.name.is_not(None)))
        numbers = [number for number, name in named if contains(name, row, prefix=prefix)]
        return self._photos(by_albums(numbers)) if numbers else 0

    def _believed(self) -> set[str]:
        active = self._active_model()
        return {USER, IMPLIED} if active is None else {USER, IMPLIED, active}

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

    def _order(self, sort: SortKey, scoring: Scoring | None, *, descending: bool) -> list[int]:
        """All photos in order."""
        key = (sort, descending, scoring)
        order = self._orders.get(key)
        if order is None:
            ordered = select(photo.c.id).order_by(*_order_by(sort, scoring, descending=descending)).subquery()
            order = _numbers.decode(
                self._connection.execute(select(func.json_group_array(ordered.c.id))).scalar_one()
            )
            self._orders[key] = order
        return order

    def _sorted(
        self, numbers: list[int], sort: SortKey, *, descending: bool, limit: int | None, offset: int
    ) -> list[int]:
        statement = select(photo.c.id).where(_IN_NUMBERS).order_by(*_order_by(sort, None, descending=descending))
        if limit is not None:
            statement = statement.limit(limit).offset(offset)
        rows = self._connection.execute(statement, {"numbers": msgspec.json.encode(numbers).decode()}).scalars()
        return list(rows) if limit is not None else list(rows)[offset:]


_COLUMNS = {
    "taken": photo.c.taken,
    "imported": photo.c.imported,
    "rating": photo.c.rating,
    "name": photo.c.name,
    "size": photo.c.size,
    "width": photo.c.width,
    "height": photo.c.height,
}


def _order_by(sort: SortKey, scoring: Scoring | None, *, descending: bool) -> list[ColumnElement[object]]:
    """The key, then the newest photo, then the order of import, so that the same query has the same order twice."""
    column: ColumnElement[object]
    if scoring is not None:
        column = (
            select(func.avg(label_photo.c.score))
            .where(
                label_photo.c.photo == photo.c.id,
                label_photo.c.label.in_(scoring.labels),
                label_photo.c.model.in_(scoring.models),
            )
            .scalar_subquery()
        )
    else:
        column = _COLUMNS[sort]
    key = (column.desc() if descending else column.asc()).nulls_last()
    if sort == "taken":
        return [key, photo.c.id.desc() if descending else photo.c.id.asc()]
    return [key, photo.c.taken.desc().nulls_last(), photo.c.id.asc()]
