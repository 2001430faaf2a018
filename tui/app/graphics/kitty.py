"""Pictures by the Kitty graphics protocol, as placeholder cells: text that the terminal draws a picture over.

A picture is sent once under a 24-bit id and shown wherever cells of U+10EEEE in the colour of that id stand, so
scrolling costs no more than text. Pixels go inside the escape sequences: never by file, which would put a photo on disk
in the clear. What is not shown any more is freed (`a=d,d=I`): the terminal keeps 320 MB for everybody.
"""

from __future__ import annotations

import base64
import secrets
import threading
import zlib
from functools import cache
from typing import TYPE_CHECKING

from rich.color import Color
from rich.segment import Segment
from rich.style import Style

from tui.app.graphics.diacritics import DIACRITICS
from tui.app.graphics.pictures import Art

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

_PLACEHOLDER = "\U0010eeee"
_CHUNK = 4096
"""Base64 characters that one escape sequence may carry, by the protocol."""
_ID_BITS = 24
_QUICK = 1


class KittyPlaceholders:
    """Draws pictures as placeholder cells, and keeps account of what the terminal holds."""

    name = "kitty"
    most_pixels = 8_000_000
    over_cells = False

    def __init__(self, write: Callable[[str], None], cell: tuple[int, int]) -> None:
        """Send by `write`, which threads may call; a cell is `cell` (width, height) pixels."""
        self._write = write
        self._cell = cell
        self._guard = threading.Lock()
        # Programs that ran here before counted from one.
        self._next = secrets.randbelow(1 << _ID_BITS - 1) + 1
        self._held: set[int] = set()

    def pixels(self, columns: int, lines: int) -> tuple[int, int]:
        """Return the pixels of so many cells."""
        return columns * self._cell[0], lines * self._cell[1]

    def draw(self, image: Image.Image, columns: int, lines: int) -> Art:
        """Send the picture, and return the cells that show it; larger ones than 297 cells a side are cut."""
        columns, lines = min(columns, len(DIACRITICS)), min(lines, len(DIACRITICS))
        pixels = image.tobytes()
        with self._guard:
            number = self._next
            self._next = number % ((1 << _ID_BITS) - 1) + 1
            self._held.add(number)
            # One picture's sequences must not be mixed with another's.
            self._write(_transmission(number, pixels, image.size, columns, lines))
        style = Style(color=Color.from_rgb(number >> 16, number >> 8 & 255, number & 255))
        cells = tuple((Segment(_row(line, columns), style),) for line in range(lines))
        return Art(cells, len(pixels), number)

    def place(self, art: Art, column: int, line: int) -> None:
        """Nothing to send: the terminal draws over the placeholders by itself."""

    def free(self, art: Art) -> None:
        """Have the terminal forget a picture."""
        with self._guard:
            if art.handle in self._held:
                self._held.remove(art.handle)
                self._write(_deletion(art.handle))

    def close(self) -> None:
        """Have the terminal forget all pictures."""
        with self._guard:
            held, self._held = self._held, set()
            for number in sorted(held):
                self._write(_deletion(number))


@cache
def _row(line: int, columns: int) -> str:
    """The placeholders of one line. Each cell names its place itself, so that any part of a line can be drawn."""
    return "".join(_PLACEHOLDER + DIACRITICS[line] + DIACRITICS[column] for column in range(columns))


def _transmission(number: int, pixels: bytes, size: tuple[int, int], columns: int, lines: int) -> str:
    payload = base64.standard_b64encode(zlib.compress(pixels, _QUICK)).decode("ascii")
    pieces = [payload[start : start + _CHUNK] for start in range(0, len(payload), _CHUNK)]
    head = f"a=T,U=1,q=2,f=24,o=z,t=d,s={size[0]},v={size[1]},i={number},c={columns},r={lines},"
    return "".join(
        f"\x1b_G{head if at == 0 else ''}m={int(at < len(pieces) - 1)};{piece}\x1b\\" for at, piece in enumerate(pieces)
    )


def _deletion(number: int) -> str:
    return f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\"
