"""Where each photo of a grid lies: index to rectangle and back, in cells, without looking at any photo.

Photos stand in sections (months), each with a header above its rows of tiles. Prefix sums over the sections and a
bisect answer every question, so a hundred thousand photos cost what a hundred do.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Section:
    """A run of photos under one title; without a title it has no header."""

    title: str
    count: int


class Rectangle(NamedTuple):
    """A place in cells, from the grid's upper left corner."""

    x: int
    y: int
    width: int
    height: int


class Line(NamedTuple):
    """What one line of the grid shows.

    `first` and `photos` name the photos of the row it belongs to, and `inside` is its number in that row of tiles; the
    line of a header has no photos, and `inside` counts down to the title, which is 0.
    """

    section: int
    first: int
    photos: int
    inside: int

    @property
    def is_header(self) -> bool:
        """Whether a section's title stands here, or the space above it."""
        return self.photos == 0


class GridLayout:
    """The places of all photos, for one width and one size of tile."""

    def __init__(
        self, sections: Sequence[Section], *, columns: int, tile_width: int, tile_height: int, header_height: int
    ) -> None:
        """Lay out `sections` in rows of `columns` tiles; sizes are in cells.

        A header is the title below some space; the first one has no space above it.
        """
        self.sections = [section for section in sections if section.count > 0]
        self.columns = max(1, columns)
        self.tile_width = max(1, tile_width)
        self.tile_height = max(1, tile_height)
        self._header = [
            min(header_height, 1 if number == 0 else header_height) if section.title else 0
            for number, section in enumerate(self.sections)
        ]
        self._rows = [-(-section.count // self.columns) for section in self.sections]
        self._first_index = [0, *accumulate(section.count for section in self.sections)]
        heights = (header + rows * self.tile_height for header, rows in zip(self._header, self._rows, strict=True))
        self._first_line = [0, *accumulate(heights)]

    @property
    def count(self) -> int:
        """How many photos there are."""
        return self._first_index[-1]

    @property
    def height(self) -> int:
        """How many lines there are."""
        return self._first_line[-1]

    def line(self, y: int) -> Line | None:
        """Return what line `y` shows; None outside of the grid."""
        if not 0 <= y < self.height:
            return None
        section = bisect_right(self._first_line, y) - 1
        inside = y - self._first_line[section] - self._header[section]
        if inside < 0:
            return Line(section, self._first_index[section], 0, -inside - 1)
        row, inside = divmod(inside, self.tile_height)
        first = self._first_index[section] + row * self.columns
        return Line(section, first, min(self.columns, self._first_index[section + 1] - first), inside)

    def section_of(self, index: int) -> int:
        """Return the number of the section that photo `index` stands in."""
        return bisect_right(self._first_index, index) - 1

    def section_start(self, section: int) -> int:
        """Return the index of a section's first photo."""
        return self._first_index[section]

    def header_line(self, section: int) -> int:
        """Return the first line of a section, its header if it has one."""
        return self._first_line[section]

    def place(self, index: int) -> Rectangle:
        """Return where photo `index` lies. Raises `IndexError` where there is none."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        section = self.section_of(index)
        row, column = divmod(index - self._first_index[section], self.columns)
        y = self._first_line[section] + self._header[section] + row * self.tile_height
        return Rectangle(column * self.tile_width, y, self.tile_width, self.tile_height)

    def at(self, x: int, y: int) -> int | None:
        """Return the photo at a cell, None where there is none."""
        line = self.line(y)
        if line is None or line.is_header or x < 0:
            return None
        column = x // self.tile_width
        return line.first + column if column < line.photos else None

    def between(self, top: int, bottom: int) -> range:
        """Return the photos that have a line in `top` … `bottom`, both included."""
        if not self.count or bottom < 0 or top >= self.height or bottom < top:
            return range(0)
        first, last = self.line(max(0, top)), self.line(min(bottom, self.height - 1))
        if first is None or last is None:
            return range(0)
        return range(first.first, max(first.first, last.first + last.photos))

    def below(self, index: int, rows: int) -> int:
        """Return the photo `rows` rows below (above, if negative), in the same column or the last one before it."""
        place = self.place(index)
        column = place.x // self.tile_width
        section, row = self.section_of(index), 0
        row = (index - self._first_index[section]) // self.columns + rows
        while row < 0 and section > 0:
            section -= 1
            row += self._rows[section]
        while row >= self._rows[section] and section < len(self.sections) - 1:
            row -= self._rows[section]
            section += 1
        row = max(0, min(row, self._rows[section] - 1))
        first = self._first_index[section] + row * self.columns
        return min(first + column, self._first_index[section + 1] - 1)
