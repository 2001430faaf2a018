"""The relays: whether they answer, what they hold, and which are used."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text

from core.errors import CoreError, RelayRefused
from tui.app.keys import RELAYS, bindings
from tui.app.screen_work import work
from tui.app.screens.ask import AskScreen, ConfirmScreen
from tui.app.screens.library_sync import relay_urls
from tui.app.screens.listing import ListingScreen
from tui.app.workers.library_thread import NotOpen
from tui.cli.output import file_size, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.library import Library
    from core.sync.standing import RelayStanding

_NONE = "No relay is in use. a uses one: the devices of a library meet there, and it can read nothing."


class RelaysScreen(ListingScreen):
    """The relays that the library uses."""

    TITLE = "Relays"
    BINDINGS = bindings(RELAYS)

    def __init__(self) -> None:
        """Show nothing yet."""
        super().__init__()
        self._urls: Sequence[str] = ()

    def on_mount(self) -> None:
        """Ask them."""
        self.action_reload()

    @work(exclusive=True, group="read")
    async def action_reload(self) -> None:
        """Ask every relay how it is; the list is there before they answer."""
        try:
            thread = self.app.library
            self._urls, name = await thread.ask(lambda one: (relay_urls(one), one.library_id.hex()))
            self.about(f"Library {name} (its name at relays, for their owners)" if self._urls else "")
            self.list_rows([Text.assemble((plain(url), "bold"), "\n  asking…") for url in self._urls], _NONE)
            if not self._urls:
                return
            library = thread.library
            found = await self.app.syncing.errand(lambda _stop: _standings(library))
        except NotOpen:
            return
        except CoreError as error:
            self.complain(error)
            return
        self._urls = [one.url for one in found]
        self.list_rows(map(_row, found), _NONE)

    @work(group="ask")
    async def action_use(self) -> None:
        """Use one more relay; where it wants an invite, that is asked for."""
        url = await self.app.push_screen_wait(
            AskScreen("Use a relay", placeholder="https://…", hint="All devices of the library will use it, too.")
        )
        if not url or not url.strip():
            return
        url = url.strip()
        try:
            used = await self._use(url, None)
        except RelayRefused as refused:
            self.say("")
            invite = await self.app.push_screen_wait(
                AskScreen(
                    "Invite of the relay's owner",
                    placeholder="one word",
                    hint=f"{refused}",
                )
            )
            if not invite or not invite.strip():
                self.complain(refused)
                return
            try:
                used = await self._use(url, invite.strip())
            except CoreError as error:
                self.complain(error)
                return
        except CoreError as error:
            self.complain(error)
            return
        self.say(f"this library uses {used} from now on")
        self.action_reload()
        await self.app.syncing.again()

    async def _use(self, url: str, invite: str | None) -> str:
        self.say(f"asking {url}…")
        library = self.app.library.library
        return await self.app.syncing.errand(lambda _stop: _use(library, url, invite))

    @work(group="ask")
    async def action_remove(self) -> None:
        """Stop using the relay that is chosen."""
        place = self.place
        if place is None or place >= len(self._urls):
            return
        url = self._urls[place]
        last = " It is the only one: then nothing is synced any more." if len(self._urls) == 1 else ""
        question = (
            f"Stop using {plain(url)}, on all devices?{last} What it holds stays there until its owner removes it."
        )
        if not await self.app.push_screen_wait(ConfirmScreen("Remove a relay", question, yes="Remove")):
            return
        try:
            await self.app.library.ask(lambda library: _remove(library, url))
        except NotOpen:
            return
        except CoreError as error:
            self.complain(error)
            return
        self.say(f"this library no longer uses {url}")
        self.action_reload()
        await self.app.syncing.again()

    @work(group="sync now", exclusive=True)
    async def action_sync_now(self) -> None:
        """Sync with all relays, now."""
        if not self._urls:
            self.say("no relay is in use: a adds one", error=True)
            return
        self.say("syncing: the line at the bottom of the library says how it goes")
        await self.app.syncing.again()


# Imported where they run: modules of the network take a while, and the screen waits for nothing.


def _standings(library: Library) -> list[RelayStanding]:
    from core.sync.standing import standings

    return standings(library)


def _use(library: Library, url: str, invite: str | None) -> str:
    from core.sync.relays import Relays

    return Relays(library).use(url, invite)


def _remove(library: Library, url: str) -> None:
    from core.sync.relays import Relays

    Relays(library).remove(url)


def _row(standing: RelayStanding) -> Text:
    mark = ("● ", "green") if standing.reachable else ("○ ", "red")
    row = Text.assemble(mark, (plain(standing.url), "bold"), overflow="fold")
    row.append("\n  " + " · ".join(_facts(standing)), style="" if standing.reachable else "red")
    error = standing.error
    if error is not None and error.hint:
        row.append(f"\n  → {plain(error.hint)}", style="italic")
    return row


def _facts(standing: RelayStanding) -> list[str]:
    at = standing.synced_at
    facts = ["last synced " + time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if at else "never synced"]
    if standing.error is not None:
        return [plain(str(standing.error)), *facts]
    behind = (standing.newest or 0) - standing.position
    facts.append(f"position {standing.position:,}" + (f", {behind:,} more there" if behind > 0 else ""))
    if standing.used_bytes is not None and standing.quota_bytes is not None:
        facts.append(f"{file_size(standing.used_bytes)} of {file_size(standing.quota_bytes)}")
    if standing.used_objects is not None and standing.quota_objects is not None:
        facts.append(f"{standing.used_objects:,} of {standing.quota_objects:,} objects")
    return facts
