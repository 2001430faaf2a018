"""Which pictures this terminal can show: asked of the terminal itself, before the app takes it over.

The questions (Kitty's `a=q`, the cell's size, the name and the primary device attributes) are sent together; every
terminal answers the last one, so the wait is one round trip, and bounded where nobody answers. A terminal that claims
Kitty's protocol may still lack placeholders, which cannot be asked for: only those known to have them are believed.
"""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Graphics = Literal["kitty", "sixel", "halfblock", "none"]
GRAPHICS: tuple[Graphics, ...] = ("kitty", "sixel", "halfblock", "none")
VARIABLE = "SAFELIGHT_GRAPHICS"

_QUESTIONS = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[16t\x1b[>0q\x1b[c"
_PATIENCE_S = 0.6
"""As long as a round trip over a slow SSH connection may take; local terminals answer in a few milliseconds."""
_USUAL_CELL = (10, 20)
_LEAST_CELL = (6, 12)
_LARGEST_CELL = 100
_SIXEL_ATTRIBUTE = "4"

_KITTY_OK = re.compile(rb"\x1b_Gi=31;OK\x1b\\")
_CELL = re.compile(rb"\x1b\[6;(\d{1,4});(\d{1,4})t")
_NAME = re.compile(rb"\x1bP>\|([\x20-\x7e]{0,100})\x1b\\")
_ATTRIBUTES = re.compile(rb"\x1b\[\?([0-9;]{0,100})c")
_WITH_PLACEHOLDERS = ("kitty", "ghostty")


@dataclass(frozen=True)
class Answers:
    """What a terminal said of itself. `cell` is in pixels, width and height: as told, or, if not, as is usual."""

    kitty: bool = False
    sixel: bool = False
    name: str = ""
    cell: tuple[int, int] = _USUAL_CELL
    cell_is_known: bool = False

    @property
    def least_cell(self) -> tuple[int, int]:
        """The cell that a picture drawn in pixels may count on: a small one rather than one it is too large for."""
        return self.cell if self.cell_is_known else _LEAST_CELL


def read_answers(data: bytes) -> Answers:
    """Read what came back; nonsense is no answer."""
    cell = _CELL.search(data)
    height, width = (int(cell[1]), int(cell[2])) if cell else (0, 0)
    name = _NAME.search(data)
    attributes = _ATTRIBUTES.search(data)
    is_known = 0 < width <= _LARGEST_CELL and 0 < height <= _LARGEST_CELL
    return Answers(
        kitty=_KITTY_OK.search(data) is not None,
        sixel=attributes is not None and _SIXEL_ATTRIBUTE in attributes[1].decode("ascii").split(";")[1:],
        name=name[1].decode("ascii") if name else "",
        cell=(width, height) if is_known else _USUAL_CELL,
        cell_is_known=is_known,
    )


def choose(environment: Mapping[str, str], answers: Answers) -> Graphics:
    """Return how pictures are shown: as `SAFELIGHT_GRAPHICS` says, else as the terminal can.

    Without colours (`NO_COLOR`, a dumb terminal) they are described. Inside tmux and screen, which draw their own
    screen, pixels are sent only if the variable says so: what answers there may be they, and the picture another's.
    """
    wanted = environment.get(VARIABLE, "").lower()
    for known in GRAPHICS:
        if wanted == known:
            return known
    if environment.get("NO_COLOR") or environment.get("TERM", "") == "dumb":
        return "none"
    inside = environment.get("TMUX") or environment.get("STY")
    if answers.kitty and not inside and answers.name.lower().startswith(_WITH_PLACEHOLDERS):
        return "kitty"
    if answers.sixel and answers.cell_is_known and not inside:
        return "sixel"
    return "halfblock"


def ask_terminal() -> Answers:
    """Ask the terminal on standard input and output; nothing is known of one that does not answer, nor on Windows."""
    if sys.platform == "win32" or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return Answers()
    import select
    import termios
    import tty

    source, target = sys.stdin.fileno(), sys.stdout.fileno()
    before = termios.tcgetattr(source)
    received = b""
    try:
        tty.setcbreak(source, termios.TCSANOW)
        os.write(target, _QUESTIONS)
        deadline = time.monotonic() + _PATIENCE_S
        while _ATTRIBUTES.search(received) is None:
            if not select.select([source], [], [], max(0.0, deadline - time.monotonic()))[0]:
                break
            piece = os.read(source, 1024)
            if not piece:
                break
            received += piece
    except OSError:
        return Answers()
    finally:
        # What is still on its way must not become key presses.
        termios.tcsetattr(source, termios.TCSAFLUSH, before)
    return read_answers(received)
