"""Short questions: a text, with suggestions to choose from, or a yes or no."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.containers import Horizontal
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from tui.app.screen_work import work
from tui.app.widgets.card import Card
from tui.app.workers.library_thread import NotOpen, Superseded
from tui.cli.cells import fitted
from tui.cli.output import plain

if TYPE_CHECKING:
    from textual.app import ComposeResult

_COLUMNS = 56


class Choice:
    """A suggestion: the text that is taken, how it is shown, and a word on it."""

    def __init__(self, value: str, about: str = "", shown: str | None = None) -> None:
        self.value = value
        self.about = about
        self.shown = value if shown is None else shown


Suggest = Callable[[str], Awaitable[Sequence[Choice]]]


class AskScreen(ModalScreen[str | None]):
    """Asks for a text; None is no answer. With `only_listed` the answer is one of the suggestions."""

    BINDINGS: ClassVar[list[tuple[str, str, str]]] = [  # type: ignore[assignment]  # narrower than Textual's
        ("escape", "cancel", "Cancel"),
        ("down", "choose(1)", "Next"),
        ("up", "choose(-1)", "Previous"),
        ("tab", "take", "Take"),
    ]
    DEFAULT_CSS = """
    AskScreen { align: center middle; background: $background 40%; }
    AskScreen OptionList {
        height: auto; max-height: 10; border: none; padding: 0; background: $surface; scrollbar-size-vertical: 1;
    }
    """

    def __init__(
        self,
        title: str,
        *,
        value: str = "",
        placeholder: str = "",
        hint: str = "",
        suggest: Suggest | None = None,
        only_listed: bool = False,
    ) -> None:
        """Ask; `suggest` returns choices for what is typed so far."""
        super().__init__()
        self._title, self._value, self._placeholder, self._hint = title, value, placeholder, hint
        self._suggest = suggest
        self._only_listed = only_listed
        self._choices: Sequence[Choice] = ()

    def compose(self) -> ComposeResult:
        """Lay out title, line and suggestions."""
        with Card(title=self._title):
            yield Input(value=self._value, placeholder=self._placeholder, select_on_focus=False, id="line")
            if self._hint:
                yield Static(self._hint, classes="muted", markup=False)
            if self._suggest is not None:
                yield OptionList(compact=True)
            yield from self.more()

    def more(self) -> ComposeResult:
        """Lay out what else is asked; nothing here."""
        yield from ()

    def on_mount(self) -> None:
        """Suggest something before anything is typed."""
        self.query_one(Input).focus()
        for listed in self.query(OptionList):
            listed.can_focus = False
        self._look(self._value)

    @on(Input.Changed, "#line")
    def typed(self, event: Input.Changed) -> None:
        """Suggest for what is there now."""
        self._look(event.value)

    @on(Input.Submitted)
    def answered(self) -> None:
        """Take the line, or the suggestion that is chosen."""
        chosen = self._chosen()
        if chosen is not None:
            self.dismiss(chosen.value)
        elif self._only_listed:
            if self._choices:
                self.dismiss(self._choices[0].value)
        else:
            self.dismiss(self.query_one("#line", Input).value)

    @on(OptionList.OptionSelected)
    def clicked(self, event: OptionList.OptionSelected) -> None:
        """Take the suggestion that was clicked."""
        self.dismiss(self._choices[event.option_index].value)

    def action_cancel(self) -> None:
        """Give no answer."""
        self.dismiss(None)

    def action_choose(self, step: int) -> None:
        """Choose another suggestion."""
        if self._choices:
            listed = self.query_one(OptionList)
            here = listed.highlighted
            count = len(self._choices)
            listed.highlighted = (0 if step > 0 else count - 1) if here is None else (here + step) % count

    def action_take(self) -> None:
        """Put the suggestion into the line, to go on typing; where it stands there already, leave the line."""
        chosen = self._chosen() or (self._choices[0] if self._choices else None)
        line = self.query_one("#line", Input)
        if not line.has_focus or chosen is None or line.value == chosen.value:
            self.focus_next()
        else:
            line.value = chosen.value
            line.cursor_position = len(chosen.value)

    def _chosen(self) -> Choice | None:
        if self._suggest is None:
            return None
        here = self.query_one(OptionList).highlighted
        return self._choices[here] if here is not None and here < len(self._choices) else None

    @work(exclusive=True)
    async def _look(self, typed: str) -> None:
        if self._suggest is None:
            return
        try:
            self._choices = await self._suggest(typed)
        except (Superseded, NotOpen):
            return
        listed = next(iter(self.query(OptionList)), None)
        if listed is None:  # answered meanwhile: the screen is taken apart before its work is cancelled
            return
        listed.clear_options()
        listed.add_options(
            [
                Option(
                    Text.assemble(
                        fitted(plain(choice.shown), _COLUMNS - len(choice.about) - 1), " ", (choice.about, "dim")
                    )
                )
                for choice in self._choices
            ]
        )
        listed.highlighted = None


class ConfirmScreen(ModalScreen[bool]):
    """Asks for a yes or no."""

    BINDINGS: ClassVar[list[tuple[str, str, str]]] = [  # type: ignore[assignment]  # narrower than Textual's
        ("escape,n", "answer(False)", "No"),
        ("y", "answer(True)", "Yes"),
    ]
    DEFAULT_CSS = """
    ConfirmScreen { align: center middle; background: $background 40%; }
    """

    def __init__(self, title: str, question: str, *, yes: str = "Yes") -> None:
        """Ask `question`; `yes` is what the button says."""
        super().__init__()
        self._title, self._question, self._yes = title, question, yes

    def compose(self) -> ComposeResult:
        """Lay out the question and two buttons."""
        with Card(title=self._title):
            yield Static(self._question, markup=False)
            with Horizontal(classes="buttons"):
                yield Button("No (n)", id="no", compact=True)
                yield Button(f"{self._yes} (y)", variant="primary", id="yes", compact=True)

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Answer."""
        self.dismiss(yes)
