"""The app: one library, from the first question to the last key. Screens do the rest."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.app import App
from textual.widgets import Button, Input
from textual.worker import get_current_worker

from core.layout import Layout
from tui.app.commands import ActionCommands
from tui.app.graphics.detection import Answers
from tui.app.graphics.half_blocks import HalfBlocks
from tui.app.graphics.kitty import KittyPlaceholders
from tui.app.graphics.pictures import NoPictures, PictureRenderer
from tui.app.graphics.sixel import Sixels
from tui.app.keys import APP, bindings
from tui.app.pauses import collect_if_quiet
from tui.app.settings import Settings
from tui.app.themes import THEMES, theme_for
from tui.app.type_ahead import TypeAhead, again
from tui.app.workers.importing import Importer
from tui.app.workers.library_thread import LibraryThread
from tui.app.workers.long_work import LongWork
from tui.app.workers.syncing import Syncing
from tui.app.workers.viewers import Viewers
from tui.cli.output import count
from tui.plain_copy import remove_leftovers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from textual.command import Provider
    from textual.screen import Screen
    from textual.timer import Timer

    from crypto.kdf import KdfParameters
    from crypto.keys import DeviceSecrets
    from tui.app.graphics.detection import Graphics
    from tui.app.screens.library import Whereabouts

_TALL_CELL = (1, 2)
_IDLE_LOOK_S = 5.0
_MINUTE_S = 60.0
_RELEASE_S = 0.01
"""How often it is looked whether the question that keys wait for has come."""


class SafelightApp(App[None]):
    """Safelight in a terminal."""

    TITLE = "Safelight"
    BINDINGS: ClassVar[list[Any]] = bindings(APP)
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {ActionCommands}
    COMMAND_PALETTE_BINDING = "ctrl+p"

    def __init__(
        self,
        root: Path,
        *,
        secrets: Callable[[], DeviceSecrets | None] = lambda: None,
        graphics: Graphics = "halfblock",
        answers: Answers | None = None,
        settings: Settings | None = None,
        kdf: KdfParameters | None = None,
    ) -> None:
        """Show the library in `root`.

        `secrets` returns this device's secrets where they can be had without asking (an agent, a passphrase file); it
        is called in a thread. `answers` are the terminal's. `kdf`: the costs of a passphrase, for tests.
        """
        self.settings = settings or Settings()
        super().__init__()
        self.root = root
        self.find_secrets = secrets
        self.kdf = kdf
        self.graphics: Graphics = graphics
        self.answers = answers or Answers()
        self.library = LibraryThread()
        self.importer = Importer(self.library)
        self.syncing = Syncing(self.library)
        self.work = LongWork(self.library, self.syncing)
        self.pictures, self.placeholders, self.cell = self._renderers()
        self.large_pictures, self.large_cell = self._large_renderer()
        self.viewers = Viewers()
        self.whereabouts: Whereabouts | None = None
        """Where the library's screen was when it was locked."""
        self.clock: Callable[[], float] = _seconds_awake_or_not
        self._active_at = self.clock()
        self.type_ahead = TypeAhead(self)
        self._releasing: Timer | None = None

    def get_default_screen(self) -> Screen[Any]:
        """Begin with a bare screen; the first real one is pushed when it is known which."""
        from tui.app.screens.opening import OpeningScreen

        return OpeningScreen()

    def on_mount(self) -> None:
        """Set keys and colours."""
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = theme_for(self.console.color_system, self.settings.theme)
        self.set_keymap(dict(self.settings.keys))
        for complaint in self.settings.complaints:
            self.notify(complaint, severity="warning")
        self.set_interval(_IDLE_LOOK_S, lambda: self.call_later(self.lock_if_idle))
        self._releasing = self.set_interval(_RELEASE_S, lambda: self.call_later(self._release_keys), pause=True)
        self.run_worker(remove_leftovers, thread=True, exit_on_error=False)
        self.show_start()

    async def on_event(self, event: events.Event) -> None:
        """Note that somebody is there, and let keys wait for the question that one of them asked for."""
        if isinstance(event, events.InputEvent | events.Paste):
            self._active_at = self.clock()
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            if self._has_to_wait(event, came_back=False):
                return
            self.type_ahead.goes_on(event)
        await super().on_event(event)

    @on(events.Key)
    @on(events.Paste)
    def came_back(self, event: events.Key | events.Paste) -> None:
        """Let what comes back unused wait, too: it was typed for the question, and not for what was below."""
        if self._has_to_wait(event, came_back=True):
            event.prevent_default()
            event.stop()

    @on(Input.Submitted)
    @on(Button.Pressed)
    def was_sent(self, event: Input.Submitted | Button.Pressed) -> None:
        """Let the keys go on that were typed behind an enter: who moves the focus for it has done so."""
        self.type_ahead.was_sent(event.control)

    def _has_to_wait(self, event: events.Key | events.Paste, *, came_back: bool) -> bool:
        own = isinstance(event, events.Key) and event.key in self._bindings.key_to_bindings  # they never wait
        if own or self._releasing is None or not self.type_ahead.holds(event, came_back=came_back):
            return False
        self._releasing.resume()
        return True

    async def _release_keys(self) -> None:
        """Give the keys that waited to whom they are for: in the app's own task, where no later one overtakes them."""
        for event in self.type_ahead.released():
            await self.on_event(again(event))
        if self._releasing is not None and not self.type_ahead.is_holding:
            self._releasing.pause()

    async def push_screen_wait(self, screen: Screen[Any], *, mode: str | None = None) -> Any:  # type: ignore[override]  # one signature for its overloads
        """Show a question and return the answer; keys that were typed for it go to it."""
        self.type_ahead.asks(get_current_worker())
        return await super().push_screen_wait(screen, mode=mode)

    def show_start(self, why: str = "") -> None:
        """Ask for the passphrase (`why` is said there), or for what makes a library where there is none."""
        from tui.app.screens.unlock import UnlockScreen
        from tui.app.screens.welcome import WelcomeScreen

        exists = Layout(self.root).library_file.exists()
        self.push_screen(UnlockScreen(why) if exists else WelcomeScreen())

    def show_library(self, *, offer_import: bool = False) -> None:
        """Show the library, which is open now."""
        from tui.app.screens.library import LibraryScreen

        whereabouts, self.whereabouts = self.whereabouts, None
        self.switch_screen(LibraryScreen(offer_import=offer_import, whereabouts=whereabouts))

    def action_next_theme(self) -> None:
        """Change the colours."""
        names = [theme.name for theme in THEMES]
        here = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(here + 1) % len(names)]

    def action_help_keys(self) -> None:
        """Show the keys of what has the focus."""
        from tui.app.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen.active_bindings))

    def action_jump(self) -> None:
        """Put letters on everything that can be reached."""
        from tui.app.screens.jump import JumpScreen, jump_targets

        if self.screen.is_modal:
            return
        targets = jump_targets(self.screen)
        if targets:
            self.push_screen(JumpScreen(targets))

    async def lock_if_idle(self) -> None:
        """Lock the library if nobody was there for as long as the settings say.

        An import, or other long work, is somebody's wish: the library is locked when it has ended. Sync is ended.
        """
        idle_s = self.clock() - self._active_at
        collect_if_quiet(idle_s)
        minutes = self.settings.lock_after
        busy = self.importer.is_running or self.work.is_running or self._shows_words()
        if not minutes or not self.library.is_open or busy:
            return
        if idle_s >= minutes * _MINUTE_S:
            await self._lock(f"Locked: nobody was here for {count(minutes, 'minute')}.")

    async def action_lock(self) -> None:
        """Close the library and ask for the passphrase."""
        if self._shows_words():
            self.notify("Write the words down first: they are shown this once.", severity="warning")
        elif self.library.is_open:
            stopped = self.importer.is_running
            await self._lock("The import was stopped; importing the same again goes on." if stopped else "")

    def _shows_words(self) -> bool:
        """Tell whether a recovery phrase is on the screen: whoever locked now would never see it again."""
        from tui.app.screens.welcome import PhraseScreen

        return any(isinstance(screen, PhraseScreen) for screen in self.screen_stack)

    async def _lock(self, why: str) -> None:
        """Take everything off the screen, end what runs, drop the keys, and ask for the passphrase."""
        from tui.app.screens.library import LibraryScreen

        for screen in self.screen_stack:
            if isinstance(screen, LibraryScreen):
                self.whereabouts = screen.whereabouts
        self.find_secrets = lambda: None
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        self.pictures.close()
        await self.leave_library()
        self.pictures.close()  # what was on its way to the terminal meanwhile
        self.library = LibraryThread()
        self.importer = Importer(self.library)
        self.syncing = Syncing(self.library)
        self.work = LongWork(self.library, self.syncing)
        self.show_start(why)

    async def action_quit(self) -> None:
        """Finish what is begun, and end; a screen with something that would be lost asks first."""
        ask = getattr(self.screen, "ask_before_leaving", None)
        if ask is not None and ask():
            return
        await self.leave_library()
        self.exit()

    async def leave_library(self) -> None:
        """End import, sync and other work after what is begun, and close the library."""
        self.work.stop()
        await self.syncing.close()
        await self.importer.close()
        await asyncio.to_thread(self.viewers.close)
        await self.library.close()

    async def on_unmount(self) -> None:
        """Leave nothing running, and nothing in the terminal's memory."""
        self.pictures.close()
        await self.leave_library()

    def _renderers(self) -> tuple[PictureRenderer, PictureRenderer, tuple[int, int]]:
        half_blocks = HalfBlocks()
        if self.graphics == "kitty":
            return KittyPlaceholders(self._write, self.answers.cell), half_blocks, self.answers.cell
        if self.graphics == "none":
            return NoPictures(), NoPictures(), _TALL_CELL
        # Sixels scroll with the text and would have to be sent anew each time: tiles are half blocks there, too.
        return half_blocks, half_blocks, _TALL_CELL

    def _large_renderer(self) -> tuple[PictureRenderer, tuple[int, int]]:
        if self.graphics == "sixel":
            return Sixels(self._write, self.answers.least_cell), self.answers.least_cell
        return self.pictures, self.cell

    def _write(self, sequences: str) -> None:
        driver = self._driver
        if driver is not None:
            driver.write(sequences)


def _seconds_awake_or_not() -> float:
    """Return a clock that goes on while the machine sleeps, where there is one, and that nobody sets."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)
