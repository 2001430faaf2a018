"""The first run: a new library, its recovery phrase, and the first photos."""

from __future__ import annotations

import contextlib
import platform
import secrets
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Button, Input, Static

from core.errors import CoreError
from core.layout import Layout
from core.passphrases import typed_passphrase
from tui.app.screen_work import work
from tui.app.screens.unlock import UnlockScreen
from tui.app.widgets.card import Card
from tui.app.widgets.key_line import KeyLine
from tui.cli.output import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult

    from core.library import Library
    from tui.app.app import SafelightApp

_SHORT_PASSPHRASE = 10
_WORDS_A_ROW = 4
_ASKED_WORDS = 2


class WelcomeScreen(Screen[None]):
    """Makes a library."""

    app: SafelightApp
    DEFAULT_CSS = """
    WelcomeScreen { align: center middle; }
    """

    def compose(self) -> ComposeResult:
        """Ask for a passphrase, twice."""
        with Card(title="Welcome to Safelight"):
            yield Static(
                "Your photos, encrypted on this device and labelled on it. Choose a passphrase: it opens the library, "
                "and nobody can reset it.",
            )
            yield Static(f"The library will be in {plain(str(self.app.root))}", classes="muted", markup=False)
            yield Static(
                "Or join a library that another device has, or recover one whose devices are lost.", classes="muted"
            )
            yield Input(password=True, placeholder="Passphrase: several random words are best", id="passphrase")
            yield Input(password=True, placeholder="The same again", id="again")
            yield Static("", id="said", classes="muted", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Join…", id="join", compact=True)
                yield Button("Recover…", id="recover", compact=True)
                yield Button("Create", variant="primary", id="create", compact=True)
        yield KeyLine()

    @on(Input.Changed, "#passphrase")
    def judge(self, event: Input.Changed) -> None:
        """Warn of a passphrase that is soon guessed."""
        if event.input.disabled:
            return
        short = 0 < len(event.value) < _SHORT_PASSPHRASE
        self._say("Short: whoever copies the library could guess it." if short else "")

    @on(Input.Submitted, "#passphrase")
    def to_second(self) -> None:
        """Ask for it again."""
        self.query_one("#again").focus()

    @on(Input.Submitted, "#again")
    @on(Button.Pressed, "#create")
    def create(self) -> None:
        """Make the library, if both are the same."""
        first, again = (self.query_one(name, Input) for name in ("#passphrase", "#again"))
        if not first.value:
            self._say("A library needs a passphrase.", wrong=True)
            first.focus()
        elif first.value != again.value:
            self._say("The two passphrases differ.", wrong=True)
            again.value = ""
            again.focus()
        else:
            typed = first.value
            first.value = again.value = ""  # the fields keep nothing
            self._create(typed)

    @on(Button.Pressed, "#join")
    def join(self) -> None:
        """Become a device of a library that another one has."""
        from tui.app.screens.join import JoinScreen

        self.app.push_screen(JoinScreen(), self._arrived)

    @on(Button.Pressed, "#recover")
    def recover(self) -> None:
        """Bring a library back with its words."""
        from tui.app.screens.recover import RecoverScreen

        self.app.push_screen(RecoverScreen(), self._arrived)

    def _arrived(self, there: bool | None) -> None:
        if there:
            self.app.show_library()
        elif Layout(self.app.root).library_file.exists():
            self.app.switch_screen(UnlockScreen())

    @work(exclusive=True)
    async def _create(self, typed: str) -> None:
        from core.library import Library

        self._say("Creating…")
        for widget in self.query("Input, Button"):
            widget.disabled = True
        root, kdf, name = self.app.root, self.app.kdf, platform.node() or "this device"
        try:
            phrase = await self.app.library.adopt(
                lambda: Library.create(root, typed_passphrase(typed), device_name=name, kdf=kdf, keep_phrase=True)
            )
        except CoreError as error:
            for widget in self.query("Input, Button"):
                widget.disabled = False
            self._say(f"{error}. {error.hint or ''}", wrong=True)
            return
        self.app.switch_screen(PhraseScreen(phrase))

    def _say(self, text: str, *, wrong: bool = False) -> None:
        said = self.query_one("#said", Static)
        said.update(text)
        said.set_class(wrong, "error")


def _to_the_library(screen: PhraseScreen) -> None:
    screen.to_the_library()


def _was_shown(library: Library) -> None:
    from core.unshown_phrase import first_phrase_was_shown

    first_phrase_was_shown(library)


class PhraseScreen(Screen[None]):
    """Shows the recovery phrase, this once, and has two of its words typed before it goes."""

    app: SafelightApp
    DEFAULT_CSS = """
    PhraseScreen { align: center middle; }
    PhraseScreen #words { color: $accent; height: auto; margin-bottom: 1; }
    PhraseScreen #asked { height: auto; }
    PhraseScreen #asked Input { width: 1fr; margin-right: 1; }
    """
    AUTO_FOCUS: ClassVar[str] = "#done"

    def __init__(self, phrase: str, *, on_done: Callable[[PhraseScreen], object] = _to_the_library) -> None:
        """Show `phrase`; `on_done` goes on once its words are on paper."""
        super().__init__()
        self._on_done = on_done
        self._words = phrase.split()
        self._asked = sorted(secrets.SystemRandom().sample(range(len(self._words)), _ASKED_WORDS))

    def compose(self) -> ComposeResult:
        """Show the words."""
        with Card(title="Your recovery phrase"):
            yield Static(
                "These 24 words open the library when the passphrase or this device is lost. Write them down on paper: "
                "they are shown this once, and kept nowhere."
            )
            yield Static(self._table(), id="words", markup=False)
            with Horizontal(id="asked"):
                for place in self._asked:
                    yield Input(placeholder=f"Word {place + 1}", id=f"word-{place}", disabled=True)
            yield Static("", id="said", classes="muted", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("I have written them down", variant="primary", id="done", compact=True)
        yield KeyLine()

    @work(exclusive=True)
    async def to_the_library(self) -> None:
        """Go on with a new library, whose words are on paper."""
        with contextlib.suppress(CoreError):  # else they are shown once more, the next time
            await self.app.library.ask(_was_shown)
        self.app.show_library(offer_import=True)

    @on(Button.Pressed, "#done")
    def hide(self) -> None:
        """Cover the words, and ask for two of them; a second press checks."""
        fields = [self.query_one(f"#word-{place}", Input) for place in self._asked]
        if fields[0].disabled:
            self.query_one("#words", Static).update(self._table(hidden=True))
            for field in fields:
                field.disabled = False
            fields[0].focus()
            self.query_one("#done", Button).label = "Check"
            self._say("Type these two from your paper.")
            return
        self._check()

    @on(Input.Submitted)
    def next_word(self, event: Input.Submitted) -> None:
        """Go to the second word, and then check."""
        if event.input.id == f"word-{self._asked[0]}":
            self.query_one(f"#word-{self._asked[-1]}").focus()
        else:
            self._check()

    def _check(self) -> None:
        for place in self._asked:
            field = self.query_one(f"#word-{place}", Input)
            if field.value.strip().lower() != self._words[place]:
                self.query_one("#words", Static).update(self._table())
                for one in self._asked:
                    asked = self.query_one(f"#word-{one}", Input)
                    asked.value = ""
                    asked.disabled = True
                self.query_one("#done", Button).label = "I have written them down"
                self.query_one("#done").focus()
                self._say(f"Word {place + 1} is another one: here they are again.", wrong=True)
                return
        self._words = []
        for field in self.query(Input):
            field.value = ""
        self._on_done(self)

    def _table(self, *, hidden: bool = False) -> str:
        words = ["·" * len("recovery") if hidden else word for word in self._words]
        rows = [words[start : start + _WORDS_A_ROW] for start in range(0, len(words), _WORDS_A_ROW)]
        return "\n".join(
            "".join(f"{row * _WORDS_A_ROW + column + 1:>3} {word:<10}" for column, word in enumerate(line)).rstrip()
            for row, line in enumerate(rows)
        )

    def _say(self, text: str, *, wrong: bool = False) -> None:
        said = self.query_one("#said", Static)
        said.update(text)
        said.set_class(wrong, "error")
