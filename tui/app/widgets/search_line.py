"""The line that queries are typed into: results while typing, completions below, the fault marked under its word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tui.app.completion import Completion, Fragment, apply, as_typed, completions, fragment_at
from tui.app.keys import SEARCH, bindings
from tui.app.screen_work import work
from tui.app.workers.library_thread import NotOpen, Superseded
from tui.cli.cells import fitted, width

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.timer import Timer

    from core.errors import QueryError
    from tui.app.app import SafelightApp

_PAUSE_S = 0.03
"""Between the last key and the search: a paste is one search, and nobody notices."""
_FAULT_PAUSE_S = 0.7
"""A query is wrong most of the time while it is typed: its fault is told when the typing rests."""


class QueryInput(Input):
    """The line itself."""

    BINDINGS = bindings(SEARCH)

    def action_done(self) -> None:
        """Go to what was found."""
        self.query_ancestor(SearchLine).done()

    def action_complete(self) -> None:
        """Take the completion that is chosen."""
        line = self.query_ancestor(SearchLine)
        if not line.take_completion():
            self.screen.focus_next()

    def action_choice(self, step: int) -> None:
        """Choose another completion; without any, leave the line downwards."""
        line = self.query_ancestor(SearchLine)
        if not line.choose(step) and step > 0:
            line.done()


class SearchLine(Vertical):
    """A query, and help with it."""

    app: SafelightApp
    DEFAULT_CSS = """
    SearchLine {
        height: auto;
        background: $surface;
        & Horizontal { height: 1; }
        & #prompt { width: 3; color: $text-muted; padding: 0 1; }
        &:focus-within #prompt { color: $accent; }
        & QueryInput { width: 1fr; height: 1; border: none; padding: 0; background: $surface; }
        & QueryInput:focus { border: none; background: $surface; }
        & #found { width: 18; color: $text-muted; padding: 0 1; text-align: right; }
        & #fault { height: auto; max-height: 3; color: $error; padding: 0 3; display: none; }
        & #fault.shown { display: block; }
        & OptionList {
            overlay: screen; constrain: none inside; width: 60; max-width: 90%; height: auto; max-height: 8;
            margin: 0 0 0 3;
            border: none; padding: 0; background: $panel; display: none; scrollbar-size-vertical: 1;
        }
        & OptionList.shown { display: block; }
    }
    """

    class Changed(Message):
        """Another query stands in the line. `live`: as it is searched for while it is typed."""

        def __init__(self, query: str, live: str) -> None:
            self.query = query
            self.live = live
            super().__init__()

    class Done(Message):
        """Whoever typed wants to see what was found."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """Begin with an empty query."""
        super().__init__(id=id)
        self._pause: Timer | None = None
        self._fault_pause: Timer | None = None
        self._told = ""
        self._fragment: Fragment | None = None
        self._completions: list[Completion] = []

    def compose(self) -> ComposeResult:
        """Lay out prompt, line, count, fault and completions."""
        with Horizontal():
            yield Static("/", id="prompt")
            yield QueryInput(placeholder="search: label:dog date:2024 is:favourite", id="query", select_on_focus=False)
            yield Static("", id="found", markup=False)
        yield Static("", id="fault", markup=False)
        yield OptionList(id="completions", compact=True)

    def on_mount(self) -> None:
        """Leave the list of completions to the line: it never has the focus."""
        self._list.can_focus = False

    @property
    def query_text(self) -> str:
        """What stands in the line."""
        return self._input.value

    @property
    def _input(self) -> QueryInput:
        return self.query_one(QueryInput)

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    def take_focus(self) -> None:
        """Let the user type: at once, so that the next key is text already."""
        self.screen.set_focus(self._input)

    def done(self) -> None:
        """Search for what was typed, if that is still to come, and then say that somebody wants to see it."""
        if self._pause is not None:
            self._pause.stop()
            self._pause = None
        self._tell()
        self.post_message(self.Done())

    def put(self, query: str) -> None:
        """Show a query that was chosen elsewhere, which is searched for already."""
        self._told = query
        with self.prevent(Input.Changed):
            self._input.value = query
            self._input.cursor_position = len(query)
        self.fault(None)
        self._hide_completions()

    def found(self, text: str) -> None:
        """Show how many photos there are."""
        self.query_one("#found", Static).update(text)

    def fault(self, error: QueryError | None) -> None:
        """Show what is wrong with the query, a little later if it is being typed; None takes that away."""
        if self._fault_pause is not None:
            self._fault_pause.stop()
            self._fault_pause = None
        if error is None:
            self.query_one("#fault").remove_class("shown")
        elif self._input.has_focus:
            self._fault_pause = self.set_timer(_FAULT_PAUSE_S, lambda: self._show_fault(error))
        else:
            self._show_fault(error)

    def _show_fault(self, error: QueryError) -> None:
        if error.query and error.query != self._input.value:
            return
        before = width(error.query[: error.column])
        room = max(1, self.size.width - 6)
        marked = width(error.query[error.column : error.column + error.length])
        pointer = " " * before + "^" * max(1, marked) + "\n" if before < room else ""
        hint = f" · {error.hint}" if error.hint else ""
        place = self.query_one("#fault", Static)
        place.update(f"{pointer[: room + 1]}{error}{hint}")
        place.add_class("shown")

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """Search soon, and look for completions."""
        event.stop()
        self.query_one("#fault").remove_class("shown")
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_PAUSE_S, self._tell)
        self._complete()

    @on(Input.Blurred)
    def left(self) -> None:
        """Put the completions away."""
        self._hide_completions()

    @on(OptionList.OptionSelected)
    def picked(self, event: OptionList.OptionSelected) -> None:
        """Take the completion that was clicked."""
        event.stop()
        self._list.highlighted = event.option_index
        self.take_completion()

    def _tell(self) -> None:
        query = self._input.value
        if query != self._told:
            self._told = query
            self.post_message(self.Changed(query, as_typed(query, self._input.cursor_position)))

    @work(exclusive=True)
    async def _complete(self) -> None:
        fragment = fragment_at(self._input.value, self._input.cursor_position)
        if fragment is None:
            self._hide_completions()
            return
        try:
            found = await self.app.library.ask(
                lambda library: completions(fragment, library.catalog.suggestions), lane="complete"
            )
        except (Superseded, NotOpen):
            return
        typed = self._input.value[fragment.start : fragment.end]
        self._show_completions(fragment, [one for one in found if one.text != typed])

    def _show_completions(self, fragment: Fragment, found: list[Completion]) -> None:
        self._fragment, self._completions = fragment, found
        listed = self._list
        listed.clear_options()
        if not found or not self._input.has_focus:
            self._hide_completions()
            return
        name = min(34, max(width(one.text) for one in found) + 2)
        listed.add_options(
            [
                Option(
                    Text.assemble(
                        (fitted(f" {one.text}", name), "bold"),
                        (f" {one.about}", "dim"),
                        overflow="ellipsis",
                        no_wrap=True,
                    )
                )
                for one in found
            ]
        )
        listed.highlighted = None
        listed.add_class("shown")

    def _hide_completions(self) -> None:
        self._completions = []
        self._list.remove_class("shown")

    def choose(self, step: int) -> bool:
        """Choose another completion; tell whether there are any."""
        if not self._completions:
            return False
        listed = self._list
        here = listed.highlighted
        count = len(self._completions)
        listed.highlighted = (0 if step > 0 else count - 1) if here is None else (here + step) % count
        return True

    def take_completion(self) -> bool:
        """Complete the term with what is chosen, or with the first; tell whether there was anything."""
        if not self._completions or self._fragment is None:
            return False
        chosen = self._completions[self._list.highlighted or 0]
        text, cursor = apply(self._input.value, self._fragment, chosen)
        self._hide_completions()
        self._input.value = text
        self._input.cursor_position = cursor
        return True
