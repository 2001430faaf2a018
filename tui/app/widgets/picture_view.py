"""One picture, as large as there is room for; zoomed, panned, and never gone while the next one is being drawn."""

from __future__ import annotations

import math
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.app.graphics.view_box import View, framing
from tui.app.screen_work import work
from tui.cli.cells import centred
from tui.cli.output import plain

if TYPE_CHECKING:
    from PIL import Image
    from textual.geometry import Region
    from textual.timer import Timer

    from core.catalog import PhotoRecord
    from tui.app.app import SafelightApp
    from tui.app.graphics.pictures import Art
    from tui.app.workers.pictures import Pictures


_SETTLING_S = 0.04
"""How long it is waited for another drawing of the screen before pixels are sent over the cells."""


def words_for(record: PhotoRecord, problem: str | None = None) -> list[str]:
    """Return what stands in the place of a picture that cannot be shown; `problem` says why."""
    labels = ", ".join(label.name for label in record.labels)
    lines = [record.filename or record.id[:8], (record.taken_at or "no date").replace("T", " ")]
    lines += [f"{record.width} x {record.height}", labels, record.caption, problem or ""]
    return [plain(line) for line in lines if line]


class PictureView(Widget):
    """Draws one picture in the middle of its room."""

    app: SafelightApp
    ALLOW_SELECT = False
    DEFAULT_CSS = """
    PictureView { width: 1fr; height: 1fr; background: $background; color: $text-muted; }
    """

    class WantsMore(Message):
        """Somebody looks closer than the picture has pixels for."""

        def __init__(self, view: PictureView) -> None:
            super().__init__()
            self.view = view

        @property
        def control(self) -> PictureView:
            """Which one."""
            return self.view

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Show nothing yet."""
        super().__init__(id=id)
        self.view = View()
        self._wants_more = False
        self._pictures: Pictures | None = None
        self._image: Image.Image | None = None
        self._art: Art | None = None
        self._drawn: tuple[int, int] = (0, 0)
        self._words: list[str] = []
        self._placing: Timer | None = None

    def attach(self, pictures: Pictures) -> None:
        """Draw in the threads of `pictures`."""
        self._pictures = pictures

    def show(self, image: Image.Image | None, *, same: bool) -> None:
        """Show a picture; `same`: it is the photo that was there, in better quality, and the view stays."""
        if not same:
            self.view = View()
            self._wants_more = False
        self._image = image
        self._redraw()

    def describe(self, words: list[str]) -> None:
        """Say what cannot be shown: drawn where there is no picture."""
        self._words = words
        if self._art is None:
            self.refresh()

    @property
    def has_cheap_stages(self) -> bool:
        """Whether a thumbnail is worth showing first: not over a connection that every picture is long for."""
        return self._art is None or not self.app.large_pictures.over_cells

    def can_show_more(self, pixels: int) -> bool:
        """Whether a picture `pixels` long would have more of them than the one that is shown."""
        return self._image is not None and pixels > max(self._image.size)

    def ask_again(self) -> None:
        """Ask again for more pixels: there may be more now."""
        self._wants_more = False

    def look(self, view: View) -> None:
        """Look at the picture another way."""
        if view != self.view:
            self.view = view
            self._redraw()

    def on_resize(self) -> None:
        """Draw for the new room."""
        self._redraw()

    def on_unmount(self) -> None:
        """Give the picture back."""
        if self._art is not None:
            self.app.large_pictures.free(self._art)

    @work(exclusive=True)
    async def _redraw(self) -> None:
        image, pictures, renderer = self._image, self._pictures, self.app.large_pictures
        if image is None or pictures is None or not self.size or renderer.name == "none":
            self._replace(None, (0, 0))
            return
        cell = (float(self.app.large_cell[0]), float(self.app.large_cell[1]))
        share = min(1.0, math.sqrt(renderer.most_pixels / (self.size.width * cell[0] * self.size.height * cell[1])))
        room = (math.floor(self.size.width * share), math.floor(self.size.height * share))
        drawn = framing(image.size, room, cell, self.view)
        size = renderer.pixels(drawn.columns, drawn.lines)
        if self.view.zoom > 1 and size[0] > drawn.box[2] - drawn.box[0] and not self._wants_more:
            self._wants_more = True
            self.post_message(self.WantsMore(self))

        def draw() -> Art:
            return renderer.draw(image.resize(size, box=drawn.box, reducing_gap=2.0), drawn.columns, drawn.lines)

        art = await pictures.drawn(draw, renderer.free)
        self._replace(art, (drawn.columns, drawn.lines))

    def _replace(self, art: Art | None, drawn: tuple[int, int]) -> None:
        before, self._art = self._art, art
        same_place, self._drawn = drawn == self._drawn, drawn
        renderer = self.app.large_pictures
        if before is not None and art is not None and same_place and renderer.over_cells:
            # The cells under it are the same: without drawing them again nothing is seen between the two.
            self._place()
        else:
            self.refresh()
        if before is not None:
            # Only when the new one is on the screen, so that nothing is seen between them.
            self.call_after_refresh(renderer.free, before)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines of a part; where pixels lie over cells, they are gone now and follow."""
        if self._art is not None and self.app.large_pictures.over_cells and self._placing is None:
            # Screens are often drawn several times in a row, and the pixels of a picture are long.
            self._placing = self.set_timer(_SETTLING_S, self._place)
        return super().render_lines(crop)

    def _place(self) -> None:
        if self._placing is not None:
            self._placing.stop()
            self._placing = None
        art, room, (columns, lines) = self._art, self.content_region, self._drawn
        if art is None or columns > room.width or lines > room.height or not self._is_uncovered:
            return
        left, top = room.x + (room.width - columns) // 2, room.y + (room.height - lines) // 2
        self.app.large_pictures.place(art, left, top)

    @property
    def _is_uncovered(self) -> bool:
        """Whether nothing stands over it: no dialog, no message in a corner."""
        if not self.is_attached or self.screen is not self.app.screen:
            return False
        region = self.content_region
        return not any(over.region.overlaps(region) for over in self.screen.query("Toast, Tooltip") if over.display)

    @property
    def is_drawn(self) -> bool:
        """Whether there is a picture on the screen."""
        return self._art is not None

    def render_line(self, y: int) -> Strip:
        """Return a line of the picture, with room on both sides."""
        room = self.size.width
        style = self.rich_style
        if self._art is None:
            return self._words_line(y)
        columns, lines = self._drawn
        top = (self.size.height - lines) // 2
        if not top <= y < top + lines or top < 0:
            return Strip.blank(room, style)
        if columns > room:  # the room has just become less, and the picture for it is being drawn
            start = (columns - room) // 2
            return Strip(self._art.cells[y - top], columns).crop(start, start + room)
        left = (room - columns) // 2
        return Strip(
            [Segment(" " * left, style), *self._art.cells[y - top], Segment(" " * (room - columns - left), style)],
            room,
        )

    def _words_line(self, y: int) -> Strip:
        room = self.size.width
        lines = [line for words in self._words for line in wrap(words, max(1, room - 2))]
        at = y - max(0, self.size.height - len(lines)) // 2
        text = lines[at] if 0 <= at < len(lines) else ""
        return Strip([Segment(centred(text, room), self.rich_style)], room)
