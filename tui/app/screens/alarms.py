"""The alarms: what is wrong, what to do, and forgetting them once it is done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text

from core.errors import CoreError
from tui.app.keys import ALARMS, bindings
from tui.app.screen_work import work
from tui.app.screens.ask import ConfirmScreen
from tui.app.screens.listing import ListingScreen
from tui.app.workers.library_thread import NotOpen
from tui.cli.output import count, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.library import Library
    from core.sync.alarms import KeptAlarm

_WHAT_THEY_ARE = (
    "Something a relay or another device did that none should. Nothing here stops you from working; "
    "do what the alarm says, then clear it. What still holds is raised again."
)


class AlarmsScreen(ListingScreen):
    """All alarms that are kept, and those that the library has of itself."""

    TITLE = "Alarms"
    BINDINGS = bindings(ALARMS)

    def __init__(self) -> None:
        """Show nothing yet."""
        super().__init__()
        self._kept: Sequence[KeptAlarm] = ()

    def on_mount(self) -> None:
        """Read them."""
        self.action_reload()

    @work(exclusive=True, group="read")
    async def action_reload(self) -> None:
        """Read them again."""
        try:
            own, kept = await self.app.library.ask(_alarms)
        except NotOpen:
            return
        except CoreError as error:
            self.complain(error)
            return
        self._kept = kept
        self.list_rows([*own, *map(_row, kept)], "No alarms: everything that came from elsewhere held.")
        self.about(_WHAT_THEY_ARE if own or kept else "")
        self.app.syncing.saw_alarms(kept)

    @work(group="ask")
    async def action_clear(self) -> None:
        """Forget them all."""
        number = len(self._kept)
        if not number:
            self.say("there is nothing to clear")
            return
        question = f"Forget {count(number, 'alarm')}? Do what they say first: this device remembers them no longer."
        if not await self.app.push_screen_wait(ConfirmScreen("Clear alarms", question, yes="Clear")):
            return
        try:
            await self.app.library.ask(_clear)
        except NotOpen:
            return
        except CoreError as error:
            self.complain(error)
            return
        self.say(f"cleared {count(number, 'alarm')}")
        self.action_reload()


def _alarms(library: Library) -> tuple[list[Text], list[KeptAlarm]]:
    from core.sync.alarms import SyncAlarms

    own = [_words(alarm.name, str(alarm), alarm.hint, "of this device's own files") for alarm in library.alarms]
    return own, SyncAlarms(library).list()


def _clear(library: Library) -> None:
    from core.sync.alarms import SyncAlarms

    SyncAlarms(library).clear()


def _row(alarm: KeptAlarm) -> Text:
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(alarm.at)) if alarm.at else ""
    return _words(alarm.name, alarm.message, alarm.hint, " · ".join(filter(None, (since, plain(alarm.relay or "")))))


def _words(name: str, message: str, hint: str | None, where: str) -> Text:
    row = Text.assemble((f"⚠ {name}", "bold"), "  ", (where, "dim"), "\n  ", plain(message), overflow="fold")
    if hint:
        row.append(f"\n  → {plain(hint)}", style="italic")
    return row
