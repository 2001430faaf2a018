"""Pixels for a tile: the ThumbHash's blur, or the thumbnail out of its bundle. Called in the loaders' threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from core import bundles, thumbhash
from core.errors import BlobMissing, IntegrityAlarm
from tui.app.workers.received_jpeg import open_jpeg

if TYPE_CHECKING:
    from core.blobs import BlobStore
    from core.catalog import PhotoRecord, ThumbRef

_LONGEST = 1024
"""Pixels a thumbnail may have on a side; ours have 320, and another device's word is not believed further."""
_MAX_BYTES = 4 << 20
"""Bytes a thumbnail may have; ours have some 20,000."""
_HEAD_ROOM = (0.5, 0.35)
"""What is kept of a picture that is cut to a tile: people's heads are above its middle."""
_PLACEHOLDER_LONGEST = 16
_TURNS = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}


class ThumbnailProblem(Exception):
    """There is no thumbnail to show, and this is why, in a few words."""


def placeholder(record: PhotoRecord, size: tuple[int, int]) -> Image.Image:
    """Return the blur of a photo, `size` pixels large. Raises `ThumbnailProblem`."""
    if record.thumbhash is None:
        raise ThumbnailProblem("no placeholder")
    try:
        pixels = thumbhash.decode(record.thumbhash, _PLACEHOLDER_LONGEST)
    except ValueError as error:
        raise ThumbnailProblem("its placeholder is damaged") from error
    return fill(turned(Image.fromarray(pixels).convert("RGB"), record.rotation), size)


def thumbnail(blobs: BlobStore, record: PhotoRecord, place: ThumbRef | None, size: tuple[int, int]) -> Image.Image:
    """Return a photo's thumbnail, cut to `size` pixels. Raises `ThumbnailProblem`."""
    return fill(turned(whole_thumbnail(blobs, place, size), record.rotation), size)


def whole_thumbnail(blobs: BlobStore, place: ThumbRef | None, size: tuple[int, int]) -> Image.Image:
    """Return a thumbnail as it was made, at least about `size` pixels if it has as many. Raises `ThumbnailProblem`."""
    if place is None:
        raise ThumbnailProblem("it has no thumbnail")
    if place.length > _MAX_BYTES:
        raise ThumbnailProblem("its thumbnail is larger than any")
    try:
        with blobs.open(place.blob_id, place.key) as bundle:
            data = bundles.read_part(bundle, place.offset, place.length)
    except BlobMissing as error:
        raise ThumbnailProblem("its thumbnail is not here") from error
    except (IntegrityAlarm, ValueError) as error:
        raise ThumbnailProblem("its thumbnail is damaged") from error
    try:
        image = open_jpeg(data)
        if max(image.size) <= _LONGEST:
            image.draft("RGB", size)
            return image.convert("RGB")
    except Exception as error:  # no decoder promises which errors it raises, and another device made these bytes
        raise ThumbnailProblem("its thumbnail is damaged") from error
    raise ThumbnailProblem("its thumbnail is larger than any")


def fill(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a picture scaled and cut so that it fills `size` pixels."""
    return ImageOps.fit(image, size, Image.Resampling.BILINEAR, centering=_HEAD_ROOM)


def turned(image: Image.Image, degrees: int) -> Image.Image:
    """Return a picture turned clockwise by a quarter turn or several."""
    turn = _TURNS.get(degrees)
    return image if turn is None else image.transpose(turn)
