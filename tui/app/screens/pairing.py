"""Letting another device in: a code to be typed there, large and as a QR code, and the question who came.

The pairing runs in a thread, which asks here and waits for the answer. Leaving the screen ends it, and its code.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, ClassVar

from rich.style import Style
from rich.text import Text
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import get_current_worker

from core.errors import CoreError
from tui.app.keys import PAIRING, bindings
from tui.app.screen_work import work
from tui.app.screens.ask import ConfirmScreen
from tui.app.widgets.key_line import KeyLine
from tui.app.widgets.large_text import large
from tui.app.workers.library_thread import NotOpen
from tui.cli.output import plain
from tui.cli.qr_code import qr_rows

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from textual.app import ComposeResult

    from core.library import Library
    from core.mailbox import Pace
    from core.pairing import Introduction, PairingCode
    from tui.app.app import SafelightApp

_LOOK_S = 0.1
_TEXT_COLUMNS = 38
"""What the words beside the QR code need."""
_OTHER_ROWS = 3
_DARK_ON_LIGHT = Style(color="#000000", bgcolor="#ffffff")


class PairingScreen(Screen[None]):
    """One code, and who came with it."""

    app: SafelightApp
    BINDINGS = bindings(PAIRING)
    AUTO_FOCUS: ClassVar[str] = ""
    DEFAULT_CSS = """
    PairingScreen {
        & #title { height: 1; padding: 0 1; background: $panel; color: $primary; text-style: bold; }
        & #body { height: 1fr; padding: 1 0 0 1; }
        & #qr { width: auto; height: auto; margin-right: 2; display: none; }
        & #qr.shown { display: block; }
        & #words { width: 1fr; height: 100%; overflow-y: auto; scrollbar-size-vertical: 1; }
        & #words Static { height: auto; width: 100%; margin-bottom: 1; }
        & #code { color: $accent; }
        & #said { color: $success; }
        & #said.error { color: $error; text-style: bold; }
    }
    """

    def __init__(self) -> None:
        """Make a code once shown."""
        super().__init__()
        self._line = ""
        self.code = ""
        self.newcomer: Introduction | None = None

    def compose(self) -> ComposeResult:
        """Lay out the QR code beside the words."""
        yield Static("Add a device", id="title")
        with Horizontal(id="body"):
            yield Static("", id="qr")
            with Vertical(id="words"):
                yield Static("", id="code", markup=False)
                yield Static("", id="how", markup=False)
                yield Static("", id="said", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        """Make a code."""
        self.action_again()

    def on_resize(self) -> None:
        """Show the QR code where there is room for it."""
        self._show_qr()

    def action_back(self) -> None:
        """End the pairing."""
        self.workers.cancel_node(self)
        self.dismiss()

    @work(exclusive=True, group="pairing")
    async def action_again(self) -> None:
        """Make a new code, and wait for who comes with it."""
        self._show_code("", "")
        self._say("asking the relay for a code…")
        try:
            library = self.app.library.library
        except NotOpen:
            return
        worker, app = get_current_worker(), self.app

        def on_code(url: str, code: PairingCode) -> None:
            app.call_from_thread(self._show_code, url, str(code))

        def confirm(newcomer: Introduction, stop: threading.Event) -> bool:
            answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
            app.call_from_thread(self._ask, newcomer, answers)
            while not stop.is_set():
                try:
                    return answers.get(timeout=_LOOK_S)
                except queue.Empty:
                    continue
            return False

        try:
            newcomer = await self.app.syncing.errand(
                lambda stop: _invite(library, on_code, lambda one: confirm(one, stop), stop, app.syncing.pace)
            )
        except CoreError as error:
            if not worker.is_cancelled:
                self._show_code("", "")
                self._say(
                    f"{error}" + (f"\n{error.hint}" if error.hint else "") + "\n\nn makes a new code.", wrong=True
                )
            return
        self._show_code("", "")
        self._say(f"'{newcomer.name}' is in the library now.\n\nesc goes back, n adds another device.")
        await self.app.syncing.again()

    def _ask(self, newcomer: Introduction, answers: queue.SimpleQueue[bool]) -> None:
        self.newcomer = newcomer
        question = (
            f"'{plain(newcomer.name)}' wants to join. Its fingerprint:\n\n    {newcomer.fingerprint}\n\n"
            "Does the new device show the same? Then say yes."
        )

        def answered(yes: bool | None) -> None:
            answers.put(bool(yes))
            self._say("letting it in…" if yes else "")

        self.app.push_screen(ConfirmScreen("A device is here", question, yes="Yes, add it"), answered)

    def _show_code(self, url: str, code: str) -> None:
        if not self.is_attached:
            return
        self.code = code
        self._line = f"safelight join {url} {code}" if code else ""
        parts = ["\n".join(large(part)) for part in code.split("-")] if code else []
        self.query_one("#code", Static).update("\n\n".join(parts))
        self.query_one("#how", Static).update(
            f"On the new device, choose Join, or run\n{plain(self._line)}" if code else ""
        )
        if code:
            self._say("Waiting for it. The code is good once, for a few minutes.")
        self._show_qr()

    def _show_qr(self) -> None:
        shown = self.query_one("#qr", Static)
        rows = qr_rows(self._line) if self._line else []
        fits = bool(rows) and (
            len(rows[0]) + _TEXT_COLUMNS <= self.size.width and len(rows) + _OTHER_ROWS <= self.size.height
        )
        shown.set_class(fits, "shown")
        shown.update(Text("\n".join(rows), style=_DARK_ON_LIGHT) if fits else "")

    def _say(self, text: str, *, wrong: bool = False) -> None:
        if not self.is_attached:
            return
        said = self.query_one("#said", Static)
        said.update("\n".join(map(plain, text.split("\n"))))
        said.set_class(wrong, "error")


def _invite(
    library: Library,
    on_code: Callable[[str, PairingCode], None],
    confirm: Callable[[Introduction], bool],
    stop: threading.Event,
    pace: Pace | None,
) -> Introduction:
    """Do as `core.pairing.invite_at`, which is imported here because that takes a while."""
    from core.mailbox import PACE
    from core.pairing import invite_at

    return invite_at(library, on_code=on_code, confirm=confirm, stop=stop, pace=pace or PACE)
