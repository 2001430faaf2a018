"""The library: search line above, sidebar beside, the grid of photos, and what is said about it all below."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Input
from textual.worker import WorkerError

from core.catalog import SORT_KEYS
from core.errors import CoreError, QueryError
from core.search import default_sort
from tui.app import edits
from tui.app.dropped_terms import alternatives
from tui.app.error_lines import in_a_line
from tui.app.grid.contents import Contents, Ordering
from tui.app.grid.photo_grid import DENSITIES, PhotoGrid
from tui.app.keys import LIBRARY, bindings
from tui.app.label_watch import LabelWatch
from tui.app.screen_work import work
from tui.app.screens.choices import LibraryChoices
from tui.app.screens.grid_entries import GridEntries
from tui.app.screens.library_sync import LibrarySync
from tui.app.screens.library_upkeep import LibraryUpkeep
from tui.app.screens.teach import LibraryTeaching
from tui.app.widgets.key_line import KeyLine
from tui.app.widgets.search_line import SearchLine
from tui.app.widgets.sidebar import Places, Sidebar
from tui.app.widgets.status_line import StatusLine
from tui.app.workers.library_thread import NotOpen, Superseded
from tui.app.workers.tile_store import TileStore
from tui.cli.output import count, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult

    from core.library import Library
    from tui.app.app import SafelightApp
    from tui.app.edits import Edit
    from tui.app.workers.importing import ImportState

_WATCH_S = 2.0
"""How often other processes' changes are looked for."""
_FIRST_SCREEN_S = 2.0
_MOST_ALTERNATIVES = 5
_NARROW = 70
"""Columns below which the sidebar stays away unless it is asked for."""
_SORT_NAMES = {
    "taken": "date",
    "imported": "import",
    "rating": "stars",
    "name": "name",
    "size": "size",
    "score": "score",
}


@dataclass(frozen=True)
class Whereabouts:
    """What was shown, and the photo that the cursor was on."""

    ordering: Ordering
    pid: bytes | None


class Body(Horizontal):
    """Sidebar and grid, which cover it: it is not drawn line by line below them."""

    BLANK: ClassVar[bool] = True


class LibraryScreen(LibraryChoices, LibraryTeaching, LibrarySync, LibraryUpkeep, GridEntries, Screen[None]):
    """All photos, or those of a query."""

    app: SafelightApp
    BLANK: ClassVar[bool] = True
    AUTO_FOCUS: ClassVar[str] = "PhotoGrid"
    BINDINGS = bindings(LIBRARY)
    DEFAULT_CSS = """
    LibraryScreen {
        & #body { height: 1fr; }
        & PhotoGrid { width: 1fr; height: 1fr; }
    }
    """

    def __init__(self, *, offer_import: bool = False, whereabouts: Whereabouts | None = None) -> None:
        """Show everything, or what was shown before; `offer_import`: ask for a folder at once."""
        super().__init__()
        self._offer_import = offer_import
        self._ordering = Ordering() if whereabouts is None else whereabouts.ordering
        self._ranked = _ranks(self._ordering.query)
        self._return_to = None if whereabouts is None else whereabouts.pid
        self._imported_before = 0
        self._sidebar_wanted: bool | None = None
        self._labels = LabelWatch()
        self._shows = self.app.library.library.times_caught_up
        self.tiles = TileStore(self.app.library, self.app.pictures, self.app.placeholders, self._tiles_ready)

    def compose(self) -> ComposeResult:
        """Lay out the parts."""
        yield SearchLine(id="search")
        with Body(id="body"):
            yield Sidebar(id="sidebar")
            yield PhotoGrid(cell=self.app.cell, described=self.app.graphics == "none", id="grid")
        yield StatusLine(id="status")
        yield KeyLine()

    def on_mount(self) -> None:
        """Show the photos."""
        self.grid.attach(self.tiles)
        self.grid.on_place = self.tell_place
        if self.app.settings.density in DENSITIES:
            self.grid.density = DENSITIES[DENSITIES.index(self.app.settings.density)]
        self.query_one(SearchLine).put(self._ordering.query)
        self._show_sidebar()
        self._begin()
        self.set_interval(_WATCH_S, self._look_for_changes)
        self.app.syncing.start(self.sync_changed)
        if self._offer_import:
            self.action_import_photos()

    def on_unmount(self) -> None:
        """End the loaders."""
        self.tiles.close()

    def on_resize(self) -> None:
        """Give a narrow terminal to the photos."""
        self._show_sidebar()

    @property
    def grid(self) -> PhotoGrid:
        """The grid."""
        return self.query_one(PhotoGrid)

    @property
    def status(self) -> StatusLine:
        """The line at the bottom."""
        return self.query_one(StatusLine)

    @property
    def ordering(self) -> Ordering:
        """What is shown, and in which order."""
        return self._ordering

    @property
    def whereabouts(self) -> Whereabouts:
        """Where to come back to."""
        return Whereabouts(self._ordering, self.grid.current)

    def _tiles_ready(self, pids: set[bytes]) -> None:
        if self.is_attached:
            self.grid.tiles_changed(pids)

    # Showing

    @work(group="begin")
    async def _begin(self) -> None:
        """Show the photos, and only then count what the sidebar shows: that takes longer than the first screen."""
        with contextlib.suppress(WorkerError, TimeoutError):  # another search took its place; there is no room for any
            await self.load(keep_place=False).wait()
            async with asyncio.timeout(_FIRST_SCREEN_S):
                await self.tiles.shown.wait()
        self._load_places()

    @work(exclusive=True, group="load")
    async def load(self, *, keep_place: bool) -> None:
        """Show what the query finds, in the order chosen."""
        ordering = self._ordering
        try:
            contents = await self.app.library.ask(lambda library: Contents.of(library, ordering), lane="contents")
        except (Superseded, NotOpen):
            return
        except QueryError as error:
            self.query_one(SearchLine).fault(error)
            return
        except CoreError as error:
            self.say(in_a_line(error), error=True)
            return
        self.query_one(SearchLine).fault(None)
        self.grid.show(contents, keep_place=keep_place)
        if self._return_to is not None:
            self.grid.go_to(contents.photos.index(self._return_to) or 0)
            self._return_to = None
        self._tell_count(contents)
        self.query_one(Sidebar).point_at(ordering.query)

    @work(exclusive=True, group="places")
    async def _load_places(self) -> None:
        try:
            places = await Places.ask(self.app.library)
        except (Superseded, NotOpen, CoreError):
            return
        for sidebar in self.query(Sidebar):  # none where the screen is being taken apart
            sidebar.show(places)
            sidebar.point_at(self._ordering.query)

    def load_all(self) -> None:
        """Show everything again as it is now: photos, and the counts of the sidebar."""
        self.load(keep_place=True)
        self._load_places()

    def search(self, query: str) -> None:
        """Show what a query finds; a description has its photos ranked, until something else is searched for."""
        ranked = _ranks(query)
        if ranked != self._ranked:
            self._ranked = ranked
            self._ordering = Ordering(query, "score" if ranked else "taken")
        else:
            self._ordering = Ordering(query, self._ordering.sort, self._ordering.descending)
        self.load(keep_place=False)

    def _tell_count(self, contents: Contents) -> None:
        found = len(contents.photos)
        self.query_one(SearchLine).found(count(found, "photo"))
        if not found:
            self.grid.explain_emptiness(self._nothing_text())
            if self._ordering.query:
                self._tell_what_would_be_found(self._ordering.query)

    @work(exclusive=True, group="alternatives")
    async def _tell_what_would_be_found(self, query: str) -> None:
        """Say what a search that finds nothing would find without each of its terms; one question at a time."""
        found: list[tuple[int, str]] = []
        try:
            instead = await self.app.library.ask(lambda library: alternatives(library, query), lane="instead")
            for other in instead:
                photos = await self.app.library.ask(
                    lambda library, other=other: library.catalog.count(other.query),  # type: ignore[misc]
                    lane="instead",
                    background=True,
                )
                if photos:
                    found.append((photos, other.change))
        except (Superseded, NotOpen, CoreError):
            return
        if self._ordering.query == query and not len(self.grid.contents.photos):
            found.sort(key=lambda pair: -pair[0])
            lines = [f"{plain(change)}: {count(photos, 'photo')}" for photos, change in found[:_MOST_ALTERNATIVES]]
            self.grid.explain_emptiness(self._nothing_text(lines))

    def _nothing_text(self, instead: Sequence[str] = ()) -> list[str]:
        if self._ordering.query:
            would = [*instead, ""] if instead else []
            return ["Nothing is found by", "", plain(self._ordering.query), "", *would, "esc shows all photos again"]
        if self.app.importer.is_running:
            return ["The first photos are on their way."]
        return ["There are no photos here yet.", "", "i imports a folder"]

    def tell_place(self) -> None:
        """Say where the cursor is."""
        grid = self.grid
        shown = len(grid.contents.photos)
        parts = [f"{grid.cursor + 1:,} of {shown:,}"] if shown else []
        if grid.section_title:
            parts.append(grid.section_title)
        if grid.marked:
            parts.append(f"{grid.marked:,} marked")
        if grid.is_marking_range:
            parts.append("marking a range")
        if self._ordering.sort != "taken" or self._ordering.descending is not None:
            arrow = {True: " ↓", False: " ↑", None: ""}[self._ordering.descending]
            parts.append(f"by {_SORT_NAMES[self._ordering.sort]}{arrow}")
        self.status.place(" · ".join(parts))

    def say(self, text: str, *, error: bool = False) -> None:
        """Say what happened, on the line at the bottom."""
        self.status.flash(plain(text), error=error)

    # Search line and sidebar

    @on(SearchLine.Changed)
    def query_changed(self, event: SearchLine.Changed) -> None:
        """Search for what is typed, whose last word may go on."""
        self.search(event.live)

    @on(SearchLine.Done)
    def query_done(self) -> None:
        """Go to the photos."""
        line = self.query_one(SearchLine)
        # A word that was only the beginning of what it found keeps finding it, and says so.
        if self._ordering.query != line.query_text:
            line.put(self._ordering.query)
        self.grid.focus()

    @on(Sidebar.Chosen)
    def place_chosen(self, event: Sidebar.Chosen) -> None:
        """Show a line of the sidebar."""
        self.show_query(event.query)
        if self.size.width < _NARROW:
            self._sidebar_wanted = False
            self._show_sidebar()

    def show_query(self, query: str) -> None:
        """Search for a query that was not typed, and go to what it finds."""
        self.query_one(SearchLine).put(query)
        self.search(query)
        self.grid.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave the key that begins a search to whoever is typing; elsewhere it comes before all, so that the keys
        after it, however fast, are the query and not commands.
        """
        del parameters
        return not (action == "search" and isinstance(self.focused, Input))

    def action_search(self) -> None:
        """Type a query."""
        self.query_one(SearchLine).take_focus()

    def action_back_out(self) -> None:
        """Leave the search line or the sidebar; then take marks away; then show everything again."""
        grid = self.grid
        if self.focused is not grid:
            grid.focus()
        elif grid.marked or grid.is_marking_range:
            grid.action_clear_marks()
        elif self._ordering.query:
            self.show_query("")

    def action_toggle_sidebar(self) -> None:
        """Show the sidebar, or give its room to the photos."""
        sidebar = self.query_one(Sidebar)
        self._sidebar_wanted = sidebar.has_class("hidden")
        self._show_sidebar()
        if self._sidebar_wanted:
            sidebar.focus()
        else:
            self.grid.focus()

    def _show_sidebar(self) -> None:
        wanted = self._sidebar_wanted if self._sidebar_wanted is not None else self.size.width >= _NARROW
        self.query_one(Sidebar).set_class(not wanted, "hidden")

    # View

    def action_sort(self) -> None:
        """Sort by the next field."""
        keys = list(SORT_KEYS)
        following = keys[(keys.index(self._ordering.sort) + 1) % len(keys)]  # type: ignore[arg-type]
        self._ordering = Ordering(self._ordering.query, following, None)
        self.say(f"sorted by {_SORT_NAMES[following]}")
        self.load(keep_place=True)

    def action_reverse(self) -> None:
        """Turn the order round."""
        now = self._ordering.descending
        falls = self._ordering.sort != "name" if now is None else now
        self._ordering = Ordering(self._ordering.query, self._ordering.sort, not falls)
        self.load(keep_place=True)

    def action_density(self, step: int) -> None:
        """Make tiles larger or smaller."""
        here = DENSITIES.index(self.grid.density)
        self.grid.density = DENSITIES[max(0, min(here + step, len(DENSITIES) - 1))]

    def action_reload(self) -> None:
        """Read everything again."""
        self.tiles.forget()
        self.load_all()

    @work(exclusive=True, group="watch")
    async def _look_for_changes(self) -> None:
        try:
            news = await self.app.library.ask(_caught_up, lane="watch", background=True)
        except (Superseded, NotOpen):
            return
        except CoreError as error:
            self.say(str(error), error=True)
            return
        # Not what `refresh` answers: another job of the app, or a look that was given up, may have been told it.
        if news != self._shows:
            self._shows = news
            self.action_reload()
        self._keep_labels()

    @work(group="labels")
    async def _keep_labels(self) -> None:
        with contextlib.suppress(NotOpen):
            if await self._labels.look(self.app):
                self.action_reload()

    # Edits

    def edit_chosen(self, edit: Edit) -> None:
        """Make an edit to the photos that are marked, or to the one under the cursor."""
        pids = self.grid.chosen()
        if pids:
            self.change(lambda library: edit(library, pids), pids)

    @work(group="edit")
    async def change(self, work_: Callable[[Library], str], pids: list[bytes] | None = None) -> None:
        """Change the library, say what was done, and show it. `pids` are the photos that changed (None: any)."""
        try:
            said = await self.app.library.ask(work_)
        except CoreError as error:
            self.say(in_a_line(error), error=True)
            return
        except NotOpen:
            return
        self.say(said)
        self.tiles.forget(pids)
        self.load_all()

    def action_favourite(self) -> None:
        """Mark as favourites, or not."""
        self.edit_chosen(edits.favourite)

    def action_rate(self, stars: int) -> None:
        """Rate."""
        self.edit_chosen(edits.rate(stars))

    def action_trash(self) -> None:
        """Put into the trash."""
        self.edit_chosen(edits.trash)

    def action_restore(self) -> None:
        """Take out of the trash."""
        self.edit_chosen(edits.restore)

    def action_undo(self) -> None:
        """Take the newest edit back."""
        self.change(edits.undo)

    # One photo

    @on(PhotoGrid.Opened)
    def open_photo(self) -> None:
        """Show the photo under the cursor large."""
        from tui.app.screens.photo import PhotoScreen

        def back(index: int | None) -> None:
            if index is not None:
                self.grid.go_to(index)
            self.load_all()

        self.app.push_screen(PhotoScreen(self.grid.contents, self.grid.cursor, self.tiles), back)

    # Import

    def import_changed(self, state: ImportState) -> None:
        """Show how far the import is, and the photos that came."""
        if not self.is_attached:
            return
        self.status.going_on(state.line if state.running else "")
        if state.counts["added"] != self._imported_before or not state.running:
            self._imported_before = state.counts["added"] if state.running else 0
            self.load_all()
        if not state.running:
            hint = f" · {state.hint}" if state.hint else ""
            self.say(f"{state.line}{hint}", error=state.error is not None)


def _ranks(query: str) -> bool:
    try:
        return "~" in query and default_sort(query) == "score"
    except QueryError:  # said where the photos are asked for
        return False


def _caught_up(library: Library) -> int:
    library.refresh()
    return library.times_caught_up
