"""What joining and recovering have in common: a form, a thread that does it, and the library that comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.screen import Screen
from textual.widgets import Button, Input, Static

from core.errors import CoreError, PairingRefused
from core.layout import Layout
from core.passphrases import typed_passphrase
from tui.app.screen_work import work
from tui.cli.output import plain

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from core.library import Library
    from core.sync.report import SyncProgress
    from tui.app.app import SafelightApp

_STAGES = {"pull": "fetching edits", "download": "fetching thumbnails", "push": "sending", "checkpoint": "fetching"}


class ArrivalScreen(Screen[bool]):
    """A form that makes a library here of one that is at a relay; its result: whether there is one now."""

    app: SafelightApp
    BINDINGS: ClassVar[list[tuple[str, str, str]]] = [("escape", "back", "Back")]  # type: ignore[assignment]  # narrower
    DEFAULT_CSS = """
    ArrivalScreen {
        align: center middle;
        & Card { width: 76; padding: 0 2; }
        & Card Static { margin: 0; }
        & Card Input { margin: 0 0 1 0; }
        & #said { height: auto; min-height: 2; }
    }
    """

    is_loaded = False
    """Whether the form can be sent."""

    @property
    def fields(self) -> list[Input]:
        """The fields of the form, in their order."""
        return list(self.query(Input))

    def value(self, field: str) -> str:
        """What stands in a field."""
        return self.query_one(f"#{field}", Input).value.strip()

    @on(Input.Submitted)
    def to_next(self, event: Input.Submitted) -> None:
        """Go to the next field, and from the last one on."""
        fields = self.fields
        at = fields.index(event.input)
        if at + 1 < len(fields):
            fields[at + 1].focus()
        else:
            self.action_go()

    @on(Button.Pressed, "#go")
    def pressed(self) -> None:
        """Go on."""
        self.action_go()

    @on(Button.Pressed, "#back")
    def action_back(self) -> None:
        """Go back; what runs is ended."""
        self.workers.cancel_node(self)
        self._forget()
        self.dismiss(False)

    def action_go(self) -> None:
        """Do it, once everything is there."""
        if not self.is_loaded:
            return
        passphrase, again = self.query_one("#passphrase", Input), self.query_one("#again", Input)
        if not passphrase.value:
            self.complain_at("passphrase", "This device needs a passphrase of its own for the library.")
        elif passphrase.value != again.value:
            again.value = ""
            self.complain_at("again", "The two passphrases differ.")
        elif self.is_complete():
            self._run(typed_passphrase(passphrase.value))

    @work(group="load")
    async def on_mount(self) -> None:
        """Import what is needed, in a thread, because that takes a while; until then the form cannot be sent."""
        button, name = self.query_one("#go", Button), self.query_one("#name", Input)
        button.disabled = True

        def load() -> str:
            from core.devices import machine_name

            self.load()
            return machine_name()

        suggested = await self.app.syncing.errand(lambda _stop: load())
        if not name.value:
            name.value = suggested
        self.is_loaded = True
        button.disabled = False

    def load(self) -> None:
        """Import what this screen needs; in a thread."""
        raise NotImplementedError

    def is_complete(self) -> bool:
        """Tell whether everything else is there; where not, say what is missing."""
        raise NotImplementedError

    def arrive(self, passphrase: bytes) -> Callable[[threading.Event], Library]:
        """Return what makes the library, in a thread, with what stands in the form now."""
        raise NotImplementedError

    @work(exclusive=True, group="arrive")
    async def _run(self, passphrase: bytes) -> None:
        make = self.arrive(passphrase)
        self._enable(wanted=False)
        self.say("Asking the relay…")

        def arrive(stop: threading.Event) -> Library:
            library = make(stop)
            if stop.is_set():
                library.close()
                raise PairingRefused("it was ended")
            return library

        try:
            library = await self.app.syncing.errand(arrive)
        except CoreError as error:
            if Layout(self.app.root).library_file.exists():  # only its first sync was cut off, and goes on later
                self.app.notify(f"{error}" + (f". {error.hint}" if error.hint else ""), severity="warning")
                self.dismiss(False)
                return
            self._enable(wanted=True)
            self.say(f"{error}" + (f". {error.hint}" if error.hint else ""), wrong=True)
            return
        await self.app.library.adopt(lambda: (library, None))
        self._forget()
        self.dismiss(True)

    def _forget(self) -> None:
        """Keep neither passphrase nor words in the fields."""
        for field in self.fields:
            field.value = ""

    def progress(self, stop: threading.Event) -> Callable[[SyncProgress], None]:
        """Return what is told of each step of the first sync, and ends it where that is wanted."""

        def tell(step: SyncProgress) -> None:
            if stop.is_set():
                raise PairingRefused("it was ended; the next sync of what is here goes on")
            of = f" of {step.total:,}" if step.total else ""
            self.from_thread(f"{_STAGES.get(step.stage, step.stage)}: {step.done:,}{of}")

        return tell

    def from_thread(self, text: str) -> None:
        """Say something, from another thread, without waiting until it is shown."""
        loop = self.app._loop  # noqa: SLF001 - Textual's own, as call_from_thread uses it, which would wait
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self.say, text)

    def complain_at(self, field: str, text: str) -> None:
        """Say what is wrong with a field, and go there."""
        self.say(text, wrong=True)
        self.query_one(f"#{field}").focus()

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Say what happens."""
        if not self.is_attached:
            return
        said = self.query_one("#said", Static)
        said.update("\n".join(map(plain, text.split("\n"))))
        said.set_class(wrong, "error")

    def _enable(self, *, wanted: bool) -> None:
        for widget in self.query("Input, #go"):
            widget.disabled = not wanted
