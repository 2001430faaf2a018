"""What the library screen asks: labels, albums, saved searches, folders. Each answer becomes one edit or one search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.fuzzy import Matcher

from core.edits import remember_search
from core.errors import QueryError
from core.query import parse
from core.query.nodes import Near
from tui.app import edits
from tui.app.screen_work import work
from tui.app.screens.ask import AskScreen, Choice
from tui.app.widgets.sidebar import Places, Sidebar
from tui.app.workers.folders import typed_path
from tui.app.workers.library_thread import NotOpen, Superseded
from tui.cli.output import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.screen import Screen

    from core.library import Library
    from tui.app.screens.ask import Suggest
    from tui.app.screens.library import LibraryScreen

_MOST = 40


def known_values(screen: Screen[Any], field: str) -> Suggest:
    """Return what suggests the library's values of a field: `label` or `album`."""
    library = screen.app.library  # type: ignore[attr-defined]  # every screen is SafelightApp's

    async def suggest(typed: str) -> Sequence[Choice]:
        found = await library.ask(lambda one: one.catalog.suggestions(field, typed, _MOST), lane=f"ask {field}")
        return [Choice(value.text, f"{value.photos:,}") for value in found]

    return suggest


class LibraryChoices:
    """The questions; mixed into the library screen."""

    @work(group="ask")
    async def action_add_label(self: LibraryScreen) -> None:
        """Ask for a label, and put it on the photos."""
        pids = self.grid.chosen()
        if not pids:
            return
        title = f"Label {count(len(pids), 'photo')}"
        name = await self.app.push_screen_wait(
            AskScreen(title, placeholder="a label, known or new", suggest=known_values(self, "label"))
        )
        if name and name.strip():
            self.change(lambda library: edits.add_label(name)(library, pids), pids)

    @work(group="ask")
    async def action_remove_label(self: LibraryScreen) -> None:
        """Ask for a label of the photos, and take it off."""
        pids = self.grid.chosen()
        if not pids:
            return

        async def suggest(typed: str) -> Sequence[Choice]:
            counts = await self.app.library.ask(lambda library: _labels_of(library, pids), lane="ask label")
            return _like(typed, [Choice(name, f"{photos:,}") for name, photos in counts])

        name = await self.app.push_screen_wait(
            AskScreen(f"Take a label off {count(len(pids), 'photo')}", suggest=suggest, only_listed=True)
        )
        if name:
            self.change(lambda library: edits.remove_label(name)(library, pids), pids)

    @work(group="ask")
    async def action_add_to_album(self: LibraryScreen) -> None:
        """Ask for an album, and put the photos into it."""
        pids = self.grid.chosen()
        if not pids:
            return
        name = await self.app.push_screen_wait(
            AskScreen(
                f"Put {count(len(pids), 'photo')} into an album",
                placeholder="an album, known or new",
                suggest=known_values(self, "album"),
            )
        )
        if name and name.strip():
            self.change(lambda library: edits.into_album(name)(library, pids), pids)

    @work(group="ask")
    async def action_leave_album(self: LibraryScreen) -> None:
        """Ask for an album of the photos, and take them out of it."""
        pids = self.grid.chosen()
        if not pids:
            return
        name = await self.app.push_screen_wait(
            AskScreen(
                f"Take {count(len(pids), 'photo')} out of an album",
                suggest=known_values(self, "album"),
                only_listed=True,
            )
        )
        if name:
            self.change(lambda library: edits.out_of_album(name)(library, pids), pids)

    @work(group="ask")
    async def action_go_to_list(self: LibraryScreen) -> None:
        """Ask for a label, album or saved search by a few of its letters, and show it."""
        sidebar = self.query_one(Sidebar)
        if not sidebar.places.all():
            try:
                sidebar.show(await Places.ask(self.app.library))
            except Superseded:
                pass  # the sidebar asked again itself, and shows it soon
            except NotOpen:
                return

        async def suggest(typed: str) -> Sequence[Choice]:
            choices = [
                Choice(place.query, "" if place.photos is None else f"{place.photos:,}", place.title)
                for place in sidebar.places.all()
            ]
            return _like(typed, choices)

        query = await self.app.push_screen_wait(
            AskScreen("Go to", placeholder="label, album or saved search", suggest=suggest, only_listed=True)
        )
        if query is not None:
            self.show_query(query)

    @work(group="ask")
    async def action_name_place(self: LibraryScreen) -> None:
        """Ask what to call the place whose photos are shown."""
        try:
            shown = parse(self.ordering.query).root
        except QueryError:
            shown = None
        if not isinstance(shown, Near):
            self.say("choose a place in the sidebar first, or search with near:", error=True)
            return
        here = f"{shown.latitude:.2f}, {shown.longitude:.2f}"
        name = await self.app.push_screen_wait(
            AskScreen(f"Name the place at {here}", placeholder="its name; nothing takes it away")
        )
        if name is not None:

            def call(library: Library) -> str:
                from core.places import name_place

                kept = name_place(library, shown.latitude, shown.longitude, name)
                return f"this place is {kept}" if kept else "this place has no name"

            self.change(call, [])

    @work(group="ask")
    async def action_save_search(self: LibraryScreen) -> None:
        """Ask for a name, and keep the query under it."""
        query = self.ordering.query
        if not query:
            self.say("type a query first: / begins one", error=True)
            return
        name = await self.app.push_screen_wait(AskScreen("Save this search", placeholder="its name", hint=query))
        if name and name.strip():

            def save(library: Library) -> str:
                remember_search(library, name, query)
                return f"saved as {name.strip()}"

            self.change(save, [])

    @work(group="ask")
    async def action_forget_search(self: LibraryScreen) -> None:
        """Ask for a saved search, and forget it."""
        saved = await self.app.library.ask(lambda library: library.catalog.library_values("search"))
        if not saved:
            self.say("there are no saved searches", error=True)
            return

        async def suggest(typed: str) -> Sequence[Choice]:
            return _like(typed, [Choice(name) for name in saved])

        name = await self.app.push_screen_wait(AskScreen("Forget a saved search", suggest=suggest, only_listed=True))
        if name:

            def forget(library: Library) -> str:
                remember_search(library, name, None)
                return f"{name} forgotten"

            self.change(forget, [])

    @work(group="ask")
    async def action_import_photos(self: LibraryScreen) -> None:
        """Ask for a folder and import it; while an import runs, show that one."""
        from tui.app.screens.importing import ImportAskScreen, ImportScreen

        importer = self.app.importer
        if importer.is_running:
            self.app.push_screen(ImportScreen())
            return
        question = ImportAskScreen()
        typed = await self.app.push_screen_wait(question)
        if not typed or not typed.strip():
            return
        try:
            path = typed_path(typed)
        except OSError:
            self.say(f"there is nothing at {typed.strip()}", error=True)
            return
        importer.start(question.wish(path), self.import_changed)
        self.status.going_on("importing…")


def _labels_of(library: Library, pids: Sequence[bytes]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for photo in library.catalog.photos(pids):
        for label in photo.labels:
            counts[label.name] = counts.get(label.name, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _like(typed: str, choices: Sequence[Choice]) -> list[Choice]:
    """Return the choices that have the typed letters in their order, the best first."""
    if not typed.strip():
        return list(choices)[:_MOST]
    matcher = Matcher(typed.strip())
    scored = [(matcher.match(choice.shown), at) for at, choice in enumerate(choices)]
    return [choices[at] for score, at in sorted(scored, key=lambda pair: (-pair[0], pair[1])) if score > 0][:_MOST]
