"""Recovering: the library again on this machine, from a relay and the 24 words."""

from __future__ import annotations

import queue
import re
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events, on
from textual.containers import Container, Horizontal
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, SelectionList, Static
from textual.widgets.selection_list import Selection

from core.errors import CoreError, PairingRefused
from crypto.errors import InvalidPhrase
from crypto.phrase import PHRASE_WORDS, phrase_secrets
from tui.app.screens.arriving import ArrivalScreen
from tui.app.screens.ask import ConfirmScreen
from tui.app.screens.devices import device_name as shown_name
from tui.app.screens.devices import device_row
from tui.app.widgets.card import Card
from tui.app.widgets.key_line import KeyLine

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Sequence

    from textual.app import ComposeResult

    from core.devices import DeviceRecord
    from core.library import Library

_LOOK_S = 0.1


class WordInput(Input):
    """A field for one word, which passes on what is pasted into it, lines and all."""

    class Pasted(Message):
        """Several words, or one."""

        def __init__(self, field: WordInput, text: str) -> None:
            """Say what was pasted, and where."""
            super().__init__()
            self.field, self.text = field, text

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.post_message(self.Pasted(self, event.text))


class RecoverScreen(ArrivalScreen):
    """Asks for the relay and the words, and then which devices stay."""

    DEFAULT_CSS = """
    RecoverScreen {
        & #words {
            layout: grid; grid-size: 8; grid-columns: 3 1fr 3 1fr 3 1fr 3 1fr; grid-rows: 1; height: 6;
            margin-bottom: 1;
        }
        & #words Static { color: $text-muted; text-align: right; padding-right: 1; }
        & #words Input { margin: 0; padding: 0; }
        & #words Input.wrong { color: $error; text-style: underline; }
        & #words Input.right { color: $success; }
        & .row { height: 1; margin-bottom: 1; }
        & .row Input { width: 1fr; margin: 0 1 0 0; }
    }
    """

    def compose(self) -> ComposeResult:
        """Ask."""
        with Card(title="Recover a library"):
            yield Static("With the words from your paper; see that nobody else sees the screen.", classes="muted")
            yield Input(placeholder="Relay, as in https://relay.example", id="url")
            with Container(id="words"):
                for place in range(1, PHRASE_WORDS + 1):
                    yield Static(f"{place}", markup=False)
                    yield WordInput(id=f"word-{place}", select_on_focus=False)
            yield Input(placeholder="What to call this device", id="name", select_on_focus=False)
            with Horizontal(classes="row"):
                yield Input(password=True, placeholder="A new passphrase", id="passphrase")
                yield Input(password=True, placeholder="The same again", id="again")
            yield Static("", id="said", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Back", id="back", compact=True)
                yield Button("Recover", variant="primary", id="go", compact=True)
        yield KeyLine()

    def load(self) -> None:
        """Import what recovering needs, and read the list of words."""
        import core.recovering  # noqa: F401

        _suggestions("")

    @property
    def words(self) -> list[WordInput]:
        """The fields of the words, in their order."""
        return list(self.query(WordInput))

    @on(WordInput.Pasted)
    def pasted(self, event: WordInput.Pasted) -> None:
        """Put pasted words into this field and those after it."""
        self._spread(event.field, event.text)

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """Check a word, and go to the next one after a space."""
        field = event.input
        if not isinstance(field, WordInput):
            return
        if re.search(r"\s", event.value):
            self._spread(field, event.value)
        else:
            self._check(field)

    @on(events.DescendantBlur)
    def left(self, event: events.DescendantBlur) -> None:
        """Say which of the words is none, once its field is left."""
        if isinstance(event.widget, WordInput):
            self._say_of_words()

    def _spread(self, field: WordInput, text: str) -> None:
        fields = self.words
        at = fields.index(field)
        found = [word for word in re.split(r"[\s\d.,;:)]+", text.lower()) if word]
        for offset, word in enumerate(found[: len(fields) - at]):
            fields[at + offset].value = word
        if not found:
            field.value = ""
            return
        following = at + len(found)
        (fields[following] if following < len(fields) else self.query_one("#name")).focus()

    def _check(self, field: WordInput) -> None:
        known = _suggestions(field.value) is None
        field.set_class(bool(field.value) and not known, "wrong")
        field.set_class(bool(field.value) and known, "right")

    def _say_of_words(self) -> bool:
        """Say what is wrong with the words, if anything; tell whether nothing is."""
        typed = [field.value.strip().lower() for field in self.words]
        for place, word in enumerate(typed, start=1):
            near = _suggestions(word) if word else None
            if near is not None:
                perhaps = f": perhaps {' or '.join(near)}?" if near else "."
                self.say(f"Word {place} is none of those that such phrases are made of{perhaps}", wrong=True)
                return False
        if all(typed):
            try:
                phrase_secrets(" ".join(typed))
            except InvalidPhrase as error:
                self.say(f"{error}. {error.hint or ''}", wrong=True)
                return False
            self.say("The words fit together.")
            return True
        self.say("")
        return False

    def is_complete(self) -> bool:
        """Tell whether there are a relay, a phrase and a name."""
        from core.devices import device_name

        if not self.value("url"):
            self.complain_at("url", "Where is the library? Name a relay that it uses.")
            return False
        for field in self.words:
            if not field.value.strip():
                self.complain_at(field.id or "", f"Word {(field.id or '').removeprefix('word-')} is missing.")
                return False
        if not self._say_of_words():
            return False
        try:
            device_name(self.value("name"))
        except CoreError as error:
            self.complain_at("name", f"{error}. {error.hint or ''}")
            return False
        return True

    def arrive(self, passphrase: bytes) -> Callable[[threading.Event], Library]:
        """Recover, with what stands in the form."""
        from core.recovering import recover

        app = self.app
        url, name = self.value("url"), self.value("name")
        phrase = " ".join(field.value.strip().lower() for field in self.words)

        def ask(devices: Sequence[DeviceRecord], answer: Callable[[Collection[bytes] | None], None]) -> None:
            app.push_screen(KeepScreen(devices), answer)

        def keep(devices: Sequence[DeviceRecord], stop: threading.Event) -> Collection[bytes]:
            answers: queue.SimpleQueue[Collection[bytes] | None] = queue.SimpleQueue()
            app.call_from_thread(ask, devices, answers.put)
            while not stop.is_set():
                try:
                    kept = answers.get(timeout=_LOOK_S)
                except queue.Empty:
                    continue
                if kept is None:
                    break
                return kept
            raise PairingRefused("nothing was recovered: you went back")

        return lambda stop: recover(
            url,
            phrase,
            name=name,
            root=app.root,
            passphrase=passphrase,
            keep=lambda devices: keep(devices, stop),
            progress=self.progress(stop),
            kdf=app.kdf,
        )


class KeepScreen(ModalScreen["Collection[bytes] | None"]):
    """Asks which devices stay; all others are revoked. None: nothing is to be done."""

    BINDINGS: ClassVar[list[tuple[str, str, str]]] = [("escape", "back", "Back")]  # type: ignore[assignment]  # narrower
    DEFAULT_CSS = """
    KeepScreen {
        align: center middle; background: $background 40%;
        & Card { width: 76; padding: 0 2; }
        & SelectionList { height: auto; max-height: 14; border: none; padding: 0; background: $surface; }
        & SelectionList:focus { border: none; }
    }
    """

    def __init__(self, devices: Sequence[DeviceRecord]) -> None:
        """Ask about these."""
        super().__init__()
        self._devices = devices

    def compose(self) -> ComposeResult:
        """List them."""
        with Card(title="Which devices stay?"):
            yield Static(
                "Mark those that you still have. All others are revoked: they get nothing new.", classes="muted"
            )
            yield SelectionList[bytes](*(Selection(_row(one), one.device_id) for one in self._devices))
            with Horizontal(classes="buttons"):
                yield Button("Back", id="back", compact=True)
                yield Button("Go on", variant="primary", id="go", compact=True)
        yield KeyLine()

    @on(Button.Pressed, "#back")
    def action_back(self) -> None:
        """Do nothing."""
        self.dismiss(None)

    @on(Button.Pressed, "#go")
    def go(self) -> None:
        """Ask once more, where a device goes."""
        kept = frozenset(self.query_one(SelectionList).selected)
        gone = [shown_name(one) for one in self._devices if one.device_id not in kept]
        if not gone:
            self.dismiss(kept)
            return

        def sure(yes: bool | None) -> None:
            if yes:
                self.dismiss(kept)

        self.app.push_screen(ConfirmScreen("Revoke", f"Revoke {', '.join(gone)}?", yes="Revoke"), sure)


def _row(device: DeviceRecord) -> Text:
    first, _, second = device_row(device).plain.partition("\n")
    return Text.assemble((first, "bold"), "  ", (second.strip(), "dim"), no_wrap=True, overflow="ellipsis")


def _suggestions(word: str) -> tuple[str, ...] | None:
    """Return words like this one, which is none of a phrase; None where it is one."""
    try:
        phrase_secrets(word)
    except InvalidPhrase as error:
        return error.suggestions if error.position is not None else None
    return None
