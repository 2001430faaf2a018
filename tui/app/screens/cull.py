"""Culling: one photo after the other as large as it can be shown, near-duplicates beside each other."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal
from textual.screen import Screen

from core import culling
from core.duplicates import find_duplicates
from core.errors import CoreError
from tui.app.culling import MOST_TOGETHER
from tui.app.error_lines import in_a_line
from tui.app.keys import CULL, bindings
from tui.app.screen_work import while_there, work
from tui.app.screens.cull_summary import CullSummaryScreen, summary_lines
from tui.app.widgets.cull_tile import CullTile
from tui.app.widgets.key_line import KeyLine
from tui.app.widgets.picture_view import PictureView, words_for
from tui.app.widgets.status_line import StatusLine
from tui.app.workers.library_thread import NotOpen, Superseded
from tui.app.workers.pictures import Pictures
from tui.cli.output import count, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from core.catalog import PhotoRecord, ThumbRef
    from core.library import Library
    from tui.app.app import SafelightApp
    from tui.app.culling import CullRound

_KEPT_PICTURES = 3 * MOST_TOGETHER
_KEPT_RECORDS = 400


class CullScreen(Screen[str]):
    """Goes through a round of culling; its result is what to say of it."""

    app: SafelightApp
    AUTO_FOCUS: ClassVar[str] = ""
    BINDINGS = bindings(CULL)
    DEFAULT_CSS = """
    CullScreen #tiles { height: 1fr; }
    """

    def __init__(self, culled: CullRound) -> None:
        """Look at the photos of a round, which has at least one."""
        super().__init__()
        self.round = culled
        self._known: OrderedDict[bytes, tuple[PhotoRecord, ThumbRef | None]] = OrderedDict()
        self.pictures = Pictures(self.app.library, kept=_KEPT_PICTURES)

    def compose(self) -> ComposeResult:
        """Lay out room for pictures, status and keys."""
        with Horizontal(id="tiles"):
            for number in range(MOST_TOGETHER):
                yield CullTile(number)
        yield StatusLine(id="status")
        yield KeyLine()

    def on_mount(self) -> None:
        """Show the first photo, and look for near-duplicates meanwhile."""
        for tile in self.tiles:
            tile.picture.attach(self.pictures)
        self._show()
        self._find_duplicates()

    async def on_unmount(self) -> None:
        """End the threads."""
        await self.pictures.close()

    def on_resize(self) -> None:
        """Cut what is said to the new width."""
        self.call_after_refresh(self._tell)

    @property
    def tiles(self) -> list[CullTile]:
        """All tiles, those that are not used now included."""
        return list(self.query(CullTile))

    def say(self, text: str, *, error: bool = False) -> None:
        """Say what happened."""
        self.query_one(StatusLine).flash(plain(text), error=error)

    # Showing

    @work(exclusive=True, group="show")
    async def _show(self) -> None:
        here = self.round.here
        # What was fetched ahead is there at once, and the photo changes with the key.
        if any(pid not in self._known for pid in here):
            await self._fetch_records(here)
        for pid in here:
            if pid in self._known:  # those that were seen longest ago are forgotten first
                self._known.move_to_end(pid)
        for tile in self.tiles:
            used = tile.number < len(here)
            if not used and not tile.has_class("unused"):
                tile.picture.show(None, same=False)
            tile.set_class(not used, "unused")
        self._tell()
        self.call_after_refresh(self._tell)
        for number, pid in enumerate(here):
            self._show_picture(number, pid)
        await self._prefetch()

    async def _fetch_records(self, pids: Sequence[bytes]) -> None:
        try:
            found = await self.app.library.ask(lambda library: _known(library, pids))
        except (Superseded, NotOpen):
            return
        self._known.update(found)
        while len(self._known) > _KEPT_RECORDS:
            self._known.popitem(last=False)

    def _show_picture(self, number: int, pid: bytes) -> None:
        self.run_worker(self._bring(number, pid), exclusive=True, group=f"picture {number}")

    @while_there
    async def _bring(self, number: int, pid: bytes) -> None:
        view = self.tiles[number].picture
        known = self._known.get(pid)
        if known is None:
            view.describe(["this photo is gone"])
            view.show(None, same=False)
            return
        record, place = known
        began = False
        async for picture in self.pictures.stages(record, place, quick_first=view.has_cheap_stages):
            view.describe(words_for(record, picture.problem))
            view.show(picture.image, same=began)
            began = picture.image is not None

    async def _prefetch(self) -> None:
        at = self.round.stop
        near = [pid for stop in (at + 1, at + 2, at - 1) for pid in self._stop(stop)][:_KEPT_PICTURES]
        missing = [pid for pid in near if pid not in self._known]
        if missing:
            await self._fetch_records(missing)
        room = _KEPT_PICTURES - len(self.round.here)
        known = [self._known[pid][0] for pid in near if pid in self._known]
        self.pictures.prefetch([(record.pid, record.rotation) for record in known[:room]])

    def _stop(self, at: int) -> tuple[bytes, ...]:
        return self.round.stops[at] if 0 <= at < len(self.round.stops) else ()

    def _tell(self) -> None:
        here = self.round.here
        tiles = self.tiles
        for number, pid in enumerate(here):
            record = self._record(pid)
            tiles[number].tell(record, self.round.of(pid), focused=number == self.round.focus, alone=len(here) == 1)
        parts = [f"{self.round.place:,} of {self.round.total:,}"]
        parts += [f"{self.round.count('keep'):,} kept", f"{self.round.count('reject'):,} rejected"]
        zoom = tiles[0].picture.view.zoom
        parts += [f"{zoom:g} x"] if zoom > 1 else []
        self.query_one(StatusLine).place(" · ".join(parts))

    def _record(self, pid: bytes) -> PhotoRecord | None:
        known = self._known.get(pid)
        return None if known is None else known[0]

    @work(exclusive=True, group="duplicates")
    async def _find_duplicates(self) -> None:
        status = self.query_one(StatusLine)
        status.going_on("looking for near-duplicates")
        library, among = self.app.library, self.round.photos
        try:
            groups = await self.app.syncing.errand(lambda _: find_duplicates(library.library, among=among))
        except (NotOpen, CoreError) as error:
            self.say(f"near-duplicates cannot be found: {error}", error=True)
            return
        finally:
            status.going_on("")
        here = self.round.here
        # Of a hundred thousand photos it takes a while, in which keys are pressed.
        found = [group.photos for group in groups]
        while not self.round.follow(await asyncio.to_thread(self.round.arrange, found)):
            here = self.round.here
        if self.round.here != here:
            self._show()
        else:
            self._tell()
            await self._prefetch()

    # Decisions

    def action_keep(self) -> None:
        """Keep this photo; those beside it are rejected unless they were kept."""
        self._go_on(self.round.keep())

    def action_keep_all(self) -> None:
        """Keep all that are beside each other."""
        self._go_on(self.round.keep_all())

    def action_reject(self) -> None:
        """Reject this photo."""
        self._go_on(self.round.reject())

    def action_favourite(self) -> None:
        """Mark as favourite, or not."""
        focused = self.round.focused
        record = None if focused is None else self._record(focused)
        if focused is not None and record is not None:
            now = self.round.of(focused).favourite
            self.round.favourite(wanted=not (record.favourite if now is None else now))
            self._tell()

    def action_rate(self, stars: int) -> None:
        """Rate."""
        self.round.rate(stars)
        self._tell()

    def action_undo(self) -> None:
        """Take the last decision back, and go where it was made."""
        if self.round.undo():
            self._show()
        else:
            self.say("nothing was decided yet")

    def action_move(self, step: int) -> None:
        """Go to another photo, without deciding."""
        before = self.round.stop
        if not self.round.move(step):
            self.say("this is the last one" if step > 0 else "this is the first one")
        elif self.round.stop == before:
            self._tell()
        else:
            self._show()

    @on(CullTile.Clicked)
    def tile_clicked(self, event: CullTile.Clicked) -> None:
        """Point at what was clicked."""
        self.round.point_at(event.number)
        self._tell()

    def _go_on(self, more: bool) -> None:
        if more:
            self._show()
        else:
            self._tell()
            self.action_leave()

    # Looking closer: at all that are beside each other, to compare the same part of them

    def action_zoom(self, step: int) -> None:
        """Look closer, or at more of it."""
        for tile in self.tiles[: len(self.round.here)]:
            tile.picture.look(tile.picture.view.zoomed(step))
        self._tell()

    def action_pan(self, right: int, down: int) -> None:
        """Look at another part."""
        for tile in self.tiles[: len(self.round.here)]:
            tile.picture.look(tile.picture.view.panned(right, down))

    @on(PictureView.WantsMore)
    def look_closer(self, event: PictureView.WantsMore) -> None:
        """Show the pixels of the original, where it is here."""
        shown = zip(self.tiles, self.round.here, strict=False)
        pid = next((pid for tile, pid in shown if tile.picture is event.view), None)
        record = None if pid is None else self._record(pid)
        if record is not None and event.view.can_show_more(max(record.width, record.height)):
            self.run_worker(self._bring_closer(event.view, record), group=f"closer {record.id}", exclusive=True)

    @while_there
    async def _bring_closer(self, view: PictureView, record: PhotoRecord) -> None:
        picture = await self.pictures.closer(record.pid, record.rotation)
        if picture.image is not None and record.pid in self.round.here and view.view.zoom > 1:
            view.show(picture.image, same=True)

    # The end

    def ask_before_leaving(self) -> bool:
        """Ask what becomes of the decisions, if there are any; tells whether it did."""
        if not self.round.has_decisions:
            return False
        self.action_leave()
        return True

    @work(exclusive=True, group="ask")
    async def action_leave(self) -> None:
        """Ask what becomes of the decisions, do it, and go back."""
        if not self.round.has_decisions:
            self.dismiss("culling: nothing was decided, nothing is changed")
            return
        ending = await self.app.push_screen_wait(CullSummaryScreen(summary_lines(self.round)))
        if ending == "throw away":
            self.dismiss("culling: nothing is changed")
        elif ending == "carry out":
            result = self.round.result()
            try:
                await self.app.library.ask(lambda library: culling.carry_out(library, result))
            except CoreError as error:
                self.say(in_a_line(error), error=True)
                return
            except NotOpen:
                return
            kept, rejected = self.round.count("keep"), len(result.rejected)
            self.dismiss(f"culled: {kept:,} kept, {count(rejected, 'photo')} into the trash")


def _known(library: Library, pids: Sequence[bytes]) -> dict[bytes, tuple[PhotoRecord, ThumbRef | None]]:
    places = library.catalog.thumbnails(pids)
    return {record.pid: (record, places.get(record.pid)) for record in library.catalog.photos(pids)}
