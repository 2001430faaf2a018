"""What `search --json` prints for a photo. Scripts rely on it: fields are added, never renamed or taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from core.catalog.descriptions import asked_texts
from core.query import parse

if TYPE_CHECKING:
    from core.catalog.records import PhotoRecord


class SearchLabel(msgspec.Struct, frozen=True):
    """A label of a photo; ``score`` is 0 to 1, ``model`` is ``null`` where the user gave it, or taught it."""

    name: str
    score: float
    source: Literal["model", "user", "taught"]
    model: str | None


class Location(msgspec.Struct, frozen=True):
    """A place on the earth in degrees (WGS 84)."""

    latitude: float
    longitude: float


class SearchResult(msgspec.Struct, frozen=True):
    """One line of `search --json`.

    Attributes:
        id: 32 hex digits.
        filename: as imported; ``null`` if unknown.
        taken_at: ISO 8601; without offset if that is unknown, ``null`` if the time is.
        width: pixels, upright as the camera meant it.
        height: pixels.
        size: bytes.
        mime: media type of the original.
        labels: the user's own first, then the model's, strongest first.
        caption: text; empty if there is none.
        rating: 0 (none) to 5.
        favourite: whether it is marked.
        albums: names, sorted.
        location: where it was taken, or ``null``.
        score: how sure the labels asked for are, on average, or how well a description fits, 0 to 1; ``null`` where the
            query asks for neither.
        sure: whether a description fits for sure, or may; left out where the query asks for none.
    """

    id: str
    filename: str | None
    taken_at: str | None
    width: int
    height: int
    size: int
    mime: str
    labels: list[SearchLabel]
    caption: str
    rating: int
    favourite: bool
    albums: list[str]
    location: Location | None
    score: float | None
    sure: bool | msgspec.UnsetType = msgspec.UNSET


def search_result(photo: PhotoRecord) -> SearchResult:
    """Return the line of a photo."""
    located = photo.latitude is not None and photo.longitude is not None
    return SearchResult(
        id=photo.id,
        filename=photo.filename,
        taken_at=photo.taken_at,
        width=photo.width,
        height=photo.height,
        size=photo.size,
        mime=photo.mime,
        labels=[SearchLabel(label.name, label.score, label.source, label.model) for label in photo.labels],
        caption=photo.caption,
        rating=photo.rating,
        favourite=photo.favourite,
        albums=list(photo.albums),
        location=Location(photo.latitude or 0.0, photo.longitude or 0.0) if located else None,
        score=None if photo.score is None else round(photo.score, 4),
        sure=msgspec.UNSET if photo.sure is None else photo.sure,
    )


def default_sort(query: str) -> str:
    """What the answer to a query is ordered by if nobody says: descriptions best first, all else by date.

    Raises:
        QueryError: the query cannot be understood.
    """
    return "score" if asked_texts(parse(query)) else "taken"


def taken_at(photo: PhotoRecord) -> str | None:
    """When a photo was taken: ISO 8601, without offset if that is unknown."""
    return photo.taken_at
