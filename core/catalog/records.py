"""What the catalog answers with: a photo, its labels, its copies, its thumbnail's place."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

import msgspec

# Records hold no cycles, and lists of them can be long: `gc=False` spares Python's collector from walking them.


class DateSource(IntEnum):
    """Where a photo's date comes from; the numbers stand in the catalog."""

    NOWHERE = 0
    """It has none."""
    FILE = 1
    """Written in the file by the camera."""
    USER = 2
    """Corrected by the user."""
    GUESS = 3
    """From the file's name or time, or a sidecar."""


class LabelRecord(msgspec.Struct, frozen=True, gc=False):
    """One label of a photo.

    Attributes:
        name: in its compared form (lower case), as in the documents.
        score: 0 to 1; 1.0 for the user's own.
        source: who says so; ``taught``: it was learnt from the user's examples.
        model: ``name@version``, ``None`` for the user's own and for what was taught.
    """

    name: str
    score: float
    source: Literal["model", "user", "taught"]
    model: str | None


class AlbumRecord(msgspec.Struct, frozen=True):
    """One album: its id (text, as in the documents), its name, and how many photos outside the trash it has."""

    id: str
    name: str
    photos: int


class Extra(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """Facts that are shown but never searched; packed into one column, last fields optional."""

    thumbhash: bytes | None = None
    altitude_m: float | None = None
    exposure_s: float | None = None
    orientation: int = 1
    date_source: str | None = None


class PhotoRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that is known of a photo but its copies.

    Attributes:
        pid: its id, 16 bytes.
        document: the shard that holds its facts.
        filename: of the file as imported, ``None`` if no such copy is known.
        taken: wall clock, ``YYYY-MM-DDTHH:MM:SS`` with milliseconds where there are any; ``None`` if unknown.
        offset_minutes: of that time from UTC; ``None`` if unknown.
        date_source: where the date comes from.
        imported_at: UTC seconds.
        width: pixels, before ``rotation``.
        height: pixels, before ``rotation``.
        size: of the file, bytes.
        mime: media type.
        camera: make and model.
        lens: its name.
        iso: film speed.
        f_number: aperture.
        focal_mm: focal length, millimetres.
        motion_s: seconds of video inside the file.
        latitude: degrees.
        longitude: degrees.
        labels: the user's own, then the model's, strongest first. What is only above one of the user's own is not among
            them, but finds the photo.
        albums: names of the albums that hold it, sorted.
        album_ids: their ids, in the same order.
        rejected: names of labels the user took away, sorted.
        caption: text, empty if there is none.
        rating: 0 (none) to 5.
        favourite: whether the user marked it.
        rotation: 0, 90, 180 or 270 degrees clockwise, asked for by the user.
        trashed_at: UTC seconds; ``None`` outside the trash.
        extra: facts that are only shown.
        looks: what was measured of the picture: some of ``core.query.fields.LOOKS``.
        brightness: mean luma, 0 (black) to 1 (white); ``None`` if it was not measured.
        score: how sure the labels asked for are, on average, or how well a description fits, 0 to 1; ``None`` where the
            query asks for neither.
        sure: whether a description fits for sure, and is no maybe; ``None`` where the query asks for none.
    """

    pid: bytes
    document: str
    filename: str | None
    taken: str | None
    offset_minutes: int | None
    date_source: DateSource
    imported_at: int | None
    width: int
    height: int
    size: int
    mime: str
    camera: str | None
    lens: str | None
    iso: int | None
    f_number: float | None
    focal_mm: float | None
    motion_s: float | None
    latitude: float | None
    longitude: float | None
    labels: tuple[LabelRecord, ...]
    albums: tuple[str, ...]
    album_ids: tuple[str, ...]
    rejected: tuple[str, ...]
    caption: str
    rating: int
    favourite: bool
    rotation: int
    trashed_at: int | None
    extra: Extra
    score: float | None = None
    sure: bool | None = None
    looks: tuple[str, ...] = ()
    brightness: float | None = None

    @property
    def id(self) -> str:
        """The photo's id as people write it."""
        return self.pid.hex()

    @property
    def taken_at(self) -> str | None:
        """When it was taken: ISO 8601, without offset if that is unknown."""
        if self.taken is None or self.offset_minutes is None:
            return self.taken
        sign = "-" if self.offset_minutes < 0 else "+"
        hours, minutes = divmod(abs(self.offset_minutes), 60)
        return f"{self.taken}{sign}{hours:02}:{minutes:02}"

    @property
    def thumbhash(self) -> bytes | None:
        """The blurred placeholder."""
        return self.extra.thumbhash


class Copy(msgspec.Struct, frozen=True):
    """One blob that holds a photo.

    Attributes:
        blob_id: 32 bytes.
        role: the file as imported, or a smaller rendering.
        key: the blob's key, 32 bytes.
        size: of the plaintext, bytes.
        name: of the file as imported; ``None`` for a preview.
    """

    blob_id: bytes
    role: Literal["original", "preview"]
    key: bytes
    size: int
    name: str | None

    def __repr__(self) -> str:
        # Keys do not belong in logs and tracebacks.
        return f"Copy({self.role} {self.blob_id.hex()[:16]}…, {self.size} bytes)"


class ThumbRef(msgspec.Struct, frozen=True):
    """Where a thumbnail lies: ``length`` bytes from ``offset`` of the plaintext of a bundle.

    Attributes:
        blob_id: of the bundle, 32 bytes.
        key: the bundle's key, 32 bytes.
    """

    blob_id: bytes
    key: bytes
    offset: int
    length: int

    def __repr__(self) -> str:
        return f"ThumbRef({self.blob_id.hex()[:16]}…, {self.offset}, {self.length})"
