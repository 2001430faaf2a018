"""Which colours stand out in a photo, judged from its ThumbHash: the blurred placeholder of about 25 bytes.

The placeholders of many photos are painted at once, as 12 by 12 points each, and every point gets the name of a colour.
A colour stands out that a tenth of the points have; grey, which most photos have somewhere, needs half. Measured on
918 photos of everyday things, against the same naming of all their pixels: of the photos in which red, orange, yellow,
green or blue stands out so, 91 to 100 of 100 have the colour in a twentieth of their pixels or more; of those that have
it in 15 of 100 pixels or more, 82 to 89 of 100 are found. Brown: 86 and 86; black: 100 and 64; white: 99 and 80. Cyan,
purple and pink were too rare to say.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from core.query.fields import COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    _Floats = npt.NDArray[np.float64]

_POINTS = 12
"""On each side of the painted placeholder, whatever its shape: shares are all that is asked for."""
_STANDS_OUT = np.array([0.5 if name == "grey" else 0.1 for name in COLOURS])
"""Share of the points that each colour needs."""

_OPAQUE_HEADER, _ALPHA_HEADER = 5, 6
_COLOUR_TERMS = 3
_SATURATION = 1.25
"""The reference decoder makes up for what four bits lose in colour."""

# Where one hue ends and the next begins, in degrees; red closes the circle.
_HUES = (
    ("red", 0), ("orange", 15), ("yellow", 42), ("green", 68), ("cyan", 165), ("blue", 195), ("purple", 255),
    ("pink", 290), ("red", 340),
)  # fmt: skip
_NUMBER = {name: number for number, name in enumerate(COLOURS)}


def colours_of(hashes: Sequence[bytes]) -> list[int]:
    """Return the colours that stand out in each of these photos.

    Args:
        hashes: ThumbHashes; bytes that are none stand for a photo without colours.

    Returns:
        Whole numbers: bit n is set where ``COLOURS[n]`` stands out.
    """
    shapes: defaultdict[tuple[int, int, bool], list[int]] = defaultdict(list)
    for place, thumbhash in enumerate(hashes):
        shape = _shape(thumbhash)
        if shape is not None:
            shapes[shape].append(place)
    found = [0] * len(hashes)
    for shape, places in shapes.items():
        shares = _shares(_paint([hashes[place] for place in places], shape))
        bits = (shares >= _STANDS_OUT) @ (1 << np.arange(len(COLOURS)))
        for place, value in zip(places, bits.tolist(), strict=True):
            found[place] = value
    return found


def _shape(thumbhash: bytes) -> tuple[int, int, bool] | None:
    """Terms of the luminance across and down, and whether there is alpha; ``None`` for too few bytes."""
    if len(thumbhash) < _OPAQUE_HEADER:
        return None
    alpha, landscape = bool(thumbhash[2] & 0x80), bool(thumbhash[4] & 0x80)
    longer, shorter = 5 if alpha else 7, thumbhash[3] & 7
    across, down = (longer, shorter) if landscape else (shorter, longer)
    across, down = max(_COLOUR_TERMS, across), max(_COLOUR_TERMS, down)
    terms = len(_waves(across, down)) + 2 * len(_waves(_COLOUR_TERMS, _COLOUR_TERMS))
    header = _ALPHA_HEADER if alpha else _OPAQUE_HEADER
    return (across, down, alpha) if 2 * (len(thumbhash) - header) >= terms else None


@cache
def _waves(across: int, down: int) -> _Floats:
    """The cosine terms of a channel in the order of their coefficients, shape [terms, points]."""
    where = (np.arange(_POINTS) + 0.5) / _POINTS * np.pi
    rows = [
        2.0 * np.outer(np.cos(where * down_term), np.cos(where * across_term)).ravel()
        for down_term in range(down)
        for across_term in range(down_term == 0, across)
        if across_term * down < across * (down - down_term)
    ]
    return np.array(rows)


def _paint(hashes: Sequence[bytes], shape: tuple[int, int, bool]) -> _Floats:
    """The placeholders of one shape as colours from 0 to 1, [photos, points, 3]."""
    across, down, alpha = shape
    start = _ALPHA_HEADER if alpha else _OPAQUE_HEADER
    light_waves, colour_waves = _waves(across, down), _waves(_COLOUR_TERMS, _COLOUR_TERMS)
    ends = np.cumsum([0, len(light_waves), len(colour_waves), len(colour_waves)])
    length = start + (int(ends[-1]) + 1) // 2
    packed = np.frombuffer(b"".join(one[:length] for one in hashes), np.uint8)
    data = packed.astype(np.int64).reshape(len(hashes), length)
    head = data[:, 0] | data[:, 1] << 8 | data[:, 2] << 16
    tail = data[:, 3] | data[:, 4] << 8
    levels = ((head & 63) / 63.0, (head >> 6 & 63) / 31.5 - 1.0, (head >> 12 & 63) / 31.5 - 1.0)
    scales = (
        (head >> 18 & 31) / 31.0,
        (tail >> 3 & 63) / 63.0 * _SATURATION,
        (tail >> 9 & 63) / 63.0 * _SATURATION,
    )
    nibbles = np.stack([data[:, start:] & 15, data[:, start:] >> 4], axis=2).reshape(len(hashes), -1) / 7.5 - 1.0
    light, yellow_blue, red_green = (
        level[:, None] + scale[:, None] * (nibbles[:, first:last] @ waves)
        for level, scale, (first, last), waves in zip(
            levels, scales, pairwise(ends), (light_waves, colour_waves, colour_waves), strict=True
        )
    )
    blue = light - 2.0 / 3.0 * yellow_blue
    red = (3.0 * light - blue + red_green) / 2.0
    return np.clip(np.stack([red, red - red_green, blue], axis=2), 0.0, 1.0)


def named(colours: _Floats) -> npt.NDArray[np.int64]:
    """Return the number in ``COLOURS`` of each colour; ``colours`` is [..., 3], red, green and blue from 0 to 1.

    Hue names a colour; one that is nearly grey is black, grey or white; a dark orange is brown.
    """
    red, green, blue = np.moveaxis(colours, -1, 0)
    most, least = colours.max(-1), colours.min(-1)
    chroma = most - least
    divisor = np.where(chroma > 0, chroma, 1.0)
    hue = np.select(
        [most == red, most == green],
        [(green - blue) / divisor % 6, (blue - red) / divisor + 2],
        (red - green) / divisor + 4,
    )
    hue *= 60.0
    # Saturation alone would call a black of one bit of noise colourful; chroma alone a pale sky grey.
    plain = (chroma <= 0.16) | (chroma <= 0.25 * most)  # noqa: PLR2004 - chosen by eye, measured as said above
    numbers = np.array([_NUMBER[name] for name, _ in _HUES])
    found: npt.NDArray[np.int64] = numbers[np.searchsorted([start for _, start in _HUES], hue, side="right") - 1]
    found[(hue >= 8) & (hue < 48) & (most < 0.6)] = _NUMBER["brown"]  # noqa: PLR2004
    found[most < 0.15] = _NUMBER["black"]  # noqa: PLR2004
    found[plain] = _NUMBER["grey"]
    found[plain & (most < 0.22)] = _NUMBER["black"]  # noqa: PLR2004
    found[plain & (least > 0.8)] = _NUMBER["white"]  # noqa: PLR2004
    return found


def _shares(painted: _Floats) -> _Floats:
    """What share of its points has each colour, [photos, colours]."""
    numbers = named(painted)
    return np.stack([(numbers == number).mean(axis=1) for number in range(len(COLOURS))], axis=1)
