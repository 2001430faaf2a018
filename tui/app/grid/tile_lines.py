"""What one tile looks like, line by line: a frame where it is marked or under the cursor, the picture, the caption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.segment import Segment

from tui.cli.cells import fitted, width
from tui.cli.output import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.style import Style

    from core.catalog import PhotoRecord
    from tui.app.workers.tile_store import Tile

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FRAME_COLUMNS = 2
_FRAME_LINES = 2
_PICTURE_SHAPE = 3 / 4
_LEAST_PICTURE = (4, 1)
_WITH_TIME = 26
"""Columns from which on a caption has room for the time of day."""


@dataclass(frozen=True)
class TileStyles:
    """The styles of a theme that tiles are drawn in."""

    background: Style
    caption: Style
    empty: Style
    mark: Style
    cursor: Style
    marks: Style


@dataclass(frozen=True, slots=True)
class TileShape:
    """How large tiles are, in cells, frame included."""

    width: int
    height: int

    @classmethod
    def for_width(cls, width: int, cell: tuple[int, int]) -> TileShape:
        """Return the shape of tiles `width` cells wide, where a cell is `cell` pixels; pictures are 4 : 3."""
        columns = max(_LEAST_PICTURE[0], width - _FRAME_COLUMNS)
        lines = max(_LEAST_PICTURE[1], round(columns * cell[0] * _PICTURE_SHAPE / cell[1]))
        return cls(columns + _FRAME_COLUMNS, lines + _FRAME_LINES)

    @property
    def picture(self) -> tuple[int, int]:
        """Columns and lines of the picture."""
        return self.width - _FRAME_COLUMNS, self.height - _FRAME_LINES


def plain_lines(tile: Tile, shape: TileShape, styles: TileStyles) -> list[list[Segment]]:
    """Return the lines of a tile that is neither marked nor under the cursor."""
    columns, lines = shape.picture
    side = Segment(" ", styles.background)
    if tile.art is None:
        picture = [[side, Segment(" " * columns, styles.empty), side]] * lines
    else:
        picture = [[side, *cells, side] for cells in tile.art.cells]
    top = [Segment(" " * shape.width, styles.background)]
    return [top, *picture, list(_caption(tile, columns, None, styles))]


def framed_lines(
    tile: Tile | None, shape: TileShape, styles: TileStyles, *, cursor: bool, marked: bool, described: bool
) -> list[list[Segment]]:
    """Return the lines of any tile; `described`: with words in the place of its picture."""
    frame = styles.cursor if cursor else styles.mark if marked else None
    columns, lines = shape.picture
    side = Segment(" ", styles.background) if frame is None else Segment("│", frame)
    picture: list[list[Segment]] = []
    for line in range(lines):
        if described:
            picture.append([side, *_description(tile, line, columns, styles), side])
        elif tile is None or tile.art is None:
            picture.append([side, Segment(" " * columns, styles.empty), side])
        else:
            picture.append([side, *tile.art.cells[line], side])
    return [[_top(frame, columns, styles, marked=marked)], *picture, list(_caption(tile, columns, frame, styles))]


def _top(frame: Style | None, columns: int, styles: TileStyles, *, marked: bool) -> Segment:
    if frame is None:
        return Segment(" " * (columns + _FRAME_COLUMNS), styles.background)
    if marked:
        return Segment("╭" + " ✓ " + "─" * (columns - 3) + "╮", frame)
    return Segment("╭" + "─" * columns + "╮", frame)


def _caption(tile: Tile | None, columns: int, frame: Style | None, styles: TileStyles) -> Iterator[Segment]:
    left, right = (" ", " ") if frame is None else ("╰", "╯")
    edge = frame or styles.background
    yield Segment(left, edge)
    if tile is None:
        yield Segment(" " * columns, styles.caption)
    else:
        marks = marks_of(tile)
        room = columns - width(marks) - (1 if marks else 0)
        if room > 0:
            yield Segment(fitted(caption_of(tile.record, columns), room), frame or styles.caption)
        if marks:
            yield Segment((" " if room >= 0 else "") + fitted(marks, min(columns, width(marks))), styles.marks)
    yield Segment(right, edge)


def _description(tile: Tile | None, line: int, columns: int, styles: TileStyles) -> Iterator[Segment]:
    texts: tuple[str, ...] = ()
    if tile is not None:
        record = tile.record
        texts = (
            record.filename or record.id[:8],
            date_of(record),
            ", ".join(label.name for label in record.labels[:4]),
            record.caption,
        )
    text = texts[line] if line < len(texts) else ""
    yield Segment(fitted(f" {plain(text)}" if text else "", columns), styles.empty)


def marks_of(tile: Tile) -> str:
    """Return the signs of a favourite, a rating, the trash, a motion photo, and a thumbnail that cannot be shown."""
    record = tile.record
    parts = [
        "♥" if record.favourite else "",
        "★" * record.rating,
        "▶" if record.motion_s is not None else "",
        "⌫" if record.trashed_at is not None else "",
        "⊘" if tile.problem is not None else "",
    ]
    return "".join(parts)


def caption_of(record: PhotoRecord, columns: int) -> str:
    """Return day and labels, or the file's name where neither is known, for so many columns."""
    day = date_of(record, with_time=columns >= _WITH_TIME)
    labels = ", ".join(label.name for label in record.labels[:3])
    text = "  ".join(part for part in (day, labels) if part)
    return plain(text or record.filename or record.id[:8])


def date_of(record: PhotoRecord, *, with_time: bool = False) -> str:
    """Return `17 May`, with the time of day `17 May 14:03`; empty where it is unknown."""
    if record.taken is None:
        return ""
    month, day = int(record.taken[5:7]), int(record.taken[8:10])
    short = f"{day} {_MONTHS[month - 1]}"
    return f"{short} {record.taken[11:16]}" if with_time else short
