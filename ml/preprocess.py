"""From a decoded photo to the tensor a model expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ml.manifest import Crop, InputSpec

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_REDUCING_GAP = 5.0
"""Photos over ten times the target's size are first shrunk by whole factors, to no less than five times the target:
twice as fast and more, and at this distance the difference is below what a model notices."""

_EXTREME = 4
"""Sides in a proportion beyond this are cropped and resized in one step."""


def tensors(image: Image.Image, spec: InputSpec) -> NDArray[Any]:
    """One photo as the model's input, once for each of its K crops.

    ``image``: upright, any mode (transparency is laid on white). Returns ``[K, 3, S, S]`` or ``[K, S, S, 3]`` of
    ``spec.dtype``.
    """
    photo = _to_rgb(image)
    return np.stack([_normalised(_square(photo, spec, crop), spec) for crop in spec.crops])


def tensor(image: Image.Image, spec: InputSpec) -> NDArray[Any]:
    """One photo as the model's input by its first crop alone: ``[3, S, S]`` or ``[S, S, 3]``; see ``tensors``."""
    return _normalised(_square(_to_rgb(image), spec, spec.crops[0]), spec)


def _square(photo: Image.Image, spec: InputSpec, crop: Crop) -> Image.Image:
    return whole(photo, spec) if crop == "whole" else resize_and_crop(photo, spec)


def _normalised(square: Image.Image, spec: InputSpec) -> NDArray[Any]:
    pixels = np.asarray(square)
    if spec.colour == "BGR":
        pixels = pixels[:, :, ::-1]
    if spec.dtype != "uint8":
        values = (pixels - np.array(spec.mean, dtype=np.float32)) / np.array(spec.std, dtype=np.float32)
        pixels = values.astype(spec.dtype)
    if spec.layout == "NCHW":
        pixels = pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(pixels)


def resize_and_crop(image: Image.Image, spec: InputSpec) -> Image.Image:
    """Return the S x S square the model sees: shorter side to ``spec.shorter``, then the centre."""
    width, height = image.size
    shorter = min(width, height)
    sides = (max(1, round(width * spec.shorter / shorter)), max(1, round(height * spec.shorter / shorter)))
    left, top = ((side - spec.size) // 2 for side in sides)
    filter_ = _FILTERS[spec.resize]
    if max(sides) <= _EXTREME * spec.shorter:
        resized = image.resize(sides, filter_, reducing_gap=_REDUCING_GAP)
        return resized.crop((left, top, left + spec.size, top + spec.size))
    # A photo of 60,000 x 1 pixels would become one of 15 million x 256. Only the square is computed here; it differs
    # from the above by rounding (one step in 255), since Pillow's filters read past the box.
    across = width / sides[0]
    down = height / sides[1]
    box = (left * across, top * down, (left + spec.size) * across, (top + spec.size) * down)
    return image.resize((spec.size, spec.size), filter_, box=box, reducing_gap=_REDUCING_GAP)


def whole(image: Image.Image, spec: InputSpec) -> Image.Image:
    """Return all of the photo as the S x S square the model sees, whatever its proportions."""
    return image.resize((spec.size, spec.size), _FILTERS[spec.resize], reducing_gap=_REDUCING_GAP)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):
        # Pillow would clip sixteen bits to eight, which leaves all but the darkest greys white.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")
