"""What the rest of the app knows of pictures in the terminal: cells ready to be drawn, and who makes them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from rich.segment import Segment

if TYPE_CHECKING:
    from PIL import Image

NO_BOUND: Final = sys.maxsize
Cells = tuple[tuple[Segment, ...], ...]
"""Lines of segments; each line is as wide as the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Art:
    """A picture as cells. `cost` is what keeping it takes, in bytes; `handle` is its maker's own."""

    cells: Cells
    cost: int
    handle: int = 0


class PictureRenderer(Protocol):
    """Turns pixels into cells; any thread may ask."""

    name: str
    most_pixels: int
    """How large a picture may be drawn, width times height."""
    over_cells: bool
    """Whether pixels lie over the cells, which are blank, and are sent by `place` whenever these were drawn."""

    def pixels(self, columns: int, lines: int) -> tuple[int, int]:
        """Return the width and height in pixels that a picture of so many cells should have."""

    def draw(self, image: Image.Image, columns: int, lines: int) -> Art:
        """Return an RGB picture of that size as `columns` x `lines` cells."""

    def place(self, art: Art, column: int, line: int) -> None:
        """Take note that a picture's cells stand on the screen, their upper left one at `column`, `line`."""

    def free(self, art: Art) -> None:
        """Take note that a picture is not going to be drawn any more."""

    def close(self) -> None:
        """Free everything."""


class NoPictures:
    """Where nothing can or may be shown: pictures are described in words by whoever draws them."""

    name = "none"
    most_pixels = NO_BOUND
    over_cells = False

    def pixels(self, columns: int, lines: int) -> tuple[int, int]:
        """Return the least a picture can have."""
        del columns, lines
        return (1, 1)

    def draw(self, image: Image.Image, columns: int, lines: int) -> Art:
        """Return empty cells."""
        del image
        return Art(((Segment(" " * columns),),) * lines, 0)

    def place(self, art: Art, column: int, line: int) -> None:
        """Nothing lies over cells."""

    def free(self, art: Art) -> None:
        """Nothing to free."""

    def close(self) -> None:
        """Nothing to free."""
