"""How a picture looks, as a few numbers: light, sharpness, colour, flat areas, and a hash that like pictures share.

All but the flat areas are measured on the thumbnail, which is there anyway: so the resolution of the photo hardly
matters, and what counts as blurred is what looks blurred on a screen, not at the size of the sensor's pixels. What the
numbers mean is decided where photos are searched (:mod:`core.catalog.looks`), and can change without the photos.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from core.importing.facts import Looks

if TYPE_CHECKING:
    import numpy.typing as npt

    _Floats = npt.NDArray[np.float32]

THOUSAND = 1000
"""Shares and ratios are kept as thousandths."""
MOST = 10_000

_NOISE = 2.0
"""Added to the energy of edges, in squared grey levels, so that what noise there is makes no flat picture sharp."""
_LEAST_EDGES = 2.0
"""Mean squared difference of grey levels below which there is nothing in a picture that could be sharp or blurred."""
_PARTS = 3
_ROWS = 32
_HASHED_SIDE, _HASH_TERMS = 32, 8
_LEAST_CONTRAST = 4.0
"""Standard deviation of the grey levels below which a hash would be one of noise, as like all others of its kind."""


def look_at(thumbnail: Image.Image, picture: Image.Image) -> Looks:
    """Measure a picture: its thumbnail, in sRGB, and the decoded pixels themselves, both RGB of any size."""
    grey_picture = thumbnail.convert("L")
    grey = np.asarray(grey_picture, dtype=np.float32)
    return Looks(
        brightness=_thousandths(float(grey.mean()) / 255.0, THOUSAND),
        sharpness=_sharpness(grey),
        colourfulness=min(MOST, round(10.0 * _colourfulness(thumbnail))),
        flatness=_thousandths(_flatness(picture), THOUSAND),
        perceptual_hash=_perceptual_hash(grey_picture),
    )


def _thousandths(value: float, most: int) -> int:
    return min(most, max(0, round(value * THOUSAND)))


def _sharpness(grey: _Floats) -> int | None:
    """Mean squared frequency: the part of the energy of edges that fine detail has, whatever the picture shows.

    The sharpest ninth of the picture counts, of those with as many edges as the others have or half of that: a flower
    before a blurred meadow is sharp. Of each, the direction counts that is less sharp: a camera that moved blurs one.
    """
    if min(grey.shape) < 3:  # noqa: PLR2004 - a second difference takes three pixels
        return None
    first_across, second_across = _differences(grey)
    first_down, second_down = (energy.T for energy in _differences(np.ascontiguousarray(grey.T)))
    # Both are asked about the same pixels: those with neighbours on all sides.
    across = _by_part(first_across[1:-1]), _by_part(second_across[1:-1])
    down = _by_part(first_down[:, 1:-1]), _by_part(second_down[:, 1:-1])
    edges = np.maximum(across[0], down[0])
    if float(edges.mean()) < _LEAST_EDGES:
        return None
    sharpness = np.minimum(*(second / (first + _NOISE) for first, second in (across, down)))
    return _thousandths(float(sharpness[edges >= edges.mean() / 2.0].max()), MOST)


def _differences(grey: _Floats) -> tuple[_Floats, _Floats]:
    """Return the squares of first and second differences along the rows."""
    steps = np.diff(grey, axis=1)
    return np.square((steps[:, 1:] + steps[:, :-1]) / 2.0), np.square(steps[:, 1:] - steps[:, :-1])


def _by_part(energy: _Floats) -> _Floats:
    """Return the mean of each of nine parts, or of the whole where there is no third of a side."""
    height, width = (length // _PARTS for length in energy.shape)
    if not height or not width:
        return np.full((1, 1), energy.mean(), dtype=np.float32)
    parts = energy[: height * _PARTS, : width * _PARTS].reshape(_PARTS, height, _PARTS, width)
    means: _Floats = parts.mean(axis=(1, 3))
    return means


def _colourfulness(thumbnail: Image.Image) -> float:
    """Hasler and Süsstrunk, "Measuring colourfulness in natural images" (2003): 0 none, 15 slight, 109 extreme."""
    # At half the size the measure is the same to a tenth, and takes a quarter of the time.
    small = thumbnail.reduce(2) if min(thumbnail.size) >= 2 * _HASHED_SIDE else thumbnail
    red, green, blue = (np.asarray(band, dtype=np.float32) for band in small.split())
    red_green, yellow_blue = red - green, (red + green) / 2.0 - blue
    return float(np.hypot(red_green.std(), yellow_blue.std()) + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))


def _flatness(picture: Image.Image) -> float:
    """Look at some rows of untouched pixels: what was drawn has runs of equal ones, which no lens and sensor make."""
    if picture.width < 2:  # noqa: PLR2004 - neighbours
        return 0.0
    rows = np.asarray(picture.resize((picture.width, min(_ROWS, picture.height)), Image.Resampling.NEAREST))
    return float((rows[:, 1:] == rows[:, :-1]).all(axis=2).mean())


def _perceptual_hash(grey: Image.Image) -> bytes | None:
    """Which of the 63 lowest cosine terms after the mean are above their median (Zauner 2010, "pHash").

    It told 1,006 photos apart better than differences of neighbours (dHash) did: see docs/search.md.
    """
    small = grey.resize((_HASHED_SIDE, _HASHED_SIDE), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float32)
    if float(values.std()) < _LEAST_CONTRAST:
        return None
    terms = (_COSINES @ values @ _COSINES.T).ravel()[1:]
    return np.packbits(np.append(False, terms > np.median(terms))).tobytes()


def _cosines() -> _Floats:
    term, place = np.arange(_HASH_TERMS)[:, None], np.arange(_HASHED_SIDE)[None]
    return np.cos(np.pi * (2 * place + 1) * term / (2 * _HASHED_SIDE)).astype(np.float32)


_COSINES = _cosines()
