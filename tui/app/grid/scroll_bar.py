"""The grid's scroll bar: Textual's own, put together from a few strips that are made once.

Every key that scrolls has the whole bar drawn anew, and line by line that takes as long as the tiles beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.scrollbar import ScrollBar
from textual.strip import Strip

if TYPE_CHECKING:
    from rich.color import Color
    from rich.segment import Segment
    from rich.style import Style
    from textual.geometry import Region
    from textual.scrollbar import ScrollBarRender

_MOST_STRIPS = 64


class GridScrollBar(ScrollBar):
    """A vertical scroll bar whose equal lines are one strip: what that looks like on the wire is then known."""

    def __init__(self, thickness: int) -> None:
        """Be `thickness` columns wide."""
        super().__init__(vertical=True, name="vertical", thickness=thickness)
        self._strips: dict[Segment, Strip] = {}

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines of the bar in `crop`."""
        bar = cast("ScrollBarRender", self.render())
        style = cast("Style", bar.style)
        segments = bar.render_bar(
            size=self.size.height,
            virtual_size=bar.virtual_size,
            window_size=bar.window_size,
            position=bar.position,
            thickness=self.size.width,
            vertical=True,
            back_color=cast("Color", style.bgcolor),
            bar_color=cast("Color", style.color),
        ).segments
        strips = [self._strip(segment) for segment in segments[crop.y : crop.bottom]]
        _, background = self.background_colors
        for line_filter in self.get_line_filters():
            strips = [strip.apply_filter(line_filter, background) for strip in strips]
        return strips

    def _strip(self, segment: Segment) -> Strip:
        strip = self._strips.get(segment)
        if strip is None:
            if len(self._strips) >= _MOST_STRIPS:
                self._strips.clear()
            strip = self._strips[segment] = Strip([segment], self.size.width)
        return strip
