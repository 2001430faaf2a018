"""Drawings of things that every ImageNet model knows, by which a pack is seen to mean what it says.

They are drawn here, so they belong to nobody else and need no file. The models tried (MobileNet v1 and v2, SqueezeNet,
the built-in pack) have the right class of each among their first five, mostly first; exchanging red and blue makes the
orange less likely by ten times or more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_SIDE = 512
_INK = (18, 18, 18)


@dataclass(frozen=True)
class ReferencePicture:
    """A drawing, and what is right to say of it."""

    name: str
    draw: Callable[[], Image.Image]
    """Draws it, 512 pixels square, the same everywhere."""
    class_ids: frozenset[str]
    """WordNet ids of the ImageNet classes that it shows."""
    coloured: bool
    """Whether its colours are part of what it shows."""


def reference_pictures() -> list[ReferencePicture]:
    """Return the drawings."""
    return [
        # analogue clock, wall clock, stopwatch
        ReferencePicture("a clock", _clock, frozenset({"n02708093", "n04548280", "n04328186"}), coloured=False),
        ReferencePicture("a crossword puzzle", _crossword, frozenset({"n06785654"}), coloured=False),
        ReferencePicture("a spider web", _web, frozenset({"n04275548"}), coloured=False),
        ReferencePicture("a traffic light", _traffic_light, frozenset({"n06874185"}), coloured=True),
        ReferencePicture("a honeycomb", _honeycomb, frozenset({"n03530642"}), coloured=True),
        # orange, lemon
        ReferencePicture("oranges", _oranges, frozenset({"n07747607", "n07749582"}), coloured=True),
    ]


def _clock() -> Image.Image:
    image = Image.new("RGB", (_SIDE, _SIDE), (214, 200, 178))
    draw = ImageDraw.Draw(image)
    draw.ellipse((50, 50, 462, 462), fill=(60, 40, 25))
    draw.ellipse((75, 75, 437, 437), fill=(250, 248, 240))

    def hand(turn: float, inner: float, outer: float, width: int, colour: tuple[int, int, int]) -> None:
        across, up = math.sin(turn * math.tau), math.cos(turn * math.tau)
        ends = (256 + inner * across, 256 - inner * up, 256 + outer * across, 256 - outer * up)
        draw.line(ends, fill=colour, width=width)

    for minute in range(60):
        long = minute % 5 == 0
        hand(minute / 60, 132 if long else 160, 170, 9 if long else 3, _INK)
    hand(10.1 / 12, 0, 95, 12, _INK)
    hand(8 / 60, 0, 130, 8, _INK)
    hand(31 / 60, -30, 145, 3, (180, 20, 20))
    draw.ellipse((244, 244, 268, 268), fill=_INK)
    return image


def _crossword() -> Image.Image:
    image = Image.new("RGB", (_SIDE, _SIDE), (250, 250, 245))
    draw = ImageDraw.Draw(image)
    cells, side = 13, _SIDE // 13
    for row in range(cells):
        for column in range(cells):
            black = (row * 7 + column * 5) % 6 == 0 or (row % 4, column % 5) == (3, 1)
            box = (column * side, row * side, (column + 1) * side, (row + 1) * side)
            draw.rectangle(box, fill=_INK if black else None, outline=_INK)
    return image


def _web() -> Image.Image:
    image = Image.new("RGB", (_SIDE, _SIDE), (25, 45, 28))
    draw = ImageDraw.Draw(image)

    def at(spoke: int, radius: float) -> tuple[float, float]:
        angle = spoke * math.pi / 8 + 0.1
        return 250 + radius * math.cos(angle), 260 + radius * math.sin(angle)

    for spoke in range(16):
        draw.line((at(spoke, 0), at(spoke, 400)), fill=(215, 220, 220), width=2)
    for radius in range(18, 330, 16):
        ring = [at(spoke, radius * (1 - 0.05 * (spoke % 2))) for spoke in range(17)]
        draw.line(ring, fill=(200, 205, 205), width=1)
    return image.filter(ImageFilter.GaussianBlur(0.7))


def _traffic_light() -> Image.Image:
    image = Image.new("RGB", (_SIDE, _SIDE), (150, 190, 225))
    draw = ImageDraw.Draw(image)
    draw.rectangle((236, 400, 276, 512), fill=(70, 70, 75))
    draw.rounded_rectangle((176, 40, 336, 410), 30, fill=(30, 32, 30))
    for middle, colour in ((105, (240, 40, 30)), (225, (90, 70, 15)), (345, (20, 70, 35))):
        draw.ellipse((206, middle - 50, 306, middle + 50), fill=colour)
    return image


def _honeycomb() -> Image.Image:
    image = Image.new("RGB", (_SIDE, _SIDE), (90, 55, 10))
    draw = ImageDraw.Draw(image)
    radius = 24
    for row in range(-1, 16):
        for column in range(-1, 16):
            x, y = (column + row % 2 / 2) * radius * math.sqrt(3), row * radius * 1.5
            corners = [
                (x + (radius - 4) * math.sin(corner * math.pi / 3), y + (radius - 4) * math.cos(corner * math.pi / 3))
                for corner in range(6)
            ]
            shade = (225 - (row * 13 + column * 7) % 60, 150 - (row * 11 + column * 5) % 40, 30)
            draw.polygon(corners, fill=shade)
    return image.filter(ImageFilter.GaussianBlur(0.8))


def _oranges() -> Image.Image:
    down, across = np.mgrid[0:_SIDE, 0:_SIDE]
    pixels = np.full((_SIDE, _SIDE, 3), (238.0, 235.0, 228.0))
    pixels[((across - 275) / 210) ** 2 + ((down - 420) / 50) ** 2 < 1] *= 0.75
    balls = ((330, 200, 110, (250, 140, 10)), (180, 290, 135, (255, 150, 15)), (350, 330, 120, (245, 135, 8)))
    for x, y, radius, colour in balls:
        right, low = (across - x) / radius, (down - y) / radius
        inside = right**2 + low**2 < 1
        towards: NDArray[np.float64] = np.sqrt(np.clip(1 - right**2 - low**2, 0, 1))
        light = np.clip(0.65 * towards - 0.5 * right - 0.6 * low, 0, 1)
        shaded = np.array(colour) * (0.45 + 0.6 * light)[:, :, None] + 1530 * np.clip(light - 0.93, 0, 1)[:, :, None]
        pixels[inside] = shaded.clip(0, 255)[inside]
    pixels += np.random.default_rng(2).normal(0, 5, (_SIDE, _SIDE, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
