"""Turns the nodes of a query into SQL over the tables of the catalog.

Two kinds of nodes: those decided by columns of a photo's own row become conditions, which the catalog may combine in
one statement; the others (labels, albums, words) become statements of their own that name photos. Either way the
answer comes as one JSON array of photo numbers, because the cost of a large answer is not in finding the rows but in
handing them to Python one by one: 60,000 numbers take 9 ms as one text and 40 ms as rows (measured, Python 3.11).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    String,
    and_,
    bindparam,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.sql.expression import UnaryExpression
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.sql.visitors import replacement_traverse

from core.catalog.looks import bit_of
from core.catalog.records import DateSource
from core.catalog.tables import DEGREE_UNIT, album, album_photo, label_photo, photo, words
from core.query.fields import COLOURS, EARTH_KM, LOOKS, MEDIA_TYPES
from core.query.nodes import Colour, Flag, IdPrefix, MediaType, Near, Node, Range, Text
from core.query.words import contains
from core.query.words import words as words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from sqlalchemy.sql.visitors import ExternallyTraversible

    from core.catalog.terms import Terms

Condition = ColumnElement[bool]

_RANGES = {
    "rating": (photo.c.rating, 1),
    "width": (photo.c.width, 1),
    "height": (photo.c.height, 1),
    "size": (photo.c.size, 1),
    "iso": (photo.c.iso, 1),
    "aperture": (photo.c.aperture, 1000),
    "focal": (photo.c.focal, 1000),
    "brightness": (photo.c.brightness, 10),
    "date": (photo.c.taken, 1),
    "imported": (photo.c.imported, 1),
}

# Written out, not bound: SQLite uses a partial index only where it can see that the condition holds.
_ONE: ColumnElement[int] = literal_column("1")
_NOTHING: ColumnElement[int] = literal_column("0")
_UPRIGHT = photo.c.rotation.in_([literal_column("0"), literal_column("180")])
_WIDE, _HIGH = photo.c.width > photo.c.height, photo.c.width < photo.c.height
_RATED = photo.c.rating > _NOTHING


def _looks(name: str) -> Condition:
    # The first half is the condition of the index, which holds the few photos that look any special way.
    return and_(photo.c.looks != _NOTHING, photo.c.looks.op("&")(bit_of(name)) != _NOTHING)


_PLAIN_FLAGS: dict[tuple[str, str], Condition] = {
    ("is", "favourite"): photo.c.favourite == _ONE,
    ("is", "trash"): photo.c.trashed.is_not(None),
    ("is", "rated"): _RATED,
    ("is", "unrated"): photo.c.rating == _NOTHING,
    ("is", "landscape"): or_(and_(_UPRIGHT, _WIDE), and_(~_UPRIGHT, _HIGH)),
    ("is", "portrait"): or_(and_(_UPRIGHT, _HIGH), and_(~_UPRIGHT, _WIDE)),
    ("is", "square"): photo.c.width == photo.c.height,
    ("is", "motion"): photo.c.motion.is_not(None),
    ("is", "guessed-date"): photo.c.taken_from == literal_column(str(int(DateSource.GUESS))),
    **{("is", name): _looks(name) for name in LOOKS},
    ("has", "gps"): photo.c.latitude.is_not(None),
    ("has", "caption"): photo.c.caption.is_not(None),
    ("has", "date"): photo.c.taken_from.in_(
        [literal_column(str(int(source))) for source in (DateSource.FILE, DateSource.USER)]
    ),
    ("has", "rating"): _RATED,
    ("has", "camera"): photo.c.camera.is_not(None),
    ("has", "lens"): photo.c.lens.is_not(None),
}


def column_condition(  # noqa: C901, PLR0911 - one answer a kind of node
    node: Node, terms: Terms, models: Collection[str]
) -> Condition | None:
    """Return the condition on a photo's own row that decides the node; ``None`` if rows of other tables decide it.

    Args:
        node: any node.
        terms: numbers of the texts in the catalog.
        models: who is believed about labels.
    """
    match node:
        case Range():
            return _range(node)
        case Flag(field="is", name="labelled") | Flag(field="has", name="label"):
            return _labelled(terms, models)
        case Flag(field="is", name="unlabelled"):
            return or_(photo.c.models.is_(None), _by_models(terms, lambda names: not names & set(models)))
        case Flag(field="is", name="confirmed"):
            return _labelled(terms, {"user"})
        case Flag(field=field, name=name):
            return _PLAIN_FLAGS.get((field, name))
        case MediaType(name=name):
            subtypes = {f"image/{subtype}" for subtype in MEDIA_TYPES[name]}
            known = terms.all("mime").items()
            return photo.c.mime.in_([number for number, mime in known if mime.lower() in subtypes])
        case Near():
            return _near(node)
        case Colour(name=name):
            return photo.c.colours.op("&")(1 << COLOURS.index(name)) != 0
        case IdPrefix(digits=digits):
            first, last = bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))
            return photo.c.pid.between(first, last)
        case Text(field="camera" | "lens" as field, text=text, prefix=prefix):
            wanted = words_of(text)
            numbers = [n for n, name in terms.all(field).items() if contains(name, wanted, prefix=prefix)]
            return photo.c[field].in_(numbers)
        case _:
            return None


def listed(column: ColumnElement[int]) -> Condition:
    """Return the condition that a column holds one of the numbers in the JSON array bound as ``numbers``.

    One statement serves lists of any length: SQLAlchemy and SQLite each prepare it once.
    """
    given = func.json_each(bindparam("numbers", type_=String)).table_valued("value")
    return column.in_(select(given.c.value))


def by_condition(condition: Condition) -> Select[str]:
    """Return the photos of which a condition on their rows holds."""
    return select(func.json_group_array(photo.c.id)).where(condition)


def by_conditions(conditions: Collection[Condition]) -> Select[str]:
    """Return the photos of which all conditions hold, in one pass over the rows and by no index.

    SQLite, knowing nothing of how many rows a range holds, would take an index for one condition and look up each row
    for the others. At 100,000 photos that took 60 ms for `type:jpeg size:>4MB`, half of which fit; one pass takes 6 ms
    whatever fits.
    """
    return by_condition(replacement_traverse(and_(*conditions), {}, _without_index))


def _without_index(element: ExternallyTraversible, **_: object) -> ExternallyTraversible | None:
    # A unary plus changes no value and hides the column from the planner (https://sqlite.org/optoverview.html).
    if isinstance(element, Column) and element.table is photo:
        return UnaryExpression(element, operator=custom_op("+"), type_=element.type)
    return None


def by_labels(numbers: Iterable[int], models: Iterable[int]) -> Select[str]:
    """Return the photos that one of these models (numbers of terms) gives one of these labels."""
    return select(func.json_group_array(label_photo.c.photo)).where(
        label_photo.c.label.in_(list(numbers)), label_photo.c.model.in_(list(models))
    )


def by_score(labels: Iterable[int], models: Iterable[int], *, descending: bool) -> Select[str]:
    """Return the photos that have one of these labels, by the mean of their scores (the best of several models')."""
    best = (
        select(label_photo.c.photo, func.max(label_photo.c.score).label("score"))
        .where(label_photo.c.label.in_(list(labels)), label_photo.c.model.in_(list(models)))
        .group_by(label_photo.c.label, label_photo.c.photo)
        .subquery()
    )
    mean = func.avg(best.c.score)
    ranked = select(best.c.photo).join(photo, photo.c.id == best.c.photo).group_by(best.c.photo)
    if descending:
        ranked = ranked.order_by(mean.desc(), photo.c.pid.desc())
    else:
        ranked = ranked.order_by(mean.asc(), photo.c.pid.asc())
    return select(func.json_group_array(ranked.subquery().c.photo))


def by_albums(numbers: Iterable[int]) -> Select[str]:
    """Return the photos in one of these albums."""
    return select(func.json_group_array(album_photo.c.photo)).where(album_photo.c.album.in_(list(numbers)))


def in_any_album() -> Select[str]:
    """Return the photos in albums that exist."""
    existing = select(album.c.id).where(album.c.name.is_not(None)).scalar_subquery()
    return select(func.json_group_array(album_photo.c.photo)).where(album_photo.c.album.in_(existing))


def by_words(text: str, *, prefix: bool, field: str | None = None) -> Select[str]:
    """Return the photos with these words in a row in their file names or captions, or in one of the two."""
    row = " ".join(words_of(text))
    matches = literal_column("words" if field is None else f"words.{field}").op("MATCH")(
        bindparam("row", f'"{row}"{" *" if prefix else ""}')
    )
    return select(func.json_group_array(words.c.rowid)).where(matches)


def _range(node: Range) -> Condition:
    column, unit = _RANGES[node.field]
    conditions: list[Condition] = [column.is_not(None)]
    if node.low is not None:
        low = _scaled(node.low.value, unit)
        conditions.append(column >= low if node.low.inclusive else column > low)
    if node.high is not None:
        high = _scaled(node.high.value, unit)
        conditions.append(column <= high if node.high.inclusive else column < high)
    return and_(*conditions)


def _scaled(value: float, unit: int) -> float:
    # A number of many digits, multiplied, need not fit SQLite's integers any more; any real value is far below.
    return max(-(2**62), min(2**62, round(value * unit)))


def _labelled(terms: Terms, models: Collection[str]) -> Condition:
    return _by_models(terms, lambda names: bool(names & set(models)))


def _by_models(terms: Terms, wanted: Callable[[set[str]], bool]) -> Condition:
    known = terms.all("models").items()
    return photo.c.models.in_([number for number, names in known if wanted(set(names.split()))])


def _near(node: Near) -> Condition:
    """Return a box around the circle, which the index answers, and the distance for what no box inside it holds.

    Most photos near a place lie in the inner box: the distance, which Python computes, is asked for a few only.
    """
    angle = node.kilometres / EARTH_KM
    reach = math.degrees(angle)
    latitude, longitude = node.latitude, node.longitude
    south, north = latitude - reach, latitude + reach
    box: Condition = photo.c.latitude.between(
        math.floor(max(south, -90) * DEGREE_UNIT), math.ceil(min(north, 90) * DEGREE_UNIT)
    )
    if south > -90 and north < 90:  # noqa: PLR2004 - degrees; otherwise the circle holds a pole and every meridian
        # The meridians that touch a circle on a sphere.
        width = math.degrees(math.asin(min(1.0, math.sin(min(angle, math.pi / 2)) / math.cos(math.radians(latitude)))))
        box = and_(box, _between_meridians(longitude - width, longitude + width))
    distance = func.ground_km(
        photo.c.latitude / float(DEGREE_UNIT), photo.c.longitude / float(DEGREE_UNIT), latitude, longitude
    )
    return and_(photo.c.latitude.is_not(None), box, or_(_inner_box(node), distance <= node.kilometres))


def _inner_box(node: Near) -> Condition:
    """Return a box every corner of which is nearer than the distance; never true where there is no simple one."""
    half = math.degrees(node.kilometres / EARTH_KM) * 0.7
    south, north = node.latitude - half, node.latitude + half
    # Not where meridians converge, the earth curves away, or rounding to 1 cm would matter.
    if max(abs(south), abs(north)) > 80 or half > 1 or node.kilometres < 0.01:  # noqa: PLR2004
        return false()
    # The corners nearer the equator are the farther ones: meridians lie apart most there.
    widest = math.cos(math.radians(min(abs(south), abs(north)) if south * north > 0 else 0.0))
    return and_(
        photo.c.latitude.between(math.ceil(south * DEGREE_UNIT), math.floor(north * DEGREE_UNIT)),
        _between_meridians(node.longitude - half / widest, node.longitude + half / widest),
    )


def _between_meridians(west: float, east: float) -> Condition:
    column = photo.c.longitude
    whole, half = 360 * DEGREE_UNIT, 180 * DEGREE_UNIT
    low, high = math.floor(west * DEGREE_UNIT), math.ceil(east * DEGREE_UNIT)
    if high - low >= whole:
        return true()
    pieces: list[Condition] = [column.between(low, high)]
    if low < -half:
        pieces.append(column >= low + whole)
    if high > half:
        pieces.append(column <= high - whole)
    return or_(*pieces)
