"""Pictures as sixels, for a single photo: pixels that a terminal draws over the cells from the cursor on.

Sixels are gone when text is written over them, and lie over text when they are sent after it. So a picture's cells are
blank, and whoever draws them says when they stand on the screen (`place`): then the pixels follow. The format is that
of the VT340 (DEC STD 070, chapter 9): bands six pixels high, drawn colour by colour, runs shortened to a count.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image
from rich.segment import Segment

from tui.app.graphics.pictures import Art

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

MOST_COLOURS: Final = 256
_BAND: Final = 6
_FIRST_CODE: Final = 63
"""The code of six pixels that are not set; each that is set adds its power of two."""
_LEAST_RUN: Final = 4
"""From so many equal codes on, a count is shorter than the codes."""
_DIGITS: Final = 5
"""Of the longest run that is written: a picture is not that wide."""
_SAMPLE: Final = (160, 160)
_PERCENT: Final = 100
_CHANNEL: Final = 255
_REPEAT, _ZERO = ord("!"), ord("0")


class Sixels:
    """Draws pictures as sixels, and keeps those that are still shown."""

    name = "sixel"
    over_cells = True
    most_pixels = 3_000_000
    """Larger ones would be several megabytes each: too much for a connection, and for the terminal."""

    def __init__(self, write: Callable[[str], None], cell: tuple[int, int]) -> None:
        """Send by `write`; a cell is `cell` (width, height) pixels."""
        self._write = write
        self._cell = cell
        self._guard = threading.Lock()
        self._next = 1
        self._held: dict[int, str] = {}

    def pixels(self, columns: int, lines: int) -> tuple[int, int]:
        """Return the pixels of so many cells."""
        return columns * self._cell[0], lines * self._cell[1]

    def draw(self, image: Image.Image, columns: int, lines: int) -> Art:
        """Return blank cells; the picture itself is sent by `place`."""
        sequence = encode(image)
        with self._guard:
            number, self._next = self._next, self._next + 1
            self._held[number] = sequence
        return Art(((Segment(" " * columns),),) * lines, len(sequence), number)

    def place(self, art: Art, column: int, line: int) -> None:
        """Send the pixels of a picture whose cells stand on the screen, their upper left one at `column`, `line`."""
        sequence = self._held.get(art.handle)
        if sequence is not None:
            # The cursor is Textual's, and goes back to where it was.
            self._write(f"\x1b7\x1b[{line + 1};{column + 1}H{sequence}\x1b8")

    def free(self, art: Art) -> None:
        """Forget a picture; what is on the screen goes when something is written over it."""
        with self._guard:
            self._held.pop(art.handle, None)

    def close(self) -> None:
        """Forget all pictures."""
        with self._guard:
            self._held.clear()


def encode(image: Image.Image, colours: int = MOST_COLOURS) -> str:
    """Return an RGB picture as one sixel sequence, in at most `colours` colours (2 to 256)."""
    colour_image = image.convert("RGB")
    # Which colours there are is seen in a small picture as well, in a tenth of the time.
    sample = colour_image.resize(_SAMPLE, reducing_gap=1.0) if max(image.size) > max(_SAMPLE) else colour_image
    palette_image = sample.quantize(colours, Image.Quantize.MEDIANCUT)
    reduced = colour_image.quantize(palette=palette_image, dither=Image.Dither.FLOYDSTEINBERG)
    indexes = np.asarray(reduced)
    palette = np.asarray(reduced.getpalette("RGB") or [], dtype=np.int64).reshape(-1, 3)
    width, height = reduced.size
    used = np.unique(indexes)
    registers = "".join(
        f"#{index};2;{red};{green};{blue}"
        for index, (red, green, blue) in zip(
            used.tolist(), ((palette[used] * _PERCENT + _CHANNEL // 2) // _CHANNEL).tolist(), strict=True
        )
    )
    # Pixels that no colour sets keep what is there: every pixel is set, so nothing shows through.
    bands = b"-".join(b"$".join(_band(indexes[top : top + _BAND])) for top in range(0, height, _BAND))
    return f'\x1bP0;1;0q"1;1;{width};{height}{registers}{bands.decode("ascii")}\x1b\\'


def _band(indexes: npt.NDArray[np.uint8]) -> Iterator[bytes]:
    """Yield the lines of a band [up to 6, width], one for each of its colours."""
    width = indexes.shape[1]
    colours, places = np.unique(indexes, return_inverse=True)
    codes = np.zeros((len(colours), width), dtype=np.uint8)
    columns = np.arange(width)
    for row, line in enumerate(places.reshape(indexes.shape)):
        codes[line, columns] |= 1 << row
    changes = np.ones((len(colours), width), dtype=np.bool_)
    changes[:, 1:] = codes[:, 1:] != codes[:, :-1]
    starts = np.flatnonzero(changes)
    lengths = np.diff(np.append(starts, codes.size))
    text, ends = _runs(codes.reshape(-1)[starts] + np.uint8(_FIRST_CODE), lengths)
    first_of_line = np.searchsorted(starts, np.arange(len(colours) + 1) * width)
    at = 0
    for colour, stop in zip(colours.tolist(), first_of_line[1:].tolist(), strict=True):
        end = int(ends[stop - 1])
        yield b"#%d" % colour + text[at:end]
        at = end


def _runs(codes: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Return runs as text, and where each of them ends in it: `?`, `??`, `???`, from four on `!4?`."""
    digits = np.searchsorted([10**power for power in range(1, _DIGITS)], lengths, side="right") + 1
    sizes = np.where(lengths < _LEAST_RUN, lengths, digits + 2)
    ends = np.cumsum(sizes)
    out = np.repeat(codes, sizes)
    long = np.flatnonzero(lengths >= _LEAST_RUN)
    begins = ends[long] - sizes[long]
    out[begins] = _REPEAT
    for digit in range(_DIGITS):
        has = digits[long] > digit
        # The last digit stands before the code, which is the run's last byte.
        out[ends[long][has] - 2 - digit] = _ZERO + lengths[long][has] // 10**digit % 10
    return out.tobytes(), ends
