"""Pixels to cells, and what a terminal is told: held against a small terminal that keeps count."""

from __future__ import annotations

import base64
import re
import threading
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.cells import cell_len

from tests.tui.app.conftest import Bench, library_shown, play, settled
from tui.app.graphics.detection import Answers, choose, read_answers
from tui.app.graphics.diacritics import DIACRITICS
from tui.app.graphics.half_blocks import HalfBlocks
from tui.app.graphics.kitty import KittyPlaceholders

_COMMAND = re.compile(r"\x1b_G([^;\x1b]*)(?:;([^\x1b]*))?\x1b\\")


class KittyTerminal:
    """Understands what is sent to it as Kitty would, and refuses what Kitty would not take."""

    def __init__(self) -> None:
        self.images: dict[int, Image.Image] = {}
        self.placements: dict[int, tuple[int, int]] = {}
        self.sent = self.freed = 0
        self._open: dict[str, str] | None = None
        self._data = ""

    def write(self, sequences: str) -> None:
        at = 0
        for command in _COMMAND.finditer(sequences):
            assert command.start() == at, "something else stands between the commands"
            at = command.end()
            keys = dict(pair.split("=", 1) for pair in command[1].split(","))
            self._take(keys, command[2] or "")
        assert at == len(sequences)

    def _take(self, keys: dict[str, str], data: str) -> None:
        assert len(data) <= 4096
        if keys.get("a") == "d":
            # Lower case would take the placements away and keep the pixels.
            assert keys["d"] == "I"
            del self.images[int(keys["i"])]
            del self.placements[int(keys["i"])]
            self.freed += 1
            return
        if self._open is None:
            assert keys["a"] == "T"
            assert keys["U"] == "1"
            assert keys["t"] == "d", "pixels never go by file"
            assert keys["q"] == "2"
            self._open, self._data = keys, ""
        self._data += data
        if keys["m"] == "0":
            self._finish(self._open)
            self._open = None

    def _finish(self, keys: dict[str, str]) -> None:
        assert keys["f"] == "24"
        pixels = base64.b64decode(self._data, validate=True)
        if keys["o"] == "z":
            pixels = zlib.decompress(pixels)
        size = int(keys["s"]), int(keys["v"])
        number = int(keys["i"])
        assert 0 < number < 1 << 24
        assert number not in self.images, "an id that is in use"
        self.images[number] = Image.frombytes("RGB", size, pixels)
        self.placements[number] = int(keys["c"]), int(keys["r"])
        self.sent += 1


def gradient(width: int, height: int) -> Image.Image:
    return Image.merge(
        "RGB",
        [Image.linear_gradient("L").resize((width, height)), Image.new("L", (width, height), 90),
         Image.linear_gradient("L").rotate(90).resize((width, height))],
    )  # fmt: skip


@given(st.integers(1, 40), st.integers(1, 20))
def test_half_blocks_fill_their_cells_exactly(columns: int, lines: int) -> None:
    blocks = HalfBlocks()
    art = blocks.draw(gradient(*blocks.pixels(columns, lines)), columns, lines)
    assert len(art.cells) == lines
    assert all(sum(cell_len(segment.text) for segment in line) == columns for line in art.cells)


def test_half_blocks_show_the_colours_of_their_pixels() -> None:
    image = Image.new("RGB", (2, 2), (255, 0, 0))
    image.putpixel((0, 1), (0, 0, 255))
    (first, second), = HalfBlocks().draw(image, 2, 1).cells  # fmt: skip
    assert first.text == "▀"
    assert first.style is not None
    assert first.style.color is not None
    assert first.style.bgcolor is not None
    assert first.style.color.get_truecolor() == (255, 0, 0)
    assert first.style.bgcolor.get_truecolor() == (0, 0, 255)
    assert second.style is not None
    assert second.style.color == second.style.bgcolor


def test_equal_cells_are_one_run() -> None:
    art = HalfBlocks().draw(Image.new("RGB", (30, 20), (10, 20, 30)), 30, 10)
    assert [len(line) for line in art.cells] == [1] * 10


def test_kitty_shows_what_was_drawn_and_forgets_what_was_freed() -> None:
    terminal = KittyTerminal()
    kitty = KittyPlaceholders(terminal.write, (10, 20))
    image = gradient(*kitty.pixels(16, 6))
    art = kitty.draw(image, 16, 6)
    assert terminal.placements == {art.handle: (16, 6)}
    assert terminal.images[art.handle].tobytes() == image.tobytes()
    for row, line in enumerate(art.cells):
        (segment,) = line
        assert cell_len(segment.text) == 16
        assert segment.text[:3] == "\U0010eeee" + DIACRITICS[row] + DIACRITICS[0]
        assert segment.style is not None
        assert segment.style.color is not None
        red, green, blue = segment.style.color.get_truecolor()
        assert red << 16 | green << 8 | blue == art.handle
    kitty.free(art)
    kitty.free(art)
    assert (terminal.sent, terminal.freed, terminal.images) == (1, 1, {})
    kitty.draw(image, 16, 6)
    kitty.close()
    assert terminal.images == {}


def test_pictures_drawn_by_several_threads_do_not_mix() -> None:
    terminal = KittyTerminal()
    kitty = KittyPlaceholders(terminal.write, (10, 20))
    images = [gradient(*kitty.pixels(columns, 9)) for columns in range(10, 22)]
    drawn: dict[int, Image.Image] = {}

    def draw(image: Image.Image) -> None:
        drawn[kitty.draw(image, image.width // 10, 9).handle] = image

    threads = [threading.Thread(target=draw, args=(image,)) for image in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: image.tobytes() for number, image in drawn.items()} == {
        number: image.tobytes() for number, image in terminal.images.items()
    }


def test_there_are_as_many_diacritics_as_kitty_has() -> None:
    assert len(DIACRITICS) == len(set(DIACRITICS)) == 297
    assert all(cell_len("\U0010eeee" + mark + DIACRITICS[0]) == 1 for mark in DIACRITICS)


def test_the_grid_frees_what_it_sent(pictured: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = KittyTerminal()
    app = pictured.app(graphics="kitty", answers=Answers(kitty=True, name="kitty", cell=(10, 20)))
    monkeypatch.setattr(app.pictures, "_write", terminal.write)

    async def scene(pilot):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        screen = await library_shown(pilot)
        assert len(terminal.images) == 12
        sent = terminal.sent
        await pilot.press("end", "home")
        await settled(pilot)
        assert terminal.sent == sent, "a picture was sent twice"
        await pilot.press("plus")
        await settled(pilot)
        assert set(terminal.placements.values()) == {screen.grid._shape.picture}
        await pilot.press("enter")
        await settled(pilot)
        await pilot.press("right", "right", "escape")
        await library_shown(pilot)
        assert len(terminal.images) <= 13

    play(app, scene)
    assert terminal.images == {}
    assert terminal.sent == terminal.freed


ANSWER = (
    b"\x1b_Gi=31;OK\x1b\\\x1b[6;18;9t\x1bP>|kitty(0.40.0)\x1b\\\x1b[?62;4;c",
    Answers(kitty=True, sixel=True, name="kitty(0.40.0)", cell=(9, 18), cell_is_known=True),
)
WITH_SIXELS = Answers(sixel=True, name="foot(1.16)", cell=(9, 18), cell_is_known=True)


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        ANSWER,
        (b"", Answers()),
        (b"\x1b[?62;22c", Answers()),
        (b"\x1b_Gi=31;ENOTSUPPORTED\x1b\\\x1b[?1;2c", Answers()),
        (b"\x1b[6;0;0t\x1b[6;9999;9t\x1b[?62;4c", Answers(sixel=True)),
        (b"\xff\xfe\x1b[6;;t\x1bP>|" + b"x" * 4000 + b"\x1b\\", Answers()),
    ],
)
def test_what_terminals_say_of_themselves(received: bytes, expected: Answers) -> None:
    assert read_answers(received) == expected


@given(st.binary(max_size=300))
def test_nonsense_is_no_answer(received: bytes) -> None:
    answers = read_answers(received)
    assert answers.cell[0] > 0
    assert answers.cell[1] > 0


@pytest.mark.parametrize(
    ("environment", "answers", "expected"),
    [
        ({}, ANSWER[1], "kitty"),
        ({"TMUX": "a session"}, ANSWER[1], "halfblock"),
        ({}, Answers(kitty=True, name="WezTerm 2024"), "halfblock"),
        ({}, Answers(kitty=True, name="Konsole 23"), "halfblock"),
        ({}, Answers(kitty=True), "halfblock"),
        ({}, Answers(), "halfblock"),
        ({}, WITH_SIXELS, "sixel"),
        ({"TMUX": "a session"}, WITH_SIXELS, "halfblock"),
        ({"STY": "a session"}, WITH_SIXELS, "halfblock"),
        ({"SAFELIGHT_GRAPHICS": "sixel", "TMUX": "x"}, WITH_SIXELS, "sixel"),
        ({"SAFELIGHT_GRAPHICS": "halfblock"}, WITH_SIXELS, "halfblock"),
        ({"NO_COLOR": "1"}, WITH_SIXELS, "none"),
        ({}, Answers(sixel=True), "halfblock"),
        ({"NO_COLOR": "1"}, ANSWER[1], "none"),
        ({"TERM": "dumb"}, ANSWER[1], "none"),
        ({"SAFELIGHT_GRAPHICS": "none"}, ANSWER[1], "none"),
        ({"SAFELIGHT_GRAPHICS": "KITTY", "TMUX": "x"}, Answers(), "kitty"),
        ({"SAFELIGHT_GRAPHICS": "vga"}, Answers(), "halfblock"),
    ],
)
def test_how_pictures_are_shown(environment: dict[str, str], answers: Answers, expected: str) -> None:
    assert choose(environment, answers) == expected
