"""Reads what is known of single photos, albums and labels out of the tables."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import BindParameter, bindparam, select

from core.catalog.entry import IMPLIED, TAUGHT, USER
from core.catalog.looks import named
from core.catalog.query_sql import listed
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
from crdt.errors import CrdtError
from crdt.schema import label_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy.engine import Connection

    from core.catalog.selection import Scoring
    from core.catalog.terms import Terms

_NO_EXTRA = Extra()
_DATE_SOURCES = {int(source): source for source in DateSource}
_extra = msgspec.msgpack.Decoder(Extra)


class _Labels:
    """The labels of one photo: those that are shown, and the scores of all that count when it is searched."""

    __slots__ = ("_scores", "_shown")

    def __init__(self) -> None:
        self._shown: dict[int, LabelRecord] = {}
        self._scores: dict[int, int] = {}

    def add(self, number: int, name: str, model: str, score: int) -> None:
        """Add a label on the word of a model, of the user, or because the user gave a more special one."""
        self._scores[number] = max(score, self._scores.get(number, 0))
        if model == USER:
            self._shown[number] = LabelRecord(name, 1.0, "user", None)
        elif model == TAUGHT:
            # Examples of the user's own say more than a model that was made for everybody.
            if number not in self._shown or self._shown[number].source == "model":
                self._shown[number] = LabelRecord(name, score / SCORE_UNIT, "taught", None)
        elif model != IMPLIED and number not in self._shown:
            # What is implied finds the photo, but is not shown: it would look like the user's own word.
            self._shown[number] = LabelRecord(name, score / SCORE_UNIT, "model", model)

    def shown(self) -> tuple[LabelRecord, ...]:
        """Return the labels to show: the user's own, then the model's, strongest first."""
        return tuple(sorted(self._shown.values(), key=_by_weight))

    def score(self, scoring: Scoring | None) -> float | None:
        """Return the mean score of those labels that the query asks for; ``None`` if there is none of them."""
        asked = [self._scores[number] for number in scoring.labels if number in self._scores] if scoring else []
        return sum(asked) / len(asked) / SCORE_UNIT if asked else None


_NO_LABELS = _Labels()


_PHOTOS = select(
    photo.c.id, photo.c.pid, photo.c.document, photo.c.name, photo.c.taken, photo.c.taken_offset, photo.c.taken_from,
    photo.c.imported, photo.c.width, photo.c.height, photo.c.size, photo.c.mime, photo.c.camera, photo.c.lens,
    photo.c.iso, photo.c.aperture, photo.c.focal, photo.c.motion, photo.c.latitude, photo.c.longitude, photo.c.caption,
    photo.c.rating, photo.c.favourite, photo.c.rotation, photo.c.trashed, photo.c.extra,
    photo.c.looks, photo.c.brightness,
).where(listed(photo.c.id))  # fmt: skip
_LABELS = select(label_photo.c.photo, label_photo.c.label, label_photo.c.model, label_photo.c.score).where(
    listed(label_photo.c.photo)
)
_ALBUMS = (
    select(album_photo.c.photo, album.c.album_id, album.c.name)
    .join(album, album.c.id == album_photo.c.album)
    .where(listed(album_photo.c.photo), album.c.name.is_not(None))
    .order_by(album.c.name, album.c.album_id)
)
_REJECTED = select(rejected).where(listed(rejected.c.photo))
_PID: BindParameter[bytes] = bindparam("pid")
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
    connection: Connection,
    terms: Terms,
    numbers: Sequence[int],
    models: Collection[int],
    scoring: Scoring | None = None,
) -> list[PhotoRecord]:
    """Return the records of photos, in the order of their numbers.

    Args:
        connection: the catalog.
        terms: its terms.
        numbers: of the photos.
        models: numbers of the terms whose word on labels counts.
        scoring: the labels that the score is made of.
    """
    if not numbers:
        return []
    wanted = {"numbers": msgspec.json.encode(numbers).decode()}
    labels: defaultdict[int, _Labels] = defaultdict(_Labels)
    for number, label_number, model, given in connection.execute(_LABELS, wanted).all():
        if model in models:
            labels[number].add(label_number, terms.label_name(label_number), terms.text(model) or "", given)
    albums: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for number, album_id, name in connection.execute(_ALBUMS, wanted).all():
        albums[number].append((album_id, name))
    refused: defaultdict[int, list[str]] = defaultdict(list)
    for number, label_number in connection.execute(_REJECTED, wanted).all():
        refused[number].append(terms.label_name(label_number))
    found: dict[int, PhotoRecord] = {}
    for row in connection.execute(_PHOTOS, wanted).all():
        number = row[0]
        own = labels.get(number, _NO_LABELS)
        found[number] = _record(row, terms, own, albums.get(number, ()), refused.get(number, ()), own.score(scoring))
    return [found[number] for number in numbers if number in found]


def copies(connection: Connection, pid: bytes) -> list[Copy]:
    """Return the blobs that hold a photo: originals before previews."""
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


def has_automatic_label(connection: Connection, terms: Terms, pid: bytes, name: str) -> bool:
    """Whether a photo has a label on another word than the user's own; a name that none can have is on no photo."""
    try:
        number = terms.labels.get(label_name(name))
    except CrdtError:
        return False
    statement = (
        select(label_photo.c.label)
        .join(photo, photo.c.id == label_photo.c.photo)
        .where(photo.c.pid == pid, label_photo.c.label == number)
        .where(label_photo.c.model != (terms.known("model", USER) or 0))
    )
    return connection.execute(statement).first() is not None


def _by_weight(label: LabelRecord) -> tuple[bool, float, str]:
    return label.source != "user", -label.score, label.name


def _record(
    row: Sequence[Any],
    terms: Terms,
    labels: _Labels,
    albums: Sequence[tuple[str, str]],
    refused: Sequence[str],
    found_score: float | None,
) -> PhotoRecord:
    (
        _, pid, document, name, taken, offset, source, imported, width, height, size, mime, camera, lens, iso, aperture,
        focal, motion, latitude, longitude, caption, rating, favourite, rotation, trashed, extra,
        looks, brightness,
    ) = row  # fmt: skip
    return PhotoRecord(
        pid=pid,
        document=terms.text(document) or "",
        filename=name,
        taken=None if taken is None else wall_clock_text(taken),
        offset_minutes=offset,
        date_source=_DATE_SOURCES[source],
        imported_at=imported,
        width=width,
        height=height,
        size=size,
        mime=terms.text(mime) or "",
        camera=terms.text(camera),
        lens=terms.text(lens),
        iso=iso,
        f_number=_whole(aperture),
        focal_mm=_whole(focal),
        motion_s=_whole(motion),
        latitude=None if latitude is None else latitude / DEGREE_UNIT,
        longitude=None if longitude is None else longitude / DEGREE_UNIT,
        labels=labels.shown(),
        albums=tuple([album_name for _, album_name in albums]),
        album_ids=tuple([album_id for album_id, _ in albums]),
        rejected=tuple(sorted(refused)),
        caption=caption or "",
        rating=rating,
        favourite=bool(favourite),
        rotation=rotation,
        trashed_at=trashed,
        extra=_extra.decode(extra) if extra else _NO_EXTRA,
        score=found_score,
        looks=named(looks),
        brightness=None if brightness is None else brightness / 1000,
    )


def _whole(thousandths: int | None) -> float | None:
    return None if thousandths is None else thousandths / 1000
