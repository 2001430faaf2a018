"""ThumbHash: a whole photo in about 25 bytes, enough to paint a blurred placeholder before its thumbnail is read.

The format is Evan Wallace's (https://evanw.github.io/thumbhash/): the image as luminance, yellow-blue and red-green
(and alpha), each as the lowest terms of a cosine transform in four bits apiece, behind a header of five or six bytes.
The sums over the pixels are two small matrix products per channel here, so a hash costs well under a millisecond.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

MAX_SIDE = 100
_PLACEHOLDER_SIDE = 32
_COLOUR_TERMS = 3
_ALPHA_TERMS = 5
# What four bits lose in colour is made up for with a little saturation, as in the reference.
_SATURATION = 1.25

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Header:
    """The constants in front of the coefficients; levels are 0 to 1, colour differences -1 to 1."""

    luminance: float
    yellow_blue: float
    red_green: float
    alpha: float
    luminance_scale: float
    yellow_blue_scale: float
    red_green_scale: float
    alpha_scale: float
    has_alpha: bool
    terms: tuple[int, int]


def of_image(image: Image.Image) -> bytes:
    """Return the hash of a Pillow image of any size and mode (it is made small first)."""
    small = image.convert("RGBA") if image.has_transparency_data else image.convert("RGB")
    if max(small.size) > MAX_SIDE:
        small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    return encode(np.asarray(small.convert("RGBA")))


def encode(rgba: npt.NDArray[np.uint8]) -> bytes:
    """Return the hash of pixels of shape [height, width, 4], not premultiplied, neither side over 100.

    Raises:
        ValueError: for any other shape.
    """
    if rgba.ndim != 3 or rgba.shape[2] != 4 or not 0 < max(rgba.shape[:2]) <= MAX_SIDE or 0 in rgba.shape:  # noqa: PLR2004
        raise ValueError(f"a ThumbHash is made from [1-{MAX_SIDE}, 1-{MAX_SIDE}, 4] pixels, not {list(rgba.shape)}")
    height, width = rgba.shape[:2]
    pixels = rgba.astype(np.float64) / 255.0
    alpha = pixels[..., 3]
    weight = float(alpha.sum())
    average = (pixels[..., :3] * alpha[..., None]).sum(axis=(0, 1)) / weight if weight else np.zeros(3)
    has_alpha = weight < width * height
    # What is transparent takes the average colour, so that it adds no edges.
    red, green, blue = np.moveaxis(average * (1.0 - alpha[..., None]) + pixels[..., :3] * alpha[..., None], 2, 0)

    limit = 5 if has_alpha else 7
    longest = max(width, height)
    across = max(1, _round(limit * width / longest))
    down = max(1, _round(limit * height / longest))
    luminance = _transform((red + green + blue) / 3.0, max(_COLOUR_TERMS, across), max(_COLOUR_TERMS, down))
    yellow_blue = _transform((red + green) / 2.0 - blue, _COLOUR_TERMS, _COLOUR_TERMS)
    red_green = _transform(red - green, _COLOUR_TERMS, _COLOUR_TERMS)
    channels = [luminance, yellow_blue, red_green]

    landscape = width > height
    head = (
        _round(63.0 * luminance[0])
        | _round(31.5 + 31.5 * yellow_blue[0]) << 6
        | _round(31.5 + 31.5 * red_green[0]) << 12
        | _round(31.0 * luminance[2]) << 18
        | has_alpha << 23
    )
    tail = (
        (down if landscape else across)
        | _round(63.0 * yellow_blue[2]) << 3
        | _round(63.0 * red_green[2]) << 9
        | landscape << 15
    )
    out = bytearray(head.to_bytes(3, "little") + tail.to_bytes(2, "little"))
    if has_alpha:
        channels.append(_transform(alpha, _ALPHA_TERMS, _ALPHA_TERMS))
        out.append(_round(15.0 * channels[-1][0]) | _round(15.0 * channels[-1][2]) << 4)
    nibbles = [_round(15.0 * term) for _, terms, _ in channels for term in terms]
    nibbles += [0] * (len(nibbles) % 2)
    out += bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))
    return bytes(out)


def decode(thumbhash: bytes, longest: int = _PLACEHOLDER_SIDE) -> npt.NDArray[np.uint8]:
    """Return the placeholder, [height, width, 4] RGBA, its longer side `longest` pixels (32 as in the reference).

    Raises:
        ValueError: the bytes are too short.
    """
    header = _read_header(thumbhash)
    ratio = aspect_ratio(thumbhash)
    width = longest if ratio > 1 else max(1, _round(longest * ratio))
    height = max(1, _round(longest / ratio)) if ratio > 1 else longest
    nibbles = _nibbles(thumbhash[6 if header.has_alpha else 5 :])

    def channel(level: float, scale: float, across: int, down: int) -> _Floats:
        coefficients = np.zeros((down, across))
        for row, column in _orders(across, down):
            coefficients[row, column] = (next(nibbles) / 7.5 - 1.0) * scale
        # Both bases carry a factor of one, and every varying term counts twice in the reference.
        waves = 2.0 * _cosines(down, height).T @ coefficients @ _cosines(across, width)
        return np.asarray(level + waves, dtype=np.float64)

    try:
        light = channel(header.luminance, header.luminance_scale, *header.terms)
        yellow_blue = channel(header.yellow_blue, header.yellow_blue_scale * _SATURATION, _COLOUR_TERMS, _COLOUR_TERMS)
        red_green = channel(header.red_green, header.red_green_scale * _SATURATION, _COLOUR_TERMS, _COLOUR_TERMS)
        alpha = (
            channel(header.alpha, header.alpha_scale, _ALPHA_TERMS, _ALPHA_TERMS)
            if header.has_alpha
            else np.ones((height, width))
        )
    except StopIteration as error:
        raise ValueError(f"a ThumbHash of {len(thumbhash)} bytes ends before its last coefficient") from error
    blue = light - 2.0 / 3.0 * yellow_blue
    red = (3.0 * light - blue + red_green) / 2.0
    pixels = np.stack([red, red - red_green, blue, alpha], axis=2)
    return (np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)


def average(thumbhash: bytes) -> tuple[float, float, float, float]:
    """Return the photo's average red, green, blue and alpha, each 0 to 1. Raises `ValueError`."""
    header = _read_header(thumbhash)
    blue = header.luminance - 2.0 / 3.0 * header.yellow_blue
    red = (3.0 * header.luminance - blue + header.red_green) / 2.0
    green = red - header.red_green
    clipped = [min(1.0, max(0.0, level)) for level in (red, green, blue)]
    return clipped[0], clipped[1], clipped[2], header.alpha


def aspect_ratio(thumbhash: bytes) -> float:
    """Return the photo's width divided by its height, as nearly as the hash knows it. Raises `ValueError`."""
    if len(thumbhash) < 5:  # noqa: PLR2004  the shortest header
        raise ValueError(f"a ThumbHash of {len(thumbhash)} bytes has no header")
    most = 5 if thumbhash[2] & 0x80 else 7
    least = max(1, thumbhash[3] & 7)
    return most / least if thumbhash[4] & 0x80 else least / most


def _read_header(thumbhash: bytes) -> _Header:
    if len(thumbhash) < 5:  # noqa: PLR2004  the shortest header
        raise ValueError(f"a ThumbHash of {len(thumbhash)} bytes has no header")
    head = int.from_bytes(thumbhash[:3], "little")
    tail = int.from_bytes(thumbhash[3:5], "little")
    has_alpha = bool(head >> 23)
    if has_alpha and len(thumbhash) < 6:  # noqa: PLR2004  the header with its byte of alpha
        raise ValueError("a ThumbHash with alpha has at least six bytes")
    most = 5 if has_alpha else 7
    least = max(_COLOUR_TERMS, tail & 7)
    return _Header(
        luminance=(head & 63) / 63.0,
        yellow_blue=(head >> 6 & 63) / 31.5 - 1.0,
        red_green=(head >> 12 & 63) / 31.5 - 1.0,
        alpha=(thumbhash[5] & 15) / 15.0 if has_alpha else 1.0,
        luminance_scale=(head >> 18 & 31) / 31.0,
        yellow_blue_scale=(tail >> 3 & 63) / 63.0,
        red_green_scale=(tail >> 9 & 63) / 63.0,
        alpha_scale=(thumbhash[5] >> 4) / 15.0 if has_alpha else 1.0,
        has_alpha=has_alpha,
        terms=(most, least) if tail >> 15 else (least, most),
    )


def _transform(channel: _Floats, across: int, down: int) -> tuple[float, list[float], float]:
    """Return a channel's constant term, its varying terms scaled to 0..1, and the scale."""
    height, width = channel.shape
    terms = _cosines(down, height) @ channel @ _cosines(across, width).T / (width * height)
    varying = [float(terms[row, column]) for row, column in _orders(across, down)]
    scale = max(map(abs, varying), default=0.0)
    return float(terms[0, 0]), [0.5 + 0.5 / scale * term if scale else term for term in varying], scale


def _orders(across: int, down: int) -> list[tuple[int, int]]:
    """Return (row, column) of the varying terms that are kept, a triangle of the lowest, in the order of the format."""
    return [
        (row, column)
        for row in range(down)
        for column in range(0 if row else 1, across)
        if column * down < across * (down - row)
    ]


def _cosines(terms: int, length: int) -> _Floats:
    """Return the cosine basis, [terms, length]."""
    return np.cos(np.pi / length * np.outer(np.arange(terms), np.arange(length) + 0.5))


class _Nibbles:
    """The half bytes of the coefficients, low half first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._next = 0

    def __next__(self) -> int:
        byte, high = divmod(self._next, 2)
        if byte >= len(self._data):
            raise StopIteration
        self._next += 1
        return self._data[byte] >> 4 if high else self._data[byte] & 15


def _nibbles(data: bytes) -> _Nibbles:
    return _Nibbles(data)


def _round(value: float) -> int:
    """Round half up, as the reference does (Python's own rounding goes to even)."""
    return math.floor(value + 0.5)
