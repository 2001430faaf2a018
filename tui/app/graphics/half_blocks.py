"""Pictures of half blocks: two pixels a cell, in any terminal that has colours.

Colours are quantised to five bits a channel: neighbouring cells then often share a style, and styles, which are what
costs, are made once and found again. Rich turns them into the terminal's 256 or 16 colours where it has no more.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from rich.color import Color
from rich.segment import Segment
from rich.style import Style

from tui.app.graphics.pictures import NO_BOUND, Art

if TYPE_CHECKING:
    from PIL import Image

_UPPER = "▀"
_DROPPED_BITS = 3
_CHANNEL_BITS = 8 - _DROPPED_BITS
_COLOUR_BITS = 3 * _CHANNEL_BITS
_COLOUR_MASK = (1 << _COLOUR_BITS) - 1
_MOST_STYLES = 1 << 16
_CELL_COST = 96
"""Bytes that a run of cells takes, about: a segment and its text; styles are shared."""


class HalfBlocks:
    """Draws pictures of half blocks."""

    name = "halfblock"
    most_pixels = NO_BOUND
    over_cells = False

    def __init__(self) -> None:
        """Know no style yet."""
        self._styles: dict[int, Style] = {}

    def pixels(self, columns: int, lines: int) -> tuple[int, int]:
        """Return one pixel a column and two a line."""
        return columns, 2 * lines

    def draw(self, image: Image.Image, columns: int, lines: int) -> Art:
        """Return the picture as cells."""
        size = self.pixels(columns, lines)
        rgb = np.asarray(image if image.size == size else image.resize(size), dtype=np.uint32) >> _DROPPED_BITS
        codes = (rgb[..., 0] << 2 * _CHANNEL_BITS) | (rgb[..., 1] << _CHANNEL_BITS) | rgb[..., 2]
        pairs = (codes[0::2].astype(np.int64) << _COLOUR_BITS) | codes[1::2]
        cells = tuple(
            tuple(self._run(pair, sum(1 for _ in run)) for pair, run in groupby(line)) for line in pairs.tolist()
        )
        return Art(cells, _CELL_COST * sum(map(len, cells)))

    def place(self, art: Art, column: int, line: int) -> None:
        """Nothing lies over cells."""

    def free(self, art: Art) -> None:
        """Nothing to free: cells are all there is."""

    def close(self) -> None:
        """Forget the styles."""
        self._styles = {}

    def _run(self, pair: int, count: int) -> Segment:
        style = self._styles.get(pair)
        if style is None:
            if len(self._styles) >= _MOST_STYLES:
                self._styles = {}
            style = Style(color=_colour(pair >> _COLOUR_BITS), bgcolor=_colour(pair & _COLOUR_MASK))
            self._styles[pair] = style
        return Segment(_UPPER * count, style)


def _colour(code: int) -> Color:
    channels = (code >> 2 * _CHANNEL_BITS, code >> _CHANNEL_BITS & 31, code & 31)
    return Color.from_rgb(*((channel << 3) | (channel >> 2) for channel in channels))
