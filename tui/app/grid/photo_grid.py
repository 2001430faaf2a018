"""The grid itself: one widget that draws lines over any number of photos.

Drawing does no work but putting cells side by side: what a tile shows is asked of the `TileStore`, and rows of tiles
are kept as strips until one of their tiles changes. Textual keeps what a strip looks like on the wire, so scrolling
over rows that were drawn before costs little more than sending them.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Literal

from rich.segment import Segment
from textual.filter import ANSIToTruecolor
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.app.grid.contents import Contents, Period
from tui.app.grid.layout import GridLayout
from tui.app.grid.marks import Marks
from tui.app.grid.scroll_bar import GridScrollBar
from tui.app.grid.tile_lines import TileShape, TileStyles, framed_lines, plain_lines
from tui.app.keys import GRID, bindings
from tui.cli.cells import centred, fitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual import events
    from textual.scrollbar import ScrollBar

    from tui.app.workers.tile_store import TileStore

Density = Literal["small", "medium", "large"]
DENSITIES: tuple[Density, ...] = ("small", "medium", "large")
_PREFERRED_WIDTH: dict[Density, int] = {"small": 13, "medium": 20, "large": 36}
_HEADER_LINES = 2
_KEPT_ROWS = 400
_PAGES_AHEAD = 1
_HALF_BLOCK_CELL = (1, 2)


class PhotoGrid(ScrollView, can_focus=True):
    """Photos in months, with a cursor and marks."""

    ALLOW_SELECT = False
    BINDINGS = bindings(GRID)
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "photo-grid--caption",
        "photo-grid--cursor",
        "photo-grid--cursor-blurred",
        "photo-grid--empty",
        "photo-grid--header",
        "photo-grid--mark",
        "photo-grid--marks",
    }
    DEFAULT_CSS = """
    PhotoGrid {
        background: $background;
        color: $foreground;
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        & > .photo-grid--caption { color: $text-muted; background: $background; }
        & > .photo-grid--cursor { color: $accent; background: $background; text-style: bold; }
        & > .photo-grid--cursor-blurred { color: $text-muted; background: $background; }
        & > .photo-grid--empty { color: $text-muted; background: $panel; }
        & > .photo-grid--header { color: $primary; background: $background; text-style: bold; }
        & > .photo-grid--mark { color: $success; background: $background; }
        & > .photo-grid--marks { color: $warning; background: $background; }
    }
    """

    cursor: reactive[int] = reactive(0, repaint=False)
    density: reactive[Density] = reactive[Density]("medium", repaint=False)

    class Opened(Message):
        """The photo under the cursor is to be shown large."""

    def __init__(
        self,
        *,
        cell: tuple[int, int] = _HALF_BLOCK_CELL,
        described: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        """Show nothing yet; a cell is `cell` pixels. `described`: words in the place of pictures."""
        super().__init__(id=id)
        self.contents = Contents.empty()
        self.marks = Marks()
        self._cell = cell
        self.described = described
        self._tiles: TileStore | None = None
        self._shape = TileShape.for_width(_PREFERRED_WIDTH["medium"], cell)
        self._width = 1
        self._layout_of = self._make_layout()
        self._rows: OrderedDict[int, list[Strip]] = OrderedDict()
        self._wanted: dict[bytes, int] = {}
        self._styles_of_tiles: TileStyles | None = None
        self._range_from: int | None = None
        self.on_place: Callable[[], None] = lambda: None
        """Called when the cursor is elsewhere, or other photos are marked: at once, so that one drawing shows both."""
        self._emptiness: list[str] = []

    # What it shows

    def attach(self, tiles: TileStore) -> None:
        """Take tiles from this store."""
        self._tiles = tiles

    def show(self, contents: Contents, *, keep_place: bool) -> None:
        """Show other photos; with `keep_place` the cursor stays on its photo, or near where it was."""
        before = self.current
        here = self.cursor
        self.contents = contents
        self._layout_of = self._make_layout()
        place = contents.photos.index(before) if keep_place and before is not None else None
        if place is None:
            place = min(here, max(0, len(contents.photos) - 1)) if keep_place else 0
        if not keep_place:
            self.marks.clear()
            self.scroll_to(y=0, animate=False, immediate=True)
        self._range_from = None
        self.set_reactive(PhotoGrid.cursor, place)
        self._measure()
        self._scroll_to_cursor()
        self.on_place()

    def explain_emptiness(self, lines: list[str]) -> None:
        """Say `lines` where there are no photos."""
        self._emptiness = lines
        self.refresh()

    @property
    def emptiness(self) -> str:
        """What is said where there are no photos; empty where there are any."""
        return "" if len(self.contents.photos) else "\n".join(self._emptiness)

    @property
    def current(self) -> bytes | None:
        """The photo under the cursor."""
        photos = self.contents.photos
        return photos[self.cursor] if 0 <= self.cursor < len(photos) else None

    @property
    def marked(self) -> int:
        """How many photos are marked."""
        return self.marks.count(len(self.contents.photos))

    def chosen(self) -> list[bytes]:
        """Return the photos that an action is about: those that are marked, else the one under the cursor."""
        marked = self.marks.among(self.contents.photos)
        if marked:
            return marked
        return [] if self.current is None else [self.current]

    @property
    def section_title(self) -> str:
        """The month under the cursor."""
        if self.current is None:
            return ""
        return self._layout_of.sections[self._layout_of.section_of(self.cursor)].title

    def tiles_changed(self, pids: set[bytes]) -> None:
        """Draw these photos' tiles again, where they can be seen."""
        rows = {self._layout_of.place(index).y for pid in pids if (index := self._wanted.get(pid)) is not None}
        for y in rows:
            self._redraw_row(y)

    def where(self, index: int) -> Region:
        """Return where a photo is on the screen."""
        place = self._layout_of.place(index)
        return Region(*place).translate((self.region.x, self.region.y - self.scroll_offset.y))

    def visible_indexes(self) -> range:
        """Return the photos that can be seen now."""
        top = self.scroll_offset.y
        return self._layout_of.between(top, top + max(0, self.size.height - 1))

    # Drawing

    @property
    def vertical_scrollbar(self) -> ScrollBar:
        """The scroll bar, made when it is first asked for, as Textual does."""
        if self._vertical_scrollbar is None:
            self._vertical_scrollbar = bar = GridScrollBar(self.scrollbar_size_vertical)
            bar.display = False
            self.app._start_widget(self, bar)  # noqa: SLF001 - there is no other way to have a bar of one's own
        return self._vertical_scrollbar

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return strips as they are kept; Textual's own cache by lines of the screen is of no use to what scrolls."""
        top = self.scroll_offset.y
        strips = [self._strip(top + y) for y in crop.line_range]
        # Tiles have true colours already; the others (no colour, dim) are wanted.
        for line_filter in self.get_line_filters():
            if not isinstance(line_filter, ANSIToTruecolor):
                strips = [strip.apply_filter(line_filter, self.background_colors[1]) for strip in strips]
        left, right = crop.column_span
        if left > 0 or right < self._width:  # where the scroll bar is, there is nothing to cut
            strips = [strip.crop(left, min(right, self._width)) for strip in strips]
        return strips

    def render_line(self, y: int) -> Strip:
        """Return one line of what can be seen."""
        return self._strip(self.scroll_offset.y + y)

    def _strip(self, y: int) -> Strip:
        line = self._layout_of.line(y)
        if line is None:
            return self._blank(y)
        if line.is_header:
            return self._header(line.section, line.inside)
        row = self._rows.get(line.first)
        if row is None:
            row = self._rows[line.first] = self._row_strips(line.first, line.photos)
            if len(self._rows) > _KEPT_ROWS:
                self._rows.popitem(last=False)
        return row[line.inside]

    def _row_strips(self, first: int, count: int) -> list[Strip]:
        """Return all lines of a row: most rows are seen whole, and each tile is then looked up once."""
        styles, photos, tiles, shape, width = (
            self._tile_styles,
            self.contents.photos,
            self._tiles,
            self._shape,
            self._width,
        )
        lines: list[list[list[Segment]]] = []
        for index, pid in enumerate(photos.slice(first, first + count), first):
            tile = None if tiles is None else tiles.get(pid)
            cursor, marked = index == self.cursor, pid in self.marks
            if cursor or marked or self.described or tile is None:
                lines.append(framed_lines(tile, shape, styles, cursor=cursor, marked=marked, described=self.described))
                continue
            if tile.lines is None:
                tile.lines = plain_lines(tile, shape, styles)
            lines.append(tile.lines)
        used = count * shape.width
        if used < width:
            lines.append([[Segment(" " * (width - used), styles.background)]] * shape.height)
        strips = [Strip(chain.from_iterable(parts), max(used, width)) for parts in zip(*lines, strict=True)]
        return strips if used <= width else [strip.crop(0, width) for strip in strips]

    def _blank(self, y: int) -> Strip:
        width = self._width
        at = y - (self.size.height - len(self._emptiness)) // 2
        if len(self.contents.photos) or not 0 <= at < len(self._emptiness):
            return Strip.blank(width, self._tile_styles.background)
        return Strip([Segment(centred(self._emptiness[at], width), self._tile_styles.caption)], width)

    def _header(self, section: int, inside: int) -> Strip:
        width = self._width
        if inside > 0:
            return Strip.blank(width, self._tile_styles.background)
        shown = self._layout_of.sections[section]
        title, count = f" {shown.title} ", f" {shown.count:,} "
        rule = "─" * max(0, width - len(title) - len(count) - 1)
        style = self.get_component_rich_style("photo-grid--header")
        text = fitted(title + rule + count, width)
        cut = len(title)
        return Strip([Segment(text[:cut], style), Segment(text[cut:], self._tile_styles.caption)], width)

    @property
    def _tile_styles(self) -> TileStyles:
        if self._styles_of_tiles is None:
            style = self.get_component_rich_style
            cursor = "photo-grid--cursor" if self.has_focus else "photo-grid--cursor-blurred"
            self._styles_of_tiles = TileStyles(
                background=self.rich_style,
                caption=style("photo-grid--caption"),
                empty=style("photo-grid--empty"),
                mark=style("photo-grid--mark"),
                cursor=style(cursor),
                marks=style("photo-grid--marks"),
            )
        return self._styles_of_tiles

    # Places

    def _make_layout(self) -> GridLayout:
        columns = max(1, round(self._width / _PREFERRED_WIDTH[self.density]))
        self._shape = TileShape.for_width(self._width // columns, self._cell)
        return GridLayout(
            self.contents.sections,
            columns=columns,
            tile_width=self._shape.width,
            tile_height=self._shape.height,
            header_height=_HEADER_LINES,
        )

    def _measure(self) -> None:
        self._rows.clear()
        self.virtual_size = Size(self._width, self._layout_of.height)
        self._request_tiles()
        self.refresh()

    def _lay_out_again(self) -> None:
        self._layout_of = self._make_layout()
        self._measure()
        self._scroll_to_cursor()

    def _request_tiles(self) -> None:
        if self._tiles is None or not self.size.height:
            return
        photos = self.contents.photos
        visible = self.visible_indexes()
        page = max(1, len(visible)) * _PAGES_AHEAD
        first = max(0, visible.start - page // 2)
        near = photos.slice(first, visible.stop + page)
        before, seen = visible.start - first, visible.stop - first
        self._wanted = dict(zip(near, range(first, first + len(near)), strict=True))
        self._tiles.want(near[before:seen], [*near[seen:], *near[:before]], self._shape.picture)

    def _redraw_row(self, y: int) -> None:
        line = self._layout_of.line(y)
        if line is None:
            return
        self._rows.pop(line.first, None)
        top = y - self.scroll_offset.y
        region = Region(0, top, self.size.width, self._shape.height).intersection(self.size.region)
        if region:
            self.refresh(region)

    def _redraw_photo(self, index: int) -> None:
        if 0 <= index < self._layout_of.count:
            self._redraw_row(self._layout_of.place(index).y)

    def _scroll_to_cursor(self) -> None:
        if self.current is None or not self.size.height:
            return
        place = self._layout_of.place(self.cursor)
        section = self._layout_of.section_of(self.cursor)
        top = place.y
        header = self._layout_of.header_line(section)
        if top - header <= _HEADER_LINES:
            top = header  # the first row of a month brings its title
        bottom = place.y + place.height
        here = self.scroll_offset.y
        if top < here:
            self.scroll_to(y=top, animate=False, immediate=True)
        elif bottom > here + self.size.height:
            self.scroll_to(y=min(top, bottom - self.size.height) if place.height > self.size.height
                           else bottom - self.size.height, animate=False, immediate=True)  # fmt: skip

    # Events

    def on_resize(self) -> None:
        """Lay the photos out for the new width."""
        # The scroll bar is always there, on top of the last columns.
        self._width = max(1, self.size.width - self.styles.scrollbar_size_vertical)
        self._lay_out_again()

    def watch_density(self) -> None:
        """Lay the photos out with larger or smaller tiles."""
        if self.is_attached:
            self._lay_out_again()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Ask for the tiles that come into view."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._request_tiles()

    def watch_cursor(self, before: int, after: int) -> None:
        """Draw both places, and follow the cursor."""
        if not self.is_attached:
            return
        self._redraw_photo(before)
        self._redraw_photo(after)
        self._scroll_to_cursor()
        self.on_place()

    def notify_style_update(self) -> None:
        """Draw everything in the new theme."""
        super().notify_style_update()
        self._styles_of_tiles = None
        self._rows.clear()
        if self._tiles is not None:
            self._tiles.restyle()

    def on_focus(self) -> None:
        """Show the cursor as active."""
        self._styles_of_tiles = None
        self._redraw_photo(self.cursor)

    def on_blur(self) -> None:
        """Show the cursor as resting."""
        self._styles_of_tiles = None
        self._redraw_photo(self.cursor)

    def on_click(self, event: events.Click) -> None:
        """Go to a photo; mark it with ctrl, everything up to it with shift; open it with a second click."""
        index = self._layout_of.at(event.x, event.y + self.scroll_offset.y)
        if index is None:
            return
        if event.shift:
            self._mark_between(self.cursor, index)
        elif event.ctrl:
            self._mark([index], marked=self.contents.photos[index] not in self.marks)
        self.cursor = index
        if event.chain > 1:
            self.post_message(self.Opened())

    # Actions

    def go_to(self, index: int) -> None:
        """Move the cursor to a photo; while a range is being marked, up to it."""
        last = len(self.contents.photos) - 1
        if last < 0:
            return
        index = max(0, min(index, last))
        if self._range_from is not None:
            self._mark_between(self._range_from, index)
        self.cursor = index

    def action_move(self, step: int) -> None:
        """Go `step` photos on."""
        self.go_to(self.cursor + step)

    def action_rows(self, rows: int) -> None:
        """Go `rows` rows down."""
        if self.current is not None:
            self.go_to(self._layout_of.below(self.cursor, rows))

    def action_pages(self, pages: int) -> None:
        """Go `pages` screens down."""
        if self.current is not None:
            self.go_to(self._layout_of.below(self.cursor, pages * max(1, self.size.height // self._shape.height)))

    def action_edge(self, which: str) -> None:
        """Go to the first or the last photo."""
        self.go_to(0 if which == "first" else len(self.contents.photos) - 1)

    def action_hop(self, period: Period, steps: int) -> None:
        """Go to another day, month or year."""
        if self.current is not None:
            self.go_to(self.contents.hop(self.cursor, period, steps))

    def action_mark(self) -> None:
        """Mark the photo under the cursor, or take its mark away, and go on to the next."""
        if self.current is None:
            return
        self._range_from = None
        self._mark([self.cursor], marked=self.current not in self.marks)
        self.go_to(self.cursor + 1)

    def action_extend(self, step: int, rows: int = 0) -> None:
        """Mark everything on the way to another photo."""
        if self.current is None:
            return
        target = self._layout_of.below(self.cursor, rows) if rows else self.cursor + step
        target = max(0, min(target, len(self.contents.photos) - 1))
        self._mark_between(self.cursor, target)
        self.cursor = target

    def action_range(self) -> None:
        """Begin to mark a range, or end it."""
        if self.current is None:
            return
        if self._range_from is None:
            self._range_from = self.cursor
            self._mark([self.cursor], marked=True)
        else:
            self._range_from = None

    def action_mark_all(self) -> None:
        """Mark everything that is shown."""
        self.marks.everything()
        self._marks_changed()

    def action_clear_marks(self) -> None:
        """Take all marks away."""
        self._range_from = None
        self.marks.clear()
        self._marks_changed()

    def action_open(self) -> None:
        """Show the photo large."""
        if self.current is not None:
            self.post_message(self.Opened())

    @property
    def is_marking_range(self) -> bool:
        """Whether moving the cursor marks photos now."""
        return self._range_from is not None

    def _mark_between(self, start: int, stop: int) -> None:
        low, high = sorted((start, stop))
        self._mark(range(low, high + 1), marked=True)

    def _mark(self, indexes: range | list[int], *, marked: bool) -> None:
        photos = self.contents.photos
        self.marks.set((photos[index] for index in indexes), marked=marked)
        self._marks_changed()

    def _marks_changed(self) -> None:
        self._rows.clear()
        self.refresh()
        self.on_place()
