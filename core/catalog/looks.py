"""What the measures of a picture mean: dark, bright, blurry, black-and-white, a screenshot.

The measures are facts, made once when a photo is imported (:mod:`core.importing.looks`); the limits here are not:
whoever changes one raises `VERSION` of the catalog, and it is made anew. They were chosen on 339 photos, and the same
ones blurred, darkened and drained of colour; `benchmarks.looks` measures how right they are.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from core.query.fields import LOOKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crdt.records import PhotoFacts

DARK_BELOW: Final = 180
BRIGHT_ABOVE: Final = 750
"""Mean luma in thousandths: 5 of 100 everyday photos lie beyond either."""
BLURRY_BELOW: Final = 1200
"""Sharpness in thousandths: a circle of confusion of about 1/150 of the picture's longer side."""
COLOURLESS_BELOW: Final = 50
"""Colourfulness in tenths: paper that yellowed a little is still black and white."""
DRAWN_FROM: Final = 600
"""Flatness in thousandths that screens have, and next to no photo as large as one."""
DRAWN_WHOLLY_FROM: Final = 650
_LEAST_PART: Final = 300
"""Pixels a side of a part of a screen; smaller ones are icons."""

# The shorter sides of phones', tablets' and computers' screens, in pixels.
_SCREEN_SIDES: Final = frozenset(
    {
        640, 720, 750, 768, 800, 828, 864, 900, 1024, 1050, 1080, 1125, 1170, 1179, 1200, 1206, 1220, 1242, 1260, 1284,
        1290, 1320, 1344, 1440, 1488, 1536, 1600, 1620, 1640, 1664, 1668, 1800, 1964, 2048, 2064, 2160, 2234,
    }
)  # fmt: skip
_LEAST_SHAPE, _MOST_SHAPE = 1.3, 2.4
"""Longer over shorter side of a screen."""
_WITHOUT_LOSS: Final = frozenset({"image/png", "image/bmp", "image/gif"})
_NAMES: Final = (
    "screenshot", "screen shot", "screen capture", "screencap", "bildschirmfoto", "bildschirmaufnahme",
    "capture d\N{RIGHT SINGLE QUOTATION MARK}écran", "capture d'écran", "capture d écran", "captura de pantalla",
    "captura de ecr", "captura de tela", "schermafbeelding", "schermata", "skärmbild", "skjermbilde", "skærmbillede",
    "näyttökuva", "zrzut ekranu", "snímek obrazovky", "képernyőkép", "ekran görüntüsü", "снимок экрана",
    "スクリーンショット", "截屏", "截图", "스크린샷",
)  # fmt: skip
"""What systems call the files that they make of a screen, with spaces for underscores and hyphens."""
_ASCII_NAMES: Final = tuple(name for name in _NAMES if name.isascii())

_BIT: Final = {name: 1 << number for number, name in enumerate(LOOKS)}


def looks_of(facts: PhotoFacts) -> int:
    """Return how a photo looks by its facts: bit n is set where ``LOOKS[n]`` is true of it."""
    brightness, sharpness, colour = facts.brightness, facts.sharpness, facts.colourfulness
    found = {
        "dark": brightness is not None and brightness < DARK_BELOW,
        "bright": brightness is not None and brightness > BRIGHT_ABOVE,
        "blurry": sharpness is not None and sharpness < BLURRY_BELOW,
        "black-and-white": colour is not None and colour < COLOURLESS_BELOW,
        "screenshot": bool(facts.screenshot) or _drawn(facts),
    }
    return sum(_BIT[name] for name, true in found.items() if true)


def with_names(looks: int, names: Iterable[str]) -> int:
    """Return the looks of a photo whose files have these names, by which a screenshot may tell itself."""
    return looks | _BIT["screenshot"] if any(map(_named_so, names)) else looks


def named(looks: int) -> tuple[str, ...]:
    """Return the names of looks, in the order of ``LOOKS``."""
    return tuple(name for name, bit in _BIT.items() if looks & bit)


def bit_of(name: str) -> int:
    """Return the bit of one of ``LOOKS``."""
    return _BIT[name]


def _named_so(name: str) -> bool:
    # This runs for every photo of a rebuild. Some systems take letters and their accents apart; ASCII has none.
    whole, words = (name, _ASCII_NAMES) if name.isascii() else (unicodedata.normalize("NFC", name), _NAMES)
    plain = whole.lower().replace("_", " ").replace("-", " ")
    for word in words:  # noqa: SIM110 - `any` takes three times as long
        if word in plain:
            return True
    return False


def _drawn(facts: PhotoFacts) -> bool:
    """Whether no camera is named, and the pixels are a screen's: drawn rather than taken, and as many as one has."""
    flatness = facts.flatness
    if flatness is None or any((facts.make, facts.model, facts.lens, facts.exposure_s, facts.f_number, facts.iso)):
        return False
    shorter, longer = sorted((facts.width, facts.height))
    if facts.mime in _WITHOUT_LOSS and flatness >= DRAWN_WHOLLY_FROM and shorter >= _LEAST_PART:
        return True
    a_screen = shorter in _SCREEN_SIDES and _LEAST_SHAPE <= longer / shorter <= _MOST_SHAPE
    return a_screen and flatness >= DRAWN_FROM
