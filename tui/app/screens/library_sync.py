"""What the library screen has to do with other devices: how sync is, and the ways to devices, relays and alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.screen import Screen

from tui.app.screen_work import work
from tui.app.widgets.sidebar import Sidebar
from tui.app.widgets.status_line import StatusLine
from tui.app.workers.library_thread import NotOpen
from tui.cli.output import plain

if TYPE_CHECKING:
    from core.library import Library
    from tui.app.app import SafelightApp
    from tui.app.workers.syncing import SyncState


def relay_urls(library: Library) -> list[str]:
    """Return the relays in use. What it needs is imported where it runs, in the library's thread."""
    from core.sync.relays import Relays

    return Relays(library).urls()


class LibrarySync(Screen[None]):
    """Sync and its screens; a part of the library screen."""

    app: SafelightApp
    _shown_changes = _shown_fetched = 0

    def say(self, text: str, *, error: bool = False) -> None:
        """Say what happened."""
        raise NotImplementedError

    def load_all(self) -> None:
        """Show everything again as it is now."""
        raise NotImplementedError

    def action_reload(self) -> None:
        """Read everything again."""
        raise NotImplementedError

    def sync_changed(self, state: SyncState) -> None:
        """Say how sync is, and show what came in."""
        if not self.is_attached:
            return
        self.query_one(StatusLine).sync(plain(state.line), wrong=bool(state.unseen or state.error))
        if state.news:
            self.say(state.news, error=bool(state.troubles or state.error))
        if state.changes != self._shown_changes:
            self._shown_changes = state.changes
            if state.fetched != self._shown_fetched:
                self._shown_fetched = state.fetched
                self.action_reload()
            else:
                self.load_all()  # the pictures are as they were

    @work(group="sync now", exclusive=True)
    async def action_sync_now(self) -> None:
        """Sync with all relays, now."""
        try:
            urls = await self.app.library.ask(relay_urls)
        except NotOpen:
            return
        if urls:
            await self.app.syncing.again()
        else:
            self.say("no relay is in use: N adds one", error=True)

    @on(Sidebar.DevicesWanted)
    def action_devices(self) -> None:
        """Show the devices."""
        from tui.app.screens.devices import DevicesScreen

        self.app.push_screen(DevicesScreen())

    def action_relays(self) -> None:
        """Show the relays."""
        from tui.app.screens.relays import RelaysScreen

        self.app.push_screen(RelaysScreen())

    def action_alarms(self) -> None:
        """Show the alarms."""
        from tui.app.screens.alarms import AlarmsScreen

        self.app.push_screen(AlarmsScreen())
