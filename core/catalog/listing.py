"""Lists over the whole catalog: ids, counts by label, album and month, and what could complete a word."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
from sqlalchemy import and_, func, or_, select

from core.catalog.looks import bit_of
from core.catalog.query_sql import listed
from core.catalog.records import AlbumRecord
from core.catalog.tables import album, album_photo, label_photo, photo
from core.query.values import DAY_MS, wall_clock_text
from core.query.words import fold, words
from ml.aliases import aliases_beginning

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from sqlalchemy import Select
    from sqlalchemy.engine import Connection

    from core.catalog.selection import Believed
    from core.catalog.terms import Terms

_Item = TypeVar("_Item")
_CHUNK = 500
_MANY = 5000
"""From here on the ids of all photos are read at once."""
_HEX = re.compile(r"[0-9a-f]{1,32}", re.ASCII)
# Days are counted from the year 1: division rounds towards zero, so nothing may be negative.
_DAYS_BEFORE_1970 = 719_162

_given = label_photo.alias("given")
_numbers = msgspec.json.Decoder(list[int])
_SOME_PIDS = select(photo.c.id, photo.c.pid).where(listed(photo.c.id))
_ALL_PIDS = select(func.json_group_array(photo.c.id), func.group_concat(func.hex(photo.c.pid), "")).select_from(photo)


class Suggestion(msgspec.Struct, frozen=True):
    """A value that could complete what was typed, and how many photos outside the trash it finds."""

    text: str
    photos: int
    meant_by: str = ""
    """The other word for it that was typed the beginning of."""


class HashedPhoto(NamedTuple):
    """What near-duplicates are told by: id, 64 bits (signed), pixels, and thousandths of brightness."""

    pid: bytes
    perceptual_hash: int
    width: int
    height: int
    brightness: int | None


# The best first: no screenshot, many pixels, in colour, a large file, many stars, a favourite, the oldest.
_HASHED = (
    select(*(photo.c[name] for name in HashedPhoto._fields))
    .where(photo.c.perceptual_hash.is_not(None), photo.c.trashed.is_(None))
    .order_by(
        photo.c.looks.op("&")(bit_of("screenshot")),
        (photo.c.width * photo.c.height).desc(),
        photo.c.looks.op("&")(bit_of("black-and-white")),
        photo.c.size.desc(),
        photo.c.rating.desc(),
        photo.c.favourite.desc(),
        photo.c.taken.asc().nulls_last(),
        photo.c.pid,
    )
)


def hashed_photos(connection: Connection) -> list[HashedPhoto]:
    """Return the photos outside the trash that have a perceptual hash, the best first."""
    return [HashedPhoto._make(row) for row in connection.execute(_HASHED)]


def chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Return the items in lists that one statement takes."""
    waiting = iter(items)
    while chunk := list(islice(waiting, _CHUNK)):
        yield chunk


def pids_of(connection: Connection, numbers: Sequence[int]) -> list[bytes]:
    """Return the ids of photos, in the order of their numbers."""
    if len(numbers) < _MANY:
        listed = {"numbers": msgspec.json.encode(numbers).decode()}
        known = {row.id: row.pid for row in connection.execute(_SOME_PIDS, listed)}
        return [known[number] for number in numbers]
    # One text of all ids instead of a row for each: a third of the time.
    all_numbers, joined = connection.execute(_ALL_PIDS).one()
    pids = bytes.fromhex(joined)
    place = {number: at for at, number in enumerate(_numbers.decode(all_numbers))}
    return [pids[16 * at : 16 * at + 16] for at in map(place.__getitem__, numbers)]


def numbers_of(connection: Connection, pids: Collection[bytes]) -> dict[bytes, int]:
    """Return the numbers of photos, by id; ids that no photo has are left out."""
    found: dict[bytes, int] = {}
    for chunk in chunks(pids):
        rows = connection.execute(select(photo.c.pid, photo.c.id).where(photo.c.pid.in_(chunk)))
        found.update((pid, number) for pid, number in rows)
    return found


def documents_of(connection: Connection, terms: Terms, pids: Collection[bytes]) -> dict[bytes, str]:
    """Return the shard that holds each photo's facts."""
    found: dict[bytes, str] = {}
    for chunk in chunks(pids):
        rows = connection.execute(select(photo.c.pid, photo.c.document).where(photo.c.pid.in_(chunk)))
        found.update((pid, terms.text(document) or "") for pid, document in rows)
    return found


def pids_with_prefix(connection: Connection, digits: str, limit: int = 3) -> list[bytes]:
    """Ids that begin with hex digits, in order; none for anything else."""
    if not _HEX.fullmatch(digits):
        return []
    first, last = bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))
    statement = select(photo.c.pid).where(photo.c.pid.between(first, last)).order_by(photo.c.pid).limit(limit)
    return list(connection.execute(statement).scalars())


def label_counts(connection: Connection, terms: Terms, believed: Believed) -> dict[str, int]:
    """Return the labels that are in use outside the trash, by name, most used first."""
    counts = Counter({row.label: row.photos for row in connection.execute(_label_counts(believed))})
    # The trash is small: counting it apart leaves the count of everything to one pass over one table.
    in_trash = connection.execute(select(photo.c.id).where(photo.c.trashed.is_not(None))).scalars().all()
    if in_trash:
        trashed = _label_counts(believed).where(listed(_given.c.photo))
        numbers = {"numbers": msgspec.json.encode(in_trash).decode()}
        counts.subtract({row.label: row.photos for row in connection.execute(trashed, numbers)})
    named = ((terms.label_name(number), count) for number, count in counts.items() if count > 0)
    return dict(sorted(named, key=lambda item: (-item[1], item[0])))


def _label_counts(believed: Believed) -> Select[int, int]:
    """How many photos have each label, on whomever's word.

    A photo counts once where the model and the user say the same. Asking for distinct photos made SQLite sort them all:
    340 ms at 100,000 photos. Most rows are the active model's, and are counted without a look at others.
    """
    other = label_photo.alias("other")
    said_before = (
        select(other.c.label)
        .where(other.c.label == _given.c.label, other.c.photo == _given.c.photo)
        .where(
            or_(other.c.model == believed.active, and_(other.c.model < _given.c.model, other.c.model.in_(believed.all)))
        )
        .exists()
    )
    counted = or_(_given.c.model == believed.active, and_(_given.c.model.in_(believed.all), ~said_before))
    return select(_given.c.label, func.count().label("photos")).where(counted).group_by(_given.c.label)


def album_counts(connection: Connection) -> dict[int, int]:
    """How many photos outside the trash each album has, by the album's number."""
    all_photos = select(album_photo.c.album, func.count()).group_by(album_photo.c.album)
    counts: Counter[int] = Counter({row[0]: row[1] for row in connection.execute(all_photos)})
    trashed = (
        select(album_photo.c.album, func.count())
        .join(photo, photo.c.id == album_photo.c.photo)
        .where(photo.c.trashed.is_not(None))
        .group_by(album_photo.c.album)
    )
    counts.subtract({row[0]: row[1] for row in connection.execute(trashed)})
    return dict(counts)


def albums(connection: Connection) -> list[AlbumRecord]:
    """Every album that exists, by name."""
    counts = album_counts(connection)
    named = connection.execute(select(album).where(album.c.name.is_not(None)))
    found = [AlbumRecord(row.album_id, row.name, counts.get(row.id, 0)) for row in named]
    return sorted(found, key=lambda one: (fold(one.name), one.id))


def album_pids(connection: Connection, terms: Terms, album_id: str) -> list[bytes]:
    """Return the photos of an album, those in the trash too, in the album's order."""
    statement = (
        select(photo.c.pid)
        .join(album_photo, album_photo.c.photo == photo.c.id)
        .where(album_photo.c.album == terms.known_album(album_id))
        .order_by(album_photo.c.position, photo.c.pid)
    )
    return list(connection.execute(statement).scalars())


def months(connection: Connection) -> list[tuple[str, int]]:
    """Return the months in which photos outside the trash were taken, newest first."""
    day = (photo.c.taken + _DAYS_BEFORE_1970 * DAY_MS) // DAY_MS
    dated = select(func.json_group_array(day)).where(photo.c.taken.is_not(None))
    days = Counter(_numbers.decode(connection.execute(dated).scalar_one()))
    trashed = dated.where(photo.c.trashed.is_not(None))
    days.subtract(_numbers.decode(connection.execute(trashed).scalar_one()))
    counts: Counter[str] = Counter()
    for number, count in days.items():
        counts[wall_clock_text((number - _DAYS_BEFORE_1970) * DAY_MS)[:7]] += count
    return sorted(((month, count) for month, count in counts.items() if count), reverse=True)


def positions(connection: Connection) -> tuple[list[int], list[int]]:
    """Return latitudes and longitudes of the photos outside the trash, as they are stored."""
    columns = func.json_group_array(photo.c.latitude), func.json_group_array(photo.c.longitude)
    located = select(*columns).where(photo.c.latitude.is_not(None), photo.c.trashed.is_(None))
    latitudes, longitudes = connection.execute(located).one()
    return _numbers.decode(latitudes), _numbers.decode(longitudes)


def suggestions(
    connection: Connection, terms: Terms, labels: Callable[[], dict[str, int]], field: str, prefix: str, limit: int
) -> list[Suggestion]:
    """Values of a field that a word of begins with what was typed, or another word for them; most used first."""
    counts: dict[str, int]
    match field:
        case "label":
            counts = labels()
        case "album":
            counts = {one.name: one.photos for one in albums(connection)}
        case "camera" | "lens":
            statement = (
                select(photo.c[field], func.count())
                .where(photo.c[field].is_not(None), photo.c.trashed.is_(None))
                .group_by(photo.c[field])
            )
            counts = {terms.text(number) or "": count for number, count in connection.execute(statement)}
        case _:
            return []
    typed = fold(prefix).strip()
    fitting = {
        name: Suggestion(name, count)
        for name, count in counts.items()
        if fold(name).startswith(typed) or any(word.startswith(typed) for word in words(name))
    }
    for alias, meant in aliases_beginning(typed) if field == "label" and typed else ():
        for name in meant:
            if name in counts and name not in fitting:
                fitting[name] = Suggestion(name, counts[name], meant_by=alias)
    return sorted(fitting.values(), key=lambda one: (-one.photos, one.text))[:limit]
