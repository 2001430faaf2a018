"""The passphrase, please. A wrong one is told to be wrong, and nothing more."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from textual import on
from textual.screen import Screen
from textual.widgets import Input, Static

from core.errors import CoreError, Locked, WrongPassphrase
from core.passphrases import typed_passphrase
from tui.app.screen_work import work
from tui.app.type_ahead import ASKING
from tui.app.widgets.card import Card
from tui.app.widgets.key_line import KeyLine
from tui.cli.output import plain

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from crypto.keys import DeviceSecrets
    from tui.app.app import SafelightApp


class UnlockScreen(Screen[None]):
    """Asks for the passphrase, and opens the library."""

    app: SafelightApp
    DEFAULT_CSS = """
    UnlockScreen { align: center middle; }
    """

    def __init__(self, why: str = "") -> None:
        """Say `why` the passphrase is asked for, where that is not plain."""
        super().__init__()
        self._why = why

    def compose(self) -> ComposeResult:
        """Ask."""
        with Card(title="Safelight"):
            yield Static(f"Library in {plain(str(self.app.root))}", classes="muted", markup=False)
            yield Input(password=True, placeholder="Passphrase", id="passphrase")
            yield Static(self._why, id="said", classes="muted", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        """Open at once where nobody has to be asked."""
        self.query_one(Input).focus()
        self._open_unasked()
        self.run_worker(_prepare, thread=True, group="prepare")

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Try what was typed, which the field does not keep."""
        if event.value and not event.input.disabled:
            typed = event.value
            event.input.value = ""
            self.workers.cancel_group(self, "unasked")
            self._unlock(typed)

    @work(exclusive=True, group="unasked")
    async def _open_unasked(self) -> None:
        try:
            secrets = await self.app.library.run(self.app.find_secrets)
        except CoreError as error:
            self._say(str(error), wrong=True)
            return
        if secrets is not None:
            await self._open(secrets)

    @work(exclusive=True, group=ASKING)  # what is typed meanwhile is for the library, or for the next try
    async def _unlock(self, typed: str) -> None:
        from core.library import Library

        self._say("Unlocking…")
        root = self.app.root
        try:
            secrets = await self.app.library.run(lambda: Library.unlock(root, typed_passphrase(typed)))
        except WrongPassphrase:
            self._say("This passphrase does not open the library.", wrong=True)
        except (CoreError, Locked) as error:
            self._say(f"{error}. {error.hint or ''}", wrong=True)
        else:
            await self._open(secrets)

    async def _open(self, secrets: DeviceSecrets) -> None:
        self._say("Opening…")
        from core.unshown_phrase import unshown_phrase
        from tui.app.screens.welcome import PhraseScreen

        try:
            await self.app.library.open(self.app.root, secrets)
            phrase = await self.app.library.ask(unshown_phrase)
        except CoreError as error:
            self._say(f"{error}. {error.hint or ''}", wrong=True)
            return
        if phrase is not None:
            self.app.switch_screen(PhraseScreen(phrase))
        else:
            self.app.show_library()

    def _say(self, text: str, *, wrong: bool = False) -> None:
        said = self.query_one("#said", Static)
        said.update(text)
        said.set_class(wrong, "error")
        field = self.query_one(Input)
        field.disabled = not wrong
        if wrong:
            field.focus()


def _prepare() -> None:
    """Load what the library's screen is made of while nobody waits for it."""
    importlib.import_module("tui.app.screens.library")
