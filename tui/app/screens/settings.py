"""The settings: looks and lock of the app, what this device keeps, passphrase and phrase, space, and checking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.widgets import OptionList

from core.errors import CoreError
from tui.app.keys import SETTINGS, bindings
from tui.app.screen_work import work
from tui.app.screens.listing import ListingScreen
from tui.app.screens.settings_of_keys import change_passphrase, replace_phrase
from tui.app.screens.upkeep import free_room, verify_library
from tui.app.settings import CHOICES, SettingsRefused, changed
from tui.app.workers.library_thread import NotOpen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from core.library import Library
    from tui.app.app import SafelightApp

_MINUTES = (0, 1, 5, 15, 30, 60, 240)
_NEXT_START = "from the app's next start on"


@dataclass(frozen=True)
class _Setting:
    name: str
    title: str
    about: str


_SETTINGS = (
    _Setting("theme", "Theme", "the colours of the app"),
    _Setting("density", "Tiles", "how large photos are in the grid"),
    _Setting("graphics", "Pictures", f"how they are drawn; auto is as the terminal can, {_NEXT_START}"),
    _Setting("colour", "Colours", f"none is for terminals and eyes that do without, {_NEXT_START}"),
    _Setting("lock_after", "Lock when nobody is here", "an import under way is waited for, sync is not"),
    _Setting("originals", "Keep every original here", "otherwise they are fetched when they are wanted"),
)
_DOINGS: tuple[tuple[str, str, Callable[[SettingsScreen], Awaitable[None]]], ...]


class SettingsScreen(ListingScreen):
    """Everything that can be set."""

    app: SafelightApp
    TITLE = "Settings"
    BINDINGS = bindings(SETTINGS)

    def __init__(self) -> None:
        """Show nothing yet."""
        super().__init__()
        self._originals: bool | None = None

    def on_mount(self) -> None:
        """Read what the library says."""
        self.about("enter changes; what is about the app alone is kept in app.toml on this machine.")
        self._read()

    @work(exclusive=True, group="read")
    async def _read(self) -> None:
        try:
            self._originals = await self.app.library.ask(_keeps_originals)
        except NotOpen:
            return
        except CoreError as error:
            self.complain(error)
        self._show()

    def _show(self) -> None:
        rows = [_row(one.title, self._value(one.name), one.about) for one in _SETTINGS]
        rows += [_row(title, "", about) for title, about, _ in _DOINGS]
        self.list_rows(rows, "")

    def _value(self, name: str) -> str:
        settings = self.app.settings
        match name:
            case "theme":
                return self.app.theme
            case "density":
                return settings.density or "medium"
            case "lock_after":
                minutes = settings.lock_after
                return f"after {minutes} min" if minutes else "never"
            case "originals":
                return {True: "yes", False: "no", None: "?"}[self._originals]
            case _:
                return str(getattr(settings, name))

    @on(OptionList.OptionSelected)
    def clicked(self) -> None:
        """Change what was clicked, or taken with enter."""
        self.action_change(1)

    def action_change(self, step: int) -> None:
        """Set the next value, or the one before; or do what the line says."""
        place = self.place
        if place is None:
            return
        if place >= len(_SETTINGS):
            self._do(place - len(_SETTINGS))
            return
        name = _SETTINGS[place].name
        if name == "originals":
            self._keep_originals(wanted=not self._originals)
            return
        values: tuple[str | int, ...] = _MINUTES if name == "lock_after" else CHOICES[name]
        now: str | int = {
            "theme": self.app.theme,
            "density": self.app.settings.density or "medium",
        }.get(name, getattr(self.app.settings, name))
        # A number of minutes that somebody wrote into the file need not be among those offered here.
        here = values.index(now) if now in values else -1
        self._set(name, values[(here + step) % len(values)])

    @work(group="set", exclusive=True)
    async def _set(self, name: str, value: str | int) -> None:
        before = self.app.settings
        try:
            self.app.settings = await self.app.syncing.errand(lambda _stop: changed(before, name, value))
        except SettingsRefused as error:
            self.say(str(error), error=True)
            return
        if name == "theme":
            self.app.theme = str(value)
        self.say("")
        self._show()

    @work(group="set", exclusive=True)
    async def _keep_originals(self, *, wanted: bool) -> None:
        try:
            await self.app.library.ask(lambda library: _keep_originals(library, wanted=wanted))
        except NotOpen:
            return
        except CoreError as error:
            self.complain(error)
            return
        self.say("the next sync fetches every original" if wanted else "originals are fetched when they are wanted")
        self._read()

    @work(group="ask", exclusive=True)
    async def _do(self, which: int) -> None:
        try:
            await _DOINGS[which][2](self)
        except NotOpen:
            return
        except CoreError as error:
            self.complain(error)


_DOINGS = (
    ("Change the passphrase…", "of this device", change_passphrase),
    ("Replace the recovery phrase…", "when somebody may have seen the 24 words", replace_phrase),
    ("Free up space…", "originals that are proved to be safe elsewhere leave this device", free_room),
    ("Verify…", "is everything that is stored what was written?", verify_library),
)


def _keeps_originals(library: Library) -> bool:
    from core.originals import keeps_every_original

    return keeps_every_original(library)


def _keep_originals(library: Library, *, wanted: bool) -> None:
    from core.originals import keep_every_original

    keep_every_original(library, wanted=wanted)


def _row(title: str, value: str, about: str) -> Text:
    row = Text.assemble((title, "bold"), ("  " + value if value else "", "green"), overflow="fold")
    row.append("\n  " + about, style="dim")
    return row
