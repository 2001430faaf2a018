"""Reads what is known of single photos, albums and labels out of the tables."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal

import msgspec
from sqlalchemy import String, bindparam, select, text

from core.catalog.entry import IMPLIED, USER
from core.catalog.records import Copy, DateSource, Extra, LabelRecord, PhotoRecord, ThumbRef
from core.catalog.tables import (
    DEGREE_UNIT,
    SCORE_UNIT,
    album,
    album_photo,
    bundle,
    copy,
    label_photo,
    photo,
    rejected,
    thumbnail,
)
from core.query.values import wall_clock_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Row
    from sqlalchemy.engine import Connection

    from core.catalog.selection import Scoring
    from core.catalog.terms import Terms

_NO_EXTRA = Extra()
_extra = msgspec.msgpack.Decoder(Extra)


def _listed(column: str) -> text:  # type: ignore[valid-type]
    """One statement for lists of any length: SQLAlchemy and SQLite each prepare it once."""
    return text(f"{column} IN (SELECT value FROM json_each(:numbers))").bindparams(  # noqa: S608 - our own column names
        bindparam("numbers", type_=String)
    )


_PHOTOS = select(photo).where(_listed("photo.id"))
_LABELS = select(label_photo).where(_listed("label_photo.photo"))
_ALBUMS = (
    select(album_photo.c.photo, album.c.album_id, album.c.name)
    .join(album, album.c.id == album_photo.c.album)
    .where(_listed("album_photo.photo"), album.c.name.is_not(None))
    .order_by(album.c.name, album.c.album_id)
)
_REJECTED = select(rejected).where(_listed("rejected.photo"))
_PID = bindparam("pid")
_COPIES = (
    select(copy)
    .join(photo, photo.c.id == copy.c.photo)
    .where(photo.c.pid == _PID)
    .order_by(copy.c.preview, copy.c.blob_id)
)
_THUMBNAIL = (
    select(bundle.c.blob_id, bundle.c.blob_key, thumbnail.c.offset, thumbnail.c.length)
    .join(bundle, bundle.c.id == thumbnail.c.bundle)
    .where(thumbnail.c.pid == _PID)
    .order_by(bundle.c.blob_id)
    .limit(1)
)


def records(
    connection: Connection, terms: Terms, numbers: Sequence[int], models: Collection[int], scoring: Scoring | None = None
) -> list[PhotoRecord]:
    """The records of photos, in the order of their numbers.

    Args:
        connection: the catalog.
        terms: its terms.
        numbers: of the photos.
        models: numbers of the terms whose word on labels counts.
        scoring: the labels that the score is made of.
    """
    if not numbers:
        return []
    listed = {"numbers": msgspec.json.encode(numbers).decode()}
    labels: defaultdict[int, dict[int, LabelRecord]] = defaultdict(dict)
    for row in connection.execute(_LABELS, listed):
        if row.model in models:
            _add_label(labels[row.photo], row, terms)
    albums: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for number, album_id, name in connection.execute(_ALBUMS, listed):
        albums[number].append((album_id, name))
    refused: defaultdict[int, list[str]] = defaultdict(list)
    for number, label_number in connection.execute(_REJECTED, listed):
        refused[number].append(terms.label_name(label_number))
    found: dict[int, PhotoRecord] = {}
    for row in connection.execute(_PHOTOS, listed):
        own = labels.get(row.id, {})
        found[row.id] = _record(row, terms, own, albums.get(row.id, ()), refused.get(row.id, ()), score(own, scoring))
    return [found[number] for number in numbers if number in found]


def score(labels: Mapping[int, LabelRecord], scoring: Scoring | None) -> float | None:
    """The mean score of those labels of a photo that the query asks for; ``None`` if it has none of them."""
    if scoring is None:
        return None
    asked = [labels[number].score for number in scoring.labels if number in labels]
    return sum(asked) / len(asked) if asked else None


def copies(connection: Connection, pid: bytes) -> list[Copy]:
    """The blobs that hold a photo: originals before previews."""
    return [
        Copy(row.blob_id, "preview" if row.preview else "original", row.blob_key, row.size, row.name)
        for row in connection.execute(_COPIES, {"pid": pid})
    ]


def thumbnail_of(connection: Connection, pid: bytes) -> ThumbRef | None:
    """Where a photo's thumbnail lies."""
    row = connection.execute(_THUMBNAIL, {"pid": pid}).first()
    return None if row is None else ThumbRef(row.blob_id, row.blob_key, row.offset, row.length)


def thumbnails_of(connection: Connection, pids: Iterable[bytes]) -> dict[bytes, ThumbRef]:
    """Where photos' thumbnails lie."""
    found = ((pid, thumbnail_of(connection, pid)) for pid in pids)
    return {pid: place for pid, place in found if place is not None}


def _add_label(labels: dict[int, LabelRecord], row: Row[tuple[int, int, int, int]], terms: Terms) -> None:
    model = terms.text(row.model)
    source: Literal["model", "user"] = "user" if model in {USER, IMPLIED} else "model"
    known = labels.get(row.label)
    if known is None or source == "user":
        labels[row.label] = LabelRecord(
            terms.label_name(row.label), row.score / SCORE_UNIT, source, model if source == "model" else None
        )


def _record(
    row: Row[tuple[int, ...]],
    terms: Terms,
    labels: Mapping[int, LabelRecord],
    albums: Sequence[tuple[str, str]],
    refused: Sequence[str],
    found_score: float | None,
) -> PhotoRecord:
    return PhotoRecord(
        pid=row.pid,
        document=terms.text(row.document) or "",
        filename=row.name,
        taken=None if row.taken is None else wall_clock_text(row.taken),
        offset_minutes=row.taken_offset,
        date_source=DateSource(row.taken_from),
        imported_at=row.imported,
        width=row.width,
        height=row.height,
        size=row.size,
        mime=terms.text(row.mime) or "",
        camera=terms.text(row.camera),
        lens=terms.text(row.lens),
        iso=row.iso,
        f_number=_whole(row.aperture),
        focal_mm=_whole(row.focal),
        motion_s=_whole(row.motion),
        latitude=None if row.latitude is None else row.latitude / DEGREE_UNIT,
        longitude=None if row.longitude is None else row.longitude / DEGREE_UNIT,
        labels=tuple(sorted(labels.values(), key=lambda one: (one.source != "user", -one.score, one.name))),
        albums=tuple(name for _, name in albums),
        album_ids=tuple(album_id for album_id, _ in albums),
        rejected=tuple(sorted(refused)),
        caption=row.caption or "",
        rating=row.rating,
        favourite=bool(row.favourite),
        rotation=row.rotation,
        trashed_at=row.trashed,
        extra=_extra.decode(row.extra) if row.extra else _NO_EXTRA,
        score=found_score,
    )


def _whole(thousandths: int | None) -> float | None:
    return None if thousandths is None else thousandths / 1000


