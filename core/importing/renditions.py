"""The pictures that are shown instead of the original: a preview for the screen, a thumbnail for the grid."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from core import thumbhash
from core.importing import colour
from core.importing.looks import look_at

if TYPE_CHECKING:
    from core.importing.facts import Looks

THUMBNAIL_LONGEST = 320
MIME = "image/jpeg"
_PREVIEW_QUALITY = 80
_CLOSE_QUALITY = 90
_THUMBNAIL_QUALITY = 75
_SMALLER_QUALITIES = (68, 55, 42)
_LEAST_LONGEST = 800
_LEAST_BUDGET = 150_000
_MOST_BUDGET = 420_000
_BUDGET_SHARE = 0.17
"""A preview takes at most this part of its original, so that a library stays under 1.25 times the photos in it."""


@dataclass(frozen=True, slots=True)
class Renditions:
    """Preview and thumbnail as JPEG, the preview's size in pixels, the placeholder, and how the picture looks."""

    preview: bytes
    preview_size: tuple[int, int]
    thumbnail: bytes
    thumbhash: bytes
    looks: Looks


def render(image: Image.Image, profile: bytes | None, original_bytes: int, *, close: bool = False) -> Renditions:
    """Make the renditions of an upright RGB picture; `profile` is its ICC profile unless that is sRGB.

    `close`: the preview is for a close look and not kept, so it is as large as the picture.
    """
    thumbnail = thumbnail_of(image, profile)
    preview, preview_size = (
        (_jpeg(image, _CLOSE_QUALITY, profile), image.size) if close else _preview(image, profile, original_bytes)
    )
    return Renditions(
        preview=preview,
        preview_size=preview_size,
        thumbnail=_jpeg(thumbnail, _THUMBNAIL_QUALITY, None),
        thumbhash=thumbhash.of_image(thumbnail),
        looks=look_at(thumbnail, image),
    )


def thumbnail_of(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the picture at most `THUMBNAIL_LONGEST` pixels long, in sRGB: terminals and hashes know no profiles."""
    small = (
        image.copy()
        if max(image.size) <= THUMBNAIL_LONGEST
        else image.resize(_fit(image.size, THUMBNAIL_LONGEST), Image.Resampling.BICUBIC, reducing_gap=2.0)
    )
    return colour.to_srgb(small, profile)


def _preview(image: Image.Image, profile: bytes | None, original_bytes: int) -> tuple[bytes, tuple[int, int]]:
    """Encode at the usual quality, and where that takes too much at a lower one, and then smaller."""
    budget = min(_MOST_BUDGET, max(_LEAST_BUDGET, int(original_bytes * _BUDGET_SHARE)))
    quality = _PREVIEW_QUALITY
    data = _jpeg(image, quality, profile)
    for quality in _SMALLER_QUALITIES:
        if len(data) <= budget:
            break
        data = _jpeg(image, quality, profile)
    while len(data) > budget and max(image.size) > _LEAST_LONGEST:
        image = image.resize(_fit(image.size, max(image.size) * 3 // 4), Image.Resampling.BICUBIC)
        data = _jpeg(image, quality, profile)
    return data, image.size


def _jpeg(image: Image.Image, quality: int, profile: bytes | None) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, icc_profile=profile)
    return out.getvalue()


def _fit(size: tuple[int, int], longest: int) -> tuple[int, int]:
    scale = longest / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
