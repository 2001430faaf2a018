"""One photo, as large as the terminal can show it, and all that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Static

from core import labelling, teaching, vocabulary
from core.errors import CoreError
from tui.app import edits
from tui.app.error_lines import in_a_line
from tui.app.keys import PHOTO, bindings
from tui.app.screen_work import work
from tui.app.screens.ask import AskScreen
from tui.app.screens.choices import known_values
from tui.app.screens.photo_date import DateScreen
from tui.app.screens.photo_original import PhotoOriginal
from tui.app.screens.text import TextScreen
from tui.app.widgets.key_line import KeyLine
from tui.app.widgets.photo_facts import PhotoFacts
from tui.app.widgets.picture_view import PictureView, words_for
from tui.app.widgets.status_line import StatusLine
from tui.app.workers.library_thread import NotOpen, Superseded
from tui.app.workers.pictures import Pictures
from tui.cli.commands.why import explanation_lines
from tui.cli.output import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult

    from core.catalog import PhotoRecord, ThumbRef
    from core.labelling import Explanation
    from core.library import Library
    from tui.app.app import SafelightApp
    from tui.app.edits import Edit
    from tui.app.grid.contents import Contents
    from tui.app.workers.tile_store import TileStore

_NARROW = 80


class PhotoScreen(PhotoOriginal, Screen[int]):
    """Shows the photos of a grid one by one; its result is where the grid's cursor goes."""

    app: SafelightApp
    AUTO_FOCUS: ClassVar[str] = ""
    BINDINGS = bindings(PHOTO)
    DEFAULT_CSS = """
    PhotoScreen {
        & #body { height: 1fr; }
        & #notice { height: auto; max-height: 3; padding: 0 1; background: $panel; color: $warning; display: none; }
    }
    """

    def __init__(self, contents: Contents, index: int, tiles: TileStore) -> None:
        """Begin with photo `index` of `contents`; `tiles` knows the records of those that were on the screen."""
        super().__init__()
        self._contents = contents
        self._index = index
        self._tiles = tiles
        self._record: PhotoRecord | None = None
        self._brought: bytes | None = None
        self._facts_wanted: bool | None = None
        self.pictures = Pictures(self.app.library)

    def compose(self) -> ComposeResult:
        """Lay out picture, facts, status and keys."""
        with Horizontal(id="body"):
            yield PictureView(id="picture")
            yield PhotoFacts(id="facts-panel")
        yield Static("", id="notice", markup=False)
        yield StatusLine(id="status")
        yield KeyLine()

    def on_mount(self) -> None:
        """Show the first photo."""
        self.picture.attach(self.pictures)
        self._show_facts()
        self._show(same=False)

    async def on_unmount(self) -> None:
        """End the threads."""
        await self.pictures.close()

    def on_resize(self) -> None:
        """Give a narrow terminal to the picture."""
        self._show_facts()

    @property
    def picture(self) -> PictureView:
        """The picture."""
        return self.query_one(PictureView)

    @property
    def facts(self) -> PhotoFacts:
        """The panel of facts."""
        return self.query_one(PhotoFacts)

    @property
    def pid(self) -> bytes:
        """The photo that is shown."""
        return self._contents.photos[self._index]

    @work(exclusive=True, group="show")
    async def _show(self, *, same: bool) -> None:
        pid = self.pid
        try:
            found = await self.app.library.ask(lambda library: _known(library, pid), lane="photo")
        except (Superseded, NotOpen):
            return
        if found is None:
            self.say("this photo is gone", error=True)
            return
        record, place = found
        turned = self._record is not None and same and self._record.rotation != record.rotation
        self._record = record
        self.facts.show(record, keep_choice=same)
        self._tell_place()
        # An edit must not end what brings the picture, which may still be on its way.
        if turned or not same or self._brought != pid:
            self._brought = pid
            self._bring(record, place, keep_view=same and not turned)

    @work(exclusive=True, group="picture")
    async def _bring(self, record: PhotoRecord, place: ThumbRef | None, *, keep_view: bool) -> None:
        async for picture in self.pictures.stages(record, place, quick_first=self.picture.has_cheap_stages):
            self.picture.describe(words_for(record, picture.problem))
            self.picture.show(picture.image, same=keep_view)
            keep_view = keep_view or picture.image is not None
        problem = picture.problem or ""
        self.notice(f"{problem} · g gets it from a relay" if problem and picture.elsewhere else problem)
        self._prefetch()

    def notice(self, text: str) -> None:
        """Say above the status line what holds for this photo, until another one is shown."""
        notice = self.query_one("#notice", Static)
        if notice.content != plain(text):
            notice.update(plain(text))
            notice.display = bool(text)

    def show_anew(self) -> None:
        """Show the photo again: there is more of it now."""
        self.pictures.forget(self.pid)
        self.picture.ask_again()
        self._brought = None
        self._show(same=True)

    def _prefetch(self) -> None:
        photos = self._contents.photos
        near = [photos[at] for at in (self._index + 1, self._index - 1) if 0 <= at < len(photos)]
        tiles = ((pid, self._tiles.get(pid)) for pid in near)
        self.pictures.prefetch([(pid, tile.record.rotation if tile is not None else 0) for pid, tile in tiles])

    def _tell_place(self) -> None:
        record = self._record
        if record is None:
            return
        zoom = f" · {self.picture.view.zoom:g} x" if self.picture.view.zoom > 1 else ""
        marks = " ".join(
            part
            for part in (
                "♥" if record.favourite else "",
                "★" * record.rating,
                "in the trash" if record.trashed_at is not None else "",
            )
            if part
        )
        name = plain(record.filename or record.id[:8])
        place = f"{self._index + 1:,} of {len(self._contents.photos):,}"
        self.query_one(StatusLine).place(f"{place} · {name}{zoom}" + (f" · {marks}" if marks else ""))

    def _show_facts(self) -> None:
        wanted = self._facts_wanted if self._facts_wanted is not None else self.size.width >= _NARROW
        self.facts.set_class(not wanted, "hidden")

    def say(self, text: str, *, error: bool = False) -> None:
        """Say what happened."""
        self.query_one(StatusLine).flash(plain(text), error=error)

    # Going about

    def action_back(self) -> None:
        """Go back to the grid, to this photo."""
        self.dismiss(self._index)

    def action_step(self, step: int) -> None:
        """Show another photo."""
        index = self._index + step
        if 0 <= index < len(self._contents.photos):
            self._index = index
            self._show(same=False)
        else:
            self.say("this is the last one" if step > 0 else "this is the first one")

    def action_toggle_facts(self) -> None:
        """Show the facts, or give their room to the picture."""
        self._facts_wanted = self.facts.has_class("hidden")
        self._show_facts()

    def action_zoom(self, step: int) -> None:
        """Look closer, or at more of it."""
        self.picture.look(self.picture.view.zoomed(step))
        self._tell_place()

    @on(PictureView.WantsMore)
    @work(exclusive=True, group="closer")
    async def look_closer(self) -> None:
        """Show the pixels of the original, where it is here."""
        record = self._record
        if record is None or not self.picture.can_show_more(max(record.width, record.height)):
            return
        picture = await self.pictures.closer(record.pid, record.rotation)
        if self._record is None or (self._record.pid, self._record.rotation) != (record.pid, record.rotation):
            return
        if picture.image is not None:
            self.picture.show(picture.image, same=True)
        elif picture.problem is not None:
            self.say(picture.problem + (" · g gets it" if picture.elsewhere else ""))

    def action_pan(self, right: int, down: int) -> None:
        """Look at another part."""
        self.picture.look(self.picture.view.panned(right, down))

    def action_similar(self) -> None:
        """Show what is like this photo."""
        from tui.app.screens.similar import SimilarScreen

        def back(_: None) -> None:
            self._show(same=True)

        self.app.push_screen(SimilarScreen(self.pid), back)

    # Labels

    def action_choose(self, step: int) -> None:
        """Choose another label."""
        self.facts.choose(step)

    def action_confirm(self) -> None:
        """Say that the chosen label is right: it holds whatever a model says."""
        chosen = self.facts.chosen
        if chosen is not None:
            self._change(edits.add_label(chosen.name), f"confirmed: {chosen.name}")

    def action_reject(self) -> None:
        """Say that the chosen label is wrong: no model gives it again."""
        chosen = self.facts.chosen
        if chosen is not None:
            self._change(edits.remove_label(chosen.name), f"rejected: {chosen.name}")

    @work(group="ask")
    async def action_add_label(self) -> None:
        """Ask for a label, and add it."""
        name = await self.app.push_screen_wait(
            AskScreen("Label this photo", placeholder="a label, known or new", suggest=known_values(self, "label"))
        )
        if name and name.strip():
            self._change(edits.add_label(name))

    @work(group="ask")
    async def action_why(self) -> None:
        """Show how the photo came to the chosen label, or to all of them."""
        record, chosen = self._record, self.facts.chosen
        if record is None:
            return
        label = None if chosen is None else chosen.name
        try:
            # It may read the vectors of all photos: what is asked of the library meanwhile must not wait for that.
            explanation = await self.app.syncing.errand(lambda _: _explained(self.app.library.library, record, label))
        except NotOpen:
            return
        except CoreError as error:
            self.say(str(error), error=True)
            return
        lines = list(explanation_lines(explanation, missed=label is not None))
        title = "Why these labels" if label is None else f"Why {plain(label)}"
        await self.app.push_screen_wait(TextScreen(title, lines or ["Neither a model nor you said anything of it."]))

    # Edits

    @work(group="ask")
    async def action_caption(self) -> None:
        """Ask for a caption."""
        before = "" if self._record is None else self._record.caption
        text = await self.app.push_screen_wait(AskScreen("Caption", value=before, placeholder="a caption"))
        if text is not None and text.strip() != before:
            self._change(edits.caption(text))

    @work(group="ask")
    async def action_date(self) -> None:
        """Ask when the photo was taken."""
        before = (self._record.taken_at or "") if self._record is not None else ""
        pid = self.pid

        async def correct(typed: str) -> str | None:
            try:
                said = await self.app.library.ask(lambda library: edits.taken(typed)(library, [pid]))
            except CoreError as error:
                return in_a_line(error)
            except NotOpen:
                return None
            self._changed(said)
            return None

        await self.app.push_screen_wait(DateScreen(before, correct))

    @work(group="ask")
    async def action_add_to_album(self) -> None:
        """Ask for an album."""
        name = await self.app.push_screen_wait(
            AskScreen("Put into an album", placeholder="an album, known or new", suggest=known_values(self, "album"))
        )
        if name and name.strip():
            self._change(edits.into_album(name))

    def action_favourite(self) -> None:
        """Mark as favourite, or not."""
        self._change(edits.favourite)

    def action_rate(self, stars: int) -> None:
        """Rate."""
        self._change(edits.rate(stars))

    def action_rotate(self, degrees: int) -> None:
        """Turn."""
        self._change(edits.rotate(degrees))

    def action_trash(self) -> None:
        """Put into the trash, or take out of it."""
        self._change(edits.trash_or_restore)

    def action_undo(self) -> None:
        """Take the newest edit back."""
        self._carry_out(edits.undo, None)

    def _change(self, edit: Edit, said: str | None = None) -> None:
        pid = self.pid
        self._carry_out(lambda library: edit(library, [pid]), said)

    @work(group="edit")
    async def _carry_out(self, change: Callable[[Library], str], said: str | None) -> None:
        try:
            told = await self.app.library.ask(change)
        except CoreError as error:
            self.say(in_a_line(error), error=True)
            return
        except NotOpen:
            return
        self._changed(said or told)

    def _changed(self, said: str) -> None:
        self.say(said)
        self._tiles.forget()
        self._show(same=True)


def _known(library: Library, pid: bytes) -> tuple[PhotoRecord, ThumbRef | None] | None:
    record = library.catalog.photo(pid)
    return None if record is None else (record, library.catalog.thumbnail(pid))


def _explained(library: Library, record: PhotoRecord, label: str | None) -> Explanation:
    taught = teaching.reasons(library, record.pid, label)
    words = vocabulary.reasons(library, record.pid, label)
    return labelling.explain(library, record.document, record.pid, label, taught=taught, words=words)
