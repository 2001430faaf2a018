"""Sixels: what a small terminal makes of them is the picture, in its place, and only while nothing stands over it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.tui.app.conftest import Bench, library_shown, play, settled, shown_on, until
from tests.tui.app.test_graphics import gradient
from tui.app.graphics.detection import Answers
from tui.app.graphics.sixel import Sixels, encode
from tui.app.screens.ask import AskScreen
from tui.app.screens.photo import PhotoScreen

if TYPE_CHECKING:
    import pytest
    from numpy.typing import NDArray
    from textual.pilot import Pilot

ANSWERS = Answers(sixel=True, name="foot", cell=(8, 16), cell_is_known=True)
_PLACED = re.compile(r"\x1b7\x1b\[(\d+);(\d+)H(\x1bP.*?\x1b\\)\x1b8", re.DOTALL)
_SIXEL = re.compile(r'\x1bP0;1;0q"1;1;(\d+);(\d+)(.*)\x1b\\', re.DOTALL)
_TOKEN = re.compile(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)([?-~])|([?-~])|([$-])")


def decoded(sequence: str) -> NDArray[np.uint8]:
    """The pixels [height, width, 3] that a terminal with 256 registers shows; all of them have to be set."""
    head = _SIXEL.fullmatch(sequence)
    assert head is not None
    width, height = int(head[1]), int(head[2])
    pixels = np.full((height + 6, width, 3), -1, dtype=np.int64)
    palette: dict[int, tuple[int, int, int]] = {}
    colour, x, y, at = (0, 0, 0), 0, 0, 0
    for token in _TOKEN.finditer(head[3]):
        assert token.start() == at, "something that is no sixel"
        at = token.end()
        if token[1]:
            palette[int(token[1])] = tuple(round(int(part) * 255 / 100) for part in token.group(2, 3, 4))  # type: ignore[assignment]
        elif token[5]:
            colour = palette[int(token[5])]
        elif token[9]:
            x, y = 0, y + 6 * (token[9] == "-")
        else:
            code, count = ord(token[7] or token[8]) - 63, int(token[6] or 1)
            for row in range(6):
                if code >> row & 1:
                    pixels[y + row, x : x + count] = colour
            x += count
            assert x <= width
    assert at == len(head[3])
    assert len(palette) <= 256
    assert (pixels[height:] == -1).all(), "drawn below the picture"
    assert (pixels[:height] >= 0).all(), "a hole in the picture"
    return pixels[:height].astype(np.uint8)


class SixelTerminal:
    """Keeps what was placed where, in order."""

    def __init__(self) -> None:
        self.placed: list[tuple[int, int, NDArray[np.uint8]]] = []

    def write(self, sequences: str) -> None:
        found = _PLACED.fullmatch(sequences)
        assert found is not None, sequences[:40]
        self.placed.append((int(found[2]) - 1, int(found[1]) - 1, decoded(found[3])))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 40), st.integers(2, 200), st.randoms(use_true_random=False))
def test_the_pixels_come_back(width: int, height: int, colours: int, random) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    palette = [(random.randrange(256), random.randrange(256), random.randrange(256)) for _ in range(colours)]
    image = Image.new("RGB", (width, height))
    image.putdata([random.choice(palette) for _ in range(width * height)])
    shown = decoded(encode(image)).astype(int)
    # Registers are in per cent, and that many colours fit: no more may be lost than by that.
    assert np.abs(shown - np.asarray(image)).max() <= 12


def test_long_runs_and_many_colours() -> None:
    flat = encode(Image.new("RGB", (12_000, 13), (200, 100, 50)))
    assert len(flat) < 200
    assert np.unique(decoded(flat).reshape(-1, 3), axis=0).tolist() == [[199, 99, 51]]
    rich = gradient(300, 200)
    shown = decoded(encode(rich)).astype(int)
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) <= 256
    assert np.abs(shown - np.asarray(rich)).mean() < 8


def test_what_was_freed_is_not_sent_again() -> None:
    terminal = SixelTerminal()
    sixels = Sixels(terminal.write, (8, 16))
    art = sixels.draw(gradient(*sixels.pixels(4, 2)), 4, 2)
    assert [sum(len(segment.text) for segment in line) for line in art.cells] == [4, 4]
    assert terminal.placed == []
    sixels.place(art, 3, 7)
    ((column, line, pixels),) = terminal.placed
    assert (column, line, pixels.shape) == (3, 7, (32, 32, 3))
    sixels.free(art)
    sixels.place(art, 3, 7)
    assert len(terminal.placed) == 1


def test_a_photo_is_sent_again_whenever_its_cells_were_drawn_and_never_over_a_dialog(
    pictured: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = SixelTerminal()
    app = pictured.app(graphics="sixel", answers=ANSWERS)
    monkeypatch.setattr(app.large_pictures, "_write", terminal.write)

    async def scene(pilot: Pilot[None]) -> None:
        await library_shown(pilot)
        assert terminal.placed == [], "the grid is half blocks"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PhotoScreen) and len(terminal.placed) > 0)
        await settled(pilot)
        screen = shown_on(pilot.app.screen, PhotoScreen)
        room = screen.picture.content_region
        column, line, pixels = terminal.placed[-1]
        height, width = pixels.shape[:2]
        assert room.x * 8 <= column * 8 <= column * 8 + width <= room.right * 8
        assert room.y * 16 <= line * 16 <= line * 16 + height <= room.bottom * 16
        assert width == room.width * 8 or height >= (room.height - 1) * 16
        first = pixels.mean(axis=(0, 1))

        sent = len(terminal.placed)
        await pilot.press("right")
        await settled(pilot)
        assert len(terminal.placed) > sent
        assert np.abs(terminal.placed[-1][2].mean(axis=(0, 1)) - first).max() > 10, "the next photo"

        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, AskScreen))
        await settled(pilot)
        sent = len(terminal.placed)
        screen.picture.refresh()
        await pilot.pause()
        assert len(terminal.placed) == sent, "over the dialog"
        await pilot.press("escape")
        await until(pilot, lambda: len(terminal.placed) > sent)

        sent = len(terminal.placed)
        await pilot.resize_terminal(40, 14)
        await until(pilot, lambda: len(terminal.placed) > sent and terminal.placed[-1][2].shape[1] <= 40 * 8)
        await pilot.press("escape")
        await library_shown(pilot)
        sent = len(terminal.placed)
        await pilot.press("down", "up")
        await settled(pilot)
        assert len(terminal.placed) == sent

    play(app, scene, size=(60, 18))
