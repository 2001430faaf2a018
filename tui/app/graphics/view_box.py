"""Which part of a picture is seen, and how large it is drawn: zoom and pan as arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_ZOOM = 16.0
_STEP = 2.0
_PAN_SHARE = 0.25


@dataclass(frozen=True)
class View:
    """How a picture is looked at: `zoom` 1 shows all of it; the centre is in parts of its width and height."""

    zoom: float = 1.0
    centre: tuple[float, float] = (0.5, 0.5)

    def zoomed(self, step: int) -> View:
        """Return a view one step closer or further away; 0 shows the whole picture, or, if it did, twice as large."""
        if step == 0:
            return View() if self.zoom > 1 else View(_STEP)
        zoom = min(MAX_ZOOM, max(1.0, self.zoom * _STEP**step))
        return View() if zoom == 1 else replace(self, zoom=zoom)

    def panned(self, right: int, down: int) -> View:
        """Return a view moved by a quarter of what is seen."""
        half = 0.5 / self.zoom
        x, y = (
            min(1 - half, max(half, at + by * _PAN_SHARE * 2 * half))
            for at, by in zip(self.centre, (right, down), strict=True)
        )
        return replace(self, centre=(x, y))


@dataclass(frozen=True)
class Framing:
    """What to draw: `box` (left, top, right, bottom) of the picture's pixels, over `columns` x `lines` cells."""

    box: tuple[float, float, float, float]
    columns: int
    lines: int


def framing(picture: tuple[int, int], room: tuple[int, int], cell: tuple[float, float], view: View) -> Framing:
    """Return how a picture of so many pixels is drawn in `room` (columns, lines), where a cell is `cell` wide and high.

    The picture keeps its shape; a zoomed one fills as much of the room as it has pixels for in either direction.
    """
    width, height = max(1, picture[0]), max(1, picture[1])
    columns, lines = max(1, room[0]), max(1, room[1])
    room_width, room_height = columns * cell[0], lines * cell[1]
    scale = min(room_width / width, room_height / height) * view.zoom
    seen_width, seen_height = min(width, room_width / scale), min(height, room_height / scale)
    drawn_columns = min(columns, max(1, round(seen_width * scale / cell[0])))
    drawn_lines = min(lines, max(1, round(seen_height * scale / cell[1])))
    left = min(max(0.0, view.centre[0] * width - seen_width / 2), width - seen_width)
    top = min(max(0.0, view.centre[1] * height - seen_height / 2), height - seen_height)
    return Framing((left, top, left + seen_width, top + seen_height), drawn_columns, drawn_lines)
