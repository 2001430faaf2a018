"""One picture, as large as there is room for; zoomed, panned, and never gone while the next one is being drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from textual import work
from textual.strip import Strip
from textual.widget import Widget

from tui.app.graphics.view_box import View, framing
from tui.cli.cells import centred
from tui.cli.output import plain

if TYPE_CHECKING:
    from PIL import Image

    from core.catalog import PhotoRecord
    from tui.app.app import SafelightApp
    from tui.app.graphics.pictures import Art
    from tui.app.workers.pictures import Pictures


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

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Show nothing yet."""
        super().__init__(id=id)
        self.view = View()
        self._pictures: Pictures | None = None
        self._image: Image.Image | None = None
        self._art: Art | None = None
        self._drawn: tuple[int, int] = (0, 0)
        self._words: list[str] = []

    def attach(self, pictures: Pictures) -> None:
        """Draw in the threads of `pictures`."""
        self._pictures = pictures

    def show(self, image: Image.Image | None, *, same: bool) -> None:
        """Show a picture; `same`: it is the photo that was there, in better quality, and the view stays."""
        if not same:
            self.view = View()
        self._image = image
        self._redraw()

    def describe(self, words: list[str]) -> None:
        """Say what cannot be shown: drawn where there is no picture."""
        self._words = words
        self.refresh()

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
            self.app.pictures.free(self._art)

    @work(exclusive=True)
    async def _redraw(self) -> None:
        image, pictures, renderer = self._image, self._pictures, self.app.pictures
        if image is None or pictures is None or not self.size or renderer.name == "none":
            self._replace(None, (0, 0))
            return
        cell = (float(self.app.cell[0]), float(self.app.cell[1]))
        drawn = framing(image.size, (self.size.width, self.size.height), cell, self.view)
        size = renderer.pixels(drawn.columns, drawn.lines)

        def draw() -> Art:
            return renderer.draw(image.resize(size, box=drawn.box, reducing_gap=2.0), drawn.columns, drawn.lines)

        self._replace(await pictures.in_thread(draw), (drawn.columns, drawn.lines))

    def _replace(self, art: Art | None, drawn: tuple[int, int]) -> None:
        before, self._art, self._drawn = self._art, art, drawn
        self.refresh()
        if before is not None:
            # Only when the new one is on the screen, so that nothing is seen between them.
            self.call_after_refresh(self.app.pictures.free, before)

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
        at = y - (self.size.height - len(self._words)) // 2
        text = self._words[at] if 0 <= at < len(self._words) else ""
        return Strip([Segment(centred(text, room), self.rich_style)], room)
